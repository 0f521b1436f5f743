//! Fills the store from heads and bodies. What each collection holds follows ModSecurity's
//! reference; where its versions differ, version 2.

use super::Collection as C;
use super::store::{Span, Store};
use crate::waf::body::{self, Bounds, MultipartFlaw, Processor, Sink};
use crate::waf::input::{Body, ConnectionFacts, RequestHead, ResponseHead};

/// What later phases need to know of what was collected.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The request's first Content-Type.
    content_type: Option<Span>,
    /// Names and values of arguments, bytes.
    args_size: usize,
    /// Why the query string was not read whole.
    query_error: Option<String>,
    /// The first Content-Length, and whether there is a Content-Encoding.
    content_length: Option<u64>,
    is_coded: bool,
}

/// Of a body that no parser takes apart rules see this much. What is worth finding in one stands
/// at its beginning, and uploads are long.
pub(crate) const OPAQUE_BYTES: usize = 16 * 1024;

impl Notes {
    /// The length of an announced body that rules cannot say anything about: neither text nor a
    /// format that is taken apart, and longer than rules look. Such a body is not collected.
    pub fn opaque_length(&self, store: &Store) -> Option<u64> {
        let content_type = store.get(self.content_type?);
        let length = self.content_length.filter(|length| *length > OPAQUE_BYTES as u64)?;
        let opaque = body::select(content_type).is_none() && !body::is_textual(content_type);
        (opaque && !self.is_coded).then_some(length)
    }
}

pub(crate) fn connection(store: &mut Store, facts: &ConnectionFacts) {
    let address = |store: &mut Store, collection: C, ip: std::net::IpAddr| {
        let span = store.keep_text(format_args!("{ip}"));
        store.add(collection, Span::default(), span);
    };
    address(store, C::RemoteAddr, facts.client_ip);
    store.add_number(C::RemotePort, u64::from(facts.client_port));
    if let Some(ip) = facts.server_ip {
        address(store, C::ServerAddr, ip);
    }
    store.add_number(C::ServerPort, u64::from(facts.server_port));
    if let Some(sni) = facts.sni {
        store.add_bytes(C::Sni, sni.as_bytes());
    }
    if let Some(identity) = facts.identity {
        store.add_bytes(C::RemoteUser, identity.as_bytes());
    }
    store.add_bytes(C::UniqueId, facts.unique_id.as_bytes());
}

pub(crate) fn request_head(store: &mut Store, head: &RequestHead, notes: &mut Notes) {
    // The line is "METHOD target PROTOCOL", so that the three are pieces of one text.
    let line_start = store.bytes.len();
    let method = store.keep(head.method.as_bytes());
    store.keep(b" ");
    let target = store.keep(head.target);
    store.keep(b" ");
    let protocol = store.keep(head.protocol.as_bytes());
    let line = Span { start: line_start, end: store.bytes.len() };
    let none = Span::default();
    store.add(C::RequestMethod, none, method);
    store.add(C::RequestProtocol, none, protocol);
    store.add(C::RequestLine, none, line);
    store.add(C::RequestUriRaw, none, target);
    let uri = target.part(&(path_start(head.target)..head.target.len()));
    store.add(C::RequestUri, none, uri);

    let uri_bytes = &head.target[head.target.len() - uri.len()..];
    let query_at = memchr::memchr(b'?', uri_bytes);
    let raw_path = uri.part(&(0..query_at.unwrap_or(uri.len())));
    let filename = if memchr::memchr(b'%', store.get(raw_path)).is_some() {
        let decoded: Vec<u8> = percent_encoding::percent_decode(store.get(raw_path)).collect();
        store.keep(&decoded)
    } else {
        raw_path
    };
    store.add(C::RequestFilename, none, filename);
    let slash = store.get(filename).iter().rposition(|b| matches!(b, b'/' | b'\\'));
    store.add(C::RequestBasename, none, filename.part(&(slash.map_or(0, |at| at + 1)..filename.len())));
    if let Some(at) = query_at {
        let query = uri.part(&(at + 1..uri.len()));
        store.add(C::QueryString, none, query);
        let mut sink =
            Arguments { store, names: C::ArgsGetNames, values: C::ArgsGet, size: 0, files: 0, flaw: false };
        let read = body::query(&uri_bytes[at + 1..], &Bounds::default(), &mut sink);
        notes.args_size += sink.size;
        notes.query_error = read.err().map(|error| format!("query string: {error}"));
    }
    store.add_bytes(C::ServerName, head.host.as_bytes());
    for field in head.fields {
        let name = store.keep(field.name);
        let value = store.keep(field.value);
        store.add(C::RequestHeaders, name, value);
        store.add(C::RequestHeadersNames, name, name);
        if field.name.eq_ignore_ascii_case(b"cookie") {
            let (names, values) = (C::RequestCookiesNames, C::RequestCookies);
            body::cookies(
                field.value,
                &mut Arguments { store, names, values, size: 0, files: 0, flaw: false },
            );
        } else if notes.content_type.is_none() && field.name.eq_ignore_ascii_case(b"content-type") {
            notes.content_type = Some(value);
        } else if notes.content_length.is_none() && field.name.eq_ignore_ascii_case(b"content-length") {
            notes.content_length = std::str::from_utf8(field.value).ok().and_then(|text| text.parse().ok());
        } else if field.name.eq_ignore_ascii_case(b"content-encoding") {
            notes.is_coded = true;
        }
    }
}

/// Takes the body apart by its content type. `keep_raw` says whether some rule looks at the
/// body as it is.
pub(crate) fn request_body(store: &mut Store, body: &Body, keep_raw: bool, notes: &mut Notes) {
    let content_type = notes.content_type.map(|span| store.get(span).to_vec()).unwrap_or_default();
    let processor = body::select(&content_type);
    let mut error = body.coding_error.map(|error| format!("content coding: {error}"));
    let mut sink =
        Arguments { store, names: C::ArgsPostNames, values: C::ArgsPost, size: 0, files: 0, flaw: false };
    if let Some(processor) = processor.filter(|_| !body.bytes.is_empty()) {
        let read =
            body::parse(processor, &content_type, body.bytes, body.extent, &Bounds::default(), &mut sink);
        error = error.or(read.err().map(|error| error.to_string()));
    }
    let (size, files, flaw) = (sink.size, sink.files, sink.flaw);
    notes.args_size += size;
    // A form is also inspected as it is, and so is what no parser took apart: a body in an
    // unknown format, or one that breaks its format's rules, must not pass unseen.
    let raw = error.is_some() || matches!(processor, None | Some(Processor::Urlencoded));
    if raw && keep_raw && !body.bytes.is_empty() {
        let seen = if processor.is_none() { body.bytes.len().min(OPAQUE_BYTES) } else { body.bytes.len() };
        store.add_bytes(C::RequestBody, &body.bytes[..seen]);
    }
    // What was not collected has the length that was announced.
    let announced = if body.bytes.is_empty() { notes.opaque_length(store) } else { None };
    let length = announced.unwrap_or(body.bytes.len() as u64);
    let error = error.or(notes.query_error.take());
    store.add_number(C::RequestBodyLength, length);
    store.add_bytes(C::ReqbodyProcessor, processor.map_or("", Processor::name).as_bytes());
    store.add_number(C::ReqbodyError, u64::from(error.is_some()));
    store.add_bytes(C::ReqbodyErrorMsg, error.unwrap_or_default().as_bytes());
    store.add_number(C::MultipartStrictError, u64::from(flaw));
    store.add_number(C::ArgsCombinedSize, notes.args_size as u64);
    store.add_number(C::FilesCombinedSize, files as u64);
}

pub(crate) fn response_head(store: &mut Store, head: &ResponseHead) {
    store.add_number(C::ResponseStatus, u64::from(head.status));
    store.add_bytes(C::ResponseProtocol, head.protocol.as_bytes());
    for field in head.fields {
        let name = store.keep(field.name);
        let value = store.keep(field.value);
        store.add(C::ResponseHeaders, name, value);
        store.add(C::ResponseHeadersNames, name, name);
        let also = if field.name.eq_ignore_ascii_case(b"content-type") {
            C::ResponseContentType
        } else if field.name.eq_ignore_ascii_case(b"content-length") {
            C::ResponseContentLength
        } else {
            continue;
        };
        if store.first(also).is_none() {
            store.add(also, Span::default(), value);
        }
    }
}

/// Where path and query begin in a request target (RFC 9112 section 3.2): absolute-form has
/// scheme and authority before them. `//host` is a path, not an authority.
fn path_start(target: &[u8]) -> usize {
    let Some(scheme) = memchr::memmem::find(target, b"://") else { return 0 };
    if scheme == 0 || !target[..scheme].iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)) {
        return 0;
    }
    let authority = scheme + 3;
    let length =
        target[authority..].iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(target.len() - authority);
    authority + length
}

/// Puts what a parser finds into collections.
struct Arguments<'a> {
    store: &'a mut Store,
    names: C,
    values: C,
    size: usize,
    files: usize,
    flaw: bool,
}

impl Sink for Arguments<'_> {
    fn arg(&mut self, name: &[u8], value: &[u8]) {
        let name = self.store.keep(name);
        let value = self.store.keep(value);
        self.size += name.len() + value.len();
        self.store.add(self.values, name, value);
        self.store.add(self.names, name, name);
    }

    fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
        let field = self.store.keep(field);
        let filename = self.store.keep(filename);
        self.files += size;
        self.store.add(C::Files, field, filename);
        self.store.add(C::FilesNames, field, field);
    }

    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        let part = self.store.keep(part);
        let line = self.store.keep(line);
        self.store.add(C::MultipartPartHeaders, part, line);
    }

    fn xml_text(&mut self, text: &[u8]) {
        self.store.add_bytes(C::XmlText, text);
    }

    fn xml_attribute(&mut self, value: &[u8]) {
        self.store.add_bytes(C::XmlAttributes, value);
    }

    fn multipart_strict_error(&mut self, _flaw: MultipartFlaw) {
        self.flaw = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_found_in_every_form_of_target() {
        for (target, expect) in [
            ("/a?b", "/a?b"),
            ("http://h/a?b", "/a?b"),
            ("http://h:8443?b", "?b"),
            ("http://h", ""),
            ("*", "*"),
            ("/redirect?to=http://h/x", "/redirect?to=http://h/x"),
            ("//host/path", "//host/path"),
            ("://x/y", "://x/y"),
        ] {
            assert_eq!(&target[path_start(target.as_bytes())..], expect, "{target}");
        }
    }
}
