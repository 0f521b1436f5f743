//! The client's leg of HTTP/1.1, whole: what is let through as a request is what a strict reader of the same bytes
//! sees there, with the same method, target, fields and body, or it is refused. The strict reader is httparse, with
//! framing by RFC 9112 section 6 and nothing lenient.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use portward::message::body::Streamed;
use portward::message::follow::{Follower, Verdict};
use portward::message::raw::RawHead;
use portward::message::serve::{Guarded, Pulse, Tasks, serve};
use portward::message::target::{Scheme, TargetError, origin_form};
use portward::net::{Alpn, Limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::shown;

/// The bytes of one connection.
pub fn http1(data: &[u8]) {
    let expect = strict(data);
    for cut in [usize::MAX, 1 + data.len() % 13] {
        agree(data, &served(data, cut), &expect);
    }
    followed(data);
    raw(data);
}

/// A request that reached the place where policy and rules are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub method: Method,
    pub uri: Uri,
    /// In the order of their names, which are in lower case; lengths are not among them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The body came to its end. One that is not read is never whole.
    pub whole: bool,
    /// It is answered with a refusal.
    pub faulty: bool,
}

/// What comes of these bytes, in pieces of that size.
pub fn served(data: &[u8], cut: usize) -> Vec<Served> {
    thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime without a network");
    }
    let seen: Arc<Mutex<Vec<Served>>> = Arc::default();
    let pulse: Arc<Pulse> = Arc::default();
    let limits = Limits::default();
    let on_rejected = Box::new(|_, _: &[u8]| {
        Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    let wire = Wire { bytes: Bytes::copy_from_slice(data), cut };
    let guarded = Guarded::new(wire, pulse.clone(), Alpn::Http11, &limits, on_rejected);
    let notes = seen.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (notes, pulse) = (notes.clone(), pulse.clone());
        async move {
            let beat = pulse.begin();
            pulse.request(request.method(), request.uri());
            let faulty = pulse.fault().is_some() || is_malformed(&request);
            let one = read(request, faulty).await;
            let mut response = Response::new(Streamed::empty().until_dropped(Box::new(beat)));
            response.headers_mut().insert("via", HeaderValue::from_static("1.1 fuzz"));
            if one.faulty {
                response.headers_mut().insert("connection", HeaderValue::from_static("close"));
            }
            if one.faulty || one.method == Method::CONNECT {
                *response.status_mut() = http::StatusCode::BAD_REQUEST;
            }
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let tasks = Tasks::default();
    // However it ends, what was served was served.
    let serving = serve(guarded, &limits, &tasks, service, std::future::pending());
    let _ = RUNTIME.with(|runtime| runtime.block_on(serving));
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone()
}

/// Its target and its Host do not say where it goes.
fn is_malformed(request: &Request<Incoming>) -> bool {
    let (method, uri, version) = (request.method(), request.uri(), request.version());
    let read = origin_form(method, uri, request.headers(), version, Scheme::Http);
    // The target of CONNECT is another matter.
    *method != Method::CONNECT && read.is_err_and(TargetError::is_malformed)
}

/// As an exchange does: a faulty request is not read further, and the body of one that is refused for other reasons
/// (here: PUT) is left where it is.
async fn read(request: Request<Incoming>, faulty: bool) -> Served {
    let (head, body) = request.into_parts();
    let mut fields: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let (method, uri) = (head.method, head.uri);
    let mut one = Served { method, uri, fields, body: Vec::new(), whole: false, faulty };
    if faulty || one.method == Method::PUT {
        return one;
    }
    let mut body = pin!(body);
    one.whole = loop {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => one.body.extend(frame.into_data().unwrap_or_default()),
        }
    };
    one
}

/// A client that says what it has to say, and reads whatever it is answered.
struct Wire {
    bytes: Bytes,
    cut: usize,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.cut.min(self.bytes.len()).min(buf.remaining());
        let piece = self.bytes.split_to(n);
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request as the strict reader has it.
struct Strict {
    method: Vec<u8>,
    target: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// `None` when it has no end, or no reading that everybody shares.
    body: Option<Vec<u8>>,
    ambiguous: bool,
}

fn strict(bytes: &[u8]) -> Vec<Strict> {
    let mut out = Vec::new();
    let mut rest = bytes.to_vec();
    loop {
        rest = mended(&rest);
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(end)) = head.parse(&rest) else { return out };
        let fields: Vec<(Vec<u8>, Vec<u8>)> = head
            .headers
            .iter()
            .map(|field| (field.name.as_bytes().to_ascii_lowercase(), field.value.to_vec()))
            .collect();
        let framing = framing(&fields, head.version == Some(0));
        let body = framing.and_then(|framing| framing.body(&rest[end..]));
        let mut one = Strict {
            method: head.method.unwrap_or_default().into(),
            target: head.path.unwrap_or_default().into(),
            fields: fields.into_iter().filter(|(name, _)| name != b"content-length").collect(),
            ambiguous: framing.is_none(),
            body: None,
        };
        one.fields.sort_by(|one, other| one.0.cmp(&other.0));
        let length = body.map(|(body, length)| {
            one.body = Some(body);
            length
        });
        out.push(one);
        let Some(length) = length else { return out };
        rest.drain(..end + length);
    }
}

/// Bytes of a target that are no text are encoded by us, so that an origin is sent text.
fn mended(head: &[u8]) -> Vec<u8> {
    let end = |byte, from: usize| head[from..].iter().position(|known| *known == byte).map(|at| from + at);
    let begin = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let Some(space) = end(b' ', begin) else { return head.to_vec() };
    let line = end(b'\n', begin).unwrap_or(head.len());
    if line < space || std::str::from_utf8(&head[space..line]).is_ok() {
        return head.to_vec();
    }
    let encoded = head[space..line].iter().flat_map(|byte| match byte {
        0x80.. => format!("%{byte:02X}").into_bytes(),
        _ => vec![*byte],
    });
    [&head[..space], &encoded.collect::<Vec<_>>(), &head[line..]].concat()
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

/// RFC 9112 section 6.3, refusing whatever that section allows to refuse.
fn framing(fields: &[(Vec<u8>, Vec<u8>)], is_old: bool) -> Option<Framing> {
    let items = |wanted: &[u8]| -> Vec<Vec<u8>> {
        let values = fields
            .iter()
            .filter(|(name, _)| name == wanted)
            .flat_map(|(_, value)| value.split(|b| *b == b','));
        values.map(|item| item.trim_ascii().to_ascii_lowercase()).collect()
    };
    let (lengths, codings) = (items(b"content-length"), items(b"transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(Framing::Length(0)),
        ([first, others @ ..], []) => {
            let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
            // Equal as numbers: `5, 05` is said twice the same.
            let number = |text: &Vec<u8>| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
            let plain = |text: &Vec<u8>| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let same = others.iter().all(|other| plain(other) && number(other) == number(first));
            number(first).filter(|_| digits && same).map(Framing::Length)
        }
        ([], [one]) if one == b"chunked" && !is_old => Some(Framing::Chunked),
        _ => None,
    }
}

impl Framing {
    /// The body at the front of these bytes, and how many of them it takes.
    fn body(self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        match self {
            Framing::Length(length) => Some((bytes.get(..length)?.to_vec(), length)),
            Framing::Chunked => {
                let (mut out, mut at) = (Vec::new(), 0);
                loop {
                    let Ok(httparse::Status::Complete((line, size))) =
                        httparse::parse_chunk_size(&bytes[at..])
                    else {
                        return None;
                    };
                    at += line;
                    if size == 0 {
                        break;
                    }
                    let end = at.checked_add(usize::try_from(size).ok()?)?;
                    out.extend_from_slice(bytes.get(at..end)?);
                    at = end + bytes.get(end..)?.strip_prefix(b"\r\n").map(|_| 2)?;
                }
                let mut trailers = [httparse::EMPTY_HEADER; 100];
                match httparse::parse_headers(&bytes[at..], &mut trailers) {
                    Ok(httparse::Status::Complete((end, _))) => Some((out, at + end)),
                    _ => None,
                }
            }
        }
    }
}

fn agree(data: &[u8], served: &[Served], expect: &[Strict]) {
    let refused = served.iter().position(|one| one.faulty).unwrap_or(served.len());
    assert!(refused + 1 >= served.len(), "a request behind one that is refused: {}", shown(data));
    for (at, ours) in served[..refused].iter().enumerate() {
        let all = || format!("request {at} of {}: {ours:?}", shown(data));
        let Some(theirs) = expect.get(at) else { panic!("nobody else sees {}", all()) };
        assert!(!theirs.ambiguous, "it has two readings: {}", all());
        assert_eq!(ours.method.as_str().as_bytes(), theirs.method, "{}", all());
        assert_eq!(target(&ours.uri), spelled(&theirs.target), "{}", all());
        assert_eq!(ours.fields, theirs.fields, "{}", all());
        match &theirs.body {
            Some(body) if ours.whole => assert_eq!(&ours.body, body, "{}", all()),
            Some(body) => assert!(body.starts_with(&ours.body), "{}", all()),
            None => assert!(!ours.whole, "a body without an end has none: {}", all()),
        }
    }
}

/// A target without what stands for the same: a fragment is not sent on, some bytes are encoded, and a URL without a
/// path has the path `/`.
pub fn spelled(target: &[u8]) -> String {
    let end = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
    let mut out = String::new();
    for &byte in &target[..end] {
        match byte {
            b'"' | b'<' | b'>' | b'`' | 0x80.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    let Some(at) = out.find("://").filter(|_| !out.starts_with('/')) else { return out };
    let (scheme, rest) = (out[..at].to_ascii_lowercase(), &out[at + 3..]);
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{slash}{path}")
}

pub fn target(uri: &Uri) -> String {
    spelled(uri.to_string().as_bytes())
}

/// Where requests begin and end, and what is blanked, does not depend on the pieces.
fn followed(data: &[u8]) {
    let follow = |cut: usize| -> (VecDeque<Verdict>, Vec<u8>, Vec<u8>) {
        let (mut follower, mut ready, mut bytes) = (Follower::default(), VecDeque::new(), data.to_vec());
        bytes.chunks_mut(cut).for_each(|piece| follower.follow(piece, &mut ready));
        (ready, bytes, follower.head().to_vec())
    };
    let whole = follow(usize::MAX);
    assert!(whole.1.len() == data.len() && whole.2.len() <= data.len());
    for cut in [1, 2, 3, 7, 1 + data.len() / 2] {
        assert!(follow(cut) == whole, "in pieces of {cut}: {}", shown(data));
    }
}

/// The lenient reading for the log, of a head that is right, is the strict one.
fn raw(data: &[u8]) {
    let lenient = RawHead::read(data);
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(_)) = head.parse(data) else { return };
    let lenient = lenient.expect("a head that is whole can be read");
    assert!(lenient.has_clear_fields, "{}", shown(data));
    assert_eq!(lenient.method, head.method.unwrap_or_default().as_bytes());
    assert_eq!(lenient.target, head.path.unwrap_or_default().as_bytes());
    let theirs: Vec<_> = head.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(lenient.fields, theirs, "{}", shown(data));
}
