//! A bound on a client that takes nothing of an answer over HTTP/2. A window that stays closed is not a write that
//! stalls: nothing is written, and pings go on. So each stream's task is watched: when the body has given out a chunk
//! and was not asked for more for too long, the task is dropped, by which its stream is reset and what was buffered
//! for it is freed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

use super::body::{BodyError, Streamed};
use super::deadline::Deadline;
use super::serve::Tasks;

tokio::task_local! {
    static SENDING: Sending;
}

/// When the chunk under way must have found room; nothing is due while the body itself is waited for.
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
    sending: Option<Sending>,
    stall: Duration,
    /// Bytes a second below which a client is as good as gone.
    rate: u64,
}

impl Sent {
    pub fn new(inner: Streamed, stall: Duration, rate: u64) -> Sent {
        Sent { inner, sending: SENDING.try_with(Arc::clone).ok(), stall, rate: rate.max(1) }
    }

    /// A large chunk that trickles is not a closed window.
    fn due(&self, len: usize) -> Instant {
        Instant::now() + self.stall.max(Duration::from_secs_f64(len as f64 / self.rate as f64))
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
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let Some(sending) = &this.sending {
            let len = match &polled {
                Poll::Ready(Some(Ok(frame))) => frame.data_ref().map(Bytes::len),
                _ => None,
            };
            *sending.lock().unwrap_or_else(PoisonError::into_inner) = len.map(|len| this.due(len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
