//! What the clients of the soak do in bytes of their own, below any library of HTTP.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Dice, Stage};
use crate::support::client::{read_head, rest};
use crate::support::origin::HELLO;
use crate::support::within;

pub async fn act(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let mut socket = TcpStream::connect(stage.proxy.addr()).await.unwrap();
    match what {
        "reset in a download" | "slow reader" => download(stage, socket, what).await,
        "reset in an upload" => upload(stage, dice, socket, what).await,
        "half a hello" => {
            let mut tunnel = stage.any_client(dice).tunnel("origin.test", 443).await.unwrap();
            tunnel.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
            tunnel.flush().await.unwrap();
        }
        "silent tunnel" => {
            let mut tunnel = stage.any_client(dice).tunnel("origin.test", 443).await.unwrap();
            rest(&mut tunnel).await;
        }
        "garbage" => {
            let bytes: Vec<u8> = (0..dice.roll(2000) + 1).map(|_| dice.roll(256) as u8).collect();
            let _ = socket.write_all(&bytes).await;
            let _ = socket.shutdown().await;
            rest(&mut socket).await;
        }
        "slow head" => {
            let head = b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nX-Slow: ";
            socket.write_all(head).await.unwrap();
            rest(&mut socket).await;
        }
        "half-close" => {
            socket.write_all(stage.ask(what, "GET", "").as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            assert!(rest(&mut socket).await.ends_with(HELLO.as_bytes()));
        }
        other => refused(stage, socket, other).await,
    }
}

impl Stage {
    /// A whole head for the plain origin, with these fields, for one numbered request.
    fn ask(&self, what: &'static str, method: &str, fields: &str) -> String {
        format!("{method} http://plain.test/{} HTTP/1.1\r\nHost: plain.test\r\n{fields}\r\n", self.path(what))
    }
}

/// A client that does not take what it asked for.
async fn download(stage: &Stage, mut socket: TcpStream, what: &'static str) {
    let ask = format!(
        "GET http://plain.test/bytes/50000000?{} HTTP/1.1\r\nHost: plain.test\r\n\r\n",
        stage.path(what)
    );
    socket.write_all(ask.as_bytes()).await.unwrap();
    within("a download", socket.read(&mut vec![0; 64 * 1024])).await.unwrap();
    if what == "slow reader" {
        // Longer than a write may stall.
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn upload(stage: &Stage, dice: &mut Dice, mut socket: TcpStream, what: &'static str) {
    let fields =
        "Content-Type: application/octet-stream\r\nExpect: 100-continue\r\nContent-Length: 90000000\r\n";
    socket.write_all(stage.ask(what, "POST", fields).as_bytes()).await.unwrap();
    // A reset takes with it what was not read: this says that the head was.
    let interim = within("100", read_head(&mut socket)).await.unwrap();
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    for _ in 0..dice.roll(40) + 1 {
        within("room", socket.write_all(&[b'a'; 64 * 1024])).await.unwrap();
    }
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What is answered with a status, whoever else is served.
async fn refused(stage: &Stage, mut socket: TcpStream, what: &'static str) {
    let (ask, expected) = match what {
        "slow body" => {
            let fields = "Content-Type: text/plain\r\nContent-Length: 100000\r\n";
            (stage.ask(what, "POST", fields) + "the front", "408")
        }
        "bad framing" => {
            let fields = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
            (stage.ask(what, "POST", fields) + "0\r\n\r\nG", "400")
        }
        "too many fields" => (stage.ask(what, "GET", &"X-Many: 1\r\n".repeat(150)), "431"),
        "private address" => {
            let path = stage.path(what);
            (format!("GET http://10.0.0.1/{path} HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"), "403")
        }
        "loop" => {
            let (path, own) = (stage.path(what), stage.proxy.addr());
            (format!("GET http://{own}/{path} HTTP/1.1\r\nHost: {own}\r\n\r\n"), "508")
        }
        other => unreachable!("{other}"),
    };
    socket.write_all(ask.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut socket).await).into_owned();
    assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{what}: {answer}");
}
