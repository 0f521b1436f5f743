//! A stream that can be looked at before it is used: bytes read for classification are given
//! out again, and bytes read by a TLS acceptor are recorded, so that a connection which turns
//! out to be a tunnel can be relayed from its first byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::sniff::{Sniff, sniff};

/// A stream with a replayable beginning.
pub struct Rewind<T> {
    inner: T,
    /// Bytes read from `inner` so far that may be given out (again), from `given`.
    prefix: Vec<u8>,
    given: usize,
    recording: bool,
}

impl<T> Rewind<T> {
    pub fn new(inner: T) -> Rewind<T> {
        Rewind { inner, prefix: Vec::new(), given: 0, recording: false }
    }

    /// A stream whose first bytes were read already, by an HTTP parser for instance.
    pub fn with_prefix(inner: T, prefix: Vec<u8>) -> Rewind<T> {
        Rewind { inner, prefix, given: 0, recording: false }
    }

    /// Keeps what is read from now on, until [`Rewind::rewind`] or [`Rewind::forget`].
    pub fn record(&mut self) {
        self.prefix.drain(..self.given);
        self.given = 0;
        self.recording = true;
    }

    /// Gives out everything recorded once more.
    pub fn rewind(&mut self) {
        self.recording = false;
        self.given = 0;
    }

    /// Drops what was recorded and given out already.
    pub fn forget(&mut self) {
        self.recording = false;
        if self.given == self.prefix.len() {
            self.prefix = Vec::new();
            self.given = 0;
        }
    }

    /// What was recorded so far, given out or not.
    pub fn recorded(&self) -> &[u8] {
        &self.prefix
    }

    /// Gives out what was recorded once more, and goes on recording.
    pub fn again(&mut self) {
        self.given = 0;
    }

    pub fn get_ref(&self) -> &T {
        &self.inner
    }
}

impl<T: AsyncRead + Unpin> Rewind<T> {
    /// Reads until the beginning is classified, or `limit` bytes were not enough. End of file
    /// before that is `Other`, or `NeedMore` when nothing came at all.
    pub async fn sniff(&mut self, limit: usize) -> io::Result<Sniff> {
        loop {
            let seen = sniff(&self.prefix[self.given..]);
            if seen != Sniff::NeedMore {
                return Ok(seen);
            }
            if self.prefix.len() - self.given >= limit {
                return Ok(Sniff::Other);
            }
            let mut chunk = [0u8; 2048];
            let read = self.inner.read(&mut chunk).await?;
            if read == 0 {
                let nothing = self.prefix.len() == self.given;
                return Ok(if nothing { Sniff::NeedMore } else { Sniff::Other });
            }
            self.prefix.extend_from_slice(&chunk[..read]);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewind<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given < this.prefix.len() {
            let rest = &this.prefix[this.given..];
            let take = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..take]);
            this.given += take;
            if !this.recording && this.given == this.prefix.len() {
                this.prefix = Vec::new();
                this.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if this.recording {
            this.prefix.extend_from_slice(&buf.filled()[before..]);
            this.given = this.prefix.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewind<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn recorded_bytes_are_given_out_again_in_order() {
        let mut io = Rewind::new(&b"hello, world"[..]);
        assert_eq!(io.sniff(64).await.unwrap(), Sniff::Other);
        io.record();
        let mut five = [0u8; 5];
        io.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"hello");
        io.rewind();
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello, world");
    }

    #[tokio::test]
    async fn one_byte_at_a_time_is_classified_the_same() {
        let (mut client, server) = tokio::io::duplex(1);
        let writer = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            client.write_all(b"CONNECT a:443 HTTP/1.1\r\n\r\n").await.unwrap();
        });
        let mut io = Rewind::new(server);
        assert_eq!(io.sniff(64).await.unwrap(), Sniff::Http);
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"CONNECT a:443 HTTP/1.1\r\n\r\n");
        writer.await.unwrap();
    }
}
