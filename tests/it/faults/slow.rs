//! Peers that are slow, stall or break off, with limits short enough to wait for (F03 to F08, F16).

use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Case, Seen};
use crate::support::client::{Client, Entry, get, rest};
use crate::support::origin::{HELLO, Spec, is_pattern};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until, within};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F03", "a client that never reads 1 GB", "closed, all freed", || async {
            never_read().await
        }),
        Case::new("F04", "a TLS handshake a byte at a time, to the proxy", "closed, counted", || async {
            trickled_hello(false).await
        }),
        Case::new("F04", "a TLS handshake a byte at a time, in a tunnel", "closed, counted", || async {
            trickled_hello(true).await
        }),
        Case::new("F05", "a tunnel with no traffic", "closed", || async { idle_tunnel().await }),
        Case::new("F06", "half-close behind a request", "whole answer", || async { half_closed().await }),
        Case::new("F08", "RST from the client, in a download", "torn down, all freed", || async {
            client_resets(true).await
        }),
        Case::new("F08", "RST from the client, in an upload", "torn down, all freed", || async {
            client_resets(false).await
        }),
        Case::new("F08", "RST from the origin, in a download", "torn down, all freed", || async {
            origin_resets().await
        }),
        Case::new("F16", "128 files and 300 connections", "paused without spin, recovered", || async {
            out_of_files().await
        }),
    ]
}

fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

/// Sockets that the proxy has open. Its logs and what watches its files are no connection's.
fn sockets(proxy: &Proxy) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap();
    let names = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
}

/// Sockets that the proxy has open when it has served somebody and waits.
async fn at_rest(proxy: &Proxy, url: &str) -> usize {
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    let ask = format!("GET {url} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host(url));
    socket.write_all(ask.as_bytes()).await.unwrap();
    rest(&mut socket).await;
    drop(socket);
    // The same for longer than the pool takes to close what is idle.
    let (mut last, mut since) = (usize::MAX, Instant::now());
    until("the proxy to be at rest", || {
        let open = sockets(proxy);
        if open != last {
            (last, since) = (open, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(5500)).then_some(last)
    })
    .await
}

/// Waits until the proxy has as few sockets open as before; how long that took.
async fn freed(proxy: &Proxy, before: usize) -> Duration {
    let began = Instant::now();
    until("the proxy to close the sockets it had open", || (sockets(proxy) <= before).then_some(())).await;
    began.elapsed()
}

async fn never_read() -> Seen {
    let plain = Spec::plain().start().await;
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[limits]\nwrite_stall = \"700ms\"\npool_idle = \"100ms\"";
    let proxy = Setup::new().config(config).plain(&plain).origin(&origin).start().await;
    let before = at_rest(&proxy, "http://origin.test/").await;
    let memory = proxy.rss();
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.write_all(b"GET /bytes/1000000000 HTTP/1.1\r\nHost: origin.test\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    until("the request at the origin", || (!origin.seen().is_empty()).then_some(())).await;
    let waited = freed(&proxy, before).await;
    let record = proxy
        .record("the reader that stalls", |r| r["url"].as_str().is_some_and(|url| url.contains("bytes")))
        .await;
    let grown = proxy.peak_rss().saturating_sub(memory);
    drop(stream);
    let figures =
        format!("(after {waited:.1?}, {} KiB at most, recorded as {})", grown >> 10, record["reason"]);
    let good = waited.as_secs() < 25 && grown < 32 << 20;
    Seen::judged(good, "closed, all freed", figures)
}

async fn trickled_hello(in_tunnel: bool) -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[limits]\nhandshake_time = \"5s\"\nclassify_time = \"5s\"\nper_client = 3";
    let proxy = Setup::new().config(config).origin(&origin).start().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    if in_tunnel {
        stream.write_all(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n").await.unwrap();
        crate::support::client::read_head(&mut stream).await.unwrap();
    }
    let held =
        [TcpStream::connect(proxy.addr()).await.unwrap(), TcpStream::connect(proxy.addr()).await.unwrap()];
    // Counted per client: the places are taken, so that what a client with a place gets is refused.
    let mut fourth = TcpStream::connect(proxy.addr()).await.unwrap();
    let _ = fourth.write_all(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n").await;
    let refused = rest(&mut fourth).await;
    let began = Instant::now();
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        // The front of a ClientHello that would be 508 bytes long.
        let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        hello.resize(505, 0);
        for byte in hello {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _ = within("the end of a slow handshake", read.read_to_end(&mut answer)).await;
    let waited = began.elapsed();
    trickle.abort();
    drop(held);
    let figures = format!("(after {waited:.1?}, the fourth got {:?})", String::from_utf8_lossy(&refused));
    let good = waited.as_secs() < 20 && !refused.starts_with(b"HTTP/1.1 200") && origin.seen().is_empty();
    Seen::judged(good, "closed, counted", figures)
}

async fn idle_tunnel() -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config =
        "[limits]\ntunnel_idle = \"3s\"\n[[policy.bypass]]\nname = \"lab\"\nhosts = [\"origin.test\"]";
    let proxy = Setup::new().config(config).origin(&origin).start().await;
    let roots = [crate::support::pki::lab().root_der()];
    let client = Client::new(Entry::HttpProxy, &proxy).trusting(roots);
    let began = Instant::now();
    let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let left = rest(&mut stream).await;
    let waited = began.elapsed();
    let good = left.is_empty() && waited.as_millis() >= 2500 && waited.as_secs() < 20;
    let figures = format!("(after {waited:.1?})");
    Seen::judged(good, "closed", figures)
}

/// A client that has nothing more to say than its one request, over plain HTTP and inside TLS.
async fn half_closed() -> Seen {
    const LEN: usize = 3_000_000;
    let plain = Spec::plain().start().await;
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().plain(&plain).origin(&origin).start().await;
    let mut told = Vec::new();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    let ask = format!("GET http://origin.test/bytes/{LEN} HTTP/1.1\r\nHost: origin.test\r\n\r\n");
    socket.write_all(ask.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    told.push(rest(&mut socket).await);
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let ask = format!("GET /bytes/{LEN} HTTP/1.1\r\nHost: origin.test\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    told.push(rest(&mut stream).await);
    for (number, answer) in told.iter().enumerate() {
        let Some(at) = answer.windows(4).position(|end| end == b"\r\n\r\n") else {
            return format!("way {number}: no head in {} bytes", answer.len()).into();
        };
        let (head, body) = (String::from_utf8_lossy(&answer[..at]), &answer[at + 4..]);
        if !head.starts_with("HTTP/1.1 200") || body.len() != LEN || !is_pattern(body, 0) {
            return format!("way {number}: {} bytes behind {head}", body.len()).into();
        }
    }
    "whole answer".into()
}

async fn client_resets(download: bool) -> Seen {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().config("[limits]\npool_idle = \"100ms\"").plain(&origin).start().await;
    let before = at_rest(&proxy, "http://origin.test/").await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    let ask = if download {
        "GET http://origin.test/bytes/1000000000 HTTP/1.1\r\nHost: origin.test\r\n\r\n"
    } else {
        "POST http://origin.test/upload HTTP/1.1\r\nHost: origin.test\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n"
    };
    socket.write_all(ask.as_bytes()).await.unwrap();
    if download {
        let mut part = vec![0; 64 * 1024];
        for _ in 0..20 {
            within("more of a download", socket.read(&mut part)).await.unwrap();
        }
    } else {
        // More than the window that is held for inspection, so that the upload has reached the origin.
        let part = vec![b'a'; 64 * 1024];
        for _ in 0..48 {
            within("room for an upload", socket.write_all(&part)).await.unwrap();
        }
        until("the upload at the origin", || (origin.seen().len() > 1).then_some(())).await;
    }
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    let waited = freed(&proxy, before).await;
    let record = proxy.record("the client that left", |r| r["reason"].is_string()).await;
    let complete = origin.seen().iter().any(|seen| seen.complete && seen.method == "POST");
    let figures = format!("(after {waited:.1?}, recorded as {})", record["reason"]);
    let good = waited.as_secs() < 25 && !complete;
    Seen::judged(good, "torn down, all freed", figures)
}

async fn origin_resets() -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let _ = socket.read(&mut head).await;
        let part = vec![b'a'; 64 * 1024];
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9000000\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..32 {
            socket.write_all(&part).await.unwrap();
        }
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let other = Spec::plain().start().await;
    let setup = Setup::new().config("[limits]\npool_idle = \"100ms\"");
    let proxy = setup.route("origin.test", 80, addr).route("other.test", 80, other.addr).start().await;
    let before = at_rest(&proxy, "http://other.test/").await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    socket
        .write_all(b"GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut socket).await;
    drop(socket);
    within("the origin's end", origin).await.unwrap();
    let waited = freed(&proxy, before).await;
    let record = proxy.record("the origin that left", |r| r["reason"].is_string()).await;
    let figures = format!("({} bytes came, recorded as {})", answer.len(), record["reason"]);
    let good = answer.len() < 9_000_000 && waited.as_secs() < 25;
    Seen::judged(good, "torn down, all freed", figures)
}

async fn out_of_files() -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[limits]\nclassify_time = \"20s\"\nper_client = 1000";
    let setup = Setup::new().behind(["prlimit", "--nofile=128:128"]).config(config);
    let mut proxy = setup.origin(&origin).start().await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(proxy.addr()).await.unwrap());
    }
    let (mut most, mut since) = (0, Instant::now());
    until("the proxy to hold what it can", || {
        let open = proxy.open_files();
        if open > most {
            (most, since) = (open, Instant::now());
        }
        (most > 24 && since.elapsed() > Duration::from_millis(500)).then_some(())
    })
    .await;
    let before = proxy.cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = proxy.cpu() - before;
    let began = Instant::now();
    drop(held);
    let client = Client::new(Entry::HttpProxy, &proxy);
    within("service again", async {
        loop {
            if let Ok(mut connection) = client.https("origin.test", Http::H1).await
                && let Ok(answer) = connection.try_send(get("https://origin.test/")).await
                && answer.text() == HELLO
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let waited = began.elapsed();
    let figures = format!("({spent:.2} CPU-s in 1 s of pause, served again after {waited:.1?})");
    let good = spent < 0.2 && waited.as_secs() < 25 && proxy.running();
    Seen::judged(good, "paused without spin, recovered", figures)
}
