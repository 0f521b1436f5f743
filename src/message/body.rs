//! A body on its way: first the bytes that were held for inspection, then what still streams in.
//! Back-pressure is the consumer's: nothing is read that was not asked for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::deadline::Deadline;
use super::hop;
use super::reason::Code;

/// Why a body broke off. The peer that was reading it sees a reset, never a complete message
/// (RFC 9112 section 8).
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body broke off: {0}")]
    Peer(#[from] hyper::Error),
    #[error("nothing came for {0:?} in the middle of the body")]
    Stalled(Duration),
    #[error("a rule stopped the rest of the body")]
    Stopped,
    /// A check that is no rule decided.
    #[error("{}", .0.sentence)]
    Refused(Box<Refusal>),
    /// The request was malformed; the answer's stream ends with that error.
    #[error("the request was malformed")]
    Malformed(#[source] h2::Error),
}

/// The reason of a refusal, and what it says.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub sentence: String,
}

impl BodyError {
    /// The peer's framing is wrong, as against a peer that left: hyper says so by the kind of the
    /// error beneath its own.
    pub fn is_malformed(&self) -> bool {
        use std::io::ErrorKind::{InvalidData, InvalidInput};
        let BodyError::Peer(error) = self else { return false };
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                return matches!(io.kind(), InvalidInput | InvalidData);
            }
            source = cause.source();
        }
        false
    }
}

/// The source of what was not held.
pub trait Source: Body<Data = Bytes, Error = BodyError> + Send + Unpin {}
impl<T: Body<Data = Bytes, Error = BodyError> + Send + Unpin> Source for T {}

/// Held chunks, then a streaming rest.
#[derive(Default)]
pub struct Streamed {
    held: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<Box<dyn Source>>,
    /// Something that lives as long as the body.
    tied: Option<Box<dyn std::any::Any + Send>>,
}

impl Streamed {
    pub fn empty() -> Streamed {
        Streamed::default()
    }

    pub fn whole(bytes: Bytes) -> Streamed {
        let held = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([bytes]) };
        Streamed { held, ..Streamed::default() }
    }

    pub fn held(
        held: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
        rest: Option<Box<dyn Source>>,
    ) -> Streamed {
        Streamed { held, trailers, rest, tied: None }
    }

    /// The same body once more, where all of it is here and that is not much.
    pub fn again(&self, most: usize) -> Option<Streamed> {
        let size: usize = self.held.iter().map(Bytes::len).sum();
        let whole = self.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
        (whole && self.tied.is_none() && size <= most).then(|| Streamed {
            held: self.held.clone(),
            trailers: self.trailers.clone(),
            ..Streamed::default()
        })
    }

    /// The answer to a malformed request over HTTP/2: a page may come first, but the stream must end in an error
    /// (RFC 9113 section 8.1.1).
    pub fn then_reset(page: Bytes) -> Streamed {
        Streamed::held(VecDeque::from([page]), None, Some(Box::new(ThenReset::default())))
    }

    /// Keeps `tied` until the body is dropped.
    pub fn until_dropped(mut self, tied: Box<dyn std::any::Any + Send>) -> Streamed {
        self.tied = Some(tied);
        self
    }
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed")
            .field("held", &self.held.len())
            .field("rest", &self.rest.is_some())
            .finish()
    }
}

/// The size of a body of which `held` bytes go before `rest`. Trailers need a framing that has room for them, so that
/// with them the size stays unsaid.
pub fn ahead_of(rest: &SizeHint, held: u64, trailers: bool) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(held));
    if let Some(upper) = rest.upper().filter(|_| !trailers) {
        hint.set_upper(upper.saturating_add(held));
    }
    hint
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(chunk) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(rest) = &mut this.rest {
            return Pin::new(rest.as_mut()).poll_frame(cx);
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self.held.iter().map(|chunk| chunk.len() as u64).sum();
        let rest = match &self.rest {
            // Trailers need a framing that has room for them, so the size stays unsaid.
            None if self.trailers.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
            Some(rest) => rest.size_hint(),
        };
        ahead_of(&rest, held, false)
    }
}

/// A reset throws away what waits before it, so the page is given this long to leave.
const A_MOMENT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct ThenReset {
    deadline: Deadline,
    due: Option<Instant>,
}

impl Body for ThenReset {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let due = *this.due.get_or_insert_with(|| Instant::now() + A_MOMENT);
        std::task::ready!(this.deadline.poll(cx, due));
        Poll::Ready(Some(Err(BodyError::Malformed(h2::Reason::PROTOCOL_ERROR.into()))))
    }
}

/// A peer's body with a bound on its silence, and where asked for on its slowness: the sum of
/// many short silences.
pub struct Timed {
    inner: Incoming,
    idle: Duration,
    /// Bytes a second that the peer must send, and the time before that is asked of it.
    pace: Option<(u64, Duration)>,
    deadline: Deadline,
    /// When the peer began to keep us waiting; `None` while it does not (a slow consumer is not the
    /// peer's silence).
    waiting: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Timed {
    pub fn new(inner: Incoming, idle: Duration) -> Timed {
        Timed {
            inner,
            idle,
            pace: None,
            deadline: Deadline::default(),
            waiting: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Asks for `rate` bytes a second on average, after `grace`.
    pub fn at_pace(mut self, rate: u64, grace: Duration) -> Timed {
        self.pace = Some((rate.max(1), grace));
        self
    }

    /// Bounds its silence from now on.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// How much longer the peer may keep us waiting now.
    fn patience(&self) -> Duration {
        let Some((rate, grace)) = self.pace else { return self.idle };
        let earned = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        (grace + earned).saturating_sub(self.waited).min(self.idle)
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            if let Some(since) = this.waiting.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                this.bytes += data.len() as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map(hop::clean_trailers).map_err(BodyError::Peer)));
        }
        let limit = this.patience();
        let due = *this.waiting.get_or_insert_with(Instant::now) + limit;
        std::task::ready!(this.deadline.poll(cx, due));
        Poll::Ready(Some(Err(BodyError::Stalled(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
