//! The readers of bodies, queries and cookies: they keep their bounds, say the same twice, say of
//! a cut body what they say of its beginning, and agree with other readers where formats are
//! standards.

use portward::waf::body::{self, BodyError, Bounds, MultipartFlaw, Processor, Sink};
use portward::waf::input::Extent;

use super::{line, shown};

/// What a reader found, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Arg(Vec<u8>, Vec<u8>),
    File(Vec<u8>, Vec<u8>, usize),
    Header(Vec<u8>, Vec<u8>),
    Text(Vec<u8>),
    Attribute(Vec<u8>),
    Flaw(MultipartFlaw),
    Name(Vec<u8>),
    Boundary(bool),
}

#[derive(Debug, Default)]
struct Notes(Vec<Found>);

impl Sink for Notes {
    fn arg(&mut self, name: &[u8], value: &[u8]) {
        self.0.push(Found::Arg(name.to_vec(), value.to_vec()));
    }
    fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
        self.0.push(Found::File(field.to_vec(), filename.to_vec(), size));
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        self.0.push(Found::Header(part.to_vec(), line.to_vec()));
    }
    fn xml_text(&mut self, text: &[u8]) {
        self.0.push(Found::Text(text.to_vec()));
    }
    fn xml_attribute(&mut self, value: &[u8]) {
        self.0.push(Found::Attribute(value.to_vec()));
    }
    fn multipart_flaw(&mut self, flaw: MultipartFlaw) {
        self.0.push(Found::Flaw(flaw));
    }
    fn part_name(&mut self, name: &[u8]) {
        self.0.push(Found::Name(name.to_vec()));
    }
    fn boundary_like(&mut self, followed: bool) {
        self.0.push(Found::Boundary(followed));
    }
}

type Read = (Vec<Found>, Result<(), BodyError>);

fn read(processor: Processor, content_type: &[u8], bytes: &[u8], extent: Extent, bounds: &Bounds) -> Read {
    let mut notes = Notes::default();
    let outcome = body::parse(processor, content_type, bytes, extent, bounds, &mut notes);
    (notes.0, outcome)
}

/// Small enough for small inputs to reach.
const TIGHT: Bounds = Bounds {
    args: 3,
    leaves: 5,
    depth: 3,
    parts: 2,
    part_headers: 2,
    name_bytes: 24,
    value_bytes: 16,
    second_reading: true,
};

/// What holds of every reader. Returns what it found in the whole body.
fn check(processor: Processor, content_type: &[u8], bytes: &[u8]) -> Read {
    let whole = read(processor, content_type, bytes, Extent::Whole, &Bounds::default());
    assert_eq!(whole, read(processor, content_type, bytes, Extent::Whole, &Bounds::default()));
    let partial = read(processor, content_type, bytes, Extent::Partial, &Bounds::default());
    if whole.1.is_ok() {
        assert_eq!(partial.1, Ok(()), "a whole {processor:?} body is no worse for a cut behind it");
    }
    for (at, found) in whole.0.iter().enumerate() {
        let size = match found {
            Found::Arg(_, value) | Found::Text(value) | Found::Attribute(value) => value.len(),
            Found::File(_, name, size) => name.len() + size,
            Found::Header(_, line) | Found::Name(line) => line.len(),
            Found::Flaw(_) | Found::Boundary(_) => 0,
        };
        // A replaced byte becomes a character of three.
        assert!(size <= 3 * bytes.len() + 20, "item {at} has {size} of {} bytes", bytes.len());
    }
    tight(processor, content_type, bytes, &whole);
    whole
}

/// Bounds are kept, and what is read under them is the beginning of what is read without.
fn tight(processor: Processor, content_type: &[u8], bytes: &[u8], whole: &Read) {
    let depth = match processor {
        // What is too deep to be a message is shown as what else it may be.
        Processor::Protobuf | Processor::Grpc => Bounds::default().depth,
        _ => TIGHT.depth,
    };
    // Names of Protocol Buffers are ours: a number of nine digits at most for each level.
    let name_bytes = match processor {
        Processor::Protobuf | Processor::Grpc => TIGHT.name_bytes.max(10 * (depth + 1)),
        _ => TIGHT.name_bytes,
    };
    let tight = read(processor, content_type, bytes, Extent::Whole, &Bounds { depth, ..TIGHT });
    let mut args = 0;
    let mut leaves = 0;
    for found in &tight.0 {
        match found {
            Found::Arg(name, value) => {
                args += 1;
                assert!(name.len() <= name_bytes, "a name of {} bytes", name.len());
                assert!(value.len() <= TIGHT.value_bytes, "a value of {} bytes", value.len());
            }
            Found::Text(value) | Found::Attribute(value) => {
                leaves += 1;
                assert!(value.len() <= TIGHT.value_bytes, "a text of {} bytes", value.len());
            }
            _ => {}
        }
    }
    let most = match processor {
        // A form that is JSON is read as such, too.
        Processor::Urlencoded => TIGHT.args + 18 * TIGHT.leaves,
        // Arrays are counted apart from other leaves, and so are numbers in them.
        Processor::Json => 18 * TIGHT.leaves,
        // The line that goes beyond the bound is read to its own.
        Processor::JsonLines => 36 * TIGHT.leaves,
        Processor::Grpc if body::media_type(content_type).ends_with(b"+json") => 36 * TIGHT.leaves,
        // Trailers are one more.
        Processor::Protobuf | Processor::Grpc => TIGHT.leaves + 1,
        // A part may be read under several names, and in several ways.
        Processor::Multipart => 32 * TIGHT.parts,
        // What begins as JSON is read as that.
        Processor::Xml => 18 * TIGHT.leaves,
    };
    assert!(args <= most, "{args} arguments");
    assert!(leaves <= TIGHT.leaves, "{leaves} leaves");
    if matches!(processor, Processor::JsonLines | Processor::Grpc) {
        // A bound that one message breaks is no bound on the next.
        let mut rest = whole.0.iter();
        let each = tight.0.iter().all(|found| rest.any(|other| other == found));
        return assert!(each, "{processor:?}: {:?} is not in {:?}", tight.0, whole.0);
    }
    let same = whole.0.iter().zip(&tight.0).take_while(|(one, other)| one == other).count();
    let flaws = tight.0[same..].iter().all(|found| matches!(found, Found::Flaw(_) | Found::Boundary(_)));
    assert!(flaws, "{processor:?}: {:?} does not begin {:?}", tight.0, whole.0);
    if tight.1.is_ok() {
        assert_eq!(&tight, whole, "{processor:?}: nothing was out of bounds");
    }
}

pub fn urlencoded(data: &[u8]) {
    let (mut found, outcome) = check(Processor::Urlencoded, b"", data);
    // Behind the arguments stand the leaves of a form that is JSON, and a zero at the end is none of it.
    let data = data.strip_suffix(b"\0").unwrap_or(data);
    let mut query = Notes::default();
    let read = body::query(data, &Bounds::default(), &mut query);
    let (form, leaves) = found.split_at(query.0.len().min(found.len()));
    assert_eq!(
        (&query.0[..], read.is_err()),
        (form, read.is_err() && outcome.is_err()),
        "a query is read as a form is"
    );
    assert!(leaves.iter().all(|found| matches!(found, Found::Arg(name, _) if name.starts_with(b"json"))));
    found.truncate(query.0.len());
    let pieces = match data {
        [] => 0,
        _ => data.strip_suffix(b"&").unwrap_or(data).split(|&byte| byte == b'&').count(),
    };
    assert_eq!(found.len(), pieces.min(Bounds::default().args), "each piece is an argument");
    // Another reader of forms, on what the standard it follows says the same about: it decodes to
    // text, and drops pieces without name and value.
    let args: Vec<(String, String)> = found
        .iter()
        .filter_map(|found| match found {
            Found::Arg(name, value) => Some((lossy(name), lossy(value))),
            _ => None,
        })
        .collect();
    let theirs: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    if pieces <= Bounds::default().args {
        let empty = |piece: &&[u8]| piece.is_empty();
        let without = data.split(|&byte| byte == b'&').filter(|piece| !empty(piece)).count();
        assert_eq!(theirs.len(), without);
        let pair = ("".to_owned(), "".to_owned());
        let count = |list: &[(String, String)]| list.iter().filter(|one| **one != pair).count();
        assert_eq!(count(&args), count(&theirs));
        let named =
            |list: Vec<(String, String)>| list.into_iter().filter(|one| *one != pair).collect::<Vec<_>>();
        assert_eq!(named(args), named(theirs), "{}", shown(data));
    }
    let plain = !data.contains(&b'%');
    assert!(!(plain && body::has_invalid_percent(data)));
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn cookies(data: &[u8]) {
    let mut notes = Notes::default();
    body::cookies(data, &mut notes);
    assert!(notes.0.len() <= data.split(|&byte| byte == b';').count());
    for found in &notes.0 {
        let Found::Arg(name, value) = found else { panic!("a cookie is {found:?}") };
        assert!(!name.contains(&b'=') && !name.contains(&b';') && !value.contains(&b';'));
        assert_eq!(name.trim_ascii(), &name[..], "a name without white space around it");
    }
    // What was read, written down, reads the same.
    let again: Vec<u8> = notes
        .0
        .iter()
        .filter_map(|found| match found {
            Found::Arg(name, value) => Some([&name[..], b"=", value].concat()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join(&b"; "[..]);
    let mut second = Notes::default();
    body::cookies(&again, &mut second);
    assert_eq!(notes.0, second.0, "{}", shown(data));
}

/// The Content-Type stands in the first line.
pub fn multipart(data: &[u8]) {
    let (content_type, bytes) = line(data);
    // Without a boundary a body is read by its first line, or as what it begins like.
    let (found, _) = check(Processor::Multipart, content_type, bytes);
    let parts = found.iter().filter(|found| matches!(found, Found::Arg(..) | Found::File(..))).count();
    assert!(parts <= Bounds::default().parts);
    let content: usize = found
        .iter()
        .map(|found| match found {
            Found::Arg(_, value) => value.len(),
            Found::File(_, _, size) => *size,
            Found::Header(_, line) => line.len(),
            _ => 0,
        })
        .sum();
    // A part that parsers read under several names is shown under the first of them.
    assert!(content <= 64 * bytes.len(), "{content} bytes in parts of a body of {}", bytes.len());
    let media = body::media_type(content_type);
    assert_eq!(body::select(content_type) == Some(Processor::Multipart), media == b"multipart/form-data");
    assert!(media.len() <= content_type.len() && body::media_type(&media) == media);
}

pub fn json(data: &[u8]) {
    let (found, outcome) = check(Processor::Json, b"", data);
    let structured = matches!(data.trim_ascii_start().first(), Some(b'{' | b'['));
    if structured {
        assert!(found.iter().all(|found| matches!(found, Found::Arg(name, _) if name.starts_with(b"json"))));
    }
    let names: usize =
        found.iter().map(|found| if let Found::Arg(name, _) = found { name.len() } else { 0 }).sum();
    assert!(names <= 16 * data.len() + 256 * 1024, "{names} bytes of names in {}", data.len());
    let theirs: Result<serde_json::Value, _> = serde_json::from_slice(data);
    if theirs.is_ok() {
        let bounded = matches!(
            outcome,
            Ok(())
                | Err(BodyError::TooManyArgs(_)
                    | BodyError::TooDeep(_)
                    | BodyError::NameTooLong(_)
                    | BodyError::NamesTooLong(_))
        );
        assert!(bounded, "serde_json reads what we do not: {outcome:?} {}", shown(data));
    }
    // What does not begin as JSON is read once more as what it begins as, when it is whole.
    if structured {
        cut(Processor::Json, data, &found, theirs.is_ok());
    }
}

pub fn xml(data: &[u8]) {
    let (found, _) = check(Processor::Xml, b"", data);
    let structured = data.trim_ascii_start().starts_with(b"<");
    assert!(!structured || found.iter().all(|found| matches!(found, Found::Text(_) | Found::Attribute(_))));
    let size: usize = found
        .iter()
        .map(|found| match found {
            Found::Text(text) | Found::Attribute(text) => text.len(),
            _ => 0,
        })
        .sum();
    // A tag with an attribute that is none is read once more, loosely.
    assert!(size <= 2 * 3 * data.len(), "{size} bytes of text in {}", data.len());
}

/// Of a body that is cut, all that was read but the last item is what is read of the whole. Where it is not right by
/// its format, the cut may also change what the item before is: a name without its value, or a value with a comment.
fn cut(processor: Processor, bytes: &[u8], whole: &[Found], is_right: bool) {
    for at in [bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let (found, _) = read(processor, b"", &bytes[..at], Extent::Partial, &Bounds::default());
        let sure = found.len().saturating_sub(if is_right { 1 } else { 2 });
        assert_eq!(found[..sure], whole[..sure.min(whole.len())], "cut at {at}: {}", shown(bytes));
    }
}

/// One bare message of Protocol Buffers.
pub fn protobuf(data: &[u8]) {
    let (found, _) = check(Processor::Protobuf, b"application/protobuf", data);
    strings(&found, data);
}

/// Frames of gRPC; the Content-Type stands in the first line.
pub fn grpc(data: &[u8]) {
    let (content_type, bytes) = line(data);
    let (found, _) = check(Processor::Grpc, content_type, bytes);
    if !body::media_type(content_type).ends_with(b"+json") {
        strings(&found, bytes);
    }
}

/// Every string stands in the message as it is, unless the whole is in base64; and the same bytes are shown once for
/// each depth at most.
fn strings(found: &[Found], data: &[u8]) {
    let mut size = 0;
    let plain = !data.first().is_some_and(u8::is_ascii_graphic);
    for found in found {
        let Found::Arg(name, value) = found else { panic!("a string is {found:?}") };
        assert!(name.starts_with(b"protobuf"), "{}", shown(name));
        size += value.len();
        let stands = || data.windows(value.len().max(1)).any(|window| window == &value[..]);
        assert!(!plain || stands(), "{} in {}", shown(value), shown(data));
    }
    assert!(size <= (Bounds::default().depth + 1) * data.len(), "{size} bytes of text in {}", data.len());
}

/// JSON texts, a line each; the Content-Type stands in the first line.
pub fn json_lines(data: &[u8]) {
    let (content_type, bytes) = line(data);
    let (found, outcome) = check(Processor::JsonLines, content_type, bytes);
    // Each line by itself, as a body of JSON; that a form feed is no white space there is let pass.
    let wide = bytes.iter().take(4).any(|byte| matches!(byte, 0 | 0xfe | 0xff)) || bytes.contains(&0x0c);
    // A charset adds the reading by it to that of all lines.
    let recoded = content_type.to_ascii_lowercase().windows(7).any(|word| word == b"charset");
    if outcome.is_ok() && !wide && !recoded && !body::media_type(content_type).ends_with(b"json-seq") {
        let each: Vec<Found> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .flat_map(|line| read(Processor::Json, b"", line, Extent::Whole, &Bounds::default()).0)
            .collect();
        assert_eq!(found, each, "{}", shown(data));
    }
}

/// A body in the charset of its Content-Type, which stands in the first line; and text in wide forms reads as it does
/// in UTF-8.
pub fn charset(data: &[u8]) {
    let (content_type, bytes) = line(data);
    for processor in [Processor::Urlencoded, Processor::Json, Processor::Xml] {
        // In its charset a text is not longer than three times its bytes, nor shown in more than two orders.
        let whole = read(processor, content_type, bytes, Extent::Whole, &Bounds::default());
        assert_eq!(whole, read(processor, content_type, bytes, Extent::Whole, &Bounds::default()));
        let plain = read(processor, b"", bytes, Extent::Whole, &Bounds::default()).0;
        let size = |list: &[Found]| -> usize {
            let value = |found: &Found| match found {
                Found::Arg(_, value) | Found::Text(value) | Found::Attribute(value) => value.len(),
                _ => 0,
            };
            list.iter().map(value).sum()
        };
        assert!(size(&whole.0) <= 8 * (size(&plain) + 3 * bytes.len()) + 64, "{}", shown(data));
    }
    let mut notes = Notes::default();
    let _ = body::text(content_type, bytes, Extent::Whole, 64, &Bounds::default(), &mut notes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What a first character is in wide forms must be clear.
    let structured = text.starts_with(['{', '[', '<']) && !text.contains('\0');
    if !structured || text.len() < 2 {
        return;
    }
    let processor = if text.starts_with('<') { Processor::Xml } else { Processor::Json };
    let narrow = read(processor, b"", bytes, Extent::Whole, &Bounds::default());
    let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let utf32 = |order: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(order).collect::<Vec<u8>>();
    for wide in [
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        utf32(u32::to_le_bytes),
        utf32(u32::to_be_bytes),
        [&b"\xfe\xff"[..], &utf16(u16::to_be_bytes)].concat(),
        [&b"\xff\xfe"[..], &utf16(u16::to_le_bytes)].concat(),
    ] {
        let read = read(processor, b"", &wide, Extent::Whole, &Bounds::default());
        assert_eq!(read, narrow, "{} as {}", shown(bytes), shown(&wide));
    }
}
