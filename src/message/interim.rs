//! A bound on interim answers (1xx, RFC 9110 section 15.2): an origin that sends nothing else would keep a request
//! busy until the wait for its answer is over. What they say is the library's business; here they are counted.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::task::{Context, Poll};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::frames::{Event, HEADERS, Reader};

/// Interim answers to one request at most. Known uses send one (100) or a handful (103); a 102 every 20 seconds for
/// half an hour stays below it.
pub const LIMIT: u32 = 100;

/// Heads that an HTTP/2 origin may be ahead with, however many requests it has answered: final answers and trailers
/// count as well, of a hundred streams at a time.
const AHEAD: i64 = 1000;

/// Counts the interim answers to an HTTP/1.1 request; the future is ready once there are too many.
pub fn too_many<B>(request: &mut Request<B>) -> impl Future<Output = ()> + use<B> {
    let over = Arc::new(Notify::new());
    let (count, tell) = (AtomicU32::new(0), Arc::clone(&over));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == LIMIT {
            tell.notify_one();
        }
    });
    async move { over.notified().await }
}

/// Heads that an HTTP/2 origin may still send. Its library tells nobody of interim answers, so that all heads are
/// counted, for all streams together.
#[derive(Clone)]
pub struct Heads(Arc<AtomicI64>);

impl Heads {
    pub fn new() -> Heads {
        Heads(Arc::new(AtomicI64::new(i64::from(LIMIT))))
    }

    /// A request is sent: its interim answers, its answer and its trailers may come.
    pub fn asked(&self) {
        let more = |left: i64| (left >= 0).then(|| (left + i64::from(LIMIT) + 2).min(AHEAD));
        // One that is over stays over.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    pub fn are_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn came(&self, heads: i64) {
        self.0.fetch_sub(heads, Ordering::Relaxed);
    }
}

/// The origin's side of an HTTP/2 connection, whose reading fails once too many heads came.
pub struct Counted<T> {
    io: T,
    frames: Reader,
    heads: Heads,
}

impl<T> Counted<T> {
    pub fn new(io: T, heads: Heads) -> Counted<T> {
        Counted { io, frames: Reader::default(), heads }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        let mut came = 0;
        let Ok(()) = this.frames.read(&buf.filled()[before..], |event| {
            came += i64::from(matches!(event, Event::Begins(frame) if frame.kind == HEADERS));
            Ok::<(), Infallible>(())
        });
        if came > 0 {
            this.heads.came(came);
        }
        if this.heads.are_over() {
            return Poll::Ready(Err(io::Error::other("the origin sends interim answers without end")));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_earns_its_heads_and_no_more_than_can_be_under_way() {
        let heads = Heads::new();
        for _ in 0..10_000 {
            heads.asked();
            heads.came(2);
        }
        assert!(!heads.are_over());
        heads.came(AHEAD);
        assert!(heads.are_over());
        heads.asked();
        assert!(heads.are_over());
    }
}
