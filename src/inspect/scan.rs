//! A body before the malware scanner: what rules cleared is held back once more until the scanner's verdict. A body
//! that fits its window is held whole, so that a refusal is a page; of a longer one the last window's worth is kept
//! back, so that an infected file is never complete at the other side. The scanner gets what the receiver will see
//! after decoding; what travels is what the sender sent.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::held::coding;
use super::window::Coding;
use super::{Cleared, Stop};
use crate::audit::record::Scan as Facts;
use crate::message::body::{BodyError, Refusal, Streamed, ahead_of};
use crate::message::decode::DecodeError;
use crate::message::reason::Code;
use crate::net::Limits;
use crate::policy::{FailModes, Undecoded};
use crate::scan::{About, Direction, Finding, OddBoundary, Outcome, Ranges, Scan, Scanner, boundary};
use crate::waf::input::End;

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
    pub client: IpAddr,
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
        // A stream is not a file to be kept: what says that it is one is scanned whatever else it says.
        let streams = types().next().is_some() && !headers.contains_key(CONTENT_DISPOSITION);
        if streams && types().all(|content_type| scanner.skips(content_type)) {
            self.note.set(Facts {
                engine: scanner.engine().into(),
                result: "skipped".into(),
                ..Facts::default()
            });
            return Ok(body);
        }
        // A piece of a file is scanned for what it is, and is not the file.
        let piece = match status {
            Some(status) => status == StatusCode::PARTIAL_CONTENT,
            None => headers.contains_key(CONTENT_RANGE),
        };
        if piece && status.is_some() && scanner.config.ranges == Ranges::Whole {
            let sentence = "the origin answered with a piece of the file, which was not asked for";
            return Err(refused(Code::ScanPartial, sentence.to_owned()).into());
        }
        let (window, undecodable, from) = match side {
            Direction::Upload => (self.limits.request_window, self.fail.undecodable_request, End::Client),
            Direction::Download => (self.limits.response_window, self.fail.undecodable_response, End::Origin),
        };
        let most = usize::try_from(scanner.config.max_bytes).unwrap_or(usize::MAX);
        // Bounded by its own size, whatever the ratio: what is not decoded here is not scanned.
        let limits = Limits {
            decoded_bytes: most.saturating_mul(4),
            decoded_ratio: usize::MAX,
            ..self.limits.clone()
        };
        let coding = coding(headers, &limits, most, self.fail, from)?;
        let boundaries: Result<Vec<_>, _> = types().map(boundary).collect();
        let (boundary, odd) = match boundaries {
            Ok(found) => {
                let mut found: Vec<_> = found.into_iter().flatten().collect();
                found.dedup();
                match found.len() {
                    0 | 1 => (found.pop(), None),
                    _ => (None, Some("its parts cannot be told apart: there is more than one boundary")),
                }
            }
            Err(OddBoundary) => {
                (None, Some("its parts cannot be told apart: the boundary is missing or odd"))
            }
        };
        let about = About {
            direction: side,
            client: self.client,
            method: self.asked.method.to_string(),
            url: self.asked.url.clone(),
            status: status.map_or(0, |status| status.as_u16()),
            content_type: types().next().unwrap_or_default().to_vec(),
            boundary,
        };
        let feed = Feed {
            partial: piece || matches!(coding, Coding::Failed(_)),
            coding,
            about: Some(about),
            undecodable,
            coded: VecDeque::new(),
            more: false,
            failed: odd.map(str::to_owned),
            pending: VecDeque::new(),
            waiting: 0,
            bytes: 0,
            room: most,
            scan: None,
            whole: false,
            told: false,
            over: false,
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
            begun: false,
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

/// What the scanner is given.
struct Feed {
    coding: Coding,
    /// Until the scan is open.
    about: Option<About>,
    undecodable: Undecoded,
    /// What is still to be decoded, and whether more may come out without it. Decoding waits for the scanner.
    coded: VecDeque<Bytes>,
    more: bool,
    /// Why the scanner's word would be worth nothing.
    failed: Option<String>,
    /// Decoded bytes that the scanner did not take yet, and how many.
    pending: VecDeque<Bytes>,
    waiting: usize,
    bytes: u64,
    /// What may still be scanned.
    room: usize,
    scan: Option<Scan>,
    /// The scanner gets no more than it has, and whether it was told.
    whole: bool,
    told: bool,
    /// It does not get everything, because there is too much or for another reason.
    over: bool,
    partial: bool,
}

impl Feed {
    /// Whether bytes wait for being decoded.
    fn is_behind(&self) -> bool {
        !self.whole && (self.more || !self.coded.is_empty())
    }

    /// Decodes one step's worth of what waits. `held` is the whole body so far, where nothing of it is gone yet.
    fn decode(&mut self, held: Option<&VecDeque<Bytes>>) -> Result<(), BodyError> {
        /// What comes out at once.
        const STEP: usize = 64 * 1024;
        let Coding::Decode(decoder) = &mut self.coding else {
            let coded = std::mem::take(&mut self.coded);
            coded.into_iter().for_each(|chunk| self.add(chunk));
            return Ok(());
        };
        let mut text = Vec::new();
        let chunk = self.coded.pop_front().unwrap_or_default();
        let outcome = decoder.push_some(&chunk, STEP, &mut text);
        let cut = decoder.is_cut();
        self.more = text.len() >= STEP;
        if let Ok(read) = outcome
            && read < chunk.len()
        {
            self.coded.push_front(chunk.slice(read..));
        }
        self.add(text.into());
        if cut {
            self.cut();
            self.over = true;
        }
        outcome.map(drop).or_else(|error| self.broken(error, held))
    }

    /// The body has ended and everything was decoded.
    fn finish(&mut self, held: Option<&VecDeque<Bytes>>) -> Result<(), BodyError> {
        if let Coding::Decode(decoder) = &mut self.coding {
            decoder.finish().or_else(|error| self.broken(error, held))?;
        }
        self.whole |= !self.is_behind();
        Ok(())
    }

    /// The body is not what its coding says. A receiver shows what was decoded of one that was cut off. One that does
    /// not decode sees the bytes as they are: so does the scanner, where nothing came out.
    fn broken(&mut self, error: DecodeError, held: Option<&VecDeque<Bytes>>) -> Result<(), BodyError> {
        if self.undecodable == Undecoded::Deny && !matches!(error, DecodeError::TooLarge(_)) {
            return Err(refused(
                Code::Uninspectable,
                format!("the content coding cannot be undone: {error}"),
            ));
        }
        self.partial = true;
        self.more = false;
        match (error, held) {
            (DecodeError::TooLarge(_), _) => {
                self.over = true;
                self.cut();
            }
            (DecodeError::Truncated(_), _) if self.bytes > 0 => self.cut(),
            (_, Some(held)) if self.bytes == 0 => {
                self.coding = Coding::Failed(error.to_string());
                self.coded = held.clone();
            }
            _ => {
                self.failed = Some(format!("its content coding cannot be undone: {error}"));
                self.cut();
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.whole = true;
        self.partial = true;
    }

    fn add(&mut self, mut bytes: Bytes) {
        if bytes.len() > self.room {
            bytes.truncate(self.room);
            self.cut();
            self.over = true;
        }
        if bytes.is_empty() {
            return;
        }
        self.room -= bytes.len();
        self.bytes += bytes.len() as u64;
        self.waiting += bytes.len();
        self.pending.push_back(bytes);
    }

    /// Hands over what waits; true when the scanner wants no more.
    fn poll_flush(&mut self, scanner: &Scanner, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(about) = self.about.take() {
            self.scan = Some(scanner.open(about));
        }
        let Some(scan) = &mut self.scan else { return Poll::Ready(false) };
        while !self.pending.is_empty() {
            if ready!(scan.poll_ready(cx)).is_err() {
                return Poll::Ready(true);
            }
            let Some(bytes) = self.pending.pop_front() else { break };
            self.waiting -= bytes.len();
            scan.push(bytes);
        }
        Poll::Ready(false)
    }

    fn poll_finding(&mut self, scanner: &Scanner, cx: &mut Context<'_>) -> Poll<Finding> {
        if let Some(why) = self.failed.take() {
            return Poll::Ready(Finding::Failed(why));
        }
        let decided = ready!(self.poll_flush(scanner, cx));
        let Some(scan) = &mut self.scan else {
            return Poll::Ready(Finding::Failed("the scan was not begun".to_owned()));
        };
        if !decided && !self.told && ready!(scan.poll_ready(cx)).is_ok() {
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
    /// Some of it has gone to the receiver.
    begun: bool,
    clear: bool,
}

impl Scanned {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, BodyError>> {
        loop {
            if self.clear {
                return Poll::Ready(Ok(Step::Clear));
            }
            if self.feed.whole {
                let finding = ready!(self.feed.poll_finding(&self.scanner, cx));
                self.settle(finding)?;
                continue;
            }
            // What fits its window goes to the scanner when it is whole: no connection waits for a slow sender.
            let long = self.size >= self.window || self.feed.waiting >= self.window;
            if (long || self.feed.scan.is_some()) && ready!(self.feed.poll_flush(&self.scanner, cx)) {
                self.feed.whole = true;
                continue;
            }
            if self.feed.is_behind() {
                let held = (!self.begun).then_some(&self.held);
                self.feed.decode(held)?;
                if self.feed.over && self.scanner.config.oversize == Outcome::Deny {
                    return Poll::Ready(Err(self.too_large()));
                }
                continue;
            }
            if self.ended {
                self.feed.finish((!self.begun).then_some(&self.held))?;
                continue;
            }
            if let Some(first) = self.held.front()
                && self.size - first.len() >= self.window
            {
                return Poll::Ready(Ok(Step::First));
            }
            // It may know before the body is whole, and the sender may take its time.
            if let Some(scan) = &mut self.feed.scan
                && let Poll::Ready(finding) = scan.poll_finding(cx)
            {
                self.settle(finding)?;
                continue;
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(frame)) => self.take(frame),
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                if !self.feed.whole {
                    self.feed.coded.push_back(chunk.clone());
                }
                self.size += chunk.len();
                self.held.push_back(chunk);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        // A body whose length was said is known to be whole at its last byte.
        self.ended = self.inner.is_end_stream();
    }

    fn too_large(&self) -> BodyError {
        let limit = self.scanner.config.max_bytes;
        self.tell("too_large", String::new());
        refused(Code::ScanTooLarge, format!("the body is longer than the {limit} bytes that are scanned"))
    }

    fn tell(&self, result: &'static str, why: String) {
        self.set(Facts { result: result.into(), why, ..Facts::default() });
    }

    /// What the scanner has a name for.
    fn name(&self, result: &'static str, signature: String) {
        self.set(Facts { result: result.into(), signature, ..Facts::default() });
    }

    fn set(&self, facts: Facts) {
        self.note.set(Facts { engine: self.scanner.engine().into(), bytes: self.feed.bytes, ..facts });
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
        self.feed.pending.clear();
        self.feed.coded.clear();
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
            this.begun = true;
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
        ahead_of(&self.inner.size_hint(), self.size as u64, self.trailers.is_some())
    }
}
