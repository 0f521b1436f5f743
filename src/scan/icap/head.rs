//! The head of an ICAP message (RFC 3507 section 4.3), what its Encapsulated field says of the rest, and what services
//! write into it about what they found.

use std::ops::Range;

use super::answer::Malformed;

/// Fields of a head.
const MOST_FIELDS: usize = 64;

/// Bytes of the HTTP heads before a body.
pub const MOST_MESSAGE: usize = 64 * 1024;

/// What an answer begins with.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub reason: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head whole, with the empty line behind it.
    pub fn read(bytes: &[u8]) -> Result<Head, Malformed> {
        let rest = bytes.strip_prefix(b"ICAP/1.0 ").ok_or(Malformed::NotIcap)?;
        // For a reader of HTTP it is a head as any other.
        response(&[b"HTTP/1.0 ", rest].concat())
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Items of a list, of all fields of that name.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        let values = self.fields.iter().filter(of_name).flat_map(|(_, value)| value.split(','));
        values.map(str::trim).filter(|item| !item.is_empty())
    }

    pub fn closes(&self) -> bool {
        self.list("connection").any(|item| item.eq_ignore_ascii_case("close"))
    }

    /// The name of what was found, in any of the three fields that services use for it.
    pub fn found(&self) -> Option<String> {
        if let Some(value) = self.field("x-infection-found") {
            let threat = value.split(';').find_map(|item| {
                let (name, threat) = item.split_once('=')?;
                name.trim().eq_ignore_ascii_case("threat").then_some(threat.trim())
            });
            return Some(threat.unwrap_or(value).to_owned());
        }
        if let Some(value) = self.field("x-violations-found") {
            // How many, and then four lines for each: a file, what it is, a number, what was done.
            let mut lines = value.lines().map(str::trim);
            if lines.next().is_some_and(|count| count != "0") {
                return Some(lines.nth(1).unwrap_or("a violation").to_owned());
            }
        }
        // Some services have the field in every answer.
        let none = ["", "-", "0", "none", "clean", "no threats"];
        let virus = self.field("x-virus-id")?;
        (self.status != 204 && !none.iter().any(|none| virus.eq_ignore_ascii_case(none)))
            .then(|| virus.to_owned())
    }

    pub fn encapsulated(&self) -> Result<Option<Encapsulated>, Malformed> {
        self.field("encapsulated").map(Encapsulated::read).transpose()
    }
}

/// Reads the head of an HTTP response.
pub fn response(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    // X-Violations-Found goes over several lines.
    config.allow_obsolete_multiline_headers_in_responses(true);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => Ok(Head {
            status: response.code.ok_or(Malformed::Head)?,
            reason: response.reason.unwrap_or_default().to_owned(),
            fields: response.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
        }),
        _ => Err(Malformed::Head),
    }
}

/// What stands behind a head, and where (RFC 3507 section 4.4.1).
#[derive(Debug, PartialEq, Eq)]
pub struct Encapsulated {
    pub request: Option<Range<usize>>,
    pub response: Option<Range<usize>>,
    /// Where the heads end.
    pub end: usize,
    pub has_body: bool,
}

impl Encapsulated {
    fn read(value: &str) -> Result<Encapsulated, Malformed> {
        let mut items = Vec::new();
        for item in value.split(',') {
            let (name, offset) = item.split_once('=').ok_or(Malformed::Encapsulated)?;
            let offset = offset.trim();
            if offset.is_empty() || offset.len() > 6 || !offset.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Malformed::Encapsulated);
            }
            let offset: usize = offset.parse().map_err(|_| Malformed::Encapsulated)?;
            items.push((name.trim().to_ascii_lowercase(), offset));
        }
        let ascends = items.windows(2).all(|pair| pair[0].1 < pair[1].1);
        let first = items.first().is_some_and(|(_, offset)| *offset == 0);
        let Some((last, end)) = items.pop().filter(|(_, end)| first && ascends && *end <= MOST_MESSAGE)
        else {
            return Err(Malformed::Encapsulated);
        };
        let has_body = match last.as_str() {
            "req-body" | "res-body" | "opt-body" => true,
            "null-body" => false,
            _ => return Err(Malformed::Encapsulated),
        };
        let ends = items.iter().skip(1).map(|(_, offset)| *offset).chain([end]);
        let mut encapsulated = Encapsulated { request: None, response: None, end, has_body };
        for ((name, start), upto) in items.iter().zip(ends) {
            let slot = match name.as_str() {
                "req-hdr" if encapsulated.response.is_none() => &mut encapsulated.request,
                "res-hdr" => &mut encapsulated.response,
                _ => return Err(Malformed::Encapsulated),
            };
            if slot.replace(*start..upto).is_some() {
                return Err(Malformed::Encapsulated);
            }
        }
        Ok(encapsulated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        Head::read(format!("ICAP/1.0 200 OK\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn the_parts_of_a_message_have_one_reading() {
        let read = |value: &str| Encapsulated::read(value).ok();
        let all = read("req-hdr=0, res-hdr=10, res-body=30").unwrap();
        assert_eq!((all.request, all.response, all.end, all.has_body), (Some(0..10), Some(10..30), 30, true));
        let none = read("null-body=0").unwrap();
        assert_eq!((none.request, none.response, none.end, none.has_body), (None, None, 0, false));
        assert!(read("Res-Hdr=0,null-body=5").is_some_and(|parts| parts.response == Some(0..5)));
        for value in [
            "",
            "res-hdr=0",
            "res-body",
            "res-hdr=1, res-body=5",
            "res-hdr=0, res-body=0",
            "res-hdr=0, res-hdr=4, res-body=9",
            "res-hdr=0, req-hdr=4, res-body=9",
            "res-hdr=9, res-body=4",
            "res-body=0, res-hdr=4",
            "res-hdr=0, res-body=65537",
            "res-hdr=0, res-body=99999999999999999999",
            "res-hdr=0, res-body=-4",
            "other=0, res-body=4",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn what_was_found_has_a_name_wherever_it_stands() {
        for (fields, found) in [
            ("X-Infection-Found: Type=0; Resolution=2; Threat=Own.Test;\r\n", Some("Own.Test")),
            ("X-Infection-Found: something\r\n", Some("something")),
            ("X-Violations-Found: 1\r\n\t-\r\n\tOwn.Test\r\n\t0\r\n\t0\r\n", Some("Own.Test")),
            ("X-Violations-Found: 2\r\n", Some("a violation")),
            ("X-Violations-Found: 0\r\n", None),
            ("X-Virus-ID: Own.Test\r\n", Some("Own.Test")),
            ("X-Virus-ID: No Threats\r\n", None),
            ("Server: x\r\n", None),
        ] {
            assert_eq!(head(fields).found().as_deref(), found, "{fields}");
        }
        let passed = Head::read(b"ICAP/1.0 204 No Content\r\nX-Virus-ID: clean file\r\n\r\n").unwrap();
        assert_eq!(passed.found(), None);
    }
}
