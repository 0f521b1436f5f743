//! HTTP/2 written by hand, for peers that break its rules: frames with any header and payload, field blocks of
//! literals, and a client that sends them and keeps what comes back.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Entry};
use super::origin::{Stream, Wire};
use super::proxy::Proxy;
use super::{Http, until};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
pub const INITIAL_WINDOW: u16 = 4;

/// A frame's bytes (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Frames that came so far behind the client's preface, without their payloads: kind and stream.
pub fn came(bytes: &[u8]) -> Vec<(u8, u32)> {
    let (mut out, mut at) = (Vec::new(), 24);
    while let Some(header) = bytes.get(at..at + 9) {
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        out.push((header[3], u32::from_be_bytes(header[5..9].try_into().unwrap()) & 0x7fff_ffff));
        at += 9 + len;
    }
    out
}

/// Reads until a request has come: its head may stand in the same read as the settings, or in any later one.
pub async fn asked(wire: &mut Wire) -> bool {
    let mut all = Vec::new();
    while let Some(part) = wire.read().await {
        all.extend(part);
        if came(&all).iter().any(|(kind, _)| *kind == HEADERS) {
            return true;
        }
    }
    false
}

/// The client's preface and its settings.
pub fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let list: Vec<u8> = settings
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    out.extend(frame(SETTINGS, 0, 0, &list));
    out
}

/// A field block for `https://origin.test` and `path`: indexed names of the static table (RFC 7541 appendix A).
pub fn asks(method: &str, path: &str) -> Vec<u8> {
    let mut block = match method {
        "GET" => vec![0x82],
        "POST" => vec![0x83],
        other => panic!("no index for {other}"),
    };
    block.push(0x87);
    block.extend(indexed_name(4, path));
    block.extend(indexed_name(1, "origin.test"));
    block
}

/// A literal without indexing whose name is in the static table (RFC 7541 section 6.2.2).
fn indexed_name(index: u8, value: &str) -> Vec<u8> {
    assert!(index < 15 && value.len() < 127);
    [&[index, value.len() as u8][..], value.as_bytes()].concat()
}

/// A literal field, `first` being 0x00 (not indexed) or 0x40 (added to the dynamic table).
pub fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    [&[first][..], &string(name), &string(value)].concat()
}

/// RFC 7541 sections 5.1 and 5.2, without Huffman.
fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend(text.as_bytes());
    out
}

/// A whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &asks("GET", path))
}

/// The head of a request whose body is to come.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &asks("POST", path))
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

pub fn ping(number: u64) -> Vec<u8> {
    frame(PING, 0, 0, &number.to_be_bytes())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A frame that came, with the front of its payload.
#[derive(Clone, Debug)]
pub struct Came {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

#[derive(Default)]
struct Inbox {
    frames: Vec<Came>,
    ended: bool,
}

type Half = WriteHalf<TlsStream<Box<dyn Stream>>>;

/// A client of frames, on a connection to `origin.test` through the proxy.
pub struct Peer {
    /// Never locked: the mutex only lets what came be looked at from any thread.
    write: Mutex<Half>,
    inbox: Arc<Mutex<Inbox>>,
    reader: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Peer {
    pub async fn open(proxy: &Proxy, settings: &[(u16, u32)]) -> Peer {
        let client = Client::new(Entry::HttpProxy, proxy);
        let stream = client.tls("origin.test", 443, &[Http::H2]).await.unwrap();
        let (read, write) = tokio::io::split(stream);
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let reader = tokio::spawn(collect(read, Arc::clone(&inbox)));
        let mut peer = Peer { write: Mutex::new(write), inbox, reader };
        assert!(peer.send(&preface(settings)).await);
        peer
    }

    /// Writes; `false` once the proxy takes no more of it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        if self.ended() {
            return false;
        }
        let write = self.write.get_mut().unwrap();
        let written = async {
            write.write_all(bytes).await?;
            write.flush().await
        };
        matches!(tokio::time::timeout(super::PATIENCE, written).await, Ok(Ok(())))
    }

    fn find<T>(&self, is: impl FnMut(&Came) -> Option<T>) -> Option<T> {
        self.inbox.lock().unwrap().frames.iter().find_map(is)
    }

    /// The proxy closed the connection.
    pub fn ended(&self) -> bool {
        self.inbox.lock().unwrap().ended
    }

    /// Last stream and error code of a GOAWAY that gives an error.
    pub fn goaway(&self) -> Option<(u32, u32)> {
        self.find(|came| {
            let number = |at: usize| u32::from_be_bytes(came.payload[at..at + 4].try_into().unwrap());
            (came.kind == GOAWAY && number(4) != 0).then(|| (number(0), number(4)))
        })
    }

    /// The error code with which the proxy reset a stream.
    pub fn reset_code(&self, stream: u32) -> Option<u32> {
        self.find(|came| {
            (came.kind == RST_STREAM && came.stream == stream)
                .then(|| u32::from_be_bytes(came.payload[..4].try_into().unwrap()))
        })
    }

    pub fn has_head(&self, stream: u32) -> bool {
        self.find(|came| (came.kind == HEADERS && came.stream == stream).then_some(())).is_some()
    }

    /// Sends a ping and waits for its answer; `false` when the connection ended instead.
    pub async fn round_trip(&mut self, number: u64) -> bool {
        if !self.send(&ping(number)).await {
            return false;
        }
        until("a ping's answer or the end", || {
            let answer = self.find(|came| {
                (came.kind == PING && came.flags & ACK != 0 && came.payload == number.to_be_bytes())
                    .then_some(())
            });
            answer.map(|()| true).or_else(|| self.ended().then_some(false))
        })
        .await
    }
}

async fn collect(mut read: ReadHalf<TlsStream<Box<dyn Stream>>>, inbox: Arc<Mutex<Inbox>>) {
    let mut header = [0; 9];
    while read.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if read.read_exact(&mut payload).await.is_err() {
            break;
        }
        payload.truncate(64);
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let mut inbox = inbox.lock().unwrap();
        // A flood's answers are told apart by kind alone; the first of them are enough.
        if inbox.frames.len() < 20_000 || kind == GOAWAY {
            inbox.frames.push(Came { kind, flags, stream, payload });
        }
    }
    inbox.lock().unwrap().ended = true;
}
