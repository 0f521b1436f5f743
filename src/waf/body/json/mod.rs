//! JSON bodies into arguments: each leaf is one, named by its path, `json.a.0.b`. Strings are
//! decoded, numbers and booleans keep their text, null is empty; an empty object is one empty
//! leaf, so that its name is seen. An array has a leaf of its own behind those in it, with the
//! number of its items, as in Coraza: `json.a` is 2 for `{"a":[1,2]}`. Equal keys are all kept.
//!
//! This is a reader of its own because a window may cut a body anywhere: serde_json gives
//! nothing of a string whose end is missing, and an attack in front of a megabyte of padding
//! would not be seen. It also keeps the text of numbers and allocates nothing per leaf. On
//! documents that both accept it agrees with serde_json, which the tests hold it against.
//!
//! What RFC 8259 does not allow is an error, and reading goes on nevertheless, since readers of
//! JSON5, YAML, JavaScript and many a JSON library take it: comments, commas too many or too few,
//! names and words without quotes, other quotes, NaN, several documents. Every byte that is
//! neither space nor punctuation ends up in a name or a leaf, so nothing passes unseen.

use memchr::{memchr, memchr2, memmem};

use crate::waf::input::Extent;

use super::{BodyError, Bounds, Sink};
pub(super) use place::{last_end, place};

mod place;

/// Every leaf repeats the names above it, so that two bytes of body can make a path of kilobytes. All
/// paths together are bounded by the body's length, and by what a small body may have anyway: a
/// document full of leaves whose paths are 70 bytes long.
const NAMES_PER_BYTE: usize = 16;
const NAMES_FREE: usize = 256 * 1024;

/// Numbers that are items of arrays, as coordinates and samples are, cost the rules little: there
/// may be so many times more of them than of other leaves.
const NUMBERS_PER_LEAF: usize = 16;

/// How many documents a body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Documents {
    One,
    /// One behind the other, as in NDJSON and RFC 7464.
    Many,
    /// A later part of one or of many. Which items of an array it has is not known: each is called the first, and
    /// names that are the same cost the rules nothing more.
    Part,
}

/// What a body may have of everything, in however many texts it stands.
#[derive(Debug)]
pub(super) struct Budget {
    leaves: usize,
    arrays: usize,
    /// Numbers that are items of arrays.
    numbers: usize,
    /// Bytes of all paths so far, and how many there may be.
    named: usize,
    most_named: usize,
}

impl Budget {
    /// For a body of so many bytes.
    pub fn of(length: usize) -> Budget {
        Budget {
            leaves: 0,
            arrays: 0,
            numbers: 0,
            named: 0,
            most_named: NAMES_FREE + NAMES_PER_BYTE * length,
        }
    }
}

/// Reads a JSON text.
pub(super) fn parse(
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    parse_all(bytes, Documents::One, extent, bounds, sink)
}

/// Reads one JSON text or many.
pub(super) fn parse_all(
    bytes: &[u8],
    documents: Documents,
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    parse_within(bytes, documents, extent, bounds, &mut Budget::of(bytes.len()), sink)
}

/// Reads what is a part of a body.
pub(super) fn parse_within(
    bytes: &[u8],
    documents: Documents,
    extent: Extent,
    bounds: &Bounds,
    budget: &mut Budget,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    // RFC 8259 section 8.1: a reader may ignore a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader::new(bytes, documents, extent, bounds, budget, sink);
    let outcome = reader.documents();
    let flaw = reader.flaw.take();
    match outcome {
        Ok(()) => flaw.map_or(Ok(()), Err),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Cut) if extent == Extent::Partial => flaw.map_or(Ok(()), Err),
        Err(Stop::Cut) => Err(malformed("it ends too early", bytes.len())),
    }
}

/// Why reading stopped.
enum Stop {
    /// The bytes are at an end inside the document.
    Cut,
    Error(BodyError),
}

fn malformed(problem: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { processor: "JSON", problem, at }
}

struct Reader<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<u8>,
    /// The text of a string with escapes.
    decoded: Vec<u8>,
    /// The first thing that strict readers refuse and lenient ones do not.
    flaw: Option<BodyError>,
    documents: Documents,
    extent: Extent,
    bounds: &'s Bounds,
    budget: &'s mut Budget,
    sink: &'s mut dyn Sink,
    /// The brackets that are open, and what of the innermost comes next.
    stack: Vec<u8>,
    spot: Spot,
    /// What begins the string, the comment or the word in which the bytes ended.
    open: &'static [u8],
    /// Behind the last value that has ended, and the brackets that were open there.
    ended: usize,
    ended_in: Vec<u8>,
}

/// What comes next in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Name,
    Colon,
    Value,
}

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Array,
    Elsewhere,
}

/// A string as read: a part of the body, or in `decoded`.
enum Text<'a> {
    Plain(&'a [u8]),
    Decoded,
}

impl<'a, 's> Reader<'a, 's> {
    fn new(
        bytes: &'a [u8],
        documents: Documents,
        extent: Extent,
        bounds: &'s Bounds,
        budget: &'s mut Budget,
        sink: &'s mut dyn Sink,
    ) -> Reader<'a, 's> {
        Reader {
            bytes,
            at: 0,
            path: b"json".to_vec(),
            decoded: Vec::new(),
            flaw: None,
            documents,
            extent,
            bounds,
            budget,
            sink,
            stack: Vec::new(),
            spot: Spot::Value,
            open: b"",
            ended: 0,
            ended_in: Vec::new(),
        }
    }

    /// A value has ended here.
    fn end_value(&mut self) {
        self.ended = self.at;
        self.ended_in.clone_from(&self.stack);
    }

    /// The document, and what follows it.
    fn documents(&mut self) -> Result<(), Stop> {
        let mut first = true;
        loop {
            match self.peek() {
                Err(Stop::Cut) if !first => return Ok(()),
                Err(stop) => return Err(stop),
                Ok(_) if first || self.documents != Documents::One => {}
                Ok(_) => self.note("something follows the document"),
            }
            first = false;
            match self.peek()? {
                b'}' | b']' | b',' | b':' => {
                    self.note("a bracket or a comma too many");
                    self.at += 1;
                }
                _ => self.value(0)?,
            }
            self.end_value();
            self.spot = Spot::Value;
            self.path.truncate(b"json".len());
        }
    }

    /// A value; nothing where none stands, in front of a comma or a closing bracket.
    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        match self.peek()? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            quote @ (b'"' | b'\'' | b'`') => {
                let (text, end) = self.string(quote);
                self.string_leaf(text)?;
                end
            }
            b't' => self.word(b"true", b"true"),
            b'f' => self.word(b"false", b"false"),
            b'n' => self.word(b"null", b""),
            b'-' | b'0'..=b'9' => self.number(Place::Elsewhere),
            b',' | b'}' | b']' => {
                self.note("no value stands where one must");
                Ok(())
            }
            _ => self.bare(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        self.enter(depth)?;
        let (mut members, mut comma) = (0usize, true);
        loop {
            self.spot = Spot::Name;
            match self.peek()? {
                end @ (b'}' | b']') => {
                    self.at += 1;
                    self.stack.pop();
                    if end != b'}' || (comma && members > 0) {
                        self.note("a comma in front of the end, or a bracket of the other kind");
                    }
                    return if members == 0 { self.leaf(b"") } else { Ok(()) };
                }
                b',' => {
                    if comma {
                        self.note("a member is missing");
                    }
                    self.at += 1;
                    self.end_value();
                    comma = true;
                }
                _ => {
                    if !comma {
                        self.note("a comma is missing");
                    }
                    comma = false;
                    members += 1;
                    self.member(depth)?;
                }
            }
        }
    }

    /// A name and its value.
    fn member(&mut self, depth: usize) -> Result<(), Stop> {
        let mark = self.path.len();
        self.path.push(b'.');
        let end = match self.peek()? {
            b'{' | b'[' => {
                self.note("a name is missing");
                self.spot = Spot::Value;
                self.value(depth)?;
                self.path.truncate(mark);
                return Ok(());
            }
            quote @ (b'"' | b'\'' | b'`') => {
                let (text, end) = self.string(quote);
                match text {
                    Text::Plain(text) => self.path.extend_from_slice(text),
                    Text::Decoded => self.path.extend_from_slice(&self.decoded),
                }
                end
            }
            _ => {
                self.note("a name in quotes is missing");
                let text = self.until(b",:{}[]\n");
                self.path.extend_from_slice(text);
                if self.at == self.bytes.len() { Err(Stop::Cut) } else { Ok(()) }
            }
        };
        if end.is_err() {
            self.leaf(b"")?;
            return end;
        }
        self.spot = Spot::Colon;
        match self.peek()? {
            b':' => {
                self.at += 1;
                self.spot = Spot::Value;
                self.value(depth)?;
            }
            _ => {
                self.note("a colon is missing");
                self.leaf(b"")?;
            }
        }
        self.path.truncate(mark);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Stop> {
        self.enter(depth)?;
        let mark = self.path.len();
        let (mut index, mut comma) = (0usize, true);
        loop {
            self.spot = Spot::Value;
            match self.peek()? {
                end @ (b']' | b'}') => {
                    self.at += 1;
                    self.stack.pop();
                    if end != b']' || (comma && index > 0) {
                        self.note("a comma in front of the end, or a bracket of the other kind");
                    }
                    return self.length(index);
                }
                byte @ (b',' | b':') => {
                    if comma || byte == b':' {
                        self.note("an item is missing");
                    }
                    self.at += 1;
                    self.end_value();
                    comma = true;
                }
                byte => {
                    if !comma {
                        self.note("a comma is missing");
                    }
                    comma = false;
                    // A write to a vector does not fail.
                    let shown = if self.documents == Documents::Part { 0 } else { index };
                    let _ = std::io::Write::write_fmt(&mut self.path, format_args!(".{shown}"));
                    index += 1;
                    match byte {
                        b'-' | b'0'..=b'9' => self.number(Place::Array)?,
                        _ => self.value(depth)?,
                    }
                    self.path.truncate(mark);
                }
            }
        }
    }

    /// Steps over the opening brace or bracket.
    fn enter(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > self.bounds.depth {
            return Err(Stop::Error(BodyError::TooDeep(self.bounds.depth)));
        }
        self.stack.push(self.bytes[self.at]);
        self.at += 1;
        Ok(())
    }

    /// What stands without quotes where a value must: NaN, Infinity, undefined, a text of YAML.
    fn bare(&mut self) -> Result<(), Stop> {
        self.note("no value stands where one must");
        let text = self.until(b",]}\n");
        self.leaf(text)?;
        if self.at == self.bytes.len() { Err(Stop::Cut) } else { Ok(()) }
    }

    /// The text up to one of these bytes, without the space at its end.
    fn until(&mut self, ends: &[u8]) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| ends.contains(byte)).unwrap_or(rest.len());
        self.at += length;
        if length == rest.len() {
            self.open = ANY;
        }
        rest[..length].trim_ascii_end()
    }

    /// The string from its opening quote, as far as it goes; and whether it was cut.
    fn string(&mut self, quote: u8) -> (Text<'a>, Result<(), Stop>) {
        if quote != b'"' {
            self.note("a string stands in other quotes");
        }
        // For the case that it has no end here.
        self.open = match quote {
            b'\'' => b"'",
            b'`' => b"`",
            _ => b"\"",
        };
        self.at += 1;
        let start = self.at;
        let rest = &self.bytes[start..];
        match memchr2(quote, b'\\', rest) {
            None => {
                self.at = self.bytes.len();
                self.note_control(rest, start);
                (Text::Plain(rest), Err(Stop::Cut))
            }
            Some(length) if rest[length] == quote => {
                self.at += length + 1;
                self.open = b"";
                self.note_control(&rest[..length], start);
                (Text::Plain(&rest[..length]), Ok(()))
            }
            Some(_) => {
                let end = self.escaped_string(quote);
                (Text::Decoded, end)
            }
        }
    }

    fn escaped_string(&mut self, quote: u8) -> Result<(), Stop> {
        self.decoded.clear();
        loop {
            let rest = &self.bytes[self.at..];
            let length = memchr2(quote, b'\\', rest);
            let piece = &rest[..length.unwrap_or(rest.len())];
            self.note_control(piece, self.at);
            self.decoded.extend_from_slice(piece);
            self.at += piece.len();
            match length.map(|length| rest[length]) {
                None => return Err(Stop::Cut),
                Some(byte) if byte == quote => {
                    self.at += 1;
                    self.open = b"";
                    return Ok(());
                }
                Some(_) => self.escape()?,
            }
        }
    }

    /// One escape, standing at its backslash.
    fn escape(&mut self) -> Result<(), Stop> {
        let kind = *self.bytes.get(self.at + 1).ok_or(Stop::Cut)?;
        let byte = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(),
            other => {
                self.note("an escape that JSON does not have");
                other
            }
        };
        self.decoded.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Stop> {
        let first = self.unit(self.at)?;
        let Some(first) = first else {
            self.note("an escape without four digits");
            self.decoded.push(b'u');
            self.at += 2;
            return Ok(());
        };
        let mut length = 6;
        let mut code = u32::from(first);
        let behind = &self.bytes[self.at + 6..];
        if (0xd800..0xdc00).contains(&first) && (behind.is_empty() || behind == b"\\") {
            return Err(Stop::Cut);
        }
        if (0xd800..0xdc00).contains(&first)
            && self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u")
            && let Some(second @ 0xdc00..=0xdfff) = self.unit(self.at + 6)?
        {
            code = 0x10000 + ((code & 0x3ff) << 10 | u32::from(second & 0x3ff));
            length = 12;
        }
        let character = char::from_u32(code).unwrap_or_else(|| {
            self.note("half of a surrogate pair");
            char::REPLACEMENT_CHARACTER
        });
        self.decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Ok(())
    }

    /// The four digits of the escape at `at`; `None` when they are not four digits.
    fn unit(&self, at: usize) -> Result<Option<u16>, Stop> {
        let digits = self.bytes.get(at + 2..at + 6).ok_or(Stop::Cut)?;
        let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
        Ok(text.and_then(|text| u16::from_str_radix(text, 16).ok()))
    }

    fn word(&mut self, word: &'static [u8], value: &'static [u8]) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word) && ends(&rest[word.len()..]) {
            self.at += word.len();
            self.leaf(value)?;
            self.unless_cut()
        } else if word.starts_with(rest) {
            self.open = ANY;
            Err(Stop::Cut)
        } else {
            self.bare()
        }
    }

    fn number(&mut self, place: Place) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let text = &rest[..rest.iter().take_while(is_part).count()];
        if !ends(&rest[text.len()..]) {
            return self.bare();
        }
        let cut = text.len() == rest.len() && self.extent == Extent::Partial;
        let good = is_number(text);
        if !good && !cut {
            self.note("a number that JSON does not allow");
        }
        self.at += text.len();
        match place {
            Place::Array if good && text.len() <= LONGEST_NUMBER => self.item(text)?,
            _ => self.leaf(text)?,
        }
        self.unless_cut()
    }

    /// Behind a word or a number, which may go on where the bytes do not.
    fn unless_cut(&mut self) -> Result<(), Stop> {
        if self.extent == Extent::Whole || self.at < self.bytes.len() {
            return Ok(());
        }
        self.open = ANY;
        Err(Stop::Cut)
    }

    fn string_leaf(&mut self, text: Text<'a>) -> Result<(), Stop> {
        match text {
            Text::Plain(text) => self.leaf(text),
            Text::Decoded => {
                let decoded = std::mem::take(&mut self.decoded);
                let outcome = self.leaf(&decoded);
                self.decoded = decoded;
                outcome
            }
        }
    }

    /// The leaf of an array. It counts apart from the others, so that the bound says how wide
    /// a document may be.
    fn length(&mut self, items: usize) -> Result<(), Stop> {
        self.budget.arrays += 1;
        if self.budget.arrays > self.bounds.leaves {
            return Err(Stop::Error(BodyError::TooManyArgs(self.bounds.leaves)));
        }
        self.put(items.to_string().as_bytes())
    }

    /// A number that is an item of an array.
    fn item(&mut self, number: &[u8]) -> Result<(), Stop> {
        self.budget.numbers += 1;
        if self.budget.numbers > NUMBERS_PER_LEAF * self.bounds.leaves {
            return Err(Stop::Error(BodyError::TooManyArgs(NUMBERS_PER_LEAF * self.bounds.leaves)));
        }
        self.put(number)
    }

    fn leaf(&mut self, value: &[u8]) -> Result<(), Stop> {
        self.budget.leaves += 1;
        if self.budget.leaves > self.bounds.leaves {
            return Err(Stop::Error(BodyError::TooManyArgs(self.bounds.leaves)));
        }
        self.put(value)
    }

    fn put(&mut self, value: &[u8]) -> Result<(), Stop> {
        if self.path.len() > self.bounds.name_bytes {
            return Err(Stop::Error(BodyError::NameTooLong(self.bounds.name_bytes)));
        }
        if value.len() > self.bounds.value_bytes {
            return Err(Stop::Error(BodyError::ValueTooLong(self.bounds.value_bytes)));
        }
        self.budget.named += self.path.len();
        if self.budget.named > self.budget.most_named {
            return Err(Stop::Error(BodyError::NamesTooLong(self.budget.most_named)));
        }
        self.sink.arg(&self.path, value);
        Ok(())
    }

    /// The next byte that is neither white space nor in a comment. What a comment says is shown as
    /// a leaf: to some readers it is none.
    fn peek(&mut self) -> Result<u8, Stop> {
        loop {
            let rest = &self.bytes[self.at..];
            let length = match rest {
                [] => return Err(Stop::Cut),
                [b' ' | b'\t' | b'\n' | b'\r', ..] => 1,
                [0x1e, ..] if self.documents != Documents::One => 1,
                [0 | 0x0b | 0x0c | 0x1e, ..] => {
                    self.note("a control character");
                    1
                }
                [0xef, 0xbb, 0xbf, ..] => {
                    self.note("a byte order mark inside");
                    3
                }
                [b'/', b'/', ..] | [b'#', ..] => {
                    memchr(b'\n', rest).map_or_else(|| self.comment(b"#"), |at| at + 1)
                }
                [b'/', b'*', behind @ ..] => {
                    memmem::find(behind, b"*/").map_or_else(|| self.comment(b"/*"), |at| at + 4)
                }
                [byte, ..] => return Ok(*byte),
            };
            self.at += length;
            if matches!(rest[0], b'/' | b'#') {
                self.note("a comment");
                self.leaf(rest[..length].trim_ascii())?;
            }
        }
    }

    /// The length of a comment that has no end here.
    fn comment(&mut self, open: &'static [u8]) -> usize {
        self.open = open;
        self.bytes.len() - self.at
    }

    fn note_control(&mut self, text: &[u8], start: usize) {
        if let Some(at) = text.iter().position(|&byte| byte < 0x20) {
            let flaw = malformed("a control character in a string", start + at);
            self.flaw.get_or_insert(flaw);
        }
    }

    fn note(&mut self, problem: &'static str) {
        let flaw = malformed(problem, self.at);
        self.flaw.get_or_insert(flaw);
    }
}

/// Some letter: what goes on of a word may look like the beginning of something else.
const ANY: &[u8] = b"x";

/// Longer numbers count as other leaves do.
const LONGEST_NUMBER: usize = 64;

/// True for what may stand behind a number or a word, be it punctuation that is wrong there.
fn ends(rest: &[u8]) -> bool {
    let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    matches!(
        rest.get(space),
        None | Some(b',' | b']' | b'}' | b'[' | b'{' | b':' | b'"' | b'\n' | b'/' | b'#')
    )
}

/// RFC 8259 section 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let [b'.', fraction @ ..] = rest {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests;
