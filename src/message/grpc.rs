//! gRPC and gRPC-web, as far as a proxy ends a call itself: a client of gRPC does not read pages, it reads a status in
//! trailers. What messages hold is not looked at here.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use crate::waf::body::protobuf::is_grpc;

/// How a call is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grpc {
    /// Over HTTP/2, with trailers.
    Native,
    /// For browsers: the trailers are a last frame of the body.
    Web,
    /// The same in base64.
    WebText,
}

/// gRPC's name for what somebody decided against.
const PERMISSION_DENIED: u8 = 7;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Grpc {
    /// By the Content-Type of a request or an answer.
    pub fn of(headers: &HeaderMap) -> Option<Grpc> {
        let media = headers.get(CONTENT_TYPE)?.as_bytes();
        if !is_grpc(media) {
            return None;
        }
        let media = media.to_ascii_lowercase();
        Some(match () {
            () if media.starts_with(b"application/grpc-web-text") => Grpc::WebText,
            () if media.starts_with(b"application/grpc-web") => Grpc::Web,
            () => Grpc::Native,
        })
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Grpc::Native => "application/grpc",
            Grpc::Web => "application/grpc-web+proto",
            Grpc::WebText => "application/grpc-web-text+proto",
        }
    }

    /// The end of a call whose answer has begun: denied, and why.
    pub fn farewell(self, why: &str) -> Frame<Bytes> {
        let status = PERMISSION_DENIED;
        if self == Grpc::Native {
            let mut trailers = HeaderMap::new();
            trailers.insert(STATUS, HeaderValue::from(u16::from(status)));
            // What is escaped is a field's value.
            trailers.extend(HeaderValue::try_from(escaped(why)).ok().map(|why| (MESSAGE, why)));
            return Frame::trailers(trailers);
        }
        let text = format!("{STATUS}: {status}\r\n{MESSAGE}: {}\r\n", escaped(why));
        let mut frame = vec![0x80];
        // As short as its text.
        frame.extend((text.len() as u32).to_be_bytes());
        frame.extend(text.as_bytes());
        if self == Grpc::WebText {
            use base64::Engine as _;
            frame = base64::engine::general_purpose::STANDARD.encode(frame).into_bytes();
        }
        Frame::data(frame.into())
    }
}

/// The status of a call that we answer with this status of HTTP, as gRPC's own table of both has it, but for what we
/// decide: an answer that is no gRPC at all would be `UNKNOWN` to a client.
pub fn status(http: u16) -> u8 {
    const DEADLINE_EXCEEDED: u8 = 4;
    const RESOURCE_EXHAUSTED: u8 = 8;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match http {
        401 | 407 => UNAUTHENTICATED,
        408 | 504 => DEADLINE_EXCEEDED,
        413 | 414 | 431 => RESOURCE_EXHAUSTED,
        429 | 502 | 503 => UNAVAILABLE,
        400 | 417 | 500 | 501 => INTERNAL,
        _ => PERMISSION_DENIED,
    }
}

/// A text for `grpc-message`: percent signs and what is no visible ASCII are percent-encoded.
pub fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(media: &str) -> Option<Grpc> {
        Grpc::of(&HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]))
    }

    #[test]
    fn a_call_is_known_by_its_media_type() {
        for (media, expect) in [
            ("application/grpc", Some(Grpc::Native)),
            ("Application/gRPC+proto; a=b", Some(Grpc::Native)),
            ("application/grpc-web+proto", Some(Grpc::Web)),
            ("application/grpc-web-text", Some(Grpc::WebText)),
            ("application/json", None),
        ] {
            assert_eq!(of(media), expect, "{media}");
        }
        assert_eq!(Grpc::of(&HeaderMap::new()), None);
    }

    #[test]
    fn the_end_of_a_call_is_told_as_its_client_reads_it() {
        let trailers = Grpc::Native.farewell("no:\u{e9}%\n").into_trailers().unwrap();
        assert_eq!(
            (&trailers[STATUS], &trailers[MESSAGE]),
            (&"7".parse().unwrap(), &"no:%C3%A9%25%0A".parse().unwrap())
        );
        let frame = Grpc::Web.farewell("no").into_data().unwrap();
        assert_eq!(&frame[..], b"\x80\0\0\0\x22grpc-status: 7\r\ngrpc-message: no\r\n");
        assert!(Grpc::WebText.farewell("no").into_data().unwrap().starts_with(b"gAAAAC"));
    }
}
