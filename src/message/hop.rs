//! What a proxy takes out of a message and puts in: hop-by-hop fields, Via and loops, Alt-Svc
//! (RFC 9110 section 7.6).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use http_body::Frame;

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
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    Asked { websocket }
}

/// Prepares a response's fields for the client's leg.
pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    strip_alt_svc(headers);
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
    fn a_loop_is_our_own_pseudonym_alone() {
        let (ours, other) = (Via::new([1; 6]), Via::new([2; 6]));
        let mut headers = map(&[("via", "1.1 squid, 1.1 portward")]);
        other.add(Version::HTTP_11, &mut headers);
        assert!(!ours.loops(&headers));
        ours.add(Version::HTTP_2, &mut headers);
        assert!(ours.loops(&headers) && other.loops(&headers));
    }
}
