//! Writing bytes in two pieces at every place, and one by one: what is classified in a loop must not care.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose first TLS record, a ClientHello, is written as two records, the first with so many bytes of the
/// message (RFC 8446 section 5.1 lets a handshake message span records).
pub struct TwoRecords<S> {
    inner: S,
    at: usize,
    /// What was written of the first record, until it is whole.
    held: Option<Vec<u8>>,
    /// What is on its way in its place.
    out: Vec<u8>,
}

impl<S> TwoRecords<S> {
    pub fn new(inner: S, at: usize) -> TwoRecords<S> {
        TwoRecords { inner, at, held: Some(Vec::new()), out: Vec::new() }
    }

    fn take(&mut self, buf: &[u8]) {
        let Some(held) = &mut self.held else { return };
        held.extend_from_slice(buf);
        if held.len() < 5 || held.len() < 5 + usize::from(u16::from_be_bytes([held[3], held[4]])) {
            return;
        }
        let held = self.held.take().unwrap();
        let end = 5 + usize::from(u16::from_be_bytes([held[3], held[4]]));
        let (first, second) = held[5..end].split_at(self.at);
        for part in [first, second] {
            self.out.extend([held[0], held[1], held[2]]);
            self.out.extend((part.len() as u16).to_be_bytes());
            self.out.extend(part);
        }
        self.out.extend(&held[end..]);
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
            self.out.drain(..n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TwoRecords<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        if self.held.is_none() {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        self.take(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TwoRecords<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

/// How the first bytes of a stream are cut.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// One write ends at this byte.
    At(usize),
    /// Each of the first so many bytes is a write of its own.
    Every(usize),
}

/// A stream whose writes are cut; each piece is on its way before the next is written (TCP_NODELAY and a yield to
/// the runtime between them).
pub struct Split<S> {
    inner: S,
    cut: Cut,
    written: usize,
    /// Turns given to the other end since the last piece.
    pause: u32,
}

impl<S> Split<S> {
    pub fn new(inner: S, cut: Cut) -> Split<S> {
        Split { inner, cut, written: 0, pause: 0 }
    }

    fn allowed(&self, len: usize) -> usize {
        match self.cut {
            Cut::At(at) if self.written < at => len.min(at - self.written),
            Cut::Every(first) if self.written < first => 1,
            _ => len,
        }
    }

    fn at_edge(&self) -> bool {
        match self.cut {
            Cut::At(at) => self.written == at && at > 0,
            Cut::Every(first) => self.written > 0 && self.written <= first,
        }
    }
}

/// Turns of the runtime between two pieces.
const TURNS: u32 = 20;

impl<S: AsyncWrite + Unpin> AsyncWrite for Split<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.at_edge() && self.pause < TURNS {
            self.pause += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let len = self.allowed(buf.len());
        let n = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..len]))?;
        self.written += n;
        self.pause = 0;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Split<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}
