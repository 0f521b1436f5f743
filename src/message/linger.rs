//! The end of a connection whose client is still sending, as when its upload was refused. To close a socket with unread
//! bytes resets it, and the reset may overtake the answer (RFC 9112 section 9.6): what comes is read for a while and
//! dropped.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

const TIME: Duration = Duration::from_secs(5);
const BYTES: usize = 16 << 20;

/// Bytes at a time, and in one turn on a worker.
const PIECE: usize = 16 * 1024;
const TURN: usize = 16;

pub struct Linger {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    /// The answer was sent, and our side of the connection closed.
    pub fn begin() -> Linger {
        Linger { until: Box::pin(tokio::time::sleep(TIME)), left: BYTES }
    }

    /// Ready when the client has closed, or has had its time.
    pub fn poll<T: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<()> {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        for _ in 0..TURN {
            if self.left == 0 || self.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::uninit(&mut piece);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buf.filled().len())
                }
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
