//! A request before the rules: its head, then its body through a window.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::cut::Cutter;
use super::held::{Terms, coding, endless_coding, hold, message_terms, slice_terms, streaming};
use super::messages::{Messages, Slide};
use super::slice::Slicer;
use super::streaming::{Hearing, Streaming};
use super::window::{Patience, Window};
use super::{Case, Cleared, Seen, Stop, fields};
use crate::message::body::{Streamed, Timed};
use crate::message::grpc::Grpc;
use crate::message::target::Scheme;
use crate::net::{Authority, Limits};
use crate::policy::{FailModes, Oversize, Unparsable};
use crate::waf::HeaderEdit;
use crate::waf::input::{Body, End, Extent, Field, RequestHead};

/// Where a request is going, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    pub scheme: Scheme,
    pub authority: &'a Authority,
    /// Path and query as the origin will receive them, with the fragment that it will not receive.
    pub path: &'a str,
}

/// Runs the request phases. The head is still as the client sent it; edits that rules ask for are
/// made here.
///
/// `streaming` is called for a request whose messages are judged one by one.
pub async fn request(
    case: &Case,
    aim: Aim<'_>,
    request: Request<Incoming>,
    limits: &Limits,
    fail: &FailModes,
    streaming: impl FnOnce() -> Streaming,
) -> Result<(Cleared<Request<Streamed>>, Seen), Stop> {
    let (mut parts, body) = request.into_parts();
    if !case.has_rules() {
        let body = self::streaming(body, limits);
        return Ok((Cleared(Request::from_parts(parts, body)), Seen::Nothing("no rules are loaded")));
    }
    head(case, aim, parts.method.as_str(), parts.version, &parts.headers)?;
    case.edits(|edit| {
        if let HeaderEdit::StripRequest(name) = edit {
            parts.headers.remove(&**name);
        }
    })?;
    let wanted = case.step(|transaction| transaction.wants_request_body())?.unwrap_or_default();
    if !wanted || body.is_end_stream() {
        case.decide(|tx| tx.request_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))?;
        // What no rule reads is not held, but policy's bound on it holds all the same.
        let limit = limits.request_window;
        if fail.oversize_request_body == Oversize::Deny && body.size_hint().lower() > limit as u64 {
            return Err(Stop::Oversize { limit });
        }
        let seen = if wanted { Seen::Whole } else { Seen::Nothing("no rule looks at it") };
        return Ok((Cleared(Request::from_parts(parts, self::streaming(body, limits))), seen));
    }
    if let Some(grpc) = Grpc::of(&parts.headers) {
        case.decide(|tx| tx.request_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))?;
        // On the heap, because it is large and rare.
        let body =
            Box::pin(called(grpc, streaming().hearing(None), &parts.headers, body, limits, fail)).await?;
        return Ok((Cleared(Request::from_parts(parts, body)), Seen::Whole));
    }
    // On the heap, because most requests have no body: every exchange's state would be as large.
    let (body, seen) = Box::pin(held(case, &parts.headers, body, limits, fail, streaming)).await?;
    Ok((Cleared(Request::from_parts(parts, body)), seen))
}

/// The messages of a call.
async fn called(
    grpc: Grpc,
    hearing: Hearing,
    headers: &HeaderMap,
    body: Incoming,
    limits: &Limits,
    fail: &FailModes,
) -> Result<Streamed, Stop> {
    let coding = endless_coding(headers, limits, fail, End::Client)?;
    let cutter = Cutter::grpc(message_encoding(headers));
    let source = Timed::new(body, limits.body_idle);
    let terms = message_terms(limits, fail, End::Client);
    Messages::new(source, coding, grpc == Grpc::WebText, cutter, hearing, terms).begin().await
}

/// How the messages of a call are compressed.
pub(super) fn message_encoding(headers: &HeaderMap) -> &str {
    headers.get("grpc-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A body through its window.
async fn held(
    case: &Case,
    headers: &HeaderMap,
    body: Incoming,
    limits: &Limits,
    fail: &FailModes,
    streaming: impl FnOnce() -> Streaming,
) -> Result<(Streamed, Seen), Stop> {
    let media = headers.get(CONTENT_TYPE).map_or(&b""[..], |media| media.as_bytes());
    let slices = match fail.oversize_request_body {
        Oversize::Partial => case.step(|transaction| transaction.slices())?.flatten(),
        Oversize::Deny => None,
    };
    let slicer = slices.map(|slices| Slicer::request(slices, media));
    let coding = match slicer {
        Some(_) => endless_coding(headers, limits, fail, End::Client)?,
        None => coding(headers, limits, limits.request_window, fail, End::Client)?,
    };
    let chosen = case.step(|transaction| transaction.takes_request_body_apart())?.unwrap_or_default();
    let whole = chosen || is_structured(headers);
    let patience = if whole { Patience::UntilWhole } else { Patience::Pause(limits.window_pause) };
    let mut source = Timed::new(body, limits.body_idle);
    if patience == Patience::UntilWhole || headers.contains_key(CONTENT_LENGTH) {
        // What has a size is sent at once; half of a conversation may rest as long as `body_idle`.
        source = source.at_pace(limits.body_rate, limits.body_grace);
    }
    let window = Window::new(source, coding, patience, limits.request_window);
    let terms = Terms { undecodable: fail.undecodable_request, oversize: fail.oversize_request_body, judge };
    let slide = || Slide { hearing: streaming().slices(None), terms: slice_terms(limits, fail, End::Client) };
    let held = hold(case, window, terms, slicer, slide).await?;
    if fail.unparsable_request == Unparsable::Deny
        && let Some(problem) = case.step(|transaction| transaction.request_body_problem())?.flatten()
    {
        return Err(Stop::Unparsable(problem));
    }
    Ok(held)
}

fn judge(case: &Case, body: &Body<'_>) -> Result<(), Stop> {
    case.decide(|tx| tx.request_body(body))
}

pub(super) fn head(
    case: &Case,
    aim: Aim<'_>,
    method: &str,
    version: Version,
    headers: &HeaderMap,
) -> Result<(), Stop> {
    let host = match aim.authority.host.name() {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(aim.authority.host.to_string()),
    };
    // HTTP/2 has it as `:authority` (RFC 9113 section 8.3.1). Where HTTP/1 leaves it out it is not there.
    let elsewhere = version == Version::HTTP_2 && !headers.contains_key(http::header::HOST);
    let field = elsewhere.then(|| aim.authority.host_field(aim.scheme.default_port()));
    let mut list = fields(headers);
    if let Some(field) = &field {
        list.push(Field { name: b"host", value: field.as_bytes() });
    }
    case.decide(|tx| {
        tx.request_headers(&RequestHead {
            method,
            target: aim.path.as_bytes(),
            protocol: protocol(version),
            scheme: aim.scheme.name(),
            host: &host,
            port: aim.authority.port.get(),
            fields: &list,
        })
    })
}

pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/1.0",
    }
}

/// Bodies that rules read as a whole are held as a whole; anything else may be half of a
/// conversation in both directions (gRPC) and is let go when its sender pauses.
fn is_structured(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| crate::waf::body::select(value.as_bytes()).is_some())
}
