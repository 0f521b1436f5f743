//! A response before the rules: its head, then its body through a window when it is text that
//! rules look at. The messages of a call and the events of a stream are judged one by one; everything else flows at
//! once.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::Body as _;
use hyper::body::Incoming;

use super::cut::Cutter;
use super::held::{Terms, coding, endless_coding, hold, message_terms, slice_terms, streaming};
use super::messages::{Messages, Slide};
use super::request::{message_encoding, protocol};
use super::slice::Slicer;
use super::streaming::{Answer, Streaming};
use super::window::{Patience, Window};
use super::{Case, Cleared, Seen, Stop, fields};
use crate::message::body::{Streamed, Timed};
use crate::message::grpc::Grpc;
use crate::net::Limits;
use crate::policy::{FailModes, Oversize};
use crate::waf::HeaderEdit;
use crate::waf::body::events;
use crate::waf::input::{Body, End, Extent, ResponseHead};

/// Runs the response phases. `bodiless` responses (to HEAD, 204, 304) have none to look at. `streaming` is called for an
/// answer whose messages are judged one by one.
pub async fn response(
    case: &Case,
    response: Response<Incoming>,
    limits: &Limits,
    fail: &FailModes,
    streaming: impl FnOnce() -> Streaming,
) -> Result<(Cleared<Response<Streamed>>, Seen), Stop> {
    let (mut parts, body) = response.into_parts();
    if !case.has_rules() {
        let body = self::streaming(body, limits);
        return Ok((Cleared(Response::from_parts(parts, body)), Seen::Nothing("no rules are loaded")));
    }
    case.decide(|tx| {
        tx.response_headers(&ResponseHead {
            status: parts.status.as_u16(),
            protocol: protocol(parts.version),
            fields: &fields(&parts.headers),
        })
    })?;
    case.edits(|edit| {
        if let HeaderEdit::StripResponse(name) = edit {
            parts.headers.remove(&**name);
        }
    })?;
    let wanted = case.step(|transaction| match transaction.wants_response_body() {
        true => Some(Wanted::Window),
        false => transaction.wants_response_start().map(Wanted::Start),
    })?;
    let Some(wanted) = wanted.flatten().filter(|_| !body.is_end_stream()) else {
        // The phase has its turn all the same: its rules weigh what those before it found.
        case.decide(|tx| tx.response_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))?;
        let seen = if body.is_end_stream() { Seen::Whole } else { Seen::Nothing("no rule looks at it") };
        return Ok((Cleared(Response::from_parts(parts, self::streaming(body, limits))), seen));
    };
    let kind = Kind::of(&parts.headers).filter(|_| wanted == Wanted::Window);
    if let Some(kind) = kind {
        case.decide(|tx| tx.response_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))?;
        let body = said(kind, streaming(), &parts, body, limits, fail)?;
        return Ok((Cleared(Response::from_parts(parts, body)), Seen::Whole));
    }
    // On the heap, or every exchange's state would be as large.
    let (body, seen) = Box::pin(held(case, wanted, &parts, body, limits, fail, streaming)).await?;
    Ok((Cleared(Response::from_parts(parts, body)), seen))
}

/// An answer of messages.
enum Kind {
    Events,
    Call(Grpc),
}

impl Kind {
    fn of(headers: &HeaderMap) -> Option<Kind> {
        let is_events = headers.get(CONTENT_TYPE).is_some_and(|value| events::is_events(value.as_bytes()));
        if is_events { Some(Kind::Events) } else { Grpc::of(headers).map(Kind::Call) }
    }
}

/// The messages of an answer. Its head goes at once.
fn said(
    kind: Kind,
    streaming: Streaming,
    parts: &http::response::Parts,
    body: Incoming,
    limits: &Limits,
    fail: &FailModes,
) -> Result<Streamed, Stop> {
    let (cutter, base64) = match kind {
        Kind::Events => (Cutter::events(), false),
        Kind::Call(grpc) => (Cutter::grpc(message_encoding(&parts.headers)), grpc == Grpc::WebText),
    };
    let answer = Answer::of(parts, matches!(kind, Kind::Events));
    let coding = endless_coding(&parts.headers, limits, fail, End::Origin)?;
    let source = Timed::new(body, limits.tunnel_idle);
    let terms = message_terms(limits, fail, End::Origin);
    Ok(Messages::new(source, coding, base64, cutter, streaming.hearing(Some(answer)), terms).start())
}

impl Answer {
    fn of(parts: &http::response::Parts, events: bool) -> Answer {
        let (status, protocol) = (parts.status.as_u16(), protocol(parts.version));
        Answer { status, protocol, headers: parts.headers.clone(), events }
    }
}

/// What rules look at of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// As much as the window holds.
    Window,
    /// So many first bytes.
    Start(usize),
}

/// A body through its window.
async fn held(
    case: &Case,
    wanted: Wanted,
    parts: &http::response::Parts,
    body: Incoming,
    limits: &Limits,
    fail: &FailModes,
    streaming: impl FnOnce() -> Streaming,
) -> Result<(Streamed, Seen), Stop> {
    // What is longer than its start is not too long for that.
    let (size, oversize) = match wanted {
        Wanted::Window => (limits.response_window, fail.oversize_response_body),
        Wanted::Start(bytes) => (bytes.min(limits.response_window), Oversize::Partial),
    };
    let slides = wanted == Wanted::Window && oversize == Oversize::Partial;
    let slicer = slides.then(Slicer::text);
    let coding = match slicer {
        Some(_) => endless_coding(&parts.headers, limits, fail, End::Origin)?,
        None => coding(&parts.headers, limits, size, fail, End::Origin)?,
    };
    let patience = Patience::Pause(limits.window_pause);
    let source = Timed::new(body, limits.body_idle);
    let window = Window::new(source, coding, patience, size);
    let terms = Terms { undecodable: fail.undecodable_response, oversize, judge };
    let slide = || Slide {
        hearing: streaming().slices(Some(Answer::of(parts, false))),
        terms: slice_terms(limits, fail, End::Origin),
    };
    let (body, seen) = hold(case, window, terms, slicer, slide).await?;
    let seen = match (wanted, seen) {
        (Wanted::Start(_), Seen::Partial(_)) => Seen::Partial("rules look at the first bytes of such a body"),
        (_, seen) => seen,
    };
    Ok((body, seen))
}

fn judge(case: &Case, body: &Body<'_>) -> Result<(), Stop> {
    case.decide(|tx| tx.response_body(body))
}
