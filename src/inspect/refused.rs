//! A request that goes nowhere, because its head breaks HTTP's rules: the rules of the request phases
//! are asked about the head all the same, and what they find stands in the record. They decide
//! nothing, and the body is not read.

use http::{Method, Request, Version};
use hyper::body::Incoming;

use super::request::protocol;
use super::{Case, fields};
use crate::message::raw::RawHead;
use crate::message::target::Scheme;
use crate::waf::input::{Body, Extent, Field, RequestHead};

/// A head that hyper could read.
pub fn refused(case: &Case, scheme: Scheme, request: &Request<Incoming>) {
    let target = match (request.method(), request.uri().path_and_query()) {
        // In its authority-form.
        (&Method::CONNECT, _) | (_, None) => request.uri().to_string(),
        (_, Some(path)) => path.as_str().to_owned(),
    };
    let host = request.headers().get(http::header::HOST).map_or(&b""[..], |value| value.as_bytes());
    let mut list = fields(request.headers());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if let Some(authority) = authority.filter(|_| request.version() == Version::HTTP_2 && host.is_empty()) {
        list.push(Field { name: b"host", value: authority.as_bytes() });
    }
    show(
        case,
        scheme,
        request.method().as_str(),
        target.as_bytes(),
        protocol(request.version()),
        host,
        &list,
    );
}

/// A head that it could not.
pub fn refused_raw(case: &Case, scheme: Scheme, head: &RawHead<'_>) {
    let list: Vec<Field<'_>> = head.fields.iter().map(|(name, value)| Field { name, value }).collect();
    let (method, protocol) = (String::from_utf8_lossy(head.method), String::from_utf8_lossy(head.protocol));
    let host = head.field("host").unwrap_or_default();
    show(case, scheme, &method, origin_form(head.target), &protocol, host, &list);
}

/// Rules are shown what an origin would be, also where the target names it.
fn origin_form(target: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            let rest = &target[scheme.len()..];
            let path = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
            return path.map_or(&b"/"[..], |at| &rest[at..]);
        }
    }
    target
}

fn show(
    case: &Case,
    scheme: Scheme,
    method: &str,
    target: &[u8],
    protocol: &str,
    host: &[u8],
    fields: &[Field<'_>],
) {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let head = RequestHead {
        method,
        target,
        protocol,
        scheme: scheme.name(),
        host: name,
        port: scheme.default_port().get(),
        fields,
    };
    // Whatever they say, it was refused already; and an engine that fails changes nothing of that.
    let _ = case.decide(|tx| tx.request_headers(&head)).and_then(|()| {
        case.decide(|tx| tx.request_body(&Body { bytes: b"", extent: Extent::Whole, coding_error: None }))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_names_its_origin_is_shown_without_it() {
        for (target, expect) in [
            ("http://a.test/b<c>?d", "/b<c>?d"),
            ("HTTPS://a.test?d", "?d"),
            ("http://a.test", "/"),
            ("/http://a.test", "/http://a.test"),
            ("//a.test/b", "//a.test/b"),
            ("ftp://a.test/b", "ftp://a.test/b"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(origin_form(target.as_bytes()), expect.as_bytes(), "{target}");
        }
    }
}
