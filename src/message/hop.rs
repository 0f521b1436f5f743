//! What a proxy takes out of a message and puts in: hop-by-hop fields, Via and loops, Alt-Svc
//! (RFC 9110 section 7.6).

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Version};
use http_body::Frame;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::reply::Reply;

/// Fields that concern one connection only, whether or not Connection names them.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Fields that a Connection field may not take out of a message: naming them there is an attack
/// on whoever relies on them (CVE-2025-48865, CVE-2026-26365).
const NEVER_NOMINATED: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::VIA,
    header::FORWARDED,
    header::CACHE_CONTROL,
];

/// Beside the hop-by-hop fields.
const NOT_IN_TRAILERS: [HeaderName; 17] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::WWW_AUTHENTICATE,
    header::COOKIE,
    header::SET_COOKIE,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::RANGE,
    header::TRAILER,
    header::CACHE_CONTROL,
    header::LOCATION,
];

/// What a request asked of the connection before its hop-by-hop fields were taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub websocket: bool,
}

/// Prepares a request's fields for the origin's leg. An upgrade to WebSocket is kept, every other
/// upgrade (h2c above all) is not offered to the origin (RFC 9110 section 7.8).
pub fn strip_request(method: &Method, version: Version, headers: &mut HeaderMap) -> Asked {
    let websocket = version == Version::HTTP_11 && method == Method::GET && asks_websocket(headers);
    let trailers = headers.get_all(header::TE).iter().any(|v| has_token(v, "trailers"));
    strip(headers);
    headers.remove(header::PROXY_AUTHORIZATION);
    // Our own server has sent 100 (Continue) by the time the body is inspected.
    headers.remove(header::EXPECT);
    headers.remove(HeaderName::from_static("http2-settings"));
    if counts_forwards(method) {
        decrement(headers);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    Asked { websocket }
}

/// Max-Forwards is for these two methods, and ignored in all others (RFC 9110 section 7.6.2).
fn counts_forwards(method: &Method) -> bool {
    method == Method::TRACE || method == Method::OPTIONS
}

fn decrement(headers: &mut HeaderMap) {
    let Some(left) = forwards_left(headers) else { return };
    headers.insert(header::MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
}

/// More than fits is as good as the most that does.
fn forwards_left(headers: &HeaderMap) -> Option<u32> {
    let text = headers.get(header::MAX_FORWARDS)?.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// A request that may not be forwarded once more: we answer it in the origin's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastHop {
    Trace,
    Options,
}

/// Whether a request ends here (RFC 9110 section 7.6.2).
pub fn is_last(method: &Method, headers: &HeaderMap) -> Option<LastHop> {
    if !counts_forwards(method) || forwards_left(headers) != Some(0) {
        return None;
    }
    Some(if method == Method::TRACE { LastHop::Trace } else { LastHop::Options })
}

/// Fields that TRACE does not show to whoever reads its answer (RFC 9110 section 9.3.8).
const NOT_TRACED: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

impl LastHop {
    pub fn reply(self, path: &PathAndQuery, headers: &HeaderMap) -> Reply {
        let length = |body: &[u8]| ("content-length", body.len().to_string());
        if self == LastHop::Options {
            return Reply { status: 200, fields: vec![length(b"")], body: Bytes::new() };
        }
        let mut body = format!("TRACE {path} HTTP/1.1\r\n").into_bytes();
        for (name, value) in headers.iter().filter(|(name, _)| !NOT_TRACED.contains(name)) {
            body.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        body.extend(b"\r\n");
        let kind = ("content-type", "message/http".to_owned());
        Reply { status: 200, fields: vec![kind, length(&body)], body: body.into() }
    }
}

/// No transfer coding, or `chunked` alone: any other is lost on the way, because we neither undo it
/// nor say it again (RFC 9112 section 6.1).
pub fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut codings = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.next().is_none_or(|first| first.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Prepares a response's fields for the client's leg.
pub fn strip_response(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks say where it ends, so the length must not be said again (RFC 9112 section 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    strip(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    strip_alt_svc(headers);
}

/// A response without a date gets that of its arrival (RFC 9110 section 6.6.1).
pub fn date(headers: &mut HeaderMap, now: SystemTime) {
    if headers.contains_key(header::DATE) {
        return;
    }
    const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = OffsetDateTime::from(now).format(FORMAT).ok();
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(header::DATE, value);
    }
}

/// Takes out of a trailer section what may not be there: framing, routing, authentication and
/// content control, which a recipient could take for the head's (RFC 9110 section 6.5.1).
pub fn clean_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            strip(&mut trailers);
            for name in &NOT_IN_TRAILERS {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// True when a request asks to become a WebSocket (RFC 6455 section 4.2.1).
pub fn asks_websocket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|v| has_token(v, "websocket"))
        && headers.get_all(header::CONNECTION).iter().any(|v| has_token(v, "upgrade"))
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            .filter(|name| !NEVER_NOMINATED.contains(name))
            .collect();
        for name in nominated {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

/// An alternative service over QUIC would take the client past this proxy; such alternatives are
/// taken out of Alt-Svc (RFC 7838 section 3), others stay.
fn strip_alt_svc(headers: &mut HeaderMap) {
    if !headers.contains_key(header::ALT_SVC) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(header::ALT_SVC)
        .iter()
        .filter_map(|value| {
            let text = value.to_str().ok()?;
            let kept: Vec<&str> = text
                .split(',')
                .map(str::trim)
                .filter(|alternative| {
                    let protocol = alternative.split('=').next().unwrap_or("");
                    !(protocol.starts_with("h3")
                        || protocol.starts_with("quic")
                        || protocol.starts_with("hq"))
                })
                .collect();
            if kept.is_empty() { None } else { HeaderValue::try_from(kept.join(", ")).ok() }
        })
        .collect();
    headers.remove(header::ALT_SVC);
    for value in kept {
        headers.append(header::ALT_SVC, value);
    }
}

/// This proxy's name in Via: `portward` and a random part, so that a loop through ourselves is
/// told from another Portward in the chain.
#[derive(Clone, Debug)]
pub struct Via {
    pseudonym: String,
    http11: HeaderValue,
    http2: HeaderValue,
    http10: HeaderValue,
}

impl Via {
    /// `random` becomes part of the pseudonym; it has to differ between running proxies.
    pub fn new(random: [u8; 6]) -> Via {
        let pseudonym = format!("portward-{}", hex::encode(random));
        let value = |version: &str| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 portward"))
        };
        Via { http11: value("1.1"), http2: value("2.0"), http10: value("1.0"), pseudonym }
    }

    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// Adds this hop; `version` is the one the message was received in (RFC 9110 section 7.6.3).
    pub fn add(&self, version: Version, headers: &mut HeaderMap) {
        let value = match version {
            Version::HTTP_2 => &self.http2,
            Version::HTTP_11 => &self.http11,
            _ => &self.http10,
        };
        headers.append(header::VIA, value.clone());
    }

    /// True when the message has been through here already.
    pub fn loops(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::VIA).iter().any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',').any(|hop| hop.split_whitespace().nth(1) == Some(self.pseudonym.as_str()))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hop_by_hop_fields_end_here_and_end_to_end_fields_do_not() {
        let mut headers = map(&[
            ("connection", "keep-alive, x-private, Host, Content-Length, authorization"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic secret"),
            ("x-private", "1"),
            ("host", "a.test"),
            ("content-length", "3"),
            ("authorization", "Bearer t"),
            ("te", "trailers, gzip"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
        ]);
        assert_eq!(strip_request(&Method::GET, Version::HTTP_11, &mut headers), Asked { websocket: false });
        let mut left: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length", "host", "te"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn a_websocket_upgrade_is_kept_and_alone() {
        let fields = [("connection", "Keep-Alive, Upgrade"), ("upgrade", "websocket, h2c")];
        let mut headers = map(&fields);
        assert!(strip_request(&Method::GET, Version::HTTP_11, &mut headers).websocket);
        assert_eq!(
            (&headers["upgrade"], &headers["connection"]),
            (&"websocket".parse().unwrap(), &"upgrade".parse().unwrap())
        );
        let mut headers = map(&fields);
        assert!(!strip_request(&Method::POST, Version::HTTP_11, &mut headers).websocket);
        assert!(headers.is_empty());
    }

    #[test]
    fn alternatives_over_quic_are_taken_out() {
        let mut headers =
            map(&[("alt-svc", "h3=\":443\"; ma=86400, h2=\"alt.test:443\""), ("alt-svc", "h3-29=\":443\"")]);
        strip_response(&mut headers);
        let kept: Vec<_> = headers.get_all("alt-svc").iter().collect();
        assert_eq!(kept, ["h2=\"alt.test:443\""]);
    }

    #[test]
    fn a_request_that_may_go_no_further_is_answered_and_others_are_counted_down() {
        for (method, value, left) in [
            (Method::OPTIONS, "5", Some("4")),
            (Method::TRACE, "1", Some("0")),
            (Method::TRACE, "0", None),
            (Method::OPTIONS, " 0", None),
            (Method::OPTIONS, "99999999999", Some("4294967294")),
            (Method::OPTIONS, "x", Some("x")),
            (Method::GET, "0", Some("0")),
        ] {
            let mut headers = map(&[("max-forwards", value), ("cookie", "secret"), ("a", "b")]);
            let last = is_last(&method, &headers);
            assert_eq!(last.is_none(), left.is_some(), "{method} {value}");
            if let Some(last) = last {
                let reply = last.reply(&PathAndQuery::from_static("/p"), &headers);
                assert_eq!(reply.status, 200);
                let traced = b"TRACE /p HTTP/1.1\r\nmax-forwards: 0\r\na: b\r\n\r\n";
                assert!(reply.body.is_empty() || reply.body[..] == traced[..], "{:?}", reply.body);
            } else {
                strip_request(&method, Version::HTTP_11, &mut headers);
                assert_eq!(headers["max-forwards"], left.unwrap(), "{method} {value}");
            }
        }
    }

    #[test]
    fn a_date_is_added_where_there_is_none() {
        let mut headers = HeaderMap::new();
        date(&mut headers, SystemTime::UNIX_EPOCH);
        assert_eq!(headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
        date(&mut headers, SystemTime::now());
        assert_eq!(headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn chunked_alone_is_the_one_coding() {
        for (values, plain) in [
            (&[][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["identity"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("transfer-encoding", value.parse().unwrap());
            }
            assert_eq!(is_framed_plainly(&headers), plain, "{values:?}");
        }
    }

    #[test]
    fn a_length_beside_chunks_goes_no_further() {
        let mut headers = map(&[("content-length", "50"), ("transfer-encoding", "chunked")]);
        strip_response(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_loop_is_our_own_pseudonym_alone() {
        let (ours, other) = (Via::new([1; 6]), Via::new([2; 6]));
        let mut headers = map(&[("via", "1.1 squid, 1.1 portward")]);
        other.add(Version::HTTP_11, &mut headers);
        assert!(!ours.loops(&headers));
        ours.add(Version::HTTP_2, &mut headers);
        assert!(ours.loops(&headers) && other.loops(&headers));
    }
}
