//! `multipart/form-data` bodies: fields into arguments, files into their names and sizes, and
//! every header line of a part.
//!
//! This is a reader of its own because what matters to a rule is what parsers disagree on, and
//! a parser made for applications hides it: second Content-Disposition fields and parameters,
//! lines that end in LF, boundaries in odd places, a body that just stops. Each is read the way
//! that shows rules the most, and told as a [`MultipartFlaw`]. On well-formed bodies it agrees
//! with multer, which the tests hold it against. File contents are not arguments.

use memchr::{memchr, memmem};

use crate::waf::input::Extent;

use super::{BodyError, Bounds, MultipartFlaw, Sink};

/// RFC 2046 section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// Reads a multipart body.
pub(super) fn parse(
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let mut sink = Flaws { seen: 0, sink };
    let boundary = boundary(content_type, &mut sink)?;
    let delimiter = [b"--", &boundary[..]].concat();
    let mut marks = Marks { bytes, finder: memmem::Finder::new(&delimiter), length: delimiter.len(), at: 0 };

    let Some(first) = marks.next(&mut sink) else {
        if extent == Extent::Partial {
            return Ok(());
        }
        preamble(bytes, false, &mut sink);
        return Err(malformed("it has no boundary", bytes.len()));
    };
    preamble(&bytes[..first.line], true, &mut sink);
    let mut mark = first;
    let mut parts = 0;
    loop {
        if mark.is_final {
            if !bytes[mark.end..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                sink.flaw(MultipartFlaw::DataAfter);
            }
            return Ok(());
        }
        let next = marks.next(&mut sink);
        let end = next.map_or(bytes.len(), |next| next.content_end(bytes));
        // A body cut right behind a boundary has no part there.
        if next.is_some() || mark.end < bytes.len() {
            parts += 1;
            if parts > bounds.parts {
                sink.flaw(MultipartFlaw::TooManyParts);
                return Err(BodyError::TooManyParts(bounds.parts));
            }
            // With the line end of the boundary.
            if has_boundary_like(&bytes[(mark.end.min(end) - 1).min(end)..end]) {
                sink.sink.boundary_like(next.is_some());
            }
            let cut = next.is_none() && extent == Extent::Partial;
            part(&bytes[mark.end.min(end)..end], cut, bounds, &mut sink)?;
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

/// What stands between the parts.
pub(super) fn boundary_of(content_type: &[u8]) -> Option<Vec<u8>> {
    boundary(content_type, &mut Flaws { seen: 0, sink: &mut super::later::Nothing }).ok()
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
    sink: &'s mut dyn Sink,
}

const CRLF: u32 = 1 << 31;

impl Flaws<'_> {
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

fn boundary(content_type: &[u8], sink: &mut Flaws<'_>) -> Result<Vec<u8>, BodyError> {
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
    let mut all = parameters_of(&parameters, sink).into_iter().filter(|p| p.name.eq_ignore_ascii_case(NAME));
    let first = all.next().ok_or(BodyError::NoBoundary)?;
    if all.next().is_some() {
        sink.flaw(MultipartFlaw::OddBoundary);
    }
    if first.quoted {
        sink.flaw(MultipartFlaw::BoundaryQuoted);
    }
    if first.spaced {
        sink.flaw(MultipartFlaw::BoundaryWhitespace);
    }
    let boundary = first.value;
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
        return Err(BodyError::NoBoundary);
    }
    if !boundary.iter().all(usual) || boundary.ends_with(b" ") {
        sink.flaw(MultipartFlaw::OddBoundary);
    }
    Ok(boundary)
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

/// One part, from behind its boundary line to the line end in front of the next.
fn part(bytes: &[u8], cut: bool, bounds: &Bounds, sink: &mut Flaws<'_>) -> Result<(), BodyError> {
    let Head { lines, content } = head(bytes, bounds, sink)?;
    let Some(content) = content else {
        // The header goes up to the end: nothing can be said of the part yet, or it has no body.
        if !cut {
            sink.flaw(MultipartFlaw::BadHeader);
        }
        lines.iter().for_each(|line| sink.sink.part_header(b"", line));
        return Ok(());
    };
    let mut names = Vec::new();
    let mut files = Vec::new();
    let mut dispositions = 0;
    for line in &lines {
        if memchr(0, line).is_some() {
            sink.flaw(MultipartFlaw::BadHeader);
        }
        let Some(at) = memchr(b':', line) else {
            sink.flaw(MultipartFlaw::BadHeader);
            continue;
        };
        if !line[..at].trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            continue;
        }
        dispositions += 1;
        let value = line[at + 1..].trim_ascii();
        let kind = &value[..memchr(b';', value).unwrap_or(value.len())];
        if !kind.trim_ascii_end().eq_ignore_ascii_case(b"form-data") {
            // RFC 7578 section 4.2 knows no other.
            sink.flaw(MultipartFlaw::BadHeader);
        }
        let parameters = memchr(b';', value).map_or(&b""[..], |at| &value[at..]);
        for parameter in parameters_of(parameters, sink) {
            if parameter.name.eq_ignore_ascii_case(b"name") {
                names.push(parameter.value);
            } else if parameter.name.eq_ignore_ascii_case(b"filename") {
                files.push(parameter.value);
            } else if parameter.name.eq_ignore_ascii_case(b"filename*") {
                // RFC 7578 section 4.2 forbids it here; parsers that know it prefer it.
                sink.flaw(MultipartFlaw::DuplicateDisposition);
                files.push(extended(&parameter.value));
            }
        }
    }
    if dispositions > 1 || names.len() > 1 || files.len() > 1 {
        sink.flaw(MultipartFlaw::DuplicateDisposition);
    }
    first_and_last(&mut names);
    first_and_last(&mut files);
    if names.is_empty() {
        // Shown under the empty name, so that the content is inspected nevertheless.
        sink.flaw(MultipartFlaw::NoName);
        names.push(Vec::new());
    } else {
        names.iter().for_each(|name| sink.sink.part_name(name));
    }
    if names.iter().chain(&files).any(|name| name.len() > bounds.name_bytes) {
        return Err(BodyError::NameTooLong(bounds.name_bytes));
    }
    for line in &lines {
        sink.sink.part_header(&names[0], line);
    }
    if !files.is_empty() {
        sink.sink.file_content(&names[0], content);
    }
    for name in &names {
        for file in &files {
            sink.sink.file(name, file, content.len());
        }
        if files.is_empty() {
            if content.len() > bounds.value_bytes {
                return Err(BodyError::ValueTooLong(bounds.value_bytes));
            }
            sink.sink.arg(name, content);
        }
    }
    Ok(())
}

/// Names, and file names, under which the content of one part is shown. A header line has room for
/// thousands, and the content would be copied for each of them.
const MOST_NAMES: usize = 4;

/// Parsers take the first of several names or the last: these are kept.
fn first_and_last(names: &mut Vec<Vec<u8>>) {
    if names.len() > MOST_NAMES {
        names.drain(MOST_NAMES - 1..names.len() - 1);
    }
}

struct Head<'a> {
    /// The header lines, folded ones joined.
    lines: Vec<Vec<u8>>,
    /// What follows the empty line, if there is one.
    content: Option<&'a [u8]>,
}

fn head<'a>(bytes: &'a [u8], bounds: &Bounds, sink: &mut Flaws<'_>) -> Result<Head<'a>, BodyError> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, behind) = match memchr(b'\n', rest) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &b""[..]),
        };
        let with_cr = line.ends_with(b"\r");
        if rest.len() > line.len() {
            sink.line_end(with_cr);
        }
        let line = &line[..line.len() - usize::from(with_cr)];
        rest = behind;
        if line.is_empty() {
            return Ok(Head { lines, content: Some(rest) });
        }
        // Any white space continues a line for some parsers, PHP's among them; RFC 5322 section
        // 2.2.3 knows space and tab.
        let fold = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')).count();
        if fold > 0 {
            sink.flaw(MultipartFlaw::FoldedHeader);
            if !line[..fold].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
                sink.flaw(MultipartFlaw::InvalidFolding);
            }
        }
        match lines.last_mut() {
            Some(last) if fold > 0 => {
                last.push(b' ');
                last.extend_from_slice(&line[fold..]);
            }
            _ => {
                if fold > 0 {
                    sink.flaw(MultipartFlaw::BadHeader);
                }
                lines.push(line.to_vec());
            }
        }
        if lines.len() > bounds.part_headers {
            return Err(BodyError::TooManyPartHeaders(bounds.part_headers));
        }
    }
    Ok(Head { lines, content: None })
}

struct Parameter {
    name: Vec<u8>,
    value: Vec<u8>,
    quoted: bool,
    /// White space stands around its `=`.
    spaced: bool,
}

/// Parameters of a header field, from its first semicolon: `; name="value"; other=token`. In a
/// quoted value `\"` is a quote; other backslashes stay, because browsers once sent file names
/// with their paths.
fn parameters_of(text: &[u8], sink: &mut Flaws<'_>) -> Vec<Parameter> {
    let mut all = Vec::new();
    let mut rest = text;
    while let [b';', behind @ ..] = rest {
        let behind = behind.trim_ascii_start();
        let length = behind.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(behind.len());
        let name = behind[..length].trim_ascii().to_vec();
        let mut spaced = name.len() < length;
        rest = &behind[length..];
        let [b'=', value @ ..] = rest else {
            if !name.is_empty() {
                all.push(Parameter { name, value: Vec::new(), quoted: false, spaced: false });
            }
            continue;
        };
        spaced |= value.first().is_some_and(u8::is_ascii_whitespace);
        let value = value.trim_ascii_start();
        let quoted = value.starts_with(b"\"");
        let (value, behind) = match value {
            [b'"', quoted @ ..] => match quoted_value(quoted) {
                Some(found) => found,
                None => {
                    sink.flaw(MultipartFlaw::InvalidQuoting);
                    (quoted.to_vec(), &b""[..])
                }
            },
            token => {
                let length = memchr(b';', token).unwrap_or(token.len());
                let value = token[..length].trim_ascii();
                if value.iter().any(|byte| matches!(byte, b'"' | b'\'')) && !name.ends_with(b"*") {
                    sink.flaw(MultipartFlaw::InvalidQuoting);
                }
                (value.to_vec(), &token[length..])
            }
        };
        let junk = memchr(b';', behind).unwrap_or(behind.len());
        if !behind[..junk].trim_ascii().is_empty() {
            sink.flaw(MultipartFlaw::InvalidQuoting);
        }
        rest = &behind[junk..];
        all.push(Parameter { name, value, quoted, spaced });
    }
    all
}

/// A quoted value from behind its opening quote, and what follows the closing one.
fn quoted_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return None,
            [b'\\', b'"', behind @ ..] => {
                value.push(b'"');
                rest = behind;
            }
            [b'"', behind @ ..] => return Some((value, behind)),
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
        }
    }
}

/// RFC 8187: charset, language and a percent-encoded value between apostrophes.
fn extended(value: &[u8]) -> Vec<u8> {
    let text = value.splitn(3, |&byte| byte == b'\'').nth(2).unwrap_or(value);
    percent_encoding::percent_decode(text).collect()
}

#[cfg(test)]
mod tests;
