//! A bound on a client that takes nothing of an answer over HTTP/2. A window that stays closed is not a write that
//! stalls: nothing is written, and pings go on. So each stream's task is watched: when the body has given out a piece
//! and was not asked for more for too long, the task is dropped, by which its stream is reset and what was buffered
//! for it is freed. Pieces are small, so that a client that is merely slow has time for each.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

use super::body::{BodyError, Streamed, ahead_of};
use super::deadline::Deadline;
use super::serve::Tasks;

tokio::task_local! {
    static SENDING: Sending;
}

/// A frame's usual size (RFC 9113 section 4.2): no client is so slow that this takes it a minute.
const PIECE: usize = 16 * 1024;

/// When the piece under way must have found room; nothing is due while the body itself is waited for.
type Sending = Arc<Mutex<Option<Instant>>>;

/// Where the streams of a connection run.
#[derive(Clone)]
pub struct Streams(pub Tasks);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, flow: F) {
        let sending = Sending::default();
        let flow = Box::pin(SENDING.scope(sending.clone(), flow));
        self.0.spawn(Bounded { flow, sending, deadline: Deadline::default() });
    }
}

struct Bounded<F> {
    flow: Pin<Box<F>>,
    sending: Sending,
    deadline: Deadline,
}

impl<F: Future<Output = ()>> Future for Bounded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.flow.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let due = *this.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(due) = due else { return Poll::Pending };
        std::task::ready!(this.deadline.poll(cx, due));
        tracing::debug!("a stream whose window stays closed is reset");
        Poll::Ready(())
    }
}

/// An answer's body that tells the task it is sent by how that goes.
pub struct Sent {
    inner: Streamed,
    /// What is left of a chunk that is given out in pieces.
    left: Bytes,
    sending: Option<Sending>,
    stall: Duration,
}

impl Sent {
    pub fn new(inner: Streamed, stall: Duration) -> Sent {
        Sent { inner, left: Bytes::new(), sending: SENDING.try_with(Arc::clone).ok(), stall }
    }

    fn piece(&mut self, mut chunk: Bytes) -> Frame<Bytes> {
        self.left = chunk.split_off(chunk.len().min(PIECE));
        Frame::data(chunk)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.left.is_empty() {
            let left = std::mem::take(&mut self.left);
            return Poll::Ready(Some(Ok(self.piece(left))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            Ok(match frame?.into_data() {
                Ok(chunk) => self.piece(chunk),
                Err(other) => other,
            })
        }))
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = this.poll_piece(cx);
        if let Some(sending) = &this.sending {
            let is_data = matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_data());
            let due = is_data.then(|| Instant::now() + this.stall);
            *sending.lock().unwrap_or_else(PoisonError::into_inner) = due;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        ahead_of(&self.inner.size_hint(), self.left.len() as u64, false)
    }
}
