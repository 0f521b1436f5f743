//! Name servers that answer what no name server should (F11): each ends in bounded time and questions, and a name
//! that does not exist is asked for again after five seconds, not for each request.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{Case, Seen};
use crate::support::Http;
use crate::support::client::{Client, Entry, rest};
use crate::support::dns::{Dns, Reply};
use crate::support::origin::Spec;
use crate::support::proxy::{Proxy, Setup};
use tokio::io::AsyncWriteExt;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F11", "a loop of aliases", "no address, few questions", looped),
        Case::new("F11", "an answer of 64 KB", "answered, memory flat", stuffed),
        Case::new("F11", "1,000 addresses, none of which accepts", "502, few tried", many),
        Case::new("F11", "a name that does not exist, over and over", "asked once in 5 s", forgotten),
    ]
}

async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Dns, Proxy) {
    let dns = Dns::start(answer).await;
    let setup = Setup::new();
    let words = dns.behind(setup.dir());
    let proxy = setup.behind(words).start().await;
    (dns, proxy)
}

/// The status and the reason of a request for a name.
async fn ask(proxy: &Proxy, url: &str) -> (u16, String) {
    let mut stream = Client::new(Entry::HttpProxy, proxy).dial().await.unwrap();
    let host = url.split('/').nth(2).unwrap();
    let head = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let record = proxy.record(url, |r| r["url"] == url).await;
    (status, record["reason"].as_str().unwrap_or_default().to_owned())
}

async fn looped() -> Seen {
    let (dns, proxy) = start(|name| match name {
        "one.test" => Reply::Alias("two.test"),
        "two.test" => Reply::Alias("three.test"),
        _ => Reply::Alias("one.test"),
    })
    .await;
    let began = Instant::now();
    let (status, reason) = ask(&proxy, "http://one.test/").await;
    let (waited, asked) = (began.elapsed(), dns.asked().len());
    let figures = format!("({status} {reason} after {waited:.1?}, {asked} questions)");
    let good = matches!(status, 502 | 504) && reason.starts_with("dns_") && asked <= 100;
    Seen::judged(good && waited.as_secs() < 20, "no address, few questions", figures)
}

async fn stuffed() -> Seen {
    let origin = Spec::plain().start().await;
    let (dns, proxy) = start(|_| Reply::Stuffed(Ipv4Addr::LOCALHOST)).await;
    let before = proxy.rss();
    let (mut told, turns) = (Vec::new(), 50);
    for turn in 0..turns {
        let url = format!("http://n{turn}.test:{}/", origin.addr.port());
        told.push(ask(&proxy, &url).await.0);
    }
    let grown = proxy.peak_rss().saturating_sub(before);
    let answered = told.iter().filter(|status| **status == 200).count();
    let figures =
        format!("({answered} of {turns} answered, {} questions, {} KiB)", dns.asked().len(), grown >> 10);
    Seen::judged(answered == turns && grown < 24 << 20, "answered, memory flat", figures)
}

/// Nobody listens at the first sixteen; who listens at those behind them must not be reached.
async fn many() -> Seen {
    let (dns, proxy) = start(|_| Reply::Many(1000)).await;
    let first = tokio::net::TcpListener::bind("127.9.0.17:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let mut behind = vec![first];
    for n in [18u32, 19, 20, 40, 100, 500, 999, 1000] {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 9, 0, 0)) + n);
        behind.push(tokio::net::TcpListener::bind((address, port)).await.unwrap());
    }
    let began = Instant::now();
    let (status, reason) = ask(&proxy, &format!("http://many.test:{port}/")).await;
    let waited = began.elapsed();
    let mut reached = 0;
    for listener in &behind {
        let accepted = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        reached += usize::from(accepted.is_ok());
    }
    let figures = format!(
        "({status} {reason} after {waited:.1?}, {reached} beyond the 16th, {} questions)",
        dns.asked().len()
    );
    Seen::judged(status == 502 && reached == 0 && waited.as_secs() < 20, "502, few tried", figures)
}

async fn forgotten() -> Seen {
    let (dns, proxy) = start(|_| Reply::NoSuchName).await;
    let questions = || dns.asked().iter().filter(|name| *name == "gone.test").count();
    let began = Instant::now();
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H1, "https://gone.test/").await.status, 502);
    let first = questions();
    let mut turns = 0;
    // The name server says an hour; we remember five seconds.
    while questions() == first && began.elapsed() < Duration::from_secs(25) {
        assert_eq!(ask(&proxy, &format!("http://gone.test/{turns}")).await, (502, "dns_nxdomain".to_owned()));
        turns += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waited = began.elapsed();
    let figures = format!("({first} questions, {turns} requests, asked again after {waited:.1?})");
    let good = first <= 4 && turns > 1 && (4..20).contains(&waited.as_secs());
    Seen::judged(good, "asked once in 5 s", figures)
}
