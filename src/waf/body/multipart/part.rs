//! One part of a multipart body: its header lines, what they say of it, and its content. A part
//! whose lines say two things is read as both.

use memchr::memchr;

use super::super::protobuf::Base64;
use super::super::{Recoded, media_type};
use super::{
    BodyError, Bounds, CHARSET_FIELD, Charset, DEEPEST, Extent, Flaws, MultipartFlaw, Sink, agreed,
    boundaries, with_boundary,
};

/// One part, from behind its boundary line to the line end in front of the next.
pub(super) fn part(
    bytes: &[u8],
    cut: bool,
    depth: usize,
    bounds: &Bounds,
    sink: &mut Flaws<'_>,
) -> Result<(), BodyError> {
    let Head { lines, content } = head(bytes, bounds, sink)?;
    let Some(content) = content else {
        // The header goes up to the end: nothing can be said of the part yet, or it has no body.
        if !cut {
            sink.flaw(MultipartFlaw::BadHeader);
        }
        lines.iter().for_each(|line| sink.sink.part_header(b"", line));
        return Ok(());
    };
    let mut described = Description::of(&lines, sink);
    if described.dispositions > 1 || described.names.len() > 1 || described.files.len() > 1 {
        sink.flaw(MultipartFlaw::DuplicateDisposition);
    }
    let is_field = described.files.is_empty() || (bounds.second_reading && described.may_be_field(content));
    let Description { names, files, kinds, transfers, .. } = &mut described;
    first_and_last(names, MOST_NAMES);
    first_and_last(files, MOST_NAMES);
    first_and_last(kinds, 2);
    first_and_last(transfers, 2);
    if kinds.len() > 1 || transfers.len() > 1 {
        sink.flaw(MultipartFlaw::DuplicateDisposition);
    }
    if names.is_empty() {
        // Shown under the empty name, so that the content is inspected nevertheless.
        sink.flaw(MultipartFlaw::NoName);
        names.push(Vec::new());
    } else {
        names.iter().for_each(|name| sink.sink.part_name(name));
    }
    if names.iter().chain(&*files).any(|name| name.len() > bounds.name_bytes) {
        return Err(BodyError::NameTooLong(bounds.name_bytes));
    }
    for line in &lines {
        sink.sink.part_header(&names[0], line);
    }
    if !files.is_empty() {
        sink.sink.file_content(&names[0], content);
    }
    for name in &*names {
        files.iter().for_each(|file| sink.sink.file(name, file, content.len()));
        if is_field {
            field(name, content, kinds, transfers, bounds, sink)?;
        }
    }
    if bounds.second_reading
        && let Some(kind) = kinds.iter().find(|kind| media_type(kind).starts_with(b"multipart/"))
    {
        sink.flaw(MultipartFlaw::BadHeader);
        nested(kind, content, cut, depth, bounds, sink)?;
    }
    Ok(())
}

/// Where the content of a part begins that is there in part, and by which boundaries it is divided itself.
pub(super) fn inside(bytes: &[u8], bounds: &Bounds, sink: &mut Flaws<'_>) -> Option<(usize, Vec<Vec<u8>>)> {
    let Head { lines, content } = head(bytes, bounds, sink).ok()?;
    let start = bytes.len() - content?.len();
    let kinds = Description::of(&lines, sink).kinds;
    let divided = kinds.iter().filter(|kind| media_type(kind).starts_with(b"multipart/"));
    Some((start, divided.flat_map(|kind| boundaries(kind, sink)).collect()))
}

/// A field's content, as it stands and as its charset and its transfer encoding say. RFC 7578
/// section 4.7 wants no such encoding; some parsers undo it (Go's quoted-printable).
fn field(
    name: &[u8],
    content: &[u8],
    kinds: &[Vec<u8>],
    transfers: &[Vec<u8>],
    bounds: &Bounds,
    sink: &mut Flaws<'_>,
) -> Result<(), BodyError> {
    if content.len() > bounds.value_bytes {
        return Err(BodyError::ValueTooLong(bounds.value_bytes));
    }
    if !bounds.second_reading {
        sink.sink.arg(name, content);
        return Ok(());
    }
    if name == CHARSET_FIELD {
        let said = Charset::named(&content.trim_ascii().to_ascii_lowercase());
        if !sink.said.contains(&said) {
            sink.said.push(said);
        }
    }
    let own: Vec<Charset> = kinds.iter().map(|kind| Charset::of(kind)).collect();
    let charset = match agreed(Charset::Plain, &own) {
        Charset::Plain => sink.charset,
        own => own,
    };
    sink.unknown_charset |= charset == Charset::Unknown;
    let mut recoded = Recoded { charset, most: bounds.value_bytes, sink: &mut *sink.sink };
    recoded.arg(name, content);
    for text in transfers.iter().filter_map(|transfer| transferred(transfer, content)) {
        recoded.arg(name, &text);
    }
    Ok(())
}

/// The parts of a part.
fn nested(
    kind: &[u8],
    content: &[u8],
    cut: bool,
    depth: usize,
    bounds: &Bounds,
    sink: &mut Flaws<'_>,
) -> Result<(), BodyError> {
    if depth == DEEPEST {
        return Err(BodyError::TooDeep(DEEPEST));
    }
    let extent = if cut { Extent::Partial } else { Extent::Whole };
    for boundary in boundaries(kind, sink) {
        match with_boundary(&boundary, depth + 1, content, extent, bounds, sink) {
            Err(error) if error.is_bound() => return Err(error),
            // What is wrong with it is among the flaws.
            _ => {}
        }
    }
    Ok(())
}

/// What the header lines of a part say.
#[derive(Default)]
struct Description {
    names: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
    /// How many of the file names are in the form of RFC 8187.
    extended: usize,
    dispositions: usize,
    /// Its Content-Type and Content-Transfer-Encoding: all that differ, since readers take the first or the last.
    kinds: Vec<Vec<u8>>,
    transfers: Vec<Vec<u8>>,
}

impl Description {
    fn of(lines: &[Vec<u8>], sink: &mut Flaws<'_>) -> Description {
        let mut all = Description::default();
        for line in lines {
            if memchr(0, line).is_some() {
                sink.flaw(MultipartFlaw::BadHeader);
            }
            let Some(at) = memchr(b':', line) else {
                sink.flaw(MultipartFlaw::BadHeader);
                continue;
            };
            let value = line[at + 1..].trim_ascii();
            match &line[..at].trim_ascii().to_ascii_lowercase()[..] {
                b"content-disposition" => all.disposition(value, sink),
                b"content-type" => add(&mut all.kinds, value.to_vec()),
                b"content-transfer-encoding" => add(&mut all.transfers, value.to_ascii_lowercase()),
                _ => {}
            }
        }
        all
    }

    fn disposition(&mut self, value: &[u8], sink: &mut Flaws<'_>) {
        self.dispositions += 1;
        let kind = &value[..memchr(b';', value).unwrap_or(value.len())];
        if !kind.trim_ascii_end().eq_ignore_ascii_case(b"form-data") {
            // RFC 7578 section 4.2 knows no other.
            sink.flaw(MultipartFlaw::BadHeader);
        }
        let parameters = memchr(b';', value).map_or(&b""[..], |at| &value[at..]);
        for parameter in parameters_of(parameters, sink) {
            if parameter.name.eq_ignore_ascii_case(b"name") {
                self.names.push(parameter.value);
            } else if parameter.name.eq_ignore_ascii_case(b"filename") {
                self.files.push(parameter.value);
            } else if parameter.name.eq_ignore_ascii_case(b"filename*") {
                // RFC 7578 section 4.2 forbids it here; parsers that know it prefer it.
                sink.flaw(MultipartFlaw::DuplicateDisposition);
                self.files.push(extended(&parameter.value));
                self.extended += 1;
            }
        }
    }

    /// True for a file that some parser takes for a field: it has only a name that the parser does
    /// not know, an empty one, or another disposition beside it.
    fn may_be_field(&self, content: &[u8]) -> bool {
        let unsure = self.dispositions > 1
            || self.files.len() == self.extended
            || self.files.iter().any(|file| file.is_empty());
        unsure && !content.is_empty()
    }
}

fn add(values: &mut Vec<Vec<u8>>, value: Vec<u8>) {
    if !values.contains(&value) {
        values.push(value);
    }
}

/// What a Content-Transfer-Encoding hides; `None` when there is none, or nothing is behind it.
fn transferred(encoding: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let text = match encoding {
        b"quoted-printable" => quoted_printable(content),
        b"base64" => Base64::lenient(content),
        _ => return None,
    };
    (!text.is_empty() && text != content).then_some(text)
}

/// RFC 2045 section 6.7.
fn quoted_printable(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memchr(b'=', rest) {
        text.extend_from_slice(&rest[..at]);
        let behind = &rest[at + 1..];
        rest = match behind {
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
            [one, two, behind @ ..] => match hex::decode([*one, *two]) {
                Ok(byte) => {
                    text.extend_from_slice(&byte);
                    behind
                }
                Err(_) => {
                    text.push(b'=');
                    &rest[at + 1..]
                }
            },
            _ => {
                text.push(b'=');
                behind
            }
        };
    }
    text.extend_from_slice(rest);
    text
}

/// Names, or file names, under which the content of one part is shown. A header line has room for
/// thousands, and the content would be copied for each of them.
const MOST_NAMES: usize = 4;

/// Parsers take the first of several names or the last: these are kept.
fn first_and_last(said: &mut Vec<Vec<u8>>, most: usize) {
    if said.len() > most {
        said.drain(most - 1..said.len() - 1);
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

pub(super) struct Parameter {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
    pub quoted: bool,
    /// White space stands around its `=`.
    pub spaced: bool,
}

/// Parameters of a header field, from its first semicolon: `; name="value"; other=token`. In a
/// quoted value `\"` is a quote; other backslashes stay, because browsers once sent file names
/// with their paths.
pub(super) fn parameters_of(text: &[u8], sink: &mut Flaws<'_>) -> Vec<Parameter> {
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
