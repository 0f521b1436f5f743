//! Just enough HTTP for two ends that trust each other's shape: finding a head's end, its body's
//! length, and HTTP/2 frames. Not a parser for hostile bytes.

use std::io;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::spin;

/// The preface of an HTTP/2 client (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A head that has arrived whole.
pub struct Head {
    /// Bytes of it, the empty line included.
    pub len: usize,
    pub body: Framing,
}

/// How long the body is.
pub enum Framing {
    Length(u64),
    Chunked,
}

/// The head at the start of `buf`, or None when more bytes are needed.
pub fn head(buf: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memchr::memmem::find(buf, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut body = Framing::Length(0);
    let mut line = 0;
    while let Some(next) = memchr::memchr(b'\n', &buf[line..end]) {
        line += next + 1;
        let rest = &buf[line..end];
        // A field named in either case; these two are all that framing needs.
        if let Some(value) = field(rest, b"content-length:") {
            let text = std::str::from_utf8(value).context("content-length is not text")?;
            body = Framing::Length(text.trim().parse().context("content-length is not a number")?);
        } else if let Some(value) = field(rest, b"transfer-encoding:")
            && value.to_ascii_lowercase().ends_with(b"chunked")
        {
            body = Framing::Chunked;
        }
    }
    Ok(Some(Head { len: end + 4, body }))
}

fn field<'a>(rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = rest.get(..name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    let value = &rest[name.len()..];
    Some(&value[..memchr::memchr(b'\r', value).unwrap_or(value.len())])
}

/// A connection with the bytes read ahead of what was asked for.
pub struct Buffered<S> {
    pub stream: S,
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffered<S> {
    pub fn new(stream: S) -> Buffered<S> {
        Buffered { stream, buf: vec![0; 64 * 1024], start: 0, end: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    pub fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once; false at the peer's end.
    pub async fn fill(&mut self) -> io::Result<bool> {
        if self.end == self.buf.len() {
            if self.start == 0 {
                return Err(io::Error::other("a head or frame larger than 64 KiB"));
            }
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = match self.stream.read(&mut self.buf[self.end..]).await {
            Ok(n) => n,
            // rustls' word for a peer that closed without close_notify.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(e) => return Err(e),
        };
        self.end += n;
        spin::busy();
        Ok(n > 0)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn need(&mut self, n: usize) -> Result<()> {
        while self.bytes().len() < n {
            ensure!(self.fill().await?, "the connection closed early");
        }
        Ok(())
    }

    /// The next head, or None when the peer closed before its first byte.
    pub async fn head(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(head) = head(self.bytes())? {
                return Ok(Some(head));
            }
            if !self.fill().await? {
                ensure!(self.bytes().is_empty(), "the connection closed inside a head");
                return Ok(None);
            }
        }
    }

    /// Reads a body and drops it; `each` hears of every run of its bytes, and stops the reading
    /// by answering false.
    pub async fn body(&mut self, framing: Framing, mut each: impl FnMut(usize) -> bool) -> Result<()> {
        match framing {
            Framing::Length(length) => self.skip(length, &mut each).await.map(|_| ()),
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                if size == 0 {
                    self.need(2).await?;
                    self.consume(2);
                    return Ok(());
                }
                if !self.skip(size, &mut each).await? {
                    return Ok(());
                }
                self.need(2).await?;
                self.consume(2);
            },
        }
    }

    async fn skip(&mut self, mut left: u64, each: &mut impl FnMut(usize) -> bool) -> Result<bool> {
        while left > 0 {
            if self.bytes().is_empty() {
                ensure!(self.fill().await?, "the connection closed inside a body");
            }
            let n = left.min(self.bytes().len() as u64) as usize;
            self.consume(n);
            left -= n as u64;
            if !each(n) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn chunk_size(&mut self) -> Result<u64> {
        loop {
            if let Some(end) = memchr::memmem::find(self.bytes(), b"\r\n") {
                let digits = self.bytes()[..end].split(|b| *b == b';').next().unwrap_or_default();
                let text = std::str::from_utf8(digits).context("chunk size")?;
                let size = u64::from_str_radix(text.trim(), 16).context("chunk size")?;
                self.consume(end + 2);
                return Ok(size);
            }
            ensure!(self.fill().await?, "the connection closed inside a body");
        }
    }

    /// The next HTTP/2 frame; its payload is in `bytes()` until `consume(frame.len)`.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        if self.bytes().is_empty() && !self.fill().await? {
            return Ok(None);
        }
        self.need(9).await?;
        let b = self.bytes();
        let frame = Frame {
            len: u32::from_be_bytes([0, b[0], b[1], b[2]]) as usize,
            kind: b[3],
            flags: b[4],
            stream: u32::from_be_bytes([b[5], b[6], b[7], b[8]]) & 0x7fff_ffff,
        };
        self.consume(9);
        self.need(frame.len).await?;
        Ok(Some(frame))
    }
}

/// A frame's header (RFC 9113 section 4.1).
pub struct Frame {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

/// Frame types (RFC 9113 section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// Flags: END_STREAM on DATA and HEADERS, ACK on SETTINGS and PING, END_HEADERS.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A literal field without indexing whose name is in the static table (RFC 7541 section 6.2.2);
/// value without Huffman coding, shorter than 127 bytes.
pub fn put_field(out: &mut Vec<u8>, name_index: u8, value: &str) {
    if name_index < 15 {
        out.push(name_index);
    } else {
        out.extend_from_slice(&[0x0f, name_index - 15]);
    }
    assert!(value.len() < 127, "longer values need a longer length prefix");
    out.push(value.len() as u8);
    out.extend_from_slice(value.as_bytes());
}

/// Refuses a response header block that does not start with `:status: 200`, static index 8.
/// Only a dynamic table size update may stand before it (RFC 7541 section 4.2).
pub fn status_is_200(flags: u8, payload: &[u8]) -> Result<()> {
    let padded = usize::from(flags & 8 != 0);
    let priority = if flags & 0x20 != 0 { 5 } else { 0 };
    let mut block = payload.get(padded + priority..).context("a HEADERS frame shorter than its flags say")?;
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
        if first & 0x1f == 0x1f {
            let end = block.iter().position(|b| b & 0x80 == 0).context("size update without an end")?;
            block = &block[end + 1..];
        }
    }
    if block.first() != Some(&0x88) {
        bail!(
            "an HTTP/2 response that is not 200: header block starts {:02x?}",
            &block[..block.len().min(8)]
        );
    }
    Ok(())
}
