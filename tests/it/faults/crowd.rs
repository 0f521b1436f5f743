//! Many clients beside a busy one: idle connections (F15) and a flood of server names (F34). What a busy client
//! notices is printed as a ratio; that all are served, and what it costs, is asserted.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Case, Measured, Seen, size};
use crate::support::client::{Client, Connection, Entry, field, get, read_head};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::Setup;
use crate::support::{Http, within};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F15", "idle connections beside a busy one", SERVED, idle_beside_busy),
        Case::new("F34", "a flood of server names beside a busy client", SERVED, names_beside_busy),
    ]
}

const SERVED: &str = "all served, memory bounded";

/// What one of a hundred waits for longer, of requests one after the other.
async fn p99(busy: &mut Connection, turns: usize) -> Duration {
    let mut took = Vec::new();
    for turn in 0..turns {
        let began = Instant::now();
        assert_eq!(busy.send(get(&format!("https://origin.test/{turn}"))).await.text(), HELLO);
        took.push(began.elapsed());
    }
    took.sort();
    took[turns * 99 / 100]
}

/// One request and its answer, on a connection that is kept.
async fn exchange(stream: &mut TcpStream) -> bool {
    let ask = b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n";
    if stream.write_all(ask).await.is_err() {
        return false;
    }
    let Ok(head) = within("an answer", read_head(stream)).await else { return false };
    let length = field(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    within("a body", stream.read_exact(&mut body)).await.is_ok() && body == HELLO.as_bytes()
}

async fn idle_beside_busy() -> Measured {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // The proxy keeps half of its files for origins, and this process has the other end of both.
    let many = size(2_000, 10_000).min(usize::try_from(hard).unwrap_or(usize::MAX) / 2 - 500);
    let (plain, origin) = (Spec::plain().start().await, Spec::tls(&["origin.test"]).start().await);
    let config = "[limits]\nper_client = 16000\nkeep_alive_idle = \"1h\"\npool_idle = \"1s\"";
    let setup = Setup::new().config(config).route("plain.test", 80, plain.addr).origin(&origin);
    let mut proxy = setup.start().await;
    let mut busy = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    p99(&mut busy, 100).await;
    let alone = p99(&mut busy, 400).await;
    let before = proxy.rss();
    let addr = proxy.addr();
    let mut crowd: Vec<TcpStream> = stream::iter(0..many)
        .map(async |_| {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            assert!(exchange(&mut stream).await, "a client of the crowd was not served");
            stream
        })
        .buffer_unordered(64)
        .collect()
        .await;
    let beside = p99(&mut busy, 400).await;
    let grown = proxy.rss().saturating_sub(before);
    // They are idle, not gone.
    let mut served = 0;
    for stream in crowd.iter_mut().step_by(many / 50) {
        served += usize::from(exchange(stream).await);
    }
    let each = grown / many as u64;
    let figures = format!(
        "({many} idle, {each} bytes each; busy p99 {alone:.1?} alone, {beside:.1?} beside them: {:.2} times)",
        beside.as_secs_f64() / alone.as_secs_f64()
    );
    let good = served == 50 && each < 96 << 10 && proxy.running();
    Seen::judged(good, SERVED, figures).grown(grown)
}

async fn names_beside_busy() -> Measured {
    let many = size(400, 50_000);
    let origin = Spec::tls(&["*.flood.test", "origin.test"]).start().await;
    let everything = format!("*:443:127.0.0.1:{}", origin.addr.port());
    let proxy = Setup::new().args(["--resolve", &everything]).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut busy = client.https("origin.test", Http::H1).await.unwrap();
    p99(&mut busy, 100).await;
    let alone = p99(&mut busy, 400).await;
    let before = proxy.rss();
    let began = Instant::now();
    // Another client than the busy one, as the proxy knows clients.
    let other = Client::new(Entry::HttpProxy, &proxy).from([127, 0, 0, 2].into());
    let flood = async {
        let one = async |number: usize| {
            let name = format!("h{number}.flood.test");
            other.tls(&name, 443, &[Http::H1]).await.is_ok()
        };
        stream::iter(0..many).map(one).buffer_unordered(16).filter(|ok| std::future::ready(*ok)).count().await
    };
    let (served, beside) = futures_util::future::join(flood, p99(&mut busy, 400)).await;
    let rate = many as f64 / began.elapsed().as_secs_f64() * 60.0;
    let grown = proxy.peak_rss().saturating_sub(before);
    let figures = format!(
        "({served} of {many} names, {rate:.0} a minute; {} KiB; busy p99 {alone:.1?} alone, {beside:.1?} beside: {:.2} \
         times)",
        grown >> 10,
        beside.as_secs_f64() / alone.as_secs_f64()
    );
    Seen::judged(served == many && grown < 64 << 20, SERVED, figures).grown(grown)
}
