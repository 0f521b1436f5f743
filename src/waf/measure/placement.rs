//! The places of a request where an attacker can put a value. Each writes a request around the
//! value from which the origin reads exactly that value, or says that the place cannot hold it.

use super::encoding::percent;
use super::request::Request;

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placement {
    Query,
    /// The name of a query argument.
    QueryName,
    /// Segments in the middle of the path; a slash stays a slash.
    Path,
    Form,
    Multipart,
    /// The name of an uploaded file.
    FileName,
    Json,
    /// Ten levels deep, objects and lists in turn.
    JsonNested,
    XmlText,
    XmlAttribute,
    XmlCdata,
    Soap,
    /// A field that the application made up.
    Header,
    UserAgent,
    Referer,
    /// Percent-encoded, as scripts and frameworks write cookies.
    Cookie,
    /// As it stands, where that is possible.
    CookieRaw,
    /// A variable of an operation.
    Graphql,
    /// A text in the operation itself.
    GraphqlInline,
    /// A body of plain text.
    Body,
}

/// Levels of `json-nested`.
const DEPTH: usize = 10;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const XML: &str = "application/xml";

impl Placement {
    pub const ALL: [Placement; 20] = [
        Placement::Query,
        Placement::QueryName,
        Placement::Path,
        Placement::Form,
        Placement::Multipart,
        Placement::FileName,
        Placement::Json,
        Placement::JsonNested,
        Placement::XmlText,
        Placement::XmlAttribute,
        Placement::XmlCdata,
        Placement::Soap,
        Placement::Header,
        Placement::UserAgent,
        Placement::Referer,
        Placement::Cookie,
        Placement::CookieRaw,
        Placement::Graphql,
        Placement::GraphqlInline,
        Placement::Body,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Placement::Query => "query",
            Placement::QueryName => "query-name",
            Placement::Path => "path",
            Placement::Form => "form",
            Placement::Multipart => "multipart",
            Placement::FileName => "file-name",
            Placement::Json => "json",
            Placement::JsonNested => "json-nested",
            Placement::XmlText => "xml-text",
            Placement::XmlAttribute => "xml-attribute",
            Placement::XmlCdata => "xml-cdata",
            Placement::Soap => "soap",
            Placement::Header => "header",
            Placement::UserAgent => "user-agent",
            Placement::Referer => "referer",
            Placement::Cookie => "cookie",
            Placement::CookieRaw => "cookie-raw",
            Placement::Graphql => "graphql",
            Placement::GraphqlInline => "graphql-inline",
            Placement::Body => "body",
        }
    }

    pub fn find(name: &str) -> Option<Placement> {
        Placement::ALL.into_iter().find(|placement| placement.name() == name)
    }

    /// A whole request with the value in this place. None when bytes of it cannot stand there.
    pub fn place(self, value: &[u8]) -> Option<Request> {
        let get = |target: Vec<u8>| Request::get(&target);
        let post = |content_type: &str, body: Vec<u8>| Request::post("/items", content_type, body);
        let json = |body: String| post(JSON, body.into_bytes());
        let xml = |body: String| post(XML, format!("{XML_DECLARATION}{body}").into_bytes());
        Some(match self {
            Placement::Query => get([b"/search?page=1&q=", &percent(value)[..]].concat()),
            Placement::QueryName => get([b"/search?page=1&", &percent(value)[..], b"=1"].concat()),
            Placement::Path => get([b"/files/", &segments(value)[..], b"/view"].concat()),
            Placement::Form => post(FORM, [b"page=1&q=", &percent(value)[..]].concat()),
            Placement::Multipart => multipart(value, |bytes, boundary| {
                let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n");
                [head.as_bytes(), bytes].concat()
            }),
            Placement::FileName => {
                let name = file_name(value)?;
                multipart(value, |_, boundary| {
                    let head =
                        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"q\"; filename=\"");
                    [head.as_bytes(), &name, b"\"\r\nContent-Type: text/plain\r\n\r\nhello"].concat()
                })
            }
            Placement::Json => json(format!("{{\"page\":1,\"q\":{}}}", json_text(value)?)),
            Placement::JsonNested => json(nested(&json_text(value)?)),
            Placement::XmlText => xml(format!("<item><q>{}</q></item>", xml_text(value, false)?)),
            Placement::XmlAttribute => xml(format!("<item q=\"{}\">1</item>", xml_text(value, true)?)),
            Placement::XmlCdata => xml(format!("<item><q>{}</q></item>", cdata(value)?)),
            Placement::Soap => soap(&xml_text(value, false)?),
            Placement::Header => get(b"/items".to_vec()).with("X-Item-Name", field_value(value)?),
            Placement::UserAgent => get(b"/items".to_vec()).with("User-Agent", field_value(value)?),
            Placement::Referer => get(b"/items".to_vec()).with("Referer", field_value(value)?),
            Placement::Cookie => get(b"/items".to_vec()).with("Cookie", &cookie(&percent(value))),
            Placement::CookieRaw => {
                let fits = field_value(value).filter(|value| !value.contains(&b';'))?;
                get(b"/items".to_vec()).with("Cookie", &cookie(fits))
            }
            Placement::Graphql => json(format!(
                "{{\"query\":\"query($q: String) {{ items(name: $q) {{ id }} }}\",\"variables\":{{\"q\":{}}}}}",
                json_text(value)?
            )),
            Placement::GraphqlInline => {
                let operation = format!("{{ items(name: {}) {{ id }} }}", json_text(value)?);
                json(format!("{{\"query\":{}}}", json_text(operation.as_bytes())?))
            }
            Placement::Body => post("text/plain; charset=utf-8", value.to_vec()),
        })
    }
}

const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Percent-encoded but for slashes.
fn segments(value: &[u8]) -> Vec<u8> {
    value.split(|byte| *byte == b'/').map(percent).collect::<Vec<_>>().join(&b'/')
}

fn cookie(value: &[u8]) -> Vec<u8> {
    [b"lang=en; q=", value, b"; theme=dark"].concat()
}

/// RFC 9110 section 5.5: no control characters but the tab, and none is empty here.
fn field_value(value: &[u8]) -> Option<&[u8]> {
    let stands = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let trimmed = value.trim_ascii();
    (!trimmed.is_empty() && value.iter().all(stands)).then_some(trimmed)
}

/// RFC 8259 section 8.1: JSON is UTF-8.
fn json_text(value: &[u8]) -> Option<String> {
    serde_json::to_string(std::str::from_utf8(value).ok()?).ok()
}

fn nested(text: &str) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for level in 0..DEPTH {
        if level % 2 == 0 {
            open.push_str("{\"a\":");
            close.insert(0, '}');
        } else {
            open.push_str("[1,");
            close.insert(0, ']');
        }
    }
    format!("{open}{text}{close}")
}

/// Characters that XML 1.0 has (section 2.2), escaped so that no reader normalises them away.
fn xml_text(value: &[u8], attribute: bool) -> Option<String> {
    let mut out = String::new();
    for c in std::str::from_utf8(value).ok()?.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            c if is_xml(c) => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

fn cdata(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    // A reader would turn a carriage return into a line feed (section 2.11).
    if !text.chars().all(|c| is_xml(c) && c != '\r') {
        return None;
    }
    Some(format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>")))
}

fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn soap(text: &str) -> Request {
    let body = format!(
        "{XML_DECLARATION}<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
         <m:GetItem xmlns:m=\"http://example.test/items\"><m:Name>{text}</m:Name></m:GetItem></soap:Body>\
         </soap:Envelope>"
    );
    Request::post("/items", "text/xml; charset=utf-8", body.into_bytes())
        .with("SOAPAction", b"\"http://example.test/items/GetItem\"")
}

/// A body of two parts, of which the second is written by the caller. The boundary is one that the
/// value does not hold.
fn multipart(value: &[u8], part: impl Fn(&[u8], &str) -> Vec<u8>) -> Request {
    let boundary = (0..)
        .map(|number| format!("----FormBoundary7MA4YWxkTrZu0gW{number}"))
        .find(|boundary| memchr::memmem::find(value, boundary.as_bytes()).is_none())
        .unwrap_or_default();
    let first = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"page\"\r\n\r\n1\r\n");
    let body =
        [first.as_bytes(), &part(value, &boundary), format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    Request::post("/items", &format!("multipart/form-data; boundary={boundary}"), body)
}

/// A quote is escaped as readers of RFC 2183 take it; other backslashes stand for themselves,
/// because browsers once sent Windows paths.
fn file_name(value: &[u8]) -> Option<Vec<u8>> {
    if value.is_empty()
        || value.ends_with(b"\\")
        || value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
    {
        return None;
    }
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'"').collect();
    Some(parts.join(&b"\\\""[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(placement: Placement, value: &[u8]) -> String {
        let request = placement.place(value).unwrap_or_else(|| panic!("{placement:?}"));
        String::from_utf8_lossy(&request.body).into_owned()
    }

    #[test]
    fn values_are_escaped_as_their_place_asks() {
        let target = |placement: Placement| {
            let request = placement.place(b"a&/<\"\r\n").expect("a target can hold anything");
            String::from_utf8_lossy(&request.target).into_owned()
        };
        assert_eq!(target(Placement::Query), "/search?page=1&q=a%26%2F%3C%22%0D%0A");
        assert_eq!(target(Placement::Path), "/files/a%26/%3C%22%0D%0A/view");
        assert_eq!(body(Placement::Json, b"a\"\n"), r#"{"page":1,"q":"a\"\n"}"#);
        assert!(body(Placement::XmlAttribute, b"a\"<\n").contains("q=\"a&quot;&lt;&#10;\""));
        assert!(body(Placement::XmlCdata, b"a]]>b").contains("<![CDATA[a]]]]><![CDATA[>b]]>"));
        assert!(body(Placement::FileName, b"a\"b").contains("filename=\"a\\\"b\"\r\n"));
        assert!(body(Placement::GraphqlInline, b"a\"").contains(r#"items(name: \"a\\\"\")"#));
    }

    #[test]
    fn nested_json_is_ten_deep_and_json() {
        let text = body(Placement::JsonNested, b"x");
        let mut value: &serde_json::Value = &serde_json::from_str(&text).expect("JSON");
        for level in 0..DEPTH {
            value = if level % 2 == 0 { &value["a"] } else { &value[1] };
        }
        assert_eq!(value, "x");
    }

    #[test]
    fn what_cannot_stand_in_a_place_is_not_placed() {
        for (placement, value) in [
            (Placement::Header, &b"a\r\nb"[..]),
            (Placement::UserAgent, b"\0"),
            (Placement::Referer, b" "),
            (Placement::CookieRaw, b"a;b"),
            (Placement::Json, b"\xff"),
            (Placement::XmlText, b"\x01"),
            (Placement::XmlCdata, b"\r"),
            (Placement::FileName, b"a\n"),
        ] {
            assert!(placement.place(value).is_none(), "{placement:?} {value:?}");
        }
    }

    #[test]
    fn every_placement_is_found_by_its_name_and_places_a_word() {
        for placement in Placement::ALL {
            assert_eq!(Placement::find(placement.name()), Some(placement));
            assert!(placement.place(b"word").is_some(), "{placement:?}");
        }
    }
}
