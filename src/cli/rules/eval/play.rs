//! A sample in all its ways through the engine. The body is decoded by what decodes live bodies, and
//! cut where the live window ends.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::read::{Content, Sample};
use crate::message::decode::Decoder;
use crate::net::Limits;
use crate::waf::Engine;
use crate::waf::example;
use crate::waf::input::{Body, Extent};
use crate::waf::measure::{Encoding, Place, Placement, Request};

/// A place for values, and how they are written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    placement: Placement,
    encoding: Encoding,
}

/// What came of one sample in one way.
pub struct Outcome {
    pub place: Place,
    /// None when the value cannot stand there.
    pub ran: Option<example::Outcome>,
}

impl Way {
    pub fn all(placements: &[String], encodings: &[String]) -> Result<Vec<Way>, String> {
        let encodings = super::encodings(encodings)?;
        let placements = super::placements(placements)?;
        let each = |placement| encodings.iter().map(move |encoding| Way { placement, encoding: *encoding });
        Ok(placements.into_iter().flat_map(each).collect())
    }

    fn request(self, value: &[u8]) -> Option<Request> {
        let mut request = self.placement.place(&self.encoding.encode(value)?)?;
        match self.encoding {
            Encoding::Gzip if request.body.is_empty() => return None,
            Encoding::Gzip => {
                request.set_body(gzip(&request.body));
                request = request.with("Content-Encoding", b"gzip");
            }
            Encoding::Utf16 if request.field("content-type") != Some(b"application/json") => return None,
            Encoding::Utf16 => request.set_body(utf16(&request.body)?),
            _ => {}
        }
        Some(request)
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector does not fail.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

fn utf16(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    Some(units.flat_map(u16::to_be_bytes).collect())
}

/// Runs a sample: a value in every way, a whole request once.
pub fn play(sample: &Sample, ways: &[Way], engine: &Arc<Engine>) -> Vec<Outcome> {
    match &sample.content {
        Content::Request(request) => vec![Outcome { place: Place::Request, ran: Some(run(request, engine)) }],
        Content::Value(value) => {
            let outcome = |way: &Way| Outcome {
                place: Place::Value(way.placement, way.encoding),
                ran: way.request(value).map(|request| run(&request, engine)),
            };
            ways.iter().map(outcome).collect()
        }
    }
}

/// As a live request: its head, and of its body what rules want to see, decoded.
fn run(request: &Request, engine: &Arc<Engine>) -> example::Outcome {
    let limits = Limits::default();
    let mut transaction = request.begin(engine);
    if transaction.wants_request_body() {
        let (bytes, extent, problem) = body(request, &limits);
        transaction.request_body(&Body { bytes: &bytes, extent, coding_error: problem.as_deref() });
    } else {
        transaction.request_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None });
    }
    transaction.finish_with_matches()
}

fn body<'r>(request: &'r Request, limits: &Limits) -> (Cow<'r, [u8]>, Extent, Option<String>) {
    let window = limits.request_window;
    let names: Vec<Cow<str>> = request
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"))
        .map(|(_, value)| String::from_utf8_lossy(value))
        .collect();
    let decoder = Decoder::new(&names.join(","), limits.decoded_bytes, limits.decoded_ratio, window);
    let (bytes, problem) = match decoder {
        Ok(None) => (Cow::Borrowed(&request.body[..]), None),
        Err(problem) => (Cow::Borrowed(&request.body[..]), Some(problem.to_string())),
        Ok(Some(mut decoder)) => {
            let mut out = Vec::new();
            let outcome = decoder.push(&request.body, &mut out).and_then(|()| decoder.finish());
            (Cow::Owned(out), outcome.err().map(|problem| problem.to_string()))
        }
    };
    if bytes.len() < window {
        return (bytes, Extent::Whole, problem);
    }
    let cut = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..window]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(window);
            Cow::Owned(bytes)
        }
    };
    (cut, Extent::Partial, problem)
}
