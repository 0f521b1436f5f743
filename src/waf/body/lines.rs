//! Many JSON texts in one body: a line each (NDJSON, JSON Lines, bulk interfaces of search engines), or behind record
//! separators (RFC 7464). Each is read as a JSON body is; a line that is none does not keep the others from being read.

use super::json::{self, Budget, Documents};
use super::{BodyError, Bounds, Sink, media_type, worse};
use crate::waf::input::Extent;

/// RFC 7464 section 2.2.
const RECORD_SEPARATOR: u8 = 0x1e;

pub(super) fn is_lines(media: &[u8]) -> bool {
    matches!(
        media,
        b"application/x-ndjson"
            | b"application/ndjson"
            | b"application/jsonl"
            | b"application/x-jsonl"
            | b"application/jsonlines"
            | b"application/x-jsonlines"
            | b"application/json-lines"
            | b"application/json-seq"
            | b"application/x-json-stream"
            | b"application/stream+json"
            | b"text/x-ndjson"
    ) || media.ends_with(b"+json-seq")
}

/// What stands between them. A sequence may write one text over many lines.
pub(super) fn separator(content_type: &[u8]) -> u8 {
    if media_type(content_type).ends_with(b"json-seq") { RECORD_SEPARATOR } else { b'\n' }
}

/// Reads all of them. What a body may have of everything is theirs together.
pub(super) fn parse(
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let separator = separator(content_type);
    let mut budget = Budget::of(bytes.len());
    let mut outcome = Ok(());
    let mut lines = bytes.split(|byte| *byte == separator).peekable();
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let extent = if last { extent } else { Extent::Whole };
        let read = json::parse_within(line, Documents::One, extent, bounds, &mut budget, sink);
        let spent = matches!(read, Err(BodyError::TooManyArgs(_) | BodyError::NamesTooLong(_)));
        outcome = worse(outcome, read);
        if spent {
            break;
        }
    }
    outcome
}

/// True for a body that says it is one JSON text and is a line each: what bulk interfaces take as well.
pub(super) fn looks_so(bytes: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return false };
    let (first, rest) = (bytes[..end].trim_ascii(), bytes[end..].trim_ascii_start());
    matches!(rest.first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::*;

    fn read(content_type: &str, text: &str) -> (Vec<(String, String)>, Result<(), BodyError>) {
        let mut notes = Notes::default();
        let (media, bounds) = (content_type.as_bytes(), Bounds::default());
        let outcome = parse(media, text.as_bytes(), Extent::Whole, &bounds, &mut notes);
        (notes.args, outcome)
    }

    #[test]
    fn every_line_is_read_also_behind_one_that_is_no_json() {
        let (args, outcome) =
            read("application/x-ndjson", "{\"a\":\"1\"}\r\n\n{\"b\":nonsense}\n{\"c\":\"3\"}");
        let values: Vec<_> = args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(values, [("json.a", "1"), ("json.b", "nonsense"), ("json.c", "3")]);
        assert!(outcome.is_err());
    }

    #[test]
    fn a_sequence_may_have_line_ends_in_its_texts() {
        let (args, outcome) = read("application/json-seq", "\u{1e}{\n\"a\": \"1\"\n}\n\u{1e}{\"b\":\"2\"}\n");
        assert_eq!((args.len(), outcome), (2, Ok(())));
    }

    #[test]
    fn the_bounds_are_those_of_json_and_for_all_lines_together() {
        let most = |outcome| assert_eq!(outcome, Err(BodyError::TooManyArgs(20_000)));
        most(read("application/jsonl", &"[\"1\",\"2\",\"3\"]\n".repeat(6_667)).1);
        most(read("application/jsonl", &"[]\n".repeat(20_001)).1);
        // What came before it is broken, and does not make the bound less of one.
        most(read("application/jsonl", &format!("{{NaN}}\n{}", "[]\n".repeat(20_001))).1);
        // Sentences as vectors, one a line: numbers in arrays are cheap, here as there.
        let vector = format!("[{}]\n", vec!["0.25"; 768].join(","));
        let (args, outcome) = read("application/x-ndjson", &vector.repeat(300));
        assert_eq!((args.len(), outcome), (300 * 769, Ok(())));
        let long = format!("{{\"{}\":[0,0,0,0]}}\n", "n".repeat(4_000));
        let (args, outcome) = read("application/jsonl", &long.repeat(260));
        assert_eq!((args.len(), outcome), (260 * 5, Ok(())));
        // Each line repeats a long name above a few items: all names are held against the whole body.
        let long = format!("{{\"{}\":[{}]}}\n", "n".repeat(4_000), vec!["0"; 100].join(","));
        let (args, outcome) = read("application/jsonl", &long.repeat(100));
        assert!(matches!(outcome, Err(BodyError::NamesTooLong(_))), "{outcome:?}");
        assert!(args.iter().map(|(name, _)| name.len()).sum::<usize>() < 16 * 100 * long.len() + (1 << 20));
    }

    #[test]
    fn lines_are_known_where_the_type_does_not_say_so() {
        assert!(looks_so(b"{\"index\":{}}\n{\"a\":1}\n"));
        for text in [&b"{\n\"a\": 1}\n"[..], b"{\"a\":1}\n", b"{\"a\":1}", b"{\"a\":1}\nnonsense"] {
            assert!(!looks_so(text), "{}", text.escape_ascii());
        }
    }
}
