//! How much later an event of an event stream comes through the real binary, with its core rules, than without it.
//!
//!     cargo bench --bench events                          a few seconds
//!     cargo bench --bench events -- --streams 2000        more of them
//!     cargo bench --bench events -- --portward FILE       another binary
//!
//! Streams are asked for on kept connections, directly and through the proxy in turn, over HTTP/1.1 and HTTP/2 on both
//! legs. The first event is timed from the request; the second, which the origin writes while the stream is quiet, from
//! when it was written. The bar is 5 ms for the median of what is added; a p99 shows what else the machine does, too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const HOST: &str = "events.bench.test";
const BAR: Duration = Duration::from_millis(5);
/// The stream is quiet for this long before its second event.
const QUIET: Duration = Duration::from_millis(5);
const STREAMS: usize = 400;

fn main() -> ExitCode {
    let (mut binary, mut streams) = (PathBuf::from(env!("CARGO_BIN_EXE_portward")), STREAMS);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next();
        match (word.as_str(), value) {
            ("--portward", Some(file)) => binary = file.into(),
            ("--streams", Some(count)) => streams = count.parse().expect("a number of streams"),
            (word, _) => panic!("unknown argument {word}"),
        }
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (root, server) = certificates();
    std::fs::write(dir.path().join("lab.pem"), root).expect("a file");
    let began = Instant::now();
    let origin = origin(server, began);
    let proxy = Proxy::start(&binary, dir.path(), origin);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!(
        "| event | direct p50 | through p50 | later | times | direct p99 | through p99 | later |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|"
    );
    let mut good = true;
    for http in [Version::HTTP_11, Version::HTTP_2] {
        let [direct, through] = runtime.block_on(measure(http, origin, &proxy, dir.path(), streams, began));
        for (event, direct, through) in [("first", direct.0, through.0), ("second", direct.1, through.1)] {
            good &= row(&format!("{event}, {http:?}"), direct, through);
        }
    }
    println!(
        "\n{streams} streams each; added at the median: {} 5 ms",
        if good { "under" } else { "NOT under" }
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// False when the median is over the bar.
fn row(what: &str, mut direct: Vec<Duration>, mut through: Vec<Duration>) -> bool {
    direct.sort();
    through.sort();
    let at = |times: &[Duration], part: usize| times[(times.len() - 1) * part / 100];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (d50, t50, d99, t99) = (at(&direct, 50), at(&through, 50), at(&direct, 99), at(&through, 99));
    println!(
        "| {what} | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} | {:.2} ms | {:.2} ms | {:.2} ms |",
        ms(d50),
        ms(t50),
        ms(t50) - ms(d50),
        ms(t50) / ms(d50),
        ms(d99),
        ms(t99),
        ms(t99) - ms(d99)
    );
    t50.saturating_sub(d50) < BAR
}

/// The times of first and of second events.
type Times = (Vec<Duration>, Vec<Duration>);

/// Both ways in turn.
async fn measure(
    http: Version,
    origin: SocketAddr,
    proxy: &Proxy,
    dir: &Path,
    streams: usize,
    began: Instant,
) -> [Times; 2] {
    let mut ways = [
        Sender::over(TcpStream::connect(origin).await.expect("the origin"), &dir.join("lab.pem"), http).await,
        Sender::over(tunnel(proxy.addr).await, &dir.join("ca/root.pem"), http).await,
    ];
    let mut times = [Times::default(), Times::default()];
    // The first of everything is not what is measured.
    for turn in 0..streams + 20 {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            let (first, second) = way.stream(began).await;
            if turn >= 20 {
                times.0.push(first);
                times.1.push(second);
            }
        }
    }
    times
}

enum Sender {
    H1(http1::SendRequest<Empty<Bytes>>),
    H2(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    async fn over(stream: TcpStream, roots: &Path, http: Version) -> Sender {
        stream.set_nodelay(true).expect("an option");
        let mut config = client_tls(roots);
        let alpn: &[u8] = if http == Version::HTTP_2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from(HOST).expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let io = TokioIo::new(stream);
        if http == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            return Sender::H2(sender);
        }
        let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Sender::H1(sender)
    }

    /// How long the first event took from the request, and the second from the origin.
    async fn stream(&mut self, began: Instant) -> (Duration, Duration) {
        let request =
            Request::builder().header("user-agent", "Mozilla/5.0").header("accept", "text/event-stream");
        let asked;
        let answer = match self {
            Sender::H1(sender) => {
                sender.ready().await.expect("a kept connection");
                asked = Instant::now();
                let request = request.uri("/events").header("host", HOST).body(Empty::new());
                sender.send_request(request.expect("a request")).await
            }
            Sender::H2(sender) => {
                sender.ready().await.expect("a kept connection");
                asked = Instant::now();
                let request = request.uri(format!("https://{HOST}/events")).body(Empty::new());
                sender.send_request(request.expect("a request")).await
            }
        };
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        event(&mut body).await;
        let first = asked.elapsed();
        let second = event(&mut body).await;
        let now = began.elapsed();
        assert!(
            body.frame()
                .await
                .is_none_or(|frame| frame.is_ok_and(|frame| frame.data_ref().is_none_or(Bytes::is_empty)))
        );
        let written = second.split("at ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a time");
        (first, now - Duration::from_nanos(written.parse().expect("nanoseconds")))
    }
}

/// Reads one event.
async fn event(body: &mut Incoming) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let frame = body.frame().await.expect("an event").expect("a whole stream");
        text += std::str::from_utf8(frame.data_ref().expect("no trailers")).expect("text");
    }
    text
}

async fn tunnel(proxy: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.expect("the proxy");
    let head = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("a request");
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{}", seen.escape_ascii());
    stream
}

/// An origin on a thread of its own.
fn origin(config: Arc<ServerConfig>, began: Instant) -> SocketAddr {
    let (told, addr) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            told.send(listener.local_addr().expect("its address")).expect("someone who asked");
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, config.clone(), began));
            }
        });
    });
    addr.recv().expect("an origin")
}

async fn serve(socket: TcpStream, config: Arc<ServerConfig>, began: Instant) {
    let _ = socket.set_nodelay(true);
    let Ok(stream) = TlsAcceptor::from(config).accept(socket).await else { return };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let service = service_fn(move |_| async move { Ok::<_, Infallible>(events(began)) });
    // The client's end of the connection is the end of this one.
    if h2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

type Events = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn events(began: Instant) -> Response<Events> {
    let frames = stream::unfold(0, move |turn| async move {
        if turn == 2 {
            return None;
        }
        if turn == 1 {
            tokio::time::sleep(QUIET).await;
        }
        let at = began.elapsed().as_nanos();
        let text = format!(
            "event: price\nid: {turn}\ndata: {{\"what\":\"at {at} nanoseconds\",\"price\":12.5}}\n\n"
        );
        Some((Ok(Frame::data(Bytes::from(text))), turn + 1))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    response
}

struct Proxy {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(binary: &Path, dir: &Path, origin: SocketAddr) -> Proxy {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("its address");
        drop(free);
        let mut command = Command::new(binary);
        command.arg("run").args(["--listen", &addr.to_string(), "--allow-private", "127.0.0.0/8"]);
        command.args(["--resolve", &format!("{HOST}:443:127.0.0.1:{}", origin.port())]);
        for (flag, file) in [("--ca", "ca"), ("--audit-log", "audit.jsonl"), ("--origin-ca", "lab.pem")] {
            command.arg(flag).arg(dir.join(file));
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary");
        let mut proxy = Proxy { child, addr };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(addr).is_err() {
            let ended = proxy.child.try_wait().expect("a child");
            assert!(Instant::now() < until && ended.is_none(), "it does not start");
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }
}

/// An authority's PEM, and the origin's configuration under it.
fn certificates() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root =
        rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::HOUR;
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(7);
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, &root).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(portward::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a key that fits");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (root.pem(), Arc::new(config))
}

fn client_tls(roots_file: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(roots_file).expect("a CA").flatten());
    ClientConfig::builder_with_provider(portward::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
