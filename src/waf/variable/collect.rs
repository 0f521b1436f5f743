//! Fills the store from heads and bodies. What each collection holds follows ModSecurity's
//! reference; where its versions differ, version 2.

use super::Collection as C;
use super::joined;
use super::store::{Span, Store};
use crate::waf::body::runs::{SHORTEST, runs};
use crate::waf::body::{self, BodyError, Bounds, MultipartFlaw, Processor, Sink};
use crate::waf::engine::Program;
use crate::waf::input::{Body, ConnectionFacts, Extent, Message, Opcode, RequestHead, ResponseHead};
use crate::waf::lang::ast::RequestBodies;

/// What later phases need to know of what was collected.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The request's first Content-Type.
    content_type: Option<Span>,
    /// Names and values of arguments, bytes.
    args_size: usize,
    /// Why the query string was not read whole.
    query_error: Option<BodyError>,
    /// The first Content-Length, and whether there is a Content-Encoding.
    content_length: Option<u64>,
    is_coded: bool,
    /// Arguments so far, while their number is bounded.
    args: usize,
    pub urlencoded_error: bool,
    /// The body was longer than what is looked at.
    pub inbound_cut: bool,
    pub outbound_cut: bool,
    /// What the multipart parser found, by [`MultipartFlaw::bit`].
    pub flaws: u32,
    pub unmatched_boundary: u8,
}

/// Of a body that no parser takes apart rules see this much. What is worth finding in one stands
/// at its beginning, and uploads are long.
pub(crate) const OPAQUE_BYTES: usize = 16 * 1024;

/// How slices of a body are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    pub processor: Processor,
    /// Only if the body begins as JSON does.
    pub if_json: bool,
}

/// How the request body is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What a rule chose; otherwise the Content-Type does.
    pub processor: Option<Processor>,
    /// A rule wants `request_body` filled.
    pub forced: bool,
}

impl Notes {
    /// What takes the body apart. ModSecurity reads JSON and XML only when a rule says so.
    pub fn processor(
        &self,
        store: &Store,
        bodies: RequestBodies,
        chosen: Option<Processor>,
    ) -> Option<Processor> {
        let by_type = || {
            body::select(store.get(self.content_type?)).filter(|processor| {
                bodies == RequestBodies::ByContentType
                    || matches!(processor, Processor::Urlencoded | Processor::Multipart)
            })
        };
        chosen.or_else(by_type)
    }

    /// How slices of the body are read. What is only shown as it stands is shown up to [`OPAQUE_BYTES`] of it, and so has
    /// none; but text may be JSON, which is taken apart to its end.
    pub fn slices(&self, store: &Store, program: &Program, reading: Reading) -> Option<Slices> {
        let content_type = self.content_type.map_or(&b""[..], |span| store.get(span));
        match self.processor(store, program.request_bodies, reading.processor) {
            Some(Processor::Protobuf | Processor::Grpc) => None,
            Some(processor) => Some(Slices { processor, if_json: false }),
            None => {
                let read = program.request_bodies == RequestBodies::ByContentType && !reading.forced;
                (read && body::is_textual(content_type))
                    .then_some(Slices { processor: Processor::Json, if_json: true })
            }
        }
    }

    /// The length of an announced body that rules cannot say anything about: neither text nor a
    /// format that is taken apart, and longer than rules look. Such a body is not collected.
    pub fn opaque_length(&self, store: &Store, program: &Program, reading: Reading) -> Option<u64> {
        let content_type = store.get(self.content_type?);
        let length = self.content_length.filter(|length| *length > OPAQUE_BYTES as u64)?;
        let asked_for = reading.processor.is_some() || reading.forced || program.mentions(C::FullRequest);
        let opaque = body::select(content_type).is_none() && !body::is_textual(content_type);
        (opaque && !asked_for && !self.is_coded).then_some(length)
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

pub(crate) fn request_head(store: &mut Store, head: &RequestHead, program: &Program, notes: &mut Notes) {
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
    // No origin is sent a fragment (RFC 9112 section 3.2), so path and query are without it. Arguments
    // are read to the end all the same: what came must not pass unseen.
    let end = memchr::memchr(b'#', head.target).unwrap_or(head.target.len());
    let uri_bytes = &head.target[path_start(&head.target[..end])..end];
    let uri = target.part(&(end - uri_bytes.len()..end));
    store.add(C::RequestUri, none, uri);

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
    }
    let whole = &head.target[end - uri_bytes.len()..];
    if let Some(at) = memchr::memchr(b'?', whole) {
        let limit = program.arguments_limit;
        let mut sink = Arguments::new(store, C::ArgsGetNames, C::ArgsGet, limit, notes);
        let read = body::query(&whole[at + 1..], &bounds(limit), &mut sink);
        let error = sink.finish(read);
        notes.query_error = error;
        notes.urlencoded_error = body::has_invalid_percent(&whole[at + 1..]);
    }
    store.add_bytes(C::ServerName, head.host.as_bytes());
    for field in head.fields {
        let name = store.keep(field.name);
        let value = store.keep(field.value);
        store.add(C::RequestHeaders, name, value);
        store.add(C::RequestHeadersNames, name, name);
        if field.name.eq_ignore_ascii_case(b"cookie") {
            // Cookies are no arguments: neither their number nor their size counts as such.
            let mut apart = Notes::default();
            let (names, values) = (C::RequestCookiesNames, C::RequestCookies);
            body::cookies(field.value, &mut Arguments::new(store, names, values, None, &mut apart));
        } else if notes.content_type.is_none() && field.name.eq_ignore_ascii_case(b"content-type") {
            notes.content_type = Some(value);
        } else if notes.content_length.is_none() && field.name.eq_ignore_ascii_case(b"content-length") {
            notes.content_length = std::str::from_utf8(field.value).ok().and_then(|text| text.parse().ok());
        } else if field.name.eq_ignore_ascii_case(b"content-encoding") {
            notes.is_coded = true;
        }
    }
}

/// Takes the body apart.
///
/// `request_body` is ModSecurity 2's: a form, or a body for which a rule asked. (Version 3 always
/// fills it, and rules written for version 2 then match twice.) On top of that, where bodies are
/// read by their Content-Type, it holds what no parser took apart: a body in an unknown format,
/// or one that breaks its format's rules, must not pass unseen. Where it is text, it is an argument
/// of that name as well.
pub(crate) fn request_body(
    store: &mut Store,
    body: &Body,
    program: &Program,
    reading: Reading,
    notes: &mut Notes,
) {
    let content_type = notes.content_type.map(|span| store.get(span).to_vec()).unwrap_or_default();
    let bodies = program.request_bodies;
    let processor = notes.processor(store, bodies, reading.processor);
    let mut error = body.coding_error.map(|error| format!("content coding: {error}"));
    let mut codes: Vec<&'static str> = body.coding_error.map(|_| "coding").into_iter().collect();
    codes.extend(notes.query_error.as_ref().map(BodyError::code));
    notes.inbound_cut = body.extent == Extent::Partial;
    let mut sink = Arguments::new(store, C::ArgsPostNames, C::ArgsPost, program.arguments_limit, notes);
    sink.wants_part_names = program.mentions(C::MultipartName);
    sink.wants_file_sizes = program.mentions(C::FilesSizes);
    sink.wants_file_contents = program.mentions(C::FilesTmpContent);
    let bounds =
        Bounds { second_reading: bodies == RequestBodies::ByContentType, ..bounds(program.arguments_limit) };
    let read = match processor {
        _ if body.bytes.is_empty() => Ok(()),
        Some(processor) => body::parse(processor, &content_type, body.bytes, body.extent, &bounds, &mut sink),
        None if bounds.second_reading && !reading.forced && body::is_textual(&content_type) => {
            body::text(&content_type, body.bytes, body.extent, OPAQUE_BYTES, &bounds, &mut sink)
        }
        None => Ok(()),
    };
    let read = sink.finish(read);
    match processor {
        // In which charset a field is says nothing about the parts.
        Some(Processor::Multipart) => {
            sink.flaw |= read.as_ref().is_some_and(|error| *error != BodyError::Charset);
        }
        Some(Processor::Urlencoded) => {
            sink.notes.urlencoded_error |= body::has_invalid_percent(body.bytes);
        }
        _ => {}
    }
    codes.extend(read.as_ref().map(BodyError::code));
    error = error.or(read.map(|error| error.to_string()));
    let files = sink.files;
    let quoted =
        bodies == RequestBodies::AsModsecurity && sink.notes.flaws & MultipartFlaw::BoundaryQuoted.bit() != 0;
    let flaw = sink.flaw || quoted;
    let unread = error.is_some() || processor.is_none();
    let raw = reading.forced
        || processor == Some(Processor::Urlencoded)
        || (bodies == RequestBodies::ByContentType && unread);
    if raw && program.mentions(C::RequestBody) && !body.bytes.is_empty() {
        let opaque = processor.is_none() && !reading.forced;
        let seen = if opaque { body.bytes.len().min(OPAQUE_BYTES) } else { body.bytes.len() };
        store.add_bytes(C::RequestBody, &body.bytes[..seen]);
    }
    if program.mentions(C::ArgsJoined) {
        joined::fill(store, C::ArgsGet);
        if matches!(processor, Some(Processor::Urlencoded | Processor::Multipart)) {
            joined::fill(store, C::ArgsPost);
        }
    }
    full_request(store, body, program);
    // What was not collected has the length that was announced.
    let announced = if body.bytes.is_empty() { notes.opaque_length(store, program, reading) } else { None };
    let length = announced.unwrap_or(body.bytes.len() as u64);
    let error = error.or(notes.query_error.take().map(|error| format!("query string: {error}")));
    store.add_number(C::RequestBodyLength, length);
    store.add_number(C::ReqbodyError, u64::from(error.is_some()));
    store.add_bytes(C::ReqbodyErrorMsg, error.unwrap_or_default().as_bytes());
    codes.iter().for_each(|code| store.add_bytes(C::ReqbodyErrorCode, code.as_bytes()));
    store.add_number(C::MultipartStrictError, u64::from(flaw));
    store.add_number(C::ArgsCombinedSize, notes.args_size as u64);
    store.add_number(C::FilesCombinedSize, files as u64);
}

/// A slice of a body, from behind its beginning: what values it has. What is told of a body as a whole is told of the
/// slice, and nothing that only the whole can be.
pub(crate) fn request_part(
    store: &mut Store,
    part: &Body,
    program: &Program,
    reading: Reading,
    notes: &mut Notes,
) {
    let content_type = notes.content_type.map(|span| store.get(span).to_vec()).unwrap_or_default();
    let processor = notes.slices(store, program, reading).map(|slices| slices.processor);
    notes.inbound_cut = true;
    let mut sink = Arguments::new(store, C::ArgsPostNames, C::ArgsPost, program.arguments_limit, notes);
    sink.wants_part_names = program.mentions(C::MultipartName);
    sink.wants_file_contents = program.mentions(C::FilesTmpContent);
    let mut error = part.coding_error.map(|error| format!("content coding: {error}"));
    let mut codes: Vec<&'static str> = part.coding_error.map(|_| "coding").into_iter().collect();
    if let Some(processor) = processor {
        let bounds = bounds(program.arguments_limit);
        let read = body::parse_part(processor, &content_type, part.bytes, &bounds, &mut sink);
        let read = sink.finish(read);
        codes.extend(read.as_ref().map(BodyError::code));
        error = error.or(read.map(|error| error.to_string()));
    }
    if processor == Some(Processor::Urlencoded) && program.mentions(C::RequestBody) {
        store.add_bytes(C::RequestBody, part.bytes);
    }
    store.add_number(C::RequestBodyLength, part.bytes.len() as u64);
    store.add_number(C::ReqbodyError, u64::from(error.is_some()));
    store.add_bytes(C::ReqbodyErrorMsg, error.unwrap_or_default().as_bytes());
    codes.iter().for_each(|code| store.add_bytes(C::ReqbodyErrorCode, code.as_bytes()));
    store.add_number(C::MultipartStrictError, 0);
    store.add_number(C::ArgsCombinedSize, notes.args_size as u64);
}

/// The name under which a message that is not JSON stands among the arguments.
const MESSAGE: &[u8] = b"websocket_message";

/// A client's message on a WebSocket, read as the opening request's body. JSON is taken apart, also
/// behind the number that engine.io and socket.io put before it; other text is one argument, and of
/// bytes that are no text, each piece that is.
pub(crate) fn client_message(
    store: &mut Store,
    message: &Message,
    program: &Program,
    reading: Reading,
    notes: &mut Notes,
) {
    let digits = message.bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = &message.bytes[digits..];
    if message.extent == Extent::Whole && is_json(behind) {
        let body = Body { bytes: behind, extent: Extent::Whole, coding_error: None };
        let reading = Reading { processor: Some(Processor::Json), ..reading };
        return request_body(store, &body, program, reading, notes);
    }
    let mut sink = Arguments::new(store, C::ArgsPostNames, C::ArgsPost, program.arguments_limit, notes);
    let is_text = message.opcode == Opcode::Text || std::str::from_utf8(message.bytes).is_ok_and(is_plain);
    if is_text {
        sink.arg(MESSAGE, message.bytes);
    } else {
        let mut seen = 0;
        for piece in runs(message.bytes, SHORTEST).take(MOST_PIECES) {
            seen = piece.as_ptr() as usize + piece.len() - message.bytes.as_ptr() as usize;
            sink.arg(MESSAGE, piece);
        }
        // More than that are not told apart, and looked at all the same.
        let rest = &message.bytes[seen..];
        if runs(rest, SHORTEST).next().is_some() {
            sink.arg(MESSAGE, rest);
        }
    }
    let body = Body { bytes: message.bytes, extent: message.extent, coding_error: None };
    request_body(store, &body, program, Reading { forced: is_text, ..reading }, notes);
}

/// True for an object or a list that a strict reader takes.
fn is_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

/// Strings of a binary message that are arguments of their own.
const MOST_PIECES: usize = 1000;

/// Header lines as received, two line ends, and the body: what ModSecurity's versions build. Only
/// for rules that ask, since it is as large as the request.
fn full_request(store: &mut Store, body: &Body, program: &Program) {
    let (whole, length) = (program.mentions(C::FullRequest), program.mentions(C::FullRequestLength));
    if !whole && !length {
        return;
    }
    let start = store.bytes.len();
    let mut size = 2 + body.bytes.len();
    for at in 0..store.index[C::RequestHeaders as usize].len() {
        let field = store.values[store.index[C::RequestHeaders as usize][at] as usize];
        size += field.key.len() + field.value.len() + 3;
        if whole {
            store.bytes.extend_from_within(field.key.start..field.key.end);
            store.keep(b": ");
            store.bytes.extend_from_within(field.value.start..field.value.end);
            store.keep(b"\n");
        }
    }
    if whole {
        store.keep(b"\n\n");
        let end = store.keep(body.bytes).end;
        store.add(C::FullRequest, Span::default(), Span { start, end });
    }
    if length {
        store.add_number(C::FullRequestLength, size as u64);
    }
}

/// What parsers may read. A setup's limit on arguments is the sink's to keep: it holds for query
/// and body together.
fn bounds(arguments_limit: Option<usize>) -> Bounds {
    let usual = Bounds::default();
    let Some(limit) = arguments_limit else { return usual };
    Bounds { args: usual.args.max(limit), leaves: usual.leaves.max(limit), ..usual }
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
    notes: &'a mut Notes,
    names: C,
    values: C,
    /// How many arguments the exchange may have.
    limit: Option<usize>,
    over: bool,
    files: usize,
    /// Something that parsers disagree on.
    flaw: bool,
    wants_part_names: bool,
    wants_file_sizes: bool,
    wants_file_contents: bool,
}

impl<'a> Arguments<'a> {
    fn new(
        store: &'a mut Store,
        names: C,
        values: C,
        limit: Option<usize>,
        notes: &'a mut Notes,
    ) -> Arguments<'a> {
        Arguments {
            store,
            notes,
            names,
            values,
            limit,
            over: false,
            files: 0,
            flaw: false,
            wants_part_names: false,
            wants_file_sizes: false,
            wants_file_contents: false,
        }
    }

    /// The parser's outcome, or that there were too many arguments.
    fn finish(&self, read: Result<(), BodyError>) -> Option<BodyError> {
        let over = self.limit.filter(|_| self.over).map(BodyError::TooManyArgs);
        over.or(read.err())
    }
}

impl Sink for Arguments<'_> {
    fn arg(&mut self, name: &[u8], value: &[u8]) {
        self.notes.args += 1;
        if self.limit.is_some_and(|limit| self.notes.args > limit) {
            self.over = true;
            return;
        }
        let name = self.store.keep(name);
        let value = self.store.keep(value);
        self.notes.args_size += name.len() + value.len();
        self.store.add(self.values, name, value);
        self.store.add(self.names, name, name);
    }

    fn text(&mut self, text: &[u8]) {
        self.arg(b"request_body", text);
    }

    fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
        let field = self.store.keep(field);
        let filename = self.store.keep(filename);
        self.files += size;
        self.store.add(C::Files, field, filename);
        self.store.add(C::FilesNames, field, field);
        if self.wants_file_sizes {
            let size = self.store.keep_number(size as u64);
            self.store.add(C::FilesSizes, field, size);
        }
    }

    /// All of it: a script stands behind a picture as well as before it.
    fn file_content(&mut self, field: &[u8], content: &[u8]) {
        if self.wants_file_contents {
            let field = self.store.keep(field);
            let content = self.store.keep(content);
            self.store.add(C::FilesTmpContent, field, content);
        }
    }

    fn part_name(&mut self, name: &[u8]) {
        if self.wants_part_names {
            let name = self.store.keep(name);
            self.store.add(C::MultipartName, name, name);
        }
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

    /// Each of them is a strict error, but for quotes around the boundary: that is correct, and
    /// only where bodies are read as ModSecurity does it is counted.
    fn multipart_flaw(&mut self, flaw: MultipartFlaw) {
        self.notes.flaws |= flaw.bit();
        self.flaw |= flaw != MultipartFlaw::BoundaryQuoted;
        if flaw == MultipartFlaw::UnmatchedBoundary {
            self.notes.unmatched_boundary = 1;
        }
    }

    fn boundary_like(&mut self, followed: bool) {
        if self.notes.unmatched_boundary != 1 {
            self.notes.unmatched_boundary = if followed { 2 } else { 1 };
        }
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
