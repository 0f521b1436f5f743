//! A body that is a stream of messages (gRPC, server-sent events), or so long that it is judged in slices: each is held
//! until its verdict and let go after it, so that nothing waits for what comes later and nothing grows with the stream.
//! What travels are the sender's bytes; the rules see them after content codings, base64 and gRPC's own compression are
//! undone.
//!
//! Where the bytes are coded, a chunk goes when all that it decodes to was judged: a sender that flushes after each
//! message, as all of them do, is not delayed. A chunk may hold thousands of messages and unpack to a thousand times
//! its size, so the work is done in steps: between them other connections of the worker have their turn, and no more
//! is unpacked than the next verdict needs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::Stop;
use super::cut::{Cutter, Piece, Price, Problem};
use super::slice::Slicer;
use super::streaming::Hearing;
use super::window::Coding;
use crate::message::body::{BodyError, Streamed, Timed, ahead_of};
use crate::message::deadline::Deadline;
use crate::policy::{Oversize, Undecoded};
use crate::waf::body::protobuf::Base64;
use crate::waf::input::Extent;

/// Of a message in parts, this much of what rules saw is shown again before the new bytes, so that a pattern cannot
/// hide on the border.
const OVERLAP: usize = 256;

/// What comes out of a decoder at once.
const STEP: usize = 64 * 1024;

/// So much is done in a turn: messages, with each so many bytes of one counted as another. A message costs what a
/// request costs, some tens of microseconds.
const TURN: usize = 32;
const BYTES_PER_MESSAGE: usize = 16 * 1024;

/// What a stream of messages goes by.
pub struct Terms {
    /// Bytes of a message that are looked at.
    pub limit: usize,
    pub oversize: Oversize,
    /// A coding that we know and that cannot be undone, and one that we do not know.
    pub undecodable: Undecoded,
    pub unknown: Undecoded,
    pub price: Price,
    /// Silence between messages, and in the middle of one.
    pub quiet: Duration,
    pub idle: Duration,
    /// What has come of an event is looked at and let go when its sender pauses this long.
    pub pause: Duration,
}

/// How a body that is longer than its window goes on.
pub struct Slide {
    pub hearing: Hearing,
    pub terms: Terms,
}

/// The body.
pub struct Messages {
    source: Timed,
    coding: Coding,
    base64: Option<Base64>,
    cutter: Cutter,
    hearing: Hearing,
    terms: Terms,
    /// Raw chunks that wait for a verdict, each with the decoded bytes that had come by its end, once it is decoded.
    held: VecDeque<(Bytes, u64)>,
    decoded: u64,
    /// What of the last chunk is still to be decoded; nothing where more may come out without it.
    coded: Option<Bytes>,
    /// There may be more whole messages in the text.
    more: bool,
    /// What was done in this turn.
    done: usize,
    since: Option<Instant>,
    deadline: Deadline,
    /// Decoded bytes of a message whose end has not come, and how many of them were let go.
    text: Vec<u8>,
    gone: usize,
    trailers: Option<HeaderMap>,
    /// Nothing more comes; and everything that came was judged.
    complete: bool,
    ended: bool,
    stopped: bool,
    /// Chunks with a verdict, on their way out.
    cleared: VecDeque<Bytes>,
}

/// A chunk of which the window did not decode all, and what it left.
pub struct Unread {
    pub chunk: Bytes,
    pub rest: Bytes,
}

impl Messages {
    pub fn new(
        source: Timed,
        coding: Coding,
        base64: bool,
        cutter: Cutter,
        hearing: Hearing,
        terms: Terms,
    ) -> Messages {
        Messages {
            source,
            coding,
            base64: base64.then(Base64::default),
            cutter,
            hearing,
            terms,
            held: VecDeque::new(),
            decoded: 0,
            coded: None,
            more: false,
            done: 0,
            since: None,
            deadline: Deadline::default(),
            text: Vec::new(),
            gone: 0,
            trailers: None,
            complete: false,
            ended: false,
            stopped: false,
            cleared: VecDeque::new(),
        }
    }

    /// What follows the first window of a body, which was judged.
    pub fn behind(
        source: Timed,
        coding: Coding,
        slicer: Slicer,
        mut text: Vec<u8>,
        unread: Option<Unread>,
        slide: Slide,
    ) -> Messages {
        let mut cutter = slicer;
        let (length, kept) = cutter.cut(&text);
        text.drain(..length - kept);
        let cutter = Cutter::Slices(cutter);
        let mut this = Messages::new(source, coding, false, cutter, slide.hearing, slide.terms);
        this.decoded = text.len() as u64;
        this.gone = text.len();
        this.text = text;
        if let Some(Unread { chunk, rest }) = unread {
            this.held.push_back((chunk, u64::MAX));
            this.coded = Some(rest);
        }
        this
    }

    /// Waits for the verdict on the first message, or until it is clear that none comes now: who opens a call may wait
    /// for the other side to speak first.
    pub async fn begin(mut self) -> Result<Streamed, Stop> {
        let due = Instant::now() + self.terms.pause;
        let mut patience = Deadline::default();
        let begun = std::future::poll_fn(|cx| match self.poll_clear(cx) {
            Poll::Pending if self.held.is_empty() => patience.poll(cx, due).map(Ok),
            poll => poll,
        });
        match begun.await {
            Ok(()) => Ok(Streamed::held(VecDeque::new(), None, Some(Box::new(self)))),
            Err(BodyError::Stopped) => Err(self.hearing.note.take().map_or(Stop::Engine, |(_, stop)| stop)),
            Err(error) => Err(error.into()),
        }
    }

    /// The body, at once.
    pub fn start(self) -> Streamed {
        Streamed::held(VecDeque::new(), None, Some(Box::new(self)))
    }

    /// Goes on until something is cleared or the body has ended.
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            if self.stopped {
                return Poll::Ready(Err(BodyError::Stopped));
            }
            if !self.cleared.is_empty() || self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.done >= TURN {
                self.done = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let outcome = if self.more || self.coded.is_some() {
                self.step()
            } else if self.complete {
                self.end()
            } else {
                match Pin::new(&mut self.source).poll_frame(cx) {
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => {
                        self.complete = true;
                        Ok(())
                    }
                    Poll::Ready(Some(Ok(frame))) => {
                        self.take(frame);
                        Ok(())
                    }
                    Poll::Pending => {
                        self.done = 0;
                        if self.held.is_empty() || !self.cutter.may_pause() {
                            return Poll::Pending;
                        }
                        let due = *self.since.get_or_insert_with(Instant::now) + self.terms.pause;
                        ready!(self.deadline.poll(cx, due));
                        self.part()
                    }
                }
            };
            if let Err(stop) = outcome {
                self.hearing.stop(stop);
                self.stopped = true;
                self.held.clear();
            }
            self.source.set_idle(if self.held.is_empty() { self.terms.quiet } else { self.terms.idle });
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                self.since.get_or_insert_with(Instant::now);
                self.held.push_back((chunk.clone(), u64::MAX));
                self.coded = Some(chunk);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        // A body whose length was said is known to be whole at its last byte.
        self.complete = self.source.is_end_stream();
    }

    fn step(&mut self) -> Result<(), Stop> {
        if !self.more
            && let Some(chunk) = self.coded.take()
        {
            self.decode(&chunk)?;
        }
        self.cut()
    }

    /// Adds to the text what comes out at once.
    fn decode(&mut self, chunk: &Bytes) -> Result<(), Stop> {
        let mut out = Vec::new();
        let outcome = match &mut self.coding {
            Coding::Identity | Coding::Failed(_) => {
                self.add(chunk)?;
                Ok(chunk.len())
            }
            Coding::Decode(decoder) => decoder.push_some(chunk, STEP, &mut out),
        };
        self.add(&out)?;
        self.done += 1 + out.len() / BYTES_PER_MESSAGE;
        match outcome {
            Ok(read) if read < chunk.len() || out.len() >= STEP => self.coded = Some(chunk.slice(read..)),
            Ok(_) => {}
            Err(error) => {
                self.undecodable(error.to_string())?;
                self.add_raw(chunk)?;
            }
        }
        if self.coded.is_none()
            && let Some((_, end)) = self.held.back_mut()
        {
            *end = self.decoded;
        }
        Ok(())
    }

    /// Adds to the text what was not decoded: who does not decode reads it as it stands, and from the beginning.
    fn add_raw(&mut self, rest: &Bytes) -> Result<(), Stop> {
        if self.decoded > 0 {
            return self.add(rest);
        }
        let chunks: Vec<_> = self.held.iter().map(|(chunk, _)| chunk.clone()).collect();
        chunks.iter().try_for_each(|chunk| self.add(chunk))
    }

    /// Adds decoded bytes to the text.
    fn add(&mut self, plain: &[u8]) -> Result<(), Stop> {
        let before = self.text.len();
        let unpacked = self.base64.as_mut().map(|base64| base64.push(plain, &mut self.text));
        if unpacked != Some(true) {
            self.text.extend_from_slice(plain);
        }
        self.decoded += (self.text.len() - before) as u64;
        if unpacked == Some(false) {
            self.base64 = None;
            self.undecodable("the body is not in base64".to_owned())?;
        }
        Ok(())
    }

    /// From here on bytes are shown as they stand, if policy has it so.
    fn undecodable(&mut self, problem: String) -> Result<(), Stop> {
        if self.terms.undecodable == Undecoded::Deny {
            return Err(Stop::Undecodable(problem));
        }
        self.coding = Coding::Failed(problem);
        Ok(())
    }

    /// Judges what has come whole, as much as there is time for, and lets it go.
    fn cut(&mut self) -> Result<(), Stop> {
        let mut at = 0;
        self.more = true;
        while self.done < TURN {
            let bytes = &self.text[at..];
            match self.cutter.next(bytes, self.terms.limit) {
                Piece::More => {
                    self.more = false;
                    break;
                }
                Piece::Whole(length) => {
                    self.judge(at..at + length, Extent::Whole)?;
                    at += length;
                    self.gone = self.gone.saturating_sub(length);
                }
                Piece::Long(length) => {
                    if self.terms.oversize == Oversize::Deny {
                        return Err(Stop::Oversize { limit: self.terms.limit });
                    }
                    self.hearing.partial();
                    self.judge(at..at + length, Extent::Partial)?;
                    at += length;
                    self.gone = self.gone.saturating_sub(length);
                    if self.cutter.may_pause() {
                        // The next part of the event is read with the end of this one.
                        let tail = OVERLAP.min(length);
                        at -= tail;
                        self.gone = tail;
                        self.more = false;
                        break;
                    }
                }
                Piece::Slice { length, kept, prefix } => {
                    let slice = &self.text[at..at + length];
                    match prefix.is_empty() {
                        true => self.hear(slice)?,
                        false => self.hear(&[&prefix, slice].concat())?,
                    }
                    self.done += TURN;
                    at += length - kept;
                    self.gone = self.gone.saturating_sub(length - kept).max(kept);
                }
                Piece::Skip(length) => {
                    at += length;
                    self.gone = self.gone.saturating_sub(length);
                }
                Piece::Broken(problem) => {
                    if self.terms.undecodable == Undecoded::Deny {
                        return Err(Stop::Undecodable(problem.to_owned()));
                    }
                    self.judge(at..self.text.len(), Extent::Partial)?;
                    at = self.text.len();
                    self.gone = 0;
                }
            }
        }
        self.text.drain(..at);
        self.release();
        Ok(())
    }

    /// Judges what has come of a message, and lets it go; its end is let go only when the whole was judged.
    fn part(&mut self) -> Result<(), Stop> {
        // What is gone was judged: a sender that takes its time does not have all of it looked at again and again.
        let begin = self.gone.saturating_sub(OVERLAP);
        self.judge(begin..self.text.len(), Extent::Partial)?;
        if let Cutter::Slices(_) = self.cutter {
            self.text.drain(..self.text.len().saturating_sub(OVERLAP));
        }
        self.gone = self.text.len();
        self.let_go();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        self.ended = true;
        if let Coding::Decode(decoder) = &mut self.coding
            && let Err(error) = decoder.finish()
        {
            self.undecodable(error.to_string())?;
            if self.decoded == 0 {
                self.add_raw(&Bytes::new())?;
            }
        }
        if self.text.len() > self.gone {
            self.judge(0..self.text.len(), Extent::Partial)?;
        }
        self.text = Vec::new();
        self.let_go();
        Ok(())
    }

    /// The verdict on a message or a part of one.
    fn judge(&mut self, range: std::ops::Range<usize>, extent: Extent) -> Result<(), Stop> {
        let bytes = &self.text[range];
        self.done += 1 + bytes.len() / BYTES_PER_MESSAGE;
        let plain = match &self.cutter {
            Cutter::Events { .. } if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => return Ok(()),
            Cutter::Events { .. } => None,
            Cutter::Slices(slicer) if slicer.prefix().is_empty() => return self.hear(bytes),
            Cutter::Slices(slicer) => return self.hear(&[slicer.prefix(), bytes].concat()),
            Cutter::Grpc(grpc) => {
                grpc.plain(bytes, extent == Extent::Partial, self.terms.limit, self.terms.price)
            }
        };
        let Some(plain) = plain else {
            return self.hearing.hear(bytes, extent, self.coding_error());
        };
        self.done += plain.frame.len() / BYTES_PER_MESSAGE;
        if plain.over {
            if self.terms.oversize == Oversize::Deny {
                return Err(Stop::Oversize { limit: self.terms.limit });
            }
            self.hearing.partial();
        }
        let problem = match plain.problem {
            Some(Problem::Damaged(problem)) if self.terms.undecodable == Undecoded::Deny => {
                return Err(Stop::Undecodable(problem));
            }
            Some(Problem::Unknown(problem)) if self.terms.unknown == Undecoded::Deny => {
                return Err(Stop::Undecodable(problem));
            }
            Some(Problem::Damaged(problem) | Problem::Unknown(problem)) => Some(problem),
            None => None,
        };
        let extent = if plain.over { Extent::Partial } else { extent };
        self.hearing.hear(&plain.frame, extent, problem.as_deref())
    }

    /// The verdict on a slice.
    fn hear(&self, bytes: &[u8]) -> Result<(), Stop> {
        self.hearing.hear(bytes, Extent::Partial, self.coding_error())
    }

    fn coding_error(&self) -> Option<&str> {
        match &self.coding {
            Coding::Failed(problem) => Some(problem),
            _ => None,
        }
    }

    /// Lets go what is judged of the chunks that are held.
    fn release(&mut self) {
        let waiting = self.text.len() - self.gone.min(self.text.len());
        let judged = self.decoded - waiting as u64;
        while let Some((chunk, _)) = self.held.pop_front_if(|(_, end)| *end <= judged) {
            self.cleared.push_back(chunk);
        }
        if let Some((chunk, end)) = self.held.front_mut()
            && matches!(self.coding, Coding::Identity)
            && self.base64.is_none()
        {
            // As long as what it stands for, so that its first part can go.
            let begin = *end - chunk.len() as u64;
            let part = chunk.split_to(judged.saturating_sub(begin) as usize);
            self.cleared.extend((!part.is_empty()).then_some(part));
        }
        if self.held.is_empty() {
            self.since = None;
        }
    }

    fn let_go(&mut self) {
        self.since = None;
        self.cleared.extend(self.held.drain(..).map(|(chunk, _)| chunk));
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(chunk) = this.cleared.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match ready!(this.poll_clear(cx)) {
            Err(error) => Poll::Ready(Some(Err(error))),
            Ok(()) => Poll::Ready(match this.cleared.pop_front() {
                Some(chunk) => Some(Ok(Frame::data(chunk))),
                None => this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && !self.stopped && self.cleared.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.iter().map(|(chunk, _)| chunk);
        let waiting: usize = held.chain(&self.cleared).map(Bytes::len).sum();
        ahead_of(&self.source.size_hint(), waiting as u64, self.trailers.is_some())
    }
}

#[cfg(test)]
mod tests;
