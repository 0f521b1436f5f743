//! A body before the malware scanner: what rules cleared is held back once more until the scanner's verdict. A body
//! that fits its window is held whole, so that a refusal is a page; of a longer one the last window's worth is kept
//! back, so that an infected file is never complete at the other side. The scanner gets what the receiver will see
//! after decoding, decoded no faster than it takes it; what travels is what the sender sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::held::coding;
use super::window::Coding;
use super::{Cleared, Stop};
use crate::audit::record::Scan as Facts;
use crate::message::body::{BodyError, Refusal, Streamed};
use crate::message::decode::DecodeError;
use crate::message::reason::Code;
use crate::net::Limits;
use crate::policy::{FailModes, Undecoded};
use crate::scan::{About, Direction, Finding, Outcome, Ranges, Scan, Scanner, boundary};

/// What is known of a scan, for the record; it may be known only after the head of the answer has gone.
#[derive(Clone, Debug, Default)]
pub struct ScanNote(Arc<Mutex<Option<Facts>>>);

impl ScanNote {
    fn set(&self, facts: Facts) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(facts);
        }
    }

    pub fn take(&self) -> Option<Facts> {
        self.0.lock().ok()?.take()
    }
}

/// What is asked for, as far as a scanner is told.
pub struct Asked {
    pub method: Method,
    /// Without its query.
    pub url: String,
}

/// What a scan goes by.
pub struct Scanning<'a> {
    pub asked: &'a Asked,
    pub scanner: &'a Arc<Scanner>,
    pub limits: &'a Limits,
    pub fail: &'a FailModes,
    pub note: ScanNote,
}

/// An upload.
pub async fn scan_request(
    scanning: Scanning<'_>,
    cleared: Cleared<Request<Streamed>>,
) -> Result<Cleared<Request<Streamed>>, Stop> {
    let (parts, body) = cleared.into_inner().into_parts();
    // On the heap, because it is large and rare.
    let body = Box::pin(scanning.run(Direction::Upload, &parts.headers, None, body)).await?;
    Ok(Cleared(Request::from_parts(parts, body)))
}

/// A download.
pub async fn scan_response(
    scanning: Scanning<'_>,
    cleared: Cleared<Response<Streamed>>,
) -> Result<Cleared<Response<Streamed>>, Stop> {
    let (parts, body) = cleared.into_inner().into_parts();
    let body = Box::pin(scanning.run(Direction::Download, &parts.headers, Some(parts.status), body)).await?;
    Ok(Cleared(Response::from_parts(parts, body)))
}

impl Scanning<'_> {
    async fn run(
        self,
        side: Direction,
        headers: &HeaderMap,
        status: Option<StatusCode>,
        body: Streamed,
    ) -> Result<Streamed, Stop> {
        let scanner = self.scanner;
        if !scanner.covers(side) || body.is_end_stream() {
            return Ok(body);
        }
        // There should be one; where there are more, the receiver takes any of them.
        let types = || headers.get_all(CONTENT_TYPE).iter().map(|value| value.as_bytes());
        if types().next().is_some() && types().all(|content_type| scanner.skips(content_type)) {
            self.note.set(Facts {
                engine: scanner.engine().into(),
                result: "skipped".into(),
                ..Facts::default()
            });
            return Ok(body);
        }
        // A piece of a file is scanned for what it is, and is not the file.
        let partial = match status {
            Some(status) => status == StatusCode::PARTIAL_CONTENT,
            None => headers.contains_key(CONTENT_RANGE),
        };
        if partial && status.is_some() && scanner.config.ranges == Ranges::Whole {
            let sentence = "the origin answered with a piece of the file, which was not asked for";
            return Err(refused(Code::ScanPartial, sentence.to_owned()).into());
        }
        let (window, undecodable) = match side {
            Direction::Upload => (self.limits.request_window, self.fail.undecodable_request),
            Direction::Download => (self.limits.response_window, self.fail.undecodable_response),
        };
        let most = usize::try_from(scanner.config.max_bytes).unwrap_or(usize::MAX);
        // Bounded by its own size, whatever the ratio: what is not decoded here is not scanned.
        let limits = Limits {
            decoded_bytes: most.saturating_mul(4),
            decoded_ratio: usize::MAX,
            ..self.limits.clone()
        };
        let about = About {
            direction: side,
            method: self.asked.method.to_string(),
            url: self.asked.url.clone(),
            status: status.map_or(0, |status| status.as_u16()),
            content_type: types().next().unwrap_or_default().to_vec(),
            boundary: types().find_map(boundary),
        };
        let feed = Feed {
            coding: coding(headers, &limits, most, self.fail)?,
            about: Some(about),
            undecodable,
            encoded: VecDeque::new(),
            step: LEAST,
            pending: Bytes::new(),
            bytes: 0,
            room: most,
            scan: None,
            came: false,
            whole: false,
            told: false,
            over: false,
            partial,
        };
        let mut scanned = Scanned {
            scanner: scanner.clone(),
            note: self.note,
            window,
            inner: body,
            feed,
            held: VecDeque::new(),
            size: 0,
            trailers: None,
            ended: false,
            clear: false,
        };
        let step = std::future::poll_fn(|cx| scanned.poll_step(cx)).await?;
        Ok(match step {
            Step::Clear if scanned.ended => Streamed::held(scanned.held, scanned.trailers, None),
            _ => Streamed::held(VecDeque::new(), None, Some(Box::new(scanned))),
        })
    }
}

fn refused(code: Code, sentence: String) -> BodyError {
    BodyError::Refused(Box::new(Refusal { code, sentence }))
}

/// So little of an encoded body is decoded at once where much comes out of it, and so much where little does.
const LEAST: usize = 64;
const MOST: usize = 16 * 1024;

/// The scanner is handed no more at once, so that what waits for it is bounded.
const PIECE: usize = 64 * 1024;

/// What the scanner is given.
struct Feed {
    coding: Coding,
    about: Option<About>,
    undecodable: Undecoded,
    /// What came and is not decoded yet.
    encoded: VecDeque<Bytes>,
    /// How much of it is decoded at once.
    step: usize,
    /// What is decoded and was not taken yet.
    pending: Bytes,
    bytes: u64,
    /// What may still be scanned.
    room: usize,
    scan: Option<Scan>,
    /// Everything came.
    came: bool,
    /// The scanner gets no more than it has, and whether it was told.
    whole: bool,
    told: bool,
    /// It does not get everything, because there is too much or for another reason.
    over: bool,
    partial: bool,
}

impl Feed {
    fn take(&mut self, chunk: &Bytes) {
        if !self.whole {
            self.encoded.push_back(chunk.clone());
        }
    }

    /// The next piece as the receiver will see it.
    fn decode(&mut self, mut chunk: Bytes) -> Result<(), BodyError> {
        let Coding::Decode(decoder) = &mut self.coding else {
            self.add(chunk);
            return Ok(());
        };
        let piece = chunk.split_to(self.step.min(chunk.len()));
        let mut text = Vec::new();
        let outcome = decoder.push(&piece, &mut text);
        let cut = decoder.is_cut();
        self.step = if text.len() > 8 * piece.len() { self.step / 2 } else { self.step * 2 }.clamp(LEAST, MOST);
        if !chunk.is_empty() {
            self.encoded.push_front(chunk);
        }
        self.add(text.into());
        if cut {
            self.cut();
            self.over = true;
        }
        outcome.or_else(|error| self.broken(error))
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        self.whole = true;
        match &mut self.coding {
            Coding::Decode(decoder) => decoder.finish().or_else(|error| self.broken(error)),
            _ => Ok(()),
        }
    }

    /// The receiver sees what was decoded, if anything.
    fn broken(&mut self, error: DecodeError) -> Result<(), BodyError> {
        if self.undecodable == Undecoded::Deny && !matches!(error, DecodeError::TooLarge(_)) {
            return Err(refused(
                Code::Uninspectable,
                format!("the content coding cannot be undone: {error}"),
            ));
        }
        self.over |= matches!(error, DecodeError::TooLarge(_));
        self.cut();
        Ok(())
    }

    fn cut(&mut self) {
        self.whole = true;
        self.partial = true;
        self.encoded.clear();
    }

    fn add(&mut self, mut bytes: Bytes) {
        if bytes.len() > self.room {
            bytes.truncate(self.room);
            self.cut();
            self.over = true;
        }
        self.room -= bytes.len();
        self.bytes += bytes.len() as u64;
        self.pending = bytes;
    }

    /// Decodes and hands over what came; true when the scanner wants no more.
    fn poll_flush(&mut self, scanner: &Scanner, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        if let (None, Some(about)) = (&self.scan, self.about.take()) {
            self.scan = Some(scanner.open(about));
        }
        let Some(mut scan) = self.scan.take() else { return Poll::Ready(Ok(false)) };
        let flushed = self.poll_into(&mut scan, scanner, cx);
        self.scan = Some(scan);
        flushed
    }

    fn poll_into(
        &mut self,
        scan: &mut Scan,
        scanner: &Scanner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, BodyError>> {
        loop {
            while !self.pending.is_empty() {
                if ready!(scan.poll_ready(cx)).is_err() {
                    return Poll::Ready(Ok(true));
                }
                scan.push(self.pending.split_to(PIECE.min(self.pending.len())));
            }
            if self.whole {
                return Poll::Ready(Ok(false));
            }
            match self.encoded.pop_front() {
                Some(chunk) => self.decode(chunk)?,
                None if self.came => self.finish()?,
                None => return Poll::Ready(Ok(false)),
            }
            if self.over && scanner.config.oversize == Outcome::Deny {
                let limit = scanner.config.max_bytes;
                let sentence = format!("the body is longer than the {limit} bytes that are scanned");
                return Poll::Ready(Err(refused(Code::ScanTooLarge, sentence)));
            }
        }
    }

    fn poll_finding(&mut self, cx: &mut Context<'_>) -> Poll<Finding> {
        let Some(scan) = &mut self.scan else {
            return Poll::Ready(Finding::Failed("the scan was not begun".to_owned()));
        };
        if !self.told && ready!(scan.poll_ready(cx)).is_ok() {
            scan.end();
        }
        self.told = true;
        scan.poll_finding(cx)
    }
}

/// How far a body has come.
enum Step {
    /// The verdict is in and everything may go.
    Clear,
    /// The first chunk may go: enough is kept back without it.
    First,
}

/// A body behind the scanner.
struct Scanned {
    scanner: Arc<Scanner>,
    note: ScanNote,
    window: usize,
    inner: Streamed,
    feed: Feed,
    held: VecDeque<Bytes>,
    size: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    clear: bool,
}

impl Scanned {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, BodyError>> {
        loop {
            if self.clear {
                return Poll::Ready(Ok(Step::Clear));
            }
            // What fits its window goes to the scanner when it is whole: no connection waits for a slow sender.
            let due = self.feed.came || self.size >= self.window || self.feed.scan.is_some();
            if due {
                let flushed = ready!(self.feed.poll_flush(&self.scanner, cx));
                if flushed.inspect_err(|error| self.tell_refusal(error))? {
                    self.feed.whole = true;
                    self.feed.told = true;
                }
            }
            if self.feed.whole {
                let finding = ready!(self.feed.poll_finding(cx));
                self.settle(finding)?;
                continue;
            }
            if let Some(first) = self.held.front()
                && self.size - first.len() >= self.window
            {
                return Poll::Ready(Ok(Step::First));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => self.end(),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(frame)) => self.take(frame),
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                self.feed.take(&chunk);
                self.size += chunk.len();
                self.held.push_back(chunk);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        // A body whose length was said is known to be whole at its last byte.
        if self.inner.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.feed.came = true;
    }

    fn tell_refusal(&self, error: &BodyError) {
        if let BodyError::Refused(refusal) = error
            && refusal.code == Code::ScanTooLarge
        {
            self.tell("too_large", String::new());
        }
    }

    /// What the scanner has a name for.
    fn name(&self, result: &'static str, signature: String) {
        self.note.set(Facts {
            engine: self.scanner.engine().into(),
            result: result.into(),
            signature,
            bytes: self.feed.bytes,
            ..Facts::default()
        });
    }

    fn tell(&self, result: &'static str, why: String) {
        self.note.set(Facts {
            engine: self.scanner.engine().into(),
            result: result.into(),
            why,
            bytes: self.feed.bytes,
            ..Facts::default()
        });
    }

    /// What a finding means.
    fn settle(&mut self, finding: Finding) -> Result<(), BodyError> {
        let denied = self.scanner.config.outcome(&finding) == Outcome::Deny;
        let (code, sentence) = match finding {
            Finding::Clean => {
                self.tell(if self.feed.partial { "partial" } else { "clean" }, String::new());
                self.pass();
                return Ok(());
            }
            Finding::Found(name) => {
                self.name("found", name.clone());
                (Code::Malware, format!("the scanner found {name}"))
            }
            Finding::Changed => {
                self.tell("changed", String::new());
                (Code::ScanChanged, "the scanner answered with another message than it was given".to_owned())
            }
            Finding::Unscannable(name) => {
                self.name("unscannable", name.clone());
                (Code::ScanUnscannable, format!("the scanner could not look into all of it: {name}"))
            }
            Finding::TooLarge => {
                self.tell("too_large", String::new());
                let sentence = "the body is longer than the scanner takes (clamd's StreamMaxLength)";
                (Code::ScanTooLarge, sentence.to_owned())
            }
            Finding::Failed(why) => {
                tracing::warn!("a body was not scanned: {why}");
                self.tell("failed", why.clone());
                (Code::ScanUnavailable, format!("the body could not be scanned: {why}"))
            }
        };
        if denied {
            return Err(refused(code, sentence));
        }
        self.pass();
        Ok(())
    }

    fn pass(&mut self) {
        self.clear = true;
        self.feed.encoded.clear();
        self.feed.pending = Bytes::new();
        self.feed.scan = None;
    }
}

impl http_body::Body for Scanned {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match ready!(this.poll_step(cx)) {
            Ok(_) => {}
            Err(error) => {
                this.held.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(chunk) = this.held.pop_front() {
            this.size -= chunk.len();
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if !this.ended {
            return Pin::new(&mut this.inner).poll_frame(cx);
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.clear
            && self.held.is_empty()
            && self.trailers.is_none()
            && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(self.size as u64));
        if let Some(upper) = inner.upper().filter(|_| self.trailers.is_none()) {
            hint.set_upper(upper.saturating_add(self.size as u64));
        }
        hint
    }
}
