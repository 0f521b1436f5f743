//! `multipart/form-data` bodies: fields into arguments, files into their names and sizes, and
//! every header line of a part.
//!
//! This is a reader of its own because what matters to a rule is what parsers disagree on, and
//! a parser made for applications hides it: second Content-Disposition fields and parameters,
//! lines that end in LF, boundaries in odd places, a body that just stops. Each is read the way
//! that shows rules the most, and told as a [`MultipartFlaw`]. On well-formed bodies it agrees
//! with multer, which the tests hold it against. File contents are not arguments, unless a parser
//! may take the file for a field. Where there are two boundaries the body is read by both; a part
//! that is multipart itself is shown whole and in its parts.

use memchr::{memchr, memmem};

use crate::waf::input::Extent;

use super::{BodyError, Bounds, Charset, MultipartFlaw, Sink};
use part::{parameters_of, part};
pub(super) use place::{boundaries_of, last_end, place};

mod part;
mod place;

/// RFC 2046 section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// Multipart in multipart is read so deep. RFC 7578 section 4.3 knows none any more.
const DEEPEST: usize = 3;

/// Reads a multipart body.
pub(super) fn parse(
    content_type: &[u8],
    charset: Charset,
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let charset = match bounds.second_reading {
        true => agreed(charset, &of_the_form(content_type, bytes, extent, bounds)),
        false => charset,
    };
    let mut sink = Flaws::new(charset, sink);
    let mut named = boundaries(content_type, &mut sink);
    // Without a name the first line is one: some parsers guess so, too.
    let mut outcome = if named.is_empty() { Err(BodyError::NoBoundary) } else { Ok(()) };
    if !bounds.second_reading {
        named.truncate(1);
    } else if named.is_empty() {
        named.extend(first_line(bytes));
    }
    for boundary in &named {
        match with_boundary(boundary, 1, bytes, extent, bounds, &mut sink) {
            Err(error) if error.is_bound() => return Err(error),
            read => outcome = outcome.and(read),
        }
    }
    if sink.unknown_charset { Charset::Unknown.outcome(outcome) } else { outcome }
}

/// What fields `_charset_` say, each once. Such a field speaks of all parts, also of those before it (RFC 7578 section
/// 4.6), so it is looked for first.
fn of_the_form(content_type: &[u8], bytes: &[u8], extent: Extent, bounds: &Bounds) -> Vec<Charset> {
    if memmem::find(bytes, CHARSET_FIELD).is_none() {
        return Vec::new();
    }
    let mut nothing = super::later::Nothing;
    let mut sink = Flaws::new(Charset::Plain, &mut nothing);
    let mut named = boundaries(content_type, &mut sink);
    if named.is_empty() {
        named.extend(first_line(bytes));
    }
    for boundary in &named {
        // What is wrong with the body, the reading that counts will say.
        let _ = with_boundary(boundary, 1, bytes, extent, bounds, &mut sink);
    }
    sink.said
}

/// The charset of parts that name none. Where it is said twice and differently it is not known: readers take the first
/// or the last, or heed one of the two places alone.
fn agreed(of_the_body: Charset, said: &[Charset]) -> Charset {
    let mut other =
        std::iter::once(of_the_body).chain(said.iter().copied()).filter(|it| *it != Charset::Plain);
    let first = other.next().unwrap_or(Charset::Plain);
    if other.any(|another| another != first) { Charset::Unknown } else { first }
}

/// The boundary that a body without a named one begins with.
fn first_line(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = bytes.trim_ascii_start();
    let line = &bytes[..memchr(b'\n', bytes)?];
    let boundary = line.strip_prefix(b"--")?.trim_ascii_end();
    (!boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY).then(|| boundary.to_vec())
}

fn with_boundary(
    boundary: &[u8],
    depth: usize,
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut Flaws<'_>,
) -> Result<(), BodyError> {
    let delimiter = [b"--", boundary].concat();
    let mut marks = Marks { bytes, finder: memmem::Finder::new(&delimiter), length: delimiter.len(), at: 0 };

    let Some(first) = marks.next(sink) else {
        if extent == Extent::Partial {
            return Ok(());
        }
        preamble(bytes, false, sink);
        return Err(malformed("it has no boundary", bytes.len()));
    };
    preamble(&bytes[..first.line], true, sink);
    let mut mark = first;
    loop {
        if mark.is_final {
            if !bytes[mark.end..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                sink.flaw(MultipartFlaw::DataAfter);
                // A parser that looks for the next boundary alone goes on there.
                if let Some(next) = marks.next(sink) {
                    mark = next;
                    continue;
                }
            }
            return Ok(());
        }
        let next = marks.next(sink);
        let end = next.map_or(bytes.len(), |next| next.content_end(bytes));
        // A body cut right behind a boundary has no part there.
        if next.is_some() || mark.end < bytes.len() {
            sink.parts += 1;
            if sink.parts > bounds.parts {
                sink.flaw(MultipartFlaw::TooManyParts);
                return Err(BodyError::TooManyParts(bounds.parts));
            }
            // With the line end of the boundary.
            if has_boundary_like(&bytes[(mark.end.min(end) - 1).min(end)..end]) {
                sink.sink.boundary_like(next.is_some());
            }
            let cut = next.is_none() && extent == Extent::Partial;
            part(&bytes[mark.end.min(end)..end], cut, depth, bounds, sink)?;
        }
        match next {
            Some(next) => mark = next,
            None if extent == Extent::Partial => return Ok(()),
            None => {
                sink.flaw(MultipartFlaw::NoFinalBoundary);
                return Err(malformed("the final boundary is missing", bytes.len()));
            }
        }
    }
}

fn malformed(problem: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { processor: "MULTIPART", problem, at }
}

/// What stands in front of the first boundary, or is all there is. Line ends alone are let pass
/// here and behind the last boundary, where ModSecurity flags them, too: all parsers skip them.
fn preamble(text: &[u8], followed: bool, sink: &mut Flaws<'_>) {
    if text.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return;
    }
    sink.flaw(MultipartFlaw::DataBefore);
    // Without the line end of the boundary that follows.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.starts_with(b"--") || has_boundary_like(text) {
        sink.sink.boundary_like(followed);
    }
}

/// True when a line behind the first one begins with two hyphens.
fn has_boundary_like(text: &[u8]) -> bool {
    memmem::find(text, b"\n--").is_some()
}

/// Tells each flaw once.
struct Flaws<'s> {
    /// As [`MultipartFlaw::bit`] says, and one bit for having seen CRLF.
    seen: u32,
    parts: usize,
    /// Of parts that name none: the body's, or what a field `_charset_` says (RFC 7578 section 4.6).
    charset: Charset,
    unknown_charset: bool,
    /// What fields `_charset_` said so far.
    said: Vec<Charset>,
    sink: &'s mut dyn Sink,
}

const CRLF: u32 = 1 << 31;

/// The field that says in which charset the others are.
const CHARSET_FIELD: &[u8] = b"_charset_";

impl<'s> Flaws<'s> {
    fn new(charset: Charset, sink: &'s mut dyn Sink) -> Flaws<'s> {
        Flaws { seen: 0, parts: 0, charset, unknown_charset: false, said: Vec::new(), sink }
    }

    fn flaw(&mut self, flaw: MultipartFlaw) {
        if self.seen & flaw.bit() == 0 {
            self.seen |= flaw.bit();
            self.sink.multipart_flaw(flaw);
        }
    }

    /// A boundary or header line ended.
    fn line_end(&mut self, with_cr: bool) {
        if with_cr {
            self.seen |= CRLF;
        } else {
            self.flaw(MultipartFlaw::LineFeed);
        }
        if self.seen & CRLF != 0 && self.seen & MultipartFlaw::LineFeed.bit() != 0 {
            self.flaw(MultipartFlaw::MixedLines);
        }
    }
}

/// The boundaries that a Content-Type names: one, or the first and the last.
fn boundaries(content_type: &[u8], sink: &mut Flaws<'_>) -> Vec<Vec<u8>> {
    const NAME: &[u8] = b"boundary";
    let semicolon = memchr(b';', content_type).unwrap_or(content_type.len());
    let named =
        content_type[..semicolon].windows(NAME.len()).position(|part| part.eq_ignore_ascii_case(NAME));
    let parameters = match named {
        Some(at) => {
            sink.flaw(MultipartFlaw::MissingSemicolon);
            [b";", &content_type[at..]].concat()
        }
        None => content_type[semicolon..].to_vec(),
    };
    let all = parameters_of(&parameters, sink).into_iter().filter(|p| p.name.eq_ignore_ascii_case(NAME));
    let mut found: Vec<Vec<u8>> = Vec::new();
    for parameter in all {
        if parameter.quoted {
            sink.flaw(MultipartFlaw::BoundaryQuoted);
        }
        if parameter.spaced {
            sink.flaw(MultipartFlaw::BoundaryWhitespace);
        }
        if !found.is_empty() {
            sink.flaw(MultipartFlaw::OddBoundary);
        }
        let boundary = parameter.value;
        let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
            continue;
        }
        if !boundary.iter().all(usual) || boundary.ends_with(b" ") {
            sink.flaw(MultipartFlaw::OddBoundary);
        }
        if found.last() != Some(&boundary) {
            found.truncate(1);
            found.push(boundary);
        }
    }
    found
}

/// A boundary line.
#[derive(Clone, Copy)]
struct Mark {
    /// Where the line begins.
    line: usize,
    /// Where the bytes behind the line begin.
    end: usize,
    is_final: bool,
}

impl Mark {
    /// The line end in front of a boundary belongs to it.
    fn content_end(self, bytes: &[u8]) -> usize {
        let before = &bytes[..self.line];
        before.strip_suffix(b"\r\n").or(before.strip_suffix(b"\n")).unwrap_or(before).len()
    }
}

/// The boundary lines of a body, one after the other.
struct Marks<'a, 'd> {
    bytes: &'a [u8],
    finder: memmem::Finder<'d>,
    length: usize,
    at: usize,
}

impl Marks<'_, '_> {
    fn next(&mut self, sink: &mut Flaws<'_>) -> Option<Mark> {
        loop {
            let line = self.at + self.finder.find(&self.bytes[self.at..])?;
            self.at = line + self.length;
            if line > 0 && self.bytes[line - 1] != b'\n' {
                // In the middle of a line it is content, but some parsers split there.
                sink.flaw(MultipartFlaw::UnmatchedBoundary);
                continue;
            }
            if line > 0 {
                sink.line_end(line > 1 && self.bytes[line - 2] == b'\r');
            }
            let rest = &self.bytes[self.at..];
            if rest.starts_with(b"--") {
                return Some(Mark { line, end: self.at + 2, is_final: true });
            }
            let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let length = match &rest[padding..] {
                [b'\r', b'\n', ..] => {
                    sink.line_end(true);
                    2
                }
                [b'\n', ..] => {
                    sink.line_end(false);
                    1
                }
                // The body is cut within the line.
                [] | [b'\r'] | [b'-'] => rest.len() - padding,
                _ => {
                    sink.flaw(MultipartFlaw::UnmatchedBoundary);
                    continue;
                }
            };
            if padding > 0 {
                sink.flaw(MultipartFlaw::UnmatchedBoundary);
            }
            return Some(Mark { line, end: self.at + padding + length, is_final: false });
        }
    }
}

#[cfg(test)]
mod tests;
