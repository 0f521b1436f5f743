//! Whom the soak's proxy meets: origins that do something else wrong each time, and a scanner that dies.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::origin::Raw;

/// What the scanner finds in a file, dies over, and never answers for.
pub const MALWARE: &str = "a file that the scanner knows";
pub const DEADLY: &str = "a file that the scanner dies of";
pub const ENDLESS: &str = "a file that the scanner ponders";

/// An origin that answers wrongly in ten ways, one after the other.
pub async fn hostile() -> Raw {
    Raw::tls("hostile.test", |mut wire, turn| async move {
        if wire.head().await.is_none() {
            return;
        }
        let answer: &[u8] = match turn % 10 {
            0 => b"this is not HTTP at all\r\n\r\n",
            1 => b"",
            2 => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            3 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            4 | 5 => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf",
            6 => &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500),
            7 => &[b"HTTP/1.1 200 OK\r\nX-Long: ".as_slice(), &[b'a'; 300_000]].concat(),
            8 => b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nabcde",
            // Nothing at all, until the wait is over.
            _ => return wire.drained().await,
        };
        wire.write(answer).await;
        if turn % 10 == 4 {
            wire.drained().await;
        }
    })
    .await
}

/// An origin of events: some streams end well, some break off, and some fall silent.
pub async fn streaming() -> Raw {
    Raw::tls("stream.test", |mut wire, turn| async move {
        if wire.head().await.is_none() {
            return;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.write(head).await;
        for number in 0..5 {
            let event = format!("data: event {number}\n\n");
            if !wire.write(format!("{:x}\r\n{event}\r\n", event.len())).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        match turn % 3 {
            0 => drop(wire.write("0\r\n\r\n").await),
            1 => {}
            _ => wire.drained().await,
        }
    })
    .await
}

/// clamd's INSTREAM; it ends when dropped.
pub struct Scanner {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Scanner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn scanner() -> Scanner {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                socket = listener.accept() => drop(open.spawn(scan(socket.unwrap().0))),
                Some(_) = open.join_next() => {}
            }
        }
    });
    Scanner { addr, task }
}

async fn scan(mut socket: TcpStream) -> std::io::Result<()> {
    let mut command = [0; 10];
    socket.read_exact(&mut command).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut file = Vec::new();
    loop {
        let length = socket.read_u32().await? as usize;
        if length == 0 {
            break;
        }
        let at = file.len();
        file.resize(at + length, 0);
        socket.read_exact(&mut file[at..]).await?;
    }
    let is = |text: &str| file.starts_with(text.as_bytes());
    if is(DEADLY) {
        return Ok(());
    }
    if is(ENDLESS) {
        // Until the proxy has waited long enough.
        return socket.read(&mut [0]).await.map(drop);
    }
    let answer = if is(MALWARE) { "stream: Soak.Malware FOUND\0" } else { "stream: OK\0" };
    socket.write_all(answer.as_bytes()).await
}
