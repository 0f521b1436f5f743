//! The suite through the real binary: the bytes of each case go into a tunnel of their own, and the
//! audit log tells which rules were logged.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use portward::waf::Sources;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::case::Case;
use super::wire::{Answer, Message};
use super::{Logged, rules};
use crate::binary::proxy::{Proxy, Setup};
use crate::binary::within;

/// Requests at a time.
const AT_ONCE: usize = 8;
/// Some cases are about a request that never ends: nothing is answered then, and this is waited for them.
const SILENCE: Duration = Duration::from_secs(2);

/// What came of a case.
#[derive(Debug)]
pub struct Passed {
    /// The status that the client got, none for no answer.
    pub status: Option<u16>,
    /// What the rules logged; none when they were not asked, because the message was refused.
    pub logged: Option<Logged>,
    /// The rules saw no more than the head, since that broke HTTP's rules.
    pub refused: bool,
}

/// Runs all cases, in their order.
pub async fn run(cases: &[Case], sources: &Sources) -> Vec<Passed> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = listener.local_addr().expect("it is bound");
    let serving = tokio::spawn(serve(listener));
    let mut setup = Setup::new().args(["--no-core-rules", "--rules", "{dir}/rules"]);
    rules::write(sources, &setup.dir().join("rules"));
    for name in hosts(cases) {
        setup = setup.route(&name, 80, origin);
    }
    let proxy = setup.start().await;
    let addr = proxy.addr();
    let sent = cases.iter().enumerate().map(|(number, case)| send(addr, client(number), case));
    let statuses: Vec<Option<u16>> = futures_util::stream::iter(sent).buffered(AT_ONCE).collect().await;
    let records = records(proxy).await;
    serving.abort();
    let passed = statuses.into_iter().enumerate().map(|(number, status)| {
        let record = records.get(&client(number));
        let why = record.and_then(|record| record["request_inspection"]["why"].as_str());
        let refused = why.is_some_and(|why| why.contains("refused"));
        Passed { status, logged: record.and_then(logged), refused }
    });
    passed.collect()
}

/// Each case comes from an address of its own, by which its record is known: ports come again.
pub fn client(number: usize) -> IpAddr {
    let number = u16::try_from(number).expect("fewer cases than addresses").to_be_bytes();
    IpAddr::from([127, 1, number[0], number[1]])
}

/// Where a case's request says it goes, as far as that is a name and not an address.
fn target(case: &Case) -> &str {
    let host = case.host.as_deref().unwrap_or_default();
    let is_name = host.bytes().any(|b| b.is_ascii_alphabetic())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    if is_name { host } else { "localhost" }
}

fn hosts(cases: &[Case]) -> Vec<String> {
    let mut hosts: Vec<String> = cases.iter().map(|case| target(case).to_owned()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Sends a case's bytes as they are, and tells the answer's status.
async fn send(proxy: SocketAddr, client: IpAddr, case: &Case) -> Option<u16> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(client, 0)).expect("an address of the loopback network");
    let mut stream = socket.connect(proxy).await.expect("the proxy listens");
    let host = target(case);
    let connect = format!("CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\n\r\n");
    stream.write_all(connect.as_bytes()).await.expect("the proxy reads");
    let opened = within("a tunnel", status(&mut stream)).await;
    assert_eq!(opened, Some(200), "{}: no tunnel to {host}", case.id);
    // What is refused may be refused before all of it was written.
    let _ = stream.write_all(&case.bytes).await;
    let status = if Message::read(&case.bytes).complete {
        within(&case.id, status(&mut stream)).await
    } else {
        tokio::time::timeout(SILENCE, status(&mut stream)).await.ok().flatten()
    };
    let _ = tokio::time::timeout(SILENCE, rest(&mut stream)).await;
    status
}

/// Reads a response's head and no further.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8_lossy(&head).split(' ').nth(1)?.parse().ok()
}

/// Says that nothing more comes, and waits for the end of what does.
async fn rest(stream: &mut TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
}

/// The records of exchanges by client. The proxy ends in order, so that all of them are written.
async fn records(mut proxy: Proxy) -> BTreeMap<IpAddr, Value> {
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    let mut exchanges = BTreeMap::new();
    // The first of a connection: what stands behind a case's request may be taken for one more.
    for record in proxy.audit().into_iter().filter(|record| record["kind"] == "exchange") {
        let client: SocketAddr =
            record["client"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        exchanges.entry(client.ip()).or_insert(record);
    }
    exchanges
}

/// What the record says the rules logged; `None` when they were not asked.
fn logged(record: &Value) -> Option<Logged> {
    record.get("request_inspection")?;
    let ids = record["waf"]["matches"].as_array().into_iter().flatten();
    Some(Logged {
        rules: ids.filter_map(|found| found["rule"].as_u64()).map(|id| id as u32).collect(),
        denied: record["waf"]["interruption"]["action"]["deny"]["status"]
            .as_u64()
            .map(|status| status as u16),
    })
}

/// The origin.
async fn serve(listener: TcpListener) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        tokio::spawn(async move {
            let service = service_fn(answer);
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().to_string();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = Answer::to(target.as_bytes(), &body);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.fields {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body.into())).expect("the suite's answers are HTTP"))
}
