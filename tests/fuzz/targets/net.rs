//! What stands around the rules: addresses, the first bytes of a stream, content codings, and what
//! is taken out of a log.

use portward::audit::redact::{Redaction, redact_text, redact_url};
use portward::message::decode::Decoder;
use portward::net::authority::{Authority, Host, Port};
use portward::tls::sniff::{Sniff, sniff};

use super::{line, shown};

/// A host has one spelling, whichever it was given in.
pub fn authority(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(host) = Host::parse(text) {
        let spelled = host.to_string();
        assert_eq!(Host::parse(&spelled).as_ref(), Ok(&host), "{text:?}");
        assert!(spelled.len() <= 255 && spelled == spelled.to_ascii_lowercase(), "{text:?}");
        assert!(host.ip().is_some() != host.name().is_some());
        if let Some(name) = host.name() {
            assert!(host.is_within(name) && !name.ends_with('.'), "{text:?}");
            assert!(name.parse::<std::net::IpAddr>().is_err(), "{text:?} is an address");
        }
    }
    let with_default = Authority::parse(text, Some(Port::HTTPS));
    if let Ok(authority) = Authority::parse(text, None) {
        assert_eq!(with_default.as_ref(), Ok(&authority), "a default changes no port that is there");
    }
    if let Ok(authority) = with_default {
        let spelled = authority.to_string();
        assert_eq!(Authority::parse(&spelled, None).as_ref(), Ok(&authority), "{text:?}");
        let field = authority.host_field(Port::HTTPS);
        assert_eq!(Authority::parse(&field, Some(Port::HTTPS)).as_ref(), Ok(&authority), "{text:?}");
    }
}

/// A certain answer stays, however much follows.
pub fn first_bytes(data: &[u8]) {
    let mut known = Sniff::NeedMore;
    for end in (0..=data.len().min(64)).chain([data.len()]) {
        let now = sniff(&data[..end]);
        assert!(known == Sniff::NeedMore || now == known, "{} at {end}", shown(data));
        known = now;
    }
}

/// The Content-Encoding stands in the first line. However a body is cut into pieces, it decodes to
/// the same bytes, and never to more than was allowed.
pub fn coding(data: &[u8]) {
    const WINDOW: usize = 64 * 1024;
    let (name, body) = line(data);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let decode = |piece: usize| {
        let mut decoder = Decoder::new(name, 4 * WINDOW, 1000, WINDOW).ok()??;
        let mut out = Vec::new();
        let mut outcome = Ok(());
        for chunk in body.chunks(piece) {
            outcome = outcome.and_then(|()| decoder.push(chunk, &mut out));
        }
        let outcome = outcome.and_then(|()| decoder.finish());
        assert!(out.len() <= WINDOW, "{} bytes", out.len());
        Some((out, outcome, decoder.is_cut()))
    };
    let Some((out, outcome, cut)) = decode(usize::MAX) else { return };
    assert!(!cut || outcome.is_ok());
    for piece in [1, 7] {
        let (other, ended, other_cut) = decode(piece).expect("the same codings are known");
        if outcome.is_ok() {
            assert_eq!((&other, ended, other_cut), (&out, outcome, cut), "in pieces of {piece}");
        } else {
            assert!(ended.is_err() || other_cut, "in pieces of {piece} it is not {outcome:?}");
        }
    }
}

/// Secrets are taken out of any text, and what is left is not longer by more than the marks.
pub fn redaction(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let how = Redaction::default();
    let most = 32 * text.len() + 32;
    let url = redact_url(text, &how).into_owned();
    assert!(url.len() <= most && redact_url(&url, &how).len() <= 32 * url.len() + 32, "{text:?}");
    let body = redact_text(text, &how).into_owned();
    assert!(body.len() <= most && redact_text(&body, &how).len() <= 32 * body.len() + 32, "{text:?}");
}
