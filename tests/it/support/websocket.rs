//! WebSocket frames as RFC 6455 section 5.2 draws them, written by hand: the proxy's own code has no say in what the
//! tests send and read.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::origin::Wire;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const MORE: u8 = 0;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub last: bool,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The code of a close frame.
    pub fn code(&self) -> Option<u16> {
        let code = self.payload.first_chunk().filter(|_| self.opcode == CLOSE)?;
        Some(u16::from_be_bytes(*code))
    }
}

fn frame(opcode: u8, last: bool, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = vec![opcode | u8::from(last) << 7];
    let bit = u8::from(mask.is_some()) << 7;
    match payload.len() {
        n @ ..126 => out.push(bit | n as u8),
        n @ ..65_536 => {
            out.push(bit | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(bit | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// A client's frame.
pub fn masked(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    frame(opcode, last, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// A server's frame.
pub fn plain(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    frame(opcode, last, payload, None)
}

/// The first frame of these bytes, and its length, when it is there whole.
fn first(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[one, two], _) = bytes.split_first_chunk()?;
    let (length, mut at) = match two & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
        short => (u64::from(short), 2),
    };
    let masked = two & 0x80 != 0;
    let mut mask = [0; 4];
    if masked {
        mask = bytes.get(at..at + 4)?.try_into().unwrap();
        at += 4;
    }
    let end = at + length as usize;
    let payload = bytes.get(at..end)?.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
    Some((Frame { last: one & 0x80 != 0, opcode: one & 0x0f, masked, payload }, end))
}

/// All whole frames of these bytes.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut out = Vec::new();
    while let Some((frame, length)) = first(bytes) {
        out.push(frame);
        bytes = &bytes[length..];
    }
    out
}

/// Reads one frame; `None` when the stream ends first.
pub async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> Option<Frame> {
    let mut bytes = Vec::new();
    loop {
        if let Some((frame, _)) = first(&bytes) {
            return Some(frame);
        }
        bytes.push(stream.read_u8().await.ok()?);
    }
}

/// Sends every message back that comes over a raw origin's connection, and a close frame too, which ends it.
pub async fn echo(wire: &mut Wire) {
    let mut bytes = Vec::new();
    while let Some(part) = wire.read().await {
        bytes.extend(part);
        while let Some((frame, length)) = first(&bytes) {
            bytes.drain(..length);
            let opcode = if frame.opcode == PING { PONG } else { frame.opcode };
            if !wire.write(plain(opcode, frame.last, &frame.payload)).await || opcode == CLOSE {
                return;
            }
        }
    }
}

/// What echoes a stream's messages as they come: `push` takes bytes and says what to answer.
#[derive(Default)]
pub struct Echo(Vec<u8>);

impl Echo {
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some((frame, length)) = first(&self.0) {
            self.0.drain(..length);
            out.extend(plain(frame.opcode, frame.last, &frame.payload));
        }
        out
    }
}
