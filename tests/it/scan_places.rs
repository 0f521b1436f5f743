//! Places at the malware scanner: whoever keeps one without need gives it up to who waits, and no client has them all.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::scan::{BINARY, post, start};
use crate::support::client::{Client, Entry, rest};
use crate::support::{Http, within};

/// One stream of a scanner: a command, pieces behind their lengths, an empty one at the end.
pub async fn finds_nothing(mut stream: TcpStream) {
    let mut command = [0; 10];
    let _ = stream.read_exact(&mut command).await;
    while let Ok(length @ 1..) = stream.read_u32().await {
        let _ = stream.read_exact(&mut vec![0; length as usize]).await;
    }
    let _ = stream.write_all(b"stream: OK\0").await;
}

/// Finds nothing in this stream and in all that follow.
pub fn finds_nothing_from(first: TcpStream, scanner: TcpListener) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut streams = JoinSet::from_iter([finds_nothing(first)]);
        while let Ok((stream, _)) = scanner.accept().await {
            streams.spawn(finds_nothing(stream));
        }
    }))
}

/// The beginning of an upload that is longer than its window, so that the scanner has it while it comes in.
fn beginning() -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Type: {BINARY}\r\n");
    [format!("{head}Content-Length: 900000\r\n\r\n").as_bytes(), &[b'a'; 200_000]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_trickles_gives_its_place_at_the_scanner_to_one_who_waits() {
    let scanner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits =
        "time = \"20s\"\nconnections = 1\n[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\n";
    let settings = format!("[scan]\nclamd = \"tcp:{}\"\n{limits}", scanner.local_addr().unwrap());
    let (_origin, proxy, client) = start(&settings).await;
    let mut slow = client.tls("origin.test", 443, &[]).await.unwrap();
    slow.write_all(&beginning()).await.unwrap();
    slow.flush().await.unwrap();
    let (first, _) = within("the slow one's stream", scanner.accept()).await.unwrap();
    let _clean = finds_nothing_from(first, scanner);
    let (mut reading, mut writing) = tokio::io::split(slow);
    // It is never silent for long.
    let trickle = tokio::spawn(async move {
        while writing.write_all(&[b'a'; 100]).await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let _trickle = AbortOnDropHandle::new(trickle);
    let answer = client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let mut told = [0; 12];
    within("the slow one's answer", reading.read_exact(&mut told)).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 503");
    let record = proxy.record("the slow one", |record| record["reason"] == "scan_unavailable").await;
    assert!(record["request_scan"]["why"].as_str().unwrap().contains("too slowly"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_not_have_all_places_at_the_scanner() {
    // It has what it is sent, and says nothing until it is told to.
    let scanner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!(
        "[scan]\nclamd = \"tcp:{}\"\ntime = \"50s\"\nconnections = 4\ndirections = [\"upload\"]\n",
        scanner.local_addr().unwrap()
    );
    let (_origin, proxy, client) = start(&settings).await;
    let mut greedy = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        greedy.spawn(async move {
            client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await.status
        });
    }
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(within("the greedy one's streams", scanner.accept()).await.unwrap().0);
    }
    let other = Client::new(Entry::HttpProxy, &proxy).from([127, 0, 0, 2].into());
    let asked = tokio::spawn(async move {
        other.send(Http::H1, "origin.test", post(b"the other's", BINARY, ("", ""))).await.status
    });
    let (next, _) = within("the other's stream", scanner.accept()).await.unwrap();
    finds_nothing(next).await;
    assert_eq!(within("the other's answer", asked).await.unwrap(), StatusCode::OK);
    assert!(greedy.try_join_next().is_none(), "the first two were still held");
    // Those that waited come in turn.
    for stream in held {
        tokio::spawn(finds_nothing(stream));
    }
    let serve = async {
        while let Ok((stream, _)) = scanner.accept().await {
            tokio::spawn(finds_nothing(stream));
        }
    };
    let all = async {
        while let Some(status) = greedy.join_next().await {
            assert_eq!(status.unwrap(), StatusCode::OK);
        }
    };
    within("the rest", async {
        tokio::select! {
            () = serve => {}
            () = all => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_gives_its_place_at_the_scanner_to_one_who_waits() {
    // That a stream began is seen here, in time.
    let scanner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits =
        "time = \"20s\"\nconnections = 1\n[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\n";
    let settings = format!("[scan]\nclamd = \"tcp:{}\"\n{limits}", scanner.local_addr().unwrap());
    let (_origin, proxy, client) = start(&settings).await;
    let mut slow = client.tls("origin.test", 443, &[]).await.unwrap();
    slow.write_all(&beginning()).await.unwrap();
    slow.flush().await.unwrap();
    let (first, _) = within("the slow one's stream", scanner.accept()).await.unwrap();
    let _clean = finds_nothing_from(first, scanner);
    let answer = client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    let record = proxy.record("the slow one", |record| record["reason"] == "scan_unavailable").await;
    assert!(record["request_scan"]["why"].as_str().unwrap().contains("too slowly"), "{record}");
}
