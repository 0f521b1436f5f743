//! Holds a body's bytes until the verdict on them, within bounds of size and time. What was held
//! is let go as it came; the decoded copy is what rules see.
//!
//! A window ends in one of three ways: the body is whole, the window is full, or (where waiting
//! for more would break a stream) the peer pauses. After a pause the next bytes are held in turn,
//! so nothing is let go before rules saw it, up to the size of the window.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::held::{Judge, show};
use super::messages::{Messages, Slide, Unread};
use super::slice::Slicer;
use super::{Case, Stop};
use crate::message::body::{BodyError, Timed, ahead_of};
use crate::message::decode::{DecodeError, Decoder};

/// After a pause this much of what rules saw already is shown again before the new bytes, so that
/// a pattern cannot hide on the border.
const OVERLAP: usize = 256;

/// A steady trickle is let go after this many pauses' time.
const TRICKLE: u32 = 5;

/// Whether a peer's pause ends the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Hold until the body is whole or the window full: the body only makes sense as a whole.
    UntilWhole,
    /// Let go when the peer pauses this long.
    Pause(Duration),
}

/// How a window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Whole,
    Full,
    Paused,
}

/// The undoing of a content coding, or the reason why it went wrong.
pub enum Coding {
    Identity,
    Decode(Box<Decoder>),
    /// The bytes are shown as they stand.
    Failed(String),
}

/// A body behind its window.
pub struct Window {
    source: Timed,
    coding: Coding,
    patience: Patience,
    limit: usize,
    /// Raw chunks that wait for a verdict, and their size together with all let go before.
    held: VecDeque<Bytes>,
    raw: usize,
    /// What of the last chunk is not decoded, because the window is full.
    unread: Option<Bytes>,
    text: Vec<u8>,
    judged: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
    hold_since: Option<Instant>,
    /// Chunks with a verdict, on their way out.
    cleared: VecDeque<Bytes>,
    /// Nothing more is looked at: the window was filled once.
    open: bool,
    after: Option<(Case, Judge)>,
}

impl Window {
    pub fn new(source: Timed, coding: Coding, patience: Patience, limit: usize) -> Window {
        Window {
            source,
            coding,
            patience,
            limit,
            held: VecDeque::new(),
            raw: 0,
            unread: None,
            text: Vec::new(),
            judged: 0,
            trailers: None,
            ended: false,
            timer: None,
            hold_since: None,
            cleared: VecDeque::new(),
            open: false,
            after: None,
        }
    }

    /// Fills the window for the first verdict.
    pub async fn fill(&mut self) -> Result<Fill, BodyError> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn coding_error(&self) -> Option<&str> {
        match &self.coding {
            Coding::Failed(problem) => Some(problem),
            _ => None,
        }
    }

    /// What rules should look at now.
    pub fn text(&self) -> &[u8] {
        &self.text[self.judged.saturating_sub(OVERLAP)..]
    }

    /// Lets the held bytes go; `fill` says what becomes of the rest.
    pub fn release(mut self, fill: Fill, case: &Case, judge: Judge) -> crate::message::body::Streamed {
        use crate::message::body::Streamed;
        match fill {
            Fill::Whole => Streamed::held(self.held, self.trailers, None),
            Fill::Full => {
                self.open = true;
                let held = std::mem::take(&mut self.held);
                Streamed::held(held, None, Some(Box::new(self.source)))
            }
            Fill::Paused => {
                let held = std::mem::take(&mut self.held);
                self.let_go();
                self.after = Some((case.clone(), judge));
                Streamed::held(held, None, Some(Box::new(self)))
            }
        }
    }

    /// Lets the held bytes go; the rest is judged slice by slice.
    pub fn slide(self, slicer: Slicer, slide: Slide) -> crate::message::body::Streamed {
        let Window { source, coding, mut held, unread, text, .. } = self;
        let unread = unread.and_then(|rest| held.pop_back().map(|chunk| Unread { chunk, rest }));
        let rest = Messages::behind(source, coding, slicer, text, unread, slide);
        crate::message::body::Streamed::held(held, None, Some(Box::new(rest)))
    }

    fn let_go(&mut self) {
        self.judged = self.text.len();
        self.hold_since = None;
        self.timer = None;
        self.cleared.append(&mut self.held);
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        loop {
            if self.text.len() >= self.limit || self.raw >= self.limit {
                return Poll::Ready(Ok(Fill::Full));
            }
            if self.ended {
                return Poll::Ready(Ok(Fill::Whole));
            }
            match Pin::new(&mut self.source).poll_frame(cx) {
                Poll::Ready(None) => {
                    self.ended = true;
                    self.finish_coding();
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => {
                        self.take(chunk);
                        // A body whose length was said is known to be whole at its last byte.
                        if self.source.is_end_stream() && self.unread.is_none() {
                            self.ended = true;
                            self.finish_coding();
                        }
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Pending if self.held.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let Patience::Pause(quiet) = self.patience else { return Poll::Pending };
                    let now = Instant::now();
                    let since = *self.hold_since.get_or_insert(now);
                    let due = (now + quiet).min(since + quiet * TRICKLE);
                    // Every poll is news from the peer, so the quiet time starts again with it;
                    // when the timer itself woke us it is ready and that ends the window.
                    let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                    if timer.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(Fill::Paused));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.raw += chunk.len();
        // New bytes, new quiet time; the trickle bound stays with `hold_since`.
        self.timer = None;
        self.held.push_back(chunk.clone());
        let before = self.text.len();
        let Coding::Decode(decoder) = &mut self.coding else {
            self.text.extend_from_slice(&chunk);
            return;
        };
        // No more than fits, whatever the chunk unpacks to.
        let room = self.limit - before;
        match decoder.push_some(&chunk, room, &mut self.text) {
            Ok(read) if read < chunk.len() || self.text.len() - before >= room => {
                self.unread = Some(chunk.slice(read..));
            }
            Ok(_) => {}
            Err(error) => self.fail(error, &chunk),
        }
    }

    /// The rest is shown as it stands; where nothing was decoded all of it is, since who does not decode reads it so.
    fn fail(&mut self, error: DecodeError, rest: &[u8]) {
        self.coding = Coding::Failed(error.to_string());
        if self.text.is_empty() {
            self.held.iter().for_each(|chunk| self.text.extend_from_slice(chunk));
        } else {
            self.text.extend_from_slice(rest);
        }
    }

    fn finish_coding(&mut self) {
        if let Coding::Decode(decoder) = &mut self.coding
            && let Err(error) = decoder.finish()
        {
            self.fail(error, b"");
        }
    }

    /// The verdict on what followed a pause.
    fn judge(&self, fill: Fill) -> Result<(), Stop> {
        let Some((case, judge)) = &self.after else { return Ok(()) };
        let problem = match &self.coding {
            Coding::Failed(problem) => Some(problem.as_str()),
            _ => None,
        };
        show(case, *judge, &self.text[self.judged.saturating_sub(OVERLAP)..], fill, problem)
    }
}

/// The rest of a body after a pause: held, judged, let go, again and again.
impl http_body::Body for Window {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.cleared.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if this.open {
                return Pin::new(&mut this.source).poll_frame(cx);
            }
            if this.ended && this.held.is_empty() {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match std::task::ready!(this.poll_fill(cx)) {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(fill) => {
                    if this.judge(fill).is_err() {
                        this.held.clear();
                        return Poll::Ready(Some(Err(BodyError::Stopped)));
                    }
                    this.let_go();
                    this.open = fill == Fill::Full;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.held.is_empty() && self.cleared.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting: usize = self.held.iter().chain(&self.cleared).map(Bytes::len).sum();
        ahead_of(&self.source.size_hint(), waiting as u64, self.trailers.is_some())
    }
}
