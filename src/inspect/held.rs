//! What requests and responses have in common: a body's coding, its window, and what policy says
//! when either cannot be had as it should.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body as _;
use hyper::body::Incoming;

use super::cut::Price;
use super::messages::Slide;
use super::slice::Slicer;
use super::window::{Coding, Fill, Window};
use super::{Case, Seen, Stop};
use crate::message::body::{Streamed, Timed};
use crate::message::decode::{Decoder, Unknown};
use crate::net::Limits;
use crate::policy::{FailModes, Oversize, Undecoded};
use crate::waf::input::{Body, End, Extent};

/// Shows a body, or the part of it that is held, to the rules of its phase.
pub type Judge = fn(&Case, &Body<'_>) -> Result<(), Stop>;

/// What differs between the directions.
pub struct Terms {
    /// A coding that we know and that cannot be undone.
    pub undecodable: Undecoded,
    /// More than fits the window.
    pub oversize: Oversize,
    pub judge: Judge,
}

/// Fills the window, shows it to the rules and lets it go. What is behind it is judged in slices, where there are such.
pub async fn hold(
    case: &Case,
    mut window: Window,
    terms: Terms,
    slicer: Option<Slicer>,
    slide: impl FnOnce() -> Slide,
) -> Result<(Streamed, Seen), Stop> {
    let fill = window.fill().await?;
    if let Some(problem) = window.coding_error()
        && terms.undecodable == Undecoded::Deny
        && !problem.starts_with(UNKNOWN)
    {
        return Err(Stop::Undecodable(problem.to_owned()));
    }
    if fill == Fill::Full && terms.oversize == Oversize::Deny {
        return Err(Stop::Oversize { limit: window.limit() });
    }
    show(case, terms.judge, window.text(), fill, window.coding_error())?;
    let seen = match fill {
        Fill::Whole => Seen::Whole,
        Fill::Full => Seen::Partial("the body is larger than the window"),
        Fill::Paused => Seen::Partial("the body was let go in parts while it streamed"),
    };
    let more = |slicer: &Slicer| fill == Fill::Full || fill == Fill::Paused && slicer.may_pause();
    // Also where its coding is not known, or could not be undone: the bytes go on as they stand.
    if let Some(slicer) = slicer.filter(more).and_then(|slicer| slicer.begin(window.text())) {
        return Ok((window.slide(slicer, slide()), seen));
    }
    Ok((window.release(fill, case, terms.judge), seen))
}

/// Calls the rules; a large text does so aside.
pub fn show(case: &Case, judge: Judge, text: &[u8], fill: Fill, problem: Option<&str>) -> Result<(), Stop> {
    /// Rules take tens of milliseconds for a megabyte; other connections of this worker do not
    /// wait for them.
    const LARGE: usize = 128 * 1024;
    let extent = if fill == Fill::Whole { Extent::Whole } else { Extent::Partial };
    let body = Body { bytes: text, extent, coding_error: problem };
    if text.len() > LARGE { tokio::task::block_in_place(|| judge(case, &body)) } else { judge(case, &body) }
}

/// What policy and limits say of a body of messages.
pub fn message_terms(limits: &Limits, fail: &FailModes, from: End) -> super::messages::Terms {
    let (limit, oversize, undecodable) = match from {
        End::Client => (limits.request_window, fail.oversize_request_body, fail.undecodable_request),
        End::Origin => (limits.response_window, fail.oversize_response_body, fail.undecodable_response),
    };
    super::messages::Terms {
        limit,
        oversize,
        undecodable,
        unknown: fail.unknown_coding,
        price: Price { bytes: limits.decoded_bytes, ratio: limits.decoded_ratio },
        // Silence is the nature of such streams.
        quiet: limits.tunnel_idle,
        idle: limits.body_idle,
        pause: limits.window_pause,
    }
}

/// The same of the slices of a body, whose sender has no reason to be silent.
pub fn slice_terms(limits: &Limits, fail: &FailModes, from: End) -> super::messages::Terms {
    super::messages::Terms { quiet: limits.body_idle, ..message_terms(limits, fail, from) }
}

/// A body that is not held.
pub fn streaming(body: Incoming, limits: &Limits) -> Streamed {
    if body.is_end_stream() {
        return Streamed::empty();
    }
    Streamed::held(Default::default(), None, Some(Box::new(Timed::new(body, limits.body_idle))))
}

/// How a coding error begins that policy treats apart: the name is unknown, the bytes may be fine.
const UNKNOWN: &str = "unknown content coding";

/// The decoder for a stream that may have no end: what it decodes to is looked at as it comes, so that its ratio alone
/// is bounded.
pub fn endless_coding(
    headers: &HeaderMap,
    limits: &Limits,
    fail: &FailModes,
    from: End,
) -> Result<Coding, Stop> {
    coding(headers, &Limits { decoded_bytes: usize::MAX, ..limits.clone() }, usize::MAX, fail, from)
}

/// The decoder that a message's Content-Encoding asks for.
pub fn coding(
    headers: &HeaderMap,
    limits: &Limits,
    window: usize,
    fail: &FailModes,
    from: End,
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
    let error = match Decoder::new(&names, limits.decoded_bytes, limits.decoded_ratio, window) {
        Ok(None) => return Ok(Coding::Identity),
        Ok(Some(decoder)) => return Ok(Coding::Decode(Box::new(decoder))),
        Err(error) => error,
    };
    // Codings that we know, and too many of them: an application may undo them all, so the bytes as they stand show
    // nothing.
    let (policy, problem) = match (&error, from) {
        (Unknown::Coding(_), _) => (fail.unknown_coding, format!("{UNKNOWN} {names}")),
        (Unknown::TooMany, End::Client) => (fail.undecodable_request, error.to_string()),
        (Unknown::TooMany, End::Origin) => (fail.undecodable_response, error.to_string()),
    };
    match policy {
        Undecoded::Pass => Ok(Coding::Failed(problem)),
        Undecoded::Deny => Err(Stop::Undecodable(error.to_string())),
    }
}
