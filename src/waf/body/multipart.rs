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
        return match extent {
            Extent::Partial => Ok(()),
            Extent::Whole => Err(malformed("it has no boundary", bytes.len())),
        };
    };
    // Line ends alone are let pass here and behind the last boundary, where ModSecurity flags
    // them, too: all parsers skip them.
    if !bytes[..first.line].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        sink.flaw(MultipartFlaw::DataBefore);
        if bytes[..first.line].starts_with(b"--") || has_boundary_like(&bytes[..first.line - 1]) {
            sink.sink.boundary_like(true);
        }
    }
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

fn malformed(problem: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { processor: "MULTIPART", problem, at }
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
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use proptest::prelude::*;

    use super::super::tests::Notes;
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    fn read(text: &str, extent: Extent) -> (Notes, Result<(), BodyError>) {
        let mut notes = Notes::default();
        let outcome = parse(TYPE.as_bytes(), text.as_bytes(), extent, &Bounds::default(), &mut notes);
        (notes, outcome)
    }

    const GOOD: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
        --B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"C:\\x\\\"y;.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nline\r\n\r\n--not\r\n--B\r\nContent-Disposition: form-data; name=e\r\n\r\n\r\n--B--\r\n";

    #[test]
    fn fields_files_and_header_lines_are_read() {
        let (notes, outcome) = read(GOOD, Extent::Whole);
        assert_eq!(outcome, Ok(()));
        assert_eq!(notes.pairs(), [("a", "one"), ("e", "")]);
        assert_eq!(notes.files, [("f".to_owned(), "C:\\x\"y;.txt".to_owned(), "line\r\n\r\n--not".len())]);
        assert_eq!(notes.headers.len(), 4);
        assert_eq!(notes.headers[2], ("f".to_owned(), "Content-Type: text/plain".to_owned()));
        assert_eq!(notes.flaws, []);
    }

    #[test]
    fn what_parsers_disagree_on_is_told_and_read_nevertheless() {
        use MultipartFlaw::*;
        let part = |head: &str| format!("--B\r\n{head}\r\n\r\nv\r\n--B--\r\n");
        for (text, flaws, args) in [
            (GOOD.replace("\r\n", "\n"), vec![LineFeed], vec!["a", "e"]),
            (
                part("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
                vec![DuplicateDisposition],
                vec!["a", "b"],
            ),
            (
                part(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
                ),
                vec![DuplicateDisposition],
                vec!["a", "b"],
            ),
            (part("Content-Type: text/plain"), vec![NoName], vec![""]),
            (part("Content-Disposition: form-data"), vec![NoName], vec![""]),
            (part("Content-Disposition: form-data;\r\n name=\"a\""), vec![FoldedHeader], vec!["a"]),
            (
                part("Content-Disposition: form-data;\r\n\x0bname=\"a\""),
                vec![FoldedHeader, InvalidFolding],
                vec!["a"],
            ),
            (GOOD.replacen("\r\n", "\n", 1), vec![LineFeed, MixedLines], vec!["a", "e"]),
            (part("Content-Disposition: form-data; name=a\r\nX: a\0b"), vec![BadHeader], vec!["a"]),
            (part("Content-Disposition: form-data; name='a'"), vec![InvalidQuoting], vec!["'a'"]),
            (part("Content-Disposition: form-data; name=\"a\"x; y=z"), vec![InvalidQuoting], vec!["a"]),
            (part("Content-Disposition: form-data; name=\"a"), vec![InvalidQuoting], vec!["a"]),
            (part("junk\r\nContent-Disposition: form-data; NAME=a"), vec![BadHeader], vec!["a"]),
            (format!("preamble\r\n{GOOD}"), vec![DataBefore], vec!["a", "e"]),
            (format!("{GOOD}epilogue"), vec![DataAfter], vec!["a", "e"]),
            (GOOD.replace("one", "o--Bne"), vec![UnmatchedBoundary], vec!["a", "e"]),
            (GOOD.replace("one", "o\r\n--Bx\r\nne"), vec![UnmatchedBoundary], vec!["a", "e"]),
            (GOOD.replace("--B\r\nContent", "--B \r\nContent"), vec![UnmatchedBoundary], vec!["a", "e"]),
        ] {
            let (notes, outcome) = read(&text, Extent::Whole);
            assert_eq!(outcome, Ok(()), "{text}");
            assert_eq!(notes.flaws, flaws, "{text}");
            assert_eq!(notes.args.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), args, "{text}");
        }
        let text = part(
            "Content-Disposition: form-data; name=a; filename=\"x.txt\"; filename*=UTF-8''%2e%2e%2fy.php",
        );
        let (notes, _) = read(&text, Extent::Whole);
        assert_eq!(notes.flaws, [DuplicateDisposition]);
        assert_eq!(notes.files.iter().map(|file| file.1.as_str()).collect::<Vec<_>>(), ["x.txt", "../y.php"]);
    }

    #[test]
    fn a_missing_end_is_an_error_only_of_a_whole_body() {
        let text = GOOD.strip_suffix("--B--\r\n").unwrap();
        let (notes, outcome) = read(text, Extent::Whole);
        assert_eq!(outcome.unwrap_err().code(), "malformed");
        assert_eq!(notes.flaws, [MultipartFlaw::NoFinalBoundary]);
        assert_eq!(notes.args.len(), 2);
        for end in 0..GOOD.len() {
            let (notes, outcome) = read(&GOOD[..end], Extent::Partial);
            assert_eq!((outcome, notes.flaws), (Ok(()), vec![]), "{end}: {}", &GOOD[..end]);
        }
        let (notes, _) =
            read("--B\r\nContent-Disposition: form-data; name=a\r\n\r\nattack here", Extent::Partial);
        assert_eq!(notes.pairs(), [("a", "attack here")]);
        assert!(read("", Extent::Whole).1.is_err() && read("no boundary", Extent::Whole).1.is_err());
    }

    #[test]
    fn the_boundary_is_taken_from_the_content_type() {
        for (content_type, outcome, flaws) in [
            ("multipart/form-data; boundary=B", Ok(()), 0),
            ("multipart/form-data; charset=x; Boundary=\"B\"", Ok(()), 1),
            ("multipart/form-data; boundary = B", Ok(()), 1),
            ("multipart/form-data boundary=B", Ok(()), 1),
            ("multipart/form-data; boundary=B; boundary=C", Ok(()), 1),
            ("multipart/form-data", Err(BodyError::NoBoundary), 0),
            ("multipart/form-data; boundary=", Err(BodyError::NoBoundary), 0),
        ] {
            let mut notes = Notes::default();
            let result = parse(
                content_type.as_bytes(),
                GOOD.as_bytes(),
                Extent::Whole,
                &Bounds::default(),
                &mut notes,
            );
            assert_eq!((result, notes.flaws.len()), (outcome, flaws), "{content_type}");
        }
        let odd = "multipart/form-data; boundary=\"B@\"";
        let mut notes = Notes::default();
        let text = GOOD.replace("--B", "--B@");
        assert_eq!(
            parse(odd.as_bytes(), text.as_bytes(), Extent::Whole, &Bounds::default(), &mut notes),
            Ok(())
        );
        assert_eq!(notes.flaws, [MultipartFlaw::BoundaryQuoted, MultipartFlaw::OddBoundary]);
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        assert!(parse(long.as_bytes(), b"", Extent::Whole, &Bounds::default(), &mut notes).is_err());
    }

    #[test]
    fn bounds_are_errors() {
        let bounds = Bounds { parts: 2, part_headers: 1, name_bytes: 4, value_bytes: 3, ..Bounds::default() };
        let part = |head: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        for (text, code) in [
            (part("name=a", "v").repeat(3), "too_many_parts"),
            (part("name=a\r\nX: y", "v"), "too_many_part_headers"),
            (part("name=abcde", "v"), "name_too_long"),
            (part("name=a", "abcd"), "value_too_long"),
        ] {
            let outcome =
                parse(TYPE.as_bytes(), text.as_bytes(), Extent::Partial, &bounds, &mut Notes::default());
            assert_eq!(outcome.unwrap_err().code(), code, "{text}");
        }
    }

    /// What multer reads: name, file name, content.
    fn multer(text: &str) -> Vec<(String, Option<String>, Vec<u8>)> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let once = stream::once(async move { Ok::<_, std::convert::Infallible>(body) });
        let mut reader = multer::Multipart::new(once, "B");
        let mut all = Vec::new();
        let read = async {
            while let Some(field) = reader.next_field().await.unwrap() {
                let name = field.name().unwrap().to_owned();
                let file = field.file_name().map(str::to_owned);
                all.push((name, file, field.bytes().await.unwrap().to_vec()));
            }
        };
        read.now_or_never().expect("the whole body is there");
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn well_formed_bodies_read_as_multer_reads_them(
            parts in proptest::collection::vec(
                ("[a-z\\[\\]; .]{1,8}", proptest::option::of("[a-z; .=]{0,8}"), "[a-zB\r\n -]{0,20}"), 1..6),
        ) {
            prop_assume!(parts.iter().all(|(_, _, content)| !content.contains("--B")));
            let mut text = String::new();
            for (name, file, content) in &parts {
                text.push_str(&format!("--B\r\nContent-Disposition: form-data; name=\"{name}\""));
                if let Some(file) = file {
                    text.push_str(&format!("; filename=\"{file}\""));
                }
                text.push_str(&format!("\r\n\r\n{content}\r\n"));
            }
            text.push_str("--B--\r\n");
            let (notes, outcome) = read(&text, Extent::Whole);
            prop_assert_eq!(outcome, Ok(()));
            let all = multer(&text);
            let fields: Vec<_> = all.iter().filter(|part| part.1.is_none())
                .map(|part| (part.0.clone(), String::from_utf8(part.2.clone()).unwrap())).collect();
            let files: Vec<_> = all.iter().filter_map(|part| Some((part.0.clone(), part.1.clone()?, part.2.len()))).collect();
            prop_assert_eq!(notes.args, fields);
            prop_assert_eq!(notes.files, files);
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "--B", "--", "\r\n", "\n", "\r", "Content-Disposition:", "form-data", ";", "name", "=", "\"", "\\", "a", " ", "filename*", "'",
            ]), 0..40)
        ) {
            for extent in [Extent::Whole, Extent::Partial] {
                let _ = read(&pieces.concat(), extent);
            }
        }
    }
}
