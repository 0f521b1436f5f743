//! A request before the rules: its head, then its body through a window.

use std::borrow::Cow;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::window::{Coding, Fill, Patience, Window};
use super::{Case, Cleared, Seen, Stop, fields};
use crate::message::body::{Streamed, Timed};
use crate::message::decode::Decoder;
use crate::message::target::Scheme;
use crate::net::{Authority, Limits};
use crate::policy::{FailModes, Oversize, Undecoded};
use crate::waf::HeaderEdit;
use crate::waf::input::{Body, Extent, Field, RequestHead};

/// Where a request is going, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    pub scheme: Scheme,
    pub authority: &'a Authority,
    /// Path and query as the origin will receive them.
    pub path: &'a str,
}

/// Runs the request phases. The head is still as the client sent it; edits that rules ask for are
/// made here.
pub async fn request(
    case: &Case,
    aim: Aim<'_>,
    request: Request<Incoming>,
    limits: &Limits,
    fail: &FailModes,
) -> Result<(Cleared<Request<Streamed>>, Seen), Stop> {
    let (mut parts, body) = request.into_parts();
    if !case.has_rules() {
        let body = streaming(body, limits);
        return Ok((Cleared(Request::from_parts(parts, body)), Seen::Nothing("no rules are loaded")));
    }
    head(case, aim, parts.method.as_str(), parts.version, &parts.headers)?;
    case.edits(|edit| {
        if let HeaderEdit::StripRequest(name) = edit {
            parts.headers.remove(&**name);
        }
    })?;
    let wanted = case.step(|transaction| transaction.wants_request_body())?;
    if !wanted || body.is_end_stream() {
        case.decide(|tx| tx.request_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))?;
        let seen = if wanted { Seen::Whole } else { Seen::Nothing("no rule looks at it") };
        return Ok((Cleared(Request::from_parts(parts, streaming(body, limits))), seen));
    }
    // On the heap, because most requests have no body: every exchange's state would be as large.
    let (body, seen) = Box::pin(held(case, &parts.headers, body, limits, fail)).await?;
    Ok((Cleared(Request::from_parts(parts, body)), seen))
}

/// A body through its window.
async fn held(
    case: &Case,
    headers: &HeaderMap,
    body: Incoming,
    limits: &Limits,
    fail: &FailModes,
) -> Result<(Streamed, Seen), Stop> {
    let coding = coding(headers, limits, limits.request_window, fail)?;
    let patience =
        if is_structured(headers) { Patience::UntilWhole } else { Patience::Pause(limits.window_pause) };
    let mut source = Timed::new(body, limits.body_idle);
    if patience == Patience::UntilWhole || headers.contains_key(CONTENT_LENGTH) {
        // What has a size is sent at once; half of a conversation may rest as long as `body_idle`.
        source = source.at_pace(limits.body_rate, limits.body_grace);
    }
    let mut window = Window::new(source, coding, patience, limits.request_window);
    let fill = window.fill().await?;
    if let Some(problem) = window.coding_error()
        && fail.undecodable_request == Undecoded::Deny
        && headers.contains_key(CONTENT_ENCODING)
        && !problem.starts_with(UNKNOWN)
    {
        return Err(Stop::Undecodable(problem.to_owned()));
    }
    if fill == Fill::Full && fail.oversize_request_body == Oversize::Deny {
        return Err(Stop::Oversize { limit: limits.request_window });
    }
    judge(case, window.text(), extent(fill), window.coding_error())?;
    let seen = match fill {
        Fill::Whole => Seen::Whole,
        Fill::Full => Seen::Partial("the body is larger than the window"),
        Fill::Paused => Seen::Partial("the body was let go in parts while it streamed"),
    };
    Ok((window.release(fill, case, Box::new(judge)), seen))
}

/// A body that is not held.
pub(super) fn streaming(body: Incoming, limits: &Limits) -> Streamed {
    if body.is_end_stream() {
        return Streamed::empty();
    }
    Streamed::held(Default::default(), None, Some(Box::new(Timed::new(body, limits.body_idle))))
}

pub(super) const UNKNOWN: &str = "unknown content coding";

pub(super) fn extent(fill: Fill) -> Extent {
    if fill == Fill::Whole { Extent::Whole } else { Extent::Partial }
}

fn judge(case: &Case, text: &[u8], extent: Extent, problem: Option<&str>) -> Result<(), Stop> {
    aside(text, || case.decide(|tx| tx.request_body(&Body { bytes: text, extent, coding_error: problem })))
}

/// Rules take tens of milliseconds for a megabyte; other connections of this worker do not wait
/// for them.
pub(super) fn aside<R>(text: &[u8], run: impl FnOnce() -> R) -> R {
    const LARGE: usize = 128 * 1024;
    if text.len() > LARGE { tokio::task::block_in_place(run) } else { run() }
}

fn head(case: &Case, aim: Aim<'_>, method: &str, version: Version, headers: &HeaderMap) -> Result<(), Stop> {
    let host = match aim.authority.host.name() {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(aim.authority.host.to_string()),
    };
    let missing = !headers.contains_key(http::header::HOST);
    let field = missing.then(|| aim.authority.host_field(aim.scheme.default_port()));
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

/// The decoder that a message's Content-Encoding asks for.
pub(super) fn coding(
    headers: &HeaderMap,
    limits: &Limits,
    window: usize,
    fail: &FailModes,
) -> Result<Coding, Stop> {
    let mut names = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        names.extend_from_slice(if names.is_empty() { b"" } else { b"," });
        names.extend_from_slice(value.as_bytes());
    }
    if names.is_empty() {
        return Ok(Coding::Identity);
    }
    let names = String::from_utf8_lossy(&names);
    match Decoder::new(&names, limits.decoded_bytes, limits.decoded_ratio, window) {
        Ok(None) => Ok(Coding::Identity),
        Ok(Some(decoder)) => Ok(Coding::Decode(Box::new(decoder))),
        Err(_) if fail.unknown_coding == Undecoded::Pass => Ok(Coding::Failed(format!("{UNKNOWN} {names}"))),
        Err(error) => Err(Stop::Undecodable(error.to_string())),
    }
}

/// Bodies that rules read as a whole are held as a whole; anything else may be half of a
/// conversation in both directions (gRPC) and is let go when its sender pauses.
fn is_structured(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| crate::waf::body::select(value.as_bytes()).is_some())
}
