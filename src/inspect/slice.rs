//! What follows the first window of a long body, in slices as long as a window: each is cut where a value ends, so that
//! nothing hides on the border, and shown behind what brings its reader to where it was. Only formats that are text are
//! cut; of others rules see no more than the beginning anyway.

use crate::waf::Slices;
use crate::waf::body::{self, Borders, Cut};

/// A reader takes milliseconds for a megabyte; other connections of this worker do not wait for it.
const LARGE: usize = 128 * 1024;

/// Cuts one body.
pub struct Slicer {
    /// How the body is read, until its beginning was seen.
    format: Option<(Slices, Vec<u8>)>,
    borders: Borders,
    /// What the slice is to be read behind.
    prefix: Vec<u8>,
}

impl Slicer {
    /// For a request's body.
    pub fn request(slices: Slices, content_type: &[u8]) -> Slicer {
        Slicer { format: Some((slices, content_type.to_vec())), ..Slicer::text() }
    }

    /// For an answer.
    pub fn text() -> Slicer {
        Slicer { format: None, borders: Borders::text(), prefix: Vec::new() }
    }

    /// For a body that begins so; `None` where slices would tell nothing.
    pub fn begin(mut self, start: &[u8]) -> Option<Slicer> {
        if let Some((slices, content_type)) = self.format.take() {
            if slices.if_json && !body::is_json_start(start) {
                return None;
            }
            self.borders = Borders::of(slices.processor, &content_type, start);
        }
        Some(self)
    }

    /// True where there is no value that has to be whole to be read.
    pub fn may_pause(&self) -> bool {
        self.format.is_none() && self.borders.is_text()
    }

    /// What the slice that begins now is to be read behind.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Where the slice ends that begins these bytes, and how many bytes at its end are shown again. The first begins the
    /// body.
    pub fn cut(&mut self, bytes: &[u8]) -> (usize, usize) {
        let cut = || self.borders.cut(&self.prefix, bytes);
        let Cut { length, kept, prefix } =
            if bytes.len() > LARGE { tokio::task::block_in_place(cut) } else { cut() };
        self.prefix = prefix;
        (length, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::body::{Bounds, MultipartFlaw, Sink};
    use crate::waf::input::Extent;

    const EVIL: &str = "1' UNION SELECT password FROM users-- ";
    const WINDOW: usize = 200;

    /// Every value, whatever its kind.
    #[derive(Default)]
    struct Values(Vec<String>);

    impl Values {
        fn add(&mut self, value: &[u8]) {
            self.0.push(String::from_utf8_lossy(value).into_owned());
        }
    }

    impl Sink for Values {
        fn arg(&mut self, _name: &[u8], value: &[u8]) {
            self.add(value);
        }
        fn file(&mut self, _field: &[u8], _filename: &[u8], _size: usize) {}
        fn part_header(&mut self, _part: &[u8], _line: &[u8]) {}
        fn xml_text(&mut self, text: &[u8]) {
            self.add(text);
        }
        fn xml_attribute(&mut self, value: &[u8]) {
            self.add(value);
        }
        fn multipart_flaw(&mut self, _flaw: MultipartFlaw) {}
    }

    /// What rules see of a body, window by window, as [`super::super::messages`] cuts it.
    fn seen(content_type: &str, text: &[u8]) -> Vec<String> {
        let media = content_type.as_bytes();
        let processor = body::select(media).unwrap();
        let slicer = Slicer::request(Slices { processor, if_json: false }, media);
        let (mut values, bounds) = (Values::default(), Bounds::default());
        let first = text.len().min(WINDOW);
        let _ = body::parse(processor, media, &text[..first], Extent::Partial, &bounds, &mut values);
        let mut slicer = slicer.begin(&text[..first]).unwrap();
        let (length, kept) = slicer.cut(&text[..first]);
        let (mut at, mut end) = (length - kept, first);
        while end < text.len() {
            end = (at + WINDOW).min(text.len());
            let prefix = slicer.prefix().to_vec();
            let (length, kept) = if end < text.len() { slicer.cut(&text[at..end]) } else { (end - at, 0) };
            let slice = [&prefix, &text[at..at + length]].concat();
            body::parse_part(processor, media, &slice, &bounds, &mut values).unwrap();
            assert!(kept < length, "{content_type}: nothing is done with");
            at += length - kept;
        }
        assert_eq!(at, text.len(), "{content_type}");
        values.0
    }

    /// What rules see of it when it fits a window.
    fn whole(content_type: &str, text: &[u8]) -> Vec<String> {
        let media = content_type.as_bytes();
        let (mut values, bounds) = (Values::default(), Bounds::default());
        let _ = body::parse(body::select(media).unwrap(), media, text, Extent::Whole, &bounds, &mut values);
        values.0
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// How a format writes the value.
    type Code = fn(&str) -> String;

    /// A body around a value, which stands behind so many bytes of filling.
    type Make = Box<dyn Fn(&str, usize) -> Vec<u8>>;

    fn around(
        before: &'static str,
        filling: &'static str,
        between: &'static str,
        after: &'static str,
    ) -> Make {
        Box::new(move |text, pad| {
            let fill = |bytes| filling.chars().cycle().take(bytes).collect::<String>();
            let behind = fill(filling.len() * (2 * WINDOW / filling.len()));
            format!("{before}{}{between}{text}{behind}{after}", fill(pad)).into_bytes()
        })
    }

    fn escaped(text: &str, escape: fn(char) -> String) -> String {
        text.chars().map(|c| if c == '\'' { escape(c) } else { c.to_string() }).collect()
    }

    /// Bodies of every kind: the value at the end of a long one, behind many short ones, or beside what hides it.
    fn kinds() -> Vec<(&'static str, &'static str, Code, Make)> {
        let plain: Code = str::to_owned;
        let percent: Code = |text| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let unit: Code = |text| escaped(text, |c| format!("\\u{:04x}", u32::from(c)));
        let slash: Code = |text| escaped(text, |c| format!("\\{c}"));
        let reference: Code = |text| escaped(text, |c| format!("&#{};", u32::from(c)));
        let comment: Code = |text| text.replace("UNION", "UN<!-- > ' -->ION");
        let data: Code = |text| text.replace("UNION", "UN<![CDATA[IO]]>N");
        let (form, json, xml) = ("application/x-www-form-urlencoded", "application/json", "text/xml");
        let (lines, parts) = ("application/x-ndjson", "multipart/form-data; boundary=b");
        const HEAD: &str = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
        const FIELD: &str = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n";
        vec![
            ("a form", form, percent, around("q=", "word+", "", "&z=1")),
            ("fields of a form", form, percent, around("", "a=word+and&", "&q=", "&z=1")),
            ("JSON as a form", form, unit, around("{\"a\":[\"", "word ", "", "\"]}")),
            ("JSON", json, unit, around("{\"a\":{\"b\":\"", "word, ", "", "\"}}")),
            ("JSON with escapes", json, slash, around("[\"", "\\\"\\\\", "", "\"]")),
            ("members", json, unit, around("[{", "\"a\": \"b\", ", "\"q\": \"", "\"}]")),
            ("bare names", json, unit, around("[{", "a: 'b', ", "q: \"", "\"}]")),
            ("single quotes", json, unit, around("{\"a\": '", "it\" is, ", "", "'}")),
            ("backticks", json, unit, around("{'a': `", "it's, ", "", "`}")),
            ("bare words", json, plain, around("{a: x", "it's ", "", ", 'b': 1}")),
            ("a comment", json, plain, around("{\"a\": /* ", "it's \" ", "", " */ 1}")),
            ("behind a comment", json, unit, around("{\"a\": /* ", "it's \" ", "*/ \"", "\"}")),
            ("a name", json, unit, around("{\"a\": \"", "it's ", "\", \"b\": \"", "\"}")),
            ("lines", lines, unit, around("", "{\"a\": \"b\"}\n", "{\"q\": \"", "\"}\n")),
            ("a long line", lines, unit, around("{\"a\": \"", "word ", "\"}\n{\"q\": \"", "\"}\n")),
            ("a broken line", lines, unit, around("{\"a\": \"", "word ", "\n{\"q\": \"", "\"}\n")),
            ("text nodes", xml, reference, around("<a>", "<b>word</b>", "<q>", "</q></a>")),
            ("a text node", xml, reference, around("<a>", "word ", "", "</a>")),
            ("a text with a comment", xml, comment, around("<a>", "word ", "", "</a>")),
            ("a text with CDATA", xml, data, around("<a>", "word ", "", "</a>")),
            ("CDATA", xml, plain, around("<a><![CDATA[", "<b>it's ]> ", "", "]]></a>")),
            ("behind CDATA", xml, reference, around("<a><![CDATA[", "<b>it's ", "]]></a><b>", "</b>")),
            ("behind a comment of XML", xml, reference, around("<a><!-- ", "<b>it's ", "--><b q=\"", "\"/>")),
            ("an attribute", xml, reference, around("<a b=\"", "word > ", "", "\"/>")),
            ("attributes", xml, reference, around("<a ", "b='it' ", "q=\"", "\"/>")),
            ("an instruction", xml, plain, around("<?a ", "word > ", "", "?><b/>")),
            ("a field", parts, plain, around(FIELD, "word\r\n-", "", "\r\n--b--")),
            (
                "behind a file",
                parts,
                plain,
                Box::new(|text, pad| {
                    format!(
                        "{HEAD}{}\r\n{FIELD}{text}\r\n{HEAD}{}\r\n--b--",
                        "x".repeat(pad),
                        "-".repeat(500)
                    )
                    .into()
                }),
            ),
            (
                "what looks like a boundary",
                parts,
                plain,
                Box::new(|text, pad| {
                    let fill = "word --b\r\n--bx --b--\r\n".chars().cycle();
                    format!(
                        "{FIELD}x{}\r\n{}{text}\r\n--b--",
                        fill.take(pad).collect::<String>(),
                        "-".repeat(300)
                    )
                    .into()
                }),
            ),
            (
                "JSON in UTF-16",
                json,
                unit,
                Box::new(|text, pad| {
                    wide(&format!("{{\"a\": \"\u{e9}{}\", \"q\": \"{text}\"}}", "word, ".repeat(pad / 6)))
                }),
            ),
            (
                "XML in UTF-16",
                xml,
                reference,
                Box::new(|text, pad| {
                    let words = format!("{} {}", "word ".repeat(pad / 5), "x".repeat(pad % 5));
                    wide(&format!("\u{feff}<a b='{words}{text}{}'/>", "word ".repeat(100)))
                }),
            ),
        ]
    }

    #[test]
    fn a_value_is_whole_to_the_rules_wherever_a_slice_ends_in_it() {
        let found = |seen: &[String]| seen.iter().any(|value| value.contains(EVIL));
        for (case, media, code, make) in kinds() {
            let mut bodies = 0;
            for pad in WINDOW..2 * WINDOW {
                let body = make(&code(EVIL), pad);
                // Filling that ends anywhere makes a few of them something else.
                if !found(&whole(media, &body)) {
                    continue;
                }
                bodies += 1;
                let seen = seen(media, &body);
                assert!(found(&seen), "{case}, behind {pad} bytes: {seen:#?}");
            }
            assert!(bodies > 80, "{case}: {bodies}");
        }
    }
}
