//! A second reading of bodies that are not what they say they are, or that say nothing: JSON that
//! is sent as a form or as text, a form that is sent as JSON. Applications read such bodies every
//! day. What cannot be taken apart at all is shown as the text that it is.

use std::borrow::Cow;

use crate::waf::input::Extent;

use super::charset::Charset;
use super::runs::{is_control, telling};
use super::{BodyError, Bounds, Documents, Processor, Sink, json, media_type, urlencoded, wide, xml};

/// After a body could not be read strictly as what it says: when it does not even begin like that,
/// it is shown as text, and read as what it begins like.
pub(super) fn unless_read(
    said: Processor,
    read: Result<(), BodyError>,
    text: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let seems = seems(text);
    if bounds.second_reading
        && matches!(read, Err(BodyError::Malformed { .. } | BodyError::NoBoundary))
        && seems != Some(said)
    {
        shown(text, bounds, sink);
        // It is an error already; what the second reading thinks of itself says nothing more.
        let _ = match seems {
            Some(Processor::Json) => json::parse(text, extent, bounds, sink),
            Some(Processor::Xml) => xml::parse(text, extent, bounds, sink),
            Some(Processor::Urlencoded) => urlencoded::query(text, bounds, sink),
            _ => Ok(()),
        };
    }
    read
}

/// A form that is a JSON document. Clients that forget to say what they send call it a form.
pub(super) fn json_in_form(
    text: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    if bounds.second_reading && is_json(text, extent, bounds)? {
        json::parse_all(text, Documents::Many, extent, bounds, sink)?;
    }
    Ok(())
}

/// True where a form or a text that begins so is read as JSON.
pub fn is_json_start(text: &[u8]) -> bool {
    is_json(&wide::narrowed(text), Extent::Partial, &Bounds::default()).unwrap_or_default()
}

/// Text of no format that is taken apart. JSON is often sent so, because browsers then ask nobody
/// first, and some servers read it. Plain text, or what does not say what it is, is also shown as it
/// stands, `most` bytes of it, or the texts in it where it is not all text; documents in a language of their own (pages, scripts) are not values.
pub fn text(
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    most: usize,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let charset = Charset::of(content_type);
    let media = media_type(content_type);
    for text in readings(charset, bytes) {
        let start = &text[..text.len().min(most)];
        if is_json(&text, extent, bounds)? {
            json::parse_all(&text, Documents::Many, extent, bounds, sink)?;
        } else if matches!(&media[..], b"" | b"text/plain") {
            match is_text(start) {
                true => shown(start, bounds, sink),
                false => telling(start).for_each(|run| shown(run, bounds, sink)),
            }
        } else if media == b"application/graphql" {
            sink.arg(b"json.query", &text[..text.len().min(bounds.value_bytes)]);
        }
    }
    charset.outcome(Ok(()))
}

/// The texts that a body may be, each once: as it stands, and as its charset says.
fn readings(charset: Charset, bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let narrow = wide::narrowed(bytes);
    let others: Vec<Vec<u8>> = match charset.is_wide() {
        true => charset.readings(bytes).into_iter().filter(|text| *text != *narrow).collect(),
        false => match charset.text(&narrow) {
            Cow::Owned(text) => vec![text],
            Cow::Borrowed(_) => Vec::new(),
        },
    };
    std::iter::once(narrow).chain(others.into_iter().map(Cow::Owned)).collect()
}

/// A client in C may send the zero behind its string.
pub(super) fn without_end(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\0").unwrap_or(text)
}

fn shown(text: &[u8], bounds: &Bounds, sink: &mut dyn Sink) {
    if !text.trim_ascii().is_empty() {
        sink.text(&text[..text.len().min(bounds.value_bytes)]);
    }
}

/// What a text begins like.
fn seems(text: &[u8]) -> Option<Processor> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    match text.first()? {
        b'{' | b'[' => Some(Processor::Json),
        b'<' => Some(Processor::Xml),
        _ => {
            let end = text.iter().position(|byte| matches!(byte, b'=' | b'&')).filter(|end| *end > 0)?;
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%+".contains(byte);
            text[..end].iter().all(is_name).then_some(Processor::Urlencoded)
        }
    }
}

/// True for what a strict reader takes, be it several documents. Nothing is kept of it.
fn is_json(text: &[u8], extent: Extent, bounds: &Bounds) -> Result<bool, BodyError> {
    if seems(text) != Some(Processor::Json) {
        return Ok(false);
    }
    match json::parse_all(text, Documents::Many, extent, bounds, &mut Nowhere) {
        Err(error) if error.is_bound() => Err(error),
        read => Ok(read.is_ok()),
    }
}

/// True for what holds no bytes that text does not have.
fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes.iter().filter(|byte| is_control(**byte)).count();
    odd * 50 <= bytes.len()
}

struct Nowhere;

impl Sink for Nowhere {
    fn arg(&mut self, _: &[u8], _: &[u8]) {}
    fn file(&mut self, _: &[u8], _: &[u8], _: usize) {}
    fn part_header(&mut self, _: &[u8], _: &[u8]) {}
    fn xml_text(&mut self, _: &[u8]) {}
    fn xml_attribute(&mut self, _: &[u8]) {}
    fn multipart_flaw(&mut self, _: super::MultipartFlaw) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::super::{is_textual, parse, select};
    use super::*;

    const MOST: usize = 64;

    fn read(content_type: &str, bytes: &[u8]) -> (Notes, Option<&'static str>) {
        let mut notes = Notes::default();
        let (kind, bounds) = (content_type.as_bytes(), Bounds::default());
        let read = match select(kind) {
            Some(processor) => parse(processor, kind, bytes, Extent::Whole, &bounds, &mut notes),
            None if !is_textual(kind) => Ok(()),
            None => text(kind, bytes, Extent::Whole, MOST, &bounds, &mut notes),
        };
        (notes, read.err().map(|error| error.code()))
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn json_is_read_whatever_it_is_sent_as() {
        for kind in [FORM, "text/plain", "", "text/html", "text/plain;charset=UTF-8"] {
            let (notes, error) = read(kind, br#" {"a":"x\u0026y"}"#);
            assert!(notes.pairs().contains(&("json.a", "x&y")), "{kind}: {notes:?}");
            assert_eq!(error, None, "{kind}");
            assert!(notes.whole.is_empty(), "{kind}: {notes:?}");
        }
        for (kind, body) in [(FORM, "[a]=1&b=2"), ("text/plain", "[a] = 1"), ("image/png", "{\"a\":1}")] {
            let (notes, _) = read(kind, body.as_bytes());
            assert!(!notes.pairs().iter().any(|pair| pair.0.starts_with("json")), "{kind}: {notes:?}");
        }
        let wide: Vec<u8> = r#"{"a":"b"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read("text/plain; charset=utf-16", &wide).0.pairs(), [("json.a", "b")]);
    }

    #[test]
    fn what_is_not_what_it_says_is_read_as_what_it_is() {
        let (notes, error) = read("application/json", b"a=1&b=%3Cx%3E");
        assert_eq!((notes.whole.len(), error), (1, Some("malformed")));
        assert!(notes.pairs().contains(&("b", "<x>")), "{notes:?}");
        let (notes, _) = read("application/json", b"<a b='c'>d</a>");
        assert_eq!((&notes.text[..], &notes.attributes[..]), (&["d".to_owned()][..], &["c".to_owned()][..]));
        let (notes, _) = read("text/xml", br#"{"a":"b"}"#);
        assert!(notes.pairs().contains(&("json.a", "b")), "{notes:?}");
        let (notes, _) = read("multipart/form-data", br#"{"a":"b"}"#);
        assert!(notes.pairs().contains(&("json.a", "b")), "{notes:?}");
        assert_eq!(read("application/json", b"just words").0.whole, ["just words"]);
        // A document that is broken and yet one is read by its own parser alone.
        assert!(read("application/json", b"{\"a\": NaN}").0.whole.is_empty());
    }

    #[test]
    fn plain_text_is_shown_and_bytes_are_not() {
        assert_eq!(read("text/plain", b"some <text>").0.whole, ["some <text>"]);
        assert_eq!(read("", &[b'a'; 100]).0.whole, ["a".repeat(MOST)]);
        for kind in ["text/html", "text/csv", "application/javascript"] {
            assert!(read(kind, b"some <text>").0.whole.is_empty(), "{kind}");
        }
        assert!(read("", b"\x08\x96\x01\0\0\x01\x02").0.whole.is_empty());
        // A few control characters hide nothing.
        for body in [&b"{{7*7}}{{7*7}}\x01"[..], b"{{7*7}}{{7*7}}\0", b"\x01\x02{{7*7}}{{7*7}}\x03\xff"] {
            assert_eq!(read("text/plain", body).0.whole, ["{{7*7}}{{7*7}}"], "{}", body.escape_ascii());
        }
        assert_eq!(read("application/graphql", b"{ a }").0.pairs(), [("json.query", "{ a }")]);
    }

    #[test]
    fn a_charset_takes_nothing_away_from_what_the_bytes_say() {
        // As UTF-16 this is Chinese; readers of JSON and XML that know UTF-8 alone see what it says.
        let evil = "' or 1=1--";
        for charset in ["utf-16", "utf-16be", "shift_jis", "iso-2022-jp", "gb18030", "euc-kr"] {
            let body = format!("{{\"q\":\"\u{1b}$B\",\"r\":\"{evil}\",\"z\":\"").into_bytes();
            let body = [&body[..], b"\xff\"}"].concat();
            for kind in ["application/json", "application/x-ndjson"] {
                let (notes, _) = read(&format!("{kind}; charset={charset}"), &body);
                assert!(
                    notes.args.iter().any(|(_, value)| value.contains(evil)),
                    "{kind} {charset}: {notes:?}"
                );
            }
            let body = [&format!("<a><b>\u{1b}$B</b><c>{evil}</c>").into_bytes()[..], b"\xff</a>"].concat();
            let declared = [format!("<?xml version='1.0' encoding='{charset}'?>").as_bytes(), &body].concat();
            for (kind, body) in
                [(format!("text/xml; charset={charset}"), body), ("text/xml".into(), declared)]
            {
                let (notes, _) = read(&kind, &body);
                assert!(notes.text.iter().any(|text| text == evil), "{kind}: {notes:?}");
            }
        }
    }

    #[test]
    fn honest_texts_in_other_charsets_are_read_and_are_no_errors() {
        let kana = "\u{8868}\u{793a}<\u{30c6}>";
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (charset, encoding) in [
            ("shift_jis", encoding_rs::SHIFT_JIS),
            ("euc-jp", encoding_rs::EUC_JP),
            ("iso-2022-jp", encoding_rs::ISO_2022_JP),
        ] {
            let json = format!("{{\"q\":\"{kana}\",\"r\":[\"{kana}\"]}}\n");
            for kind in ["application/json", "application/x-ndjson"] {
                let (notes, error) = read(&format!("{kind}; charset={charset}"), &encoding.encode(&json).0);
                assert!(notes.pairs().contains(&("json.q", kana)), "{kind} {charset}: {notes:?}");
                assert_eq!(error, None, "{kind} {charset}");
            }
            let xml = format!("<?xml version='1.0' encoding='{charset}'?><q>\u{8868}\u{793a}</q>");
            let (notes, error) = read("text/xml", &encoding.encode(&xml).0);
            assert!(notes.text.iter().any(|text| text == "\u{8868}\u{793a}"), "{charset}: {notes:?}");
            assert_eq!(error, None, "{charset}");
        }
        // No mark, no ASCII at its beginning, and every unit in it is valid UTF-8.
        let (notes, error) = read("text/plain; charset=utf-16le", &wide("\u{3042}' or 1=1--"));
        assert!(notes.whole.contains(&"\u{3042}' or 1=1--".to_owned()), "{notes:?}");
        assert_eq!(error, None);
        for kind in ["application/json", "application/x-ndjson", "text/plain"] {
            let (notes, error) = read(&format!("{kind}; charset=utf-16"), &wide("{\"a\":\"b\"}"));
            assert_eq!((notes.pairs(), error), (vec![("json.a", "b")], None), "{kind}");
        }
    }

    #[test]
    fn a_charset_is_undone_or_is_an_error() {
        let (notes, error) = read(&format!("{FORM}; charset=utf-16le"), b"q=%3C%00b%00%3E%00");
        assert!(notes.pairs().contains(&("q", "<b>")), "{notes:?}");
        assert_eq!(error, None);
        for kind in [FORM, "text/plain", "application/json", "text/xml"] {
            assert_eq!(read(&format!("{kind}; charset=ibm037"), b"<a/>").1, Some("charset"), "{kind}");
        }
        let (notes, error) = read("text/plain; charset=shift_jis", b"\x83\x65<");
        assert_eq!((notes.whole, error), (vec!["\\x83e<".to_owned(), "\u{30c6}<".to_owned()], None));
        assert_eq!(read(FORM, b"a=b\0").0.pairs(), [("a", "b")]);
    }
}
