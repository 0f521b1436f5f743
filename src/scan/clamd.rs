//! clamd's INSTREAM: the command, chunks that each follow their length in four bytes of network order, a chunk of no
//! length, one line for an answer. One connection scans one stream.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Finding;
use super::wait::Budget;

/// An answer is a line with the name of a signature.
const MOST_ANSWER: u64 = 4096;

/// Where clamd listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Ok(Endpoint::Unix(path.into())),
            Some(("unix", _)) => Err("the path of the socket must begin with /".to_owned()),
            Some(("tcp", addr)) => {
                addr.parse().map(Endpoint::Tcp).map_err(|_| "after tcp: stands an address and a port".into())
            }
            _ => Err("it begins with neither unix: nor tcp:".to_owned()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Tcp(addr) => write!(f, "tcp:{addr}"),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One stream in the hands of clamd.
pub(super) struct Session(Box<dyn Io>);

impl Session {
    pub(super) async fn open(at: &Endpoint, budget: &mut Budget) -> io::Result<Session> {
        let mut io: Box<dyn Io> = match at {
            Endpoint::Unix(path) => Box::new(budget.io(UnixStream::connect(path)).await?),
            Endpoint::Tcp(addr) => {
                let socket = budget.io(TcpStream::connect(addr)).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        };
        budget.io(io.write_all(b"zINSTREAM\0")).await?;
        Ok(Session(io))
    }

    /// Sends a chunk. A finding where clamd took enough already.
    pub(super) async fn write(&mut self, bytes: &[u8], budget: &mut Budget) -> io::Result<Option<Finding>> {
        // Far below what four bytes can say.
        const MOST: usize = 1 << 20;
        for chunk in bytes.chunks(MOST) {
            let sent = budget.io(send(&mut self.0, chunk)).await;
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                // It closes when its own limit is reached, and says so before. That nothing was found it cannot know.
                Err(error) => {
                    return match self.answer(budget).await {
                        Ok(Finding::Clean) | Err(_) => Err(error),
                        Ok(finding) => Ok(Some(finding)),
                    };
                }
            }
        }
        Ok(None)
    }

    pub(super) async fn finish(mut self, budget: &mut Budget) -> io::Result<Finding> {
        let sent = budget.io(self.0.write_all(&[0; 4])).await;
        match (sent, self.answer(budget).await) {
            // It did not take the end, so that it has not seen the whole.
            (Err(error), Ok(Finding::Clean) | Err(_)) => Err(error),
            (_, answer) => answer,
        }
    }

    async fn answer(&mut self, budget: &mut Budget) -> io::Result<Finding> {
        let mut answer = Vec::new();
        let mut reader = (&mut self.0).take(MOST_ANSWER);
        let read = budget.io(reader.read_to_end(&mut answer)).await;
        // What it said stands, even where it closed with bytes of ours unread.
        if answer.is_empty() {
            read?;
        }
        Ok(understood(&answer))
    }
}

async fn send(io: &mut Box<dyn Io>, chunk: &[u8]) -> io::Result<()> {
    io.write_u32(chunk.len() as u32).await?;
    io.write_all(chunk).await
}

/// `stream: OK`, `stream: NAME FOUND`, `... ERROR`.
pub fn understood(answer: &[u8]) -> Finding {
    let line = answer.split(|b| matches!(b, 0 | b'\n')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let text = line.strip_prefix("stream: ").unwrap_or(&line).trim();
    if text == "OK" {
        return Finding::Clean;
    }
    if let Some(name) = text.strip_suffix(" FOUND") {
        return Finding::named(name);
    }
    if text.contains("size limit exceeded") {
        return Finding::TooLarge;
    }
    Finding::Failed(if text.is_empty() {
        "it closed without an answer".into()
    } else {
        format!("it said: {text}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling_and_reads_back() {
        for text in ["unix:/run/clamav/clamd.ctl", "tcp:127.0.0.1:3310", "tcp:[::1]:3310"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in
            ["", "/run/clamd", "unix:run/clamd", "tcp:localhost:3310", "tcp:127.0.0.1", "udp:1.2.3.4:5"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_ok_is_clean() {
        let failed = |text: &str| Finding::Failed(text.to_owned());
        for (answer, finding) in [
            ("stream: OK\0", Finding::Clean),
            ("stream: Own.Test-1 FOUND\0", Finding::Found("Own.Test-1".into())),
            ("stream: OK FOUND\0", Finding::Found("OK".into())),
            ("INSTREAM size limit exceeded. ERROR\0", Finding::TooLarge),
            ("stream: Can't allocate memory ERROR\0", failed("it said: Can't allocate memory ERROR")),
            ("NOT OK\0", failed("it said: NOT OK")),
            ("", failed("it closed without an answer")),
        ] {
            assert_eq!(understood(answer.as_bytes()), finding, "{answer}");
        }
    }
}
