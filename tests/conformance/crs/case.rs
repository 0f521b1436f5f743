//! A case of the Core Rule Set's own suite: a file in the format of FTW, the Framework for Testing
//! WAFs, as the bytes that FTW would send and what must come of them. A key that is not known here
//! is a failure.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saphyr::{LoadableYamlNode, Scalar, Yaml};

const FORM: &str = "application/x-www-form-urlencoded";

/// One request and what is expected of it.
#[derive(Debug)]
pub struct Case {
    pub id: String,
    /// As they go on the wire.
    pub bytes: Vec<u8>,
    /// The Host field that the case gives, if it does.
    pub host: Option<String>,
    pub expect: Expect,
}

/// What must hold; all that is given must.
#[derive(Debug, Default)]
pub struct Expect {
    /// This rule wrote to the log.
    pub logged: Option<u32>,
    /// This rule did not.
    pub not_logged: Option<u32>,
    /// The client got one of these.
    pub status: Vec<u16>,
    /// The client got no answer.
    pub error: bool,
}

/// All cases of a file, in its order.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let [document] = &documents[..] else { panic!("{}: not one document", path.display()) };
    let tests = sequence(get(document, "tests").expect("a file has tests"));
    tests.iter().map(case).collect()
}

fn case(test: &Yaml) -> Case {
    let id = text(get(test, "test_title").expect("a test has a title"));
    let stages = sequence(get(test, "stages").expect("a test has stages"));
    assert_eq!(stages.len(), 1, "{id}: only tests of one stage are understood");
    let stage = get(&stages[0], "stage").expect("a stage");
    let input = Input::read(&id, get(stage, "input").expect("a stage has an input"));
    let expect = expect(&id, get(stage, "output").expect("a stage has an output"));
    let host = input.field("Host").map(str::to_owned);
    Case { bytes: input.bytes(), id, host, expect }
}

fn expect(id: &str, output: &Yaml) -> Expect {
    let mut expect = Expect::default();
    for (key, value) in mapping(output) {
        match &*text(key) {
            "log_contains" => expect.logged = Some(rule(id, &text(value))),
            "no_log_contains" => expect.not_logged = Some(rule(id, &text(value))),
            "status" => {
                let number = |value: &Yaml| text(value).parse().expect("a status is a number");
                expect.status = match value {
                    Yaml::Sequence(list) => list.iter().map(number).collect(),
                    one => vec![number(one)],
                };
            }
            "expect_error" => expect.error = text(value) == "true",
            other => panic!("{id}: unknown expectation {other}"),
        }
    }
    expect
}

/// The rule that a pattern for log lines means. The suite writes `id "942100"`; a few times it
/// forgets the last quote, writes `id:942100` or the number alone, and means the same.
fn rule(id: &str, pattern: &str) -> u32 {
    let number = pattern.trim_start_matches("id").trim_matches([' ', ':', '"']);
    assert_eq!(number.len(), 6, "{id}: `{pattern}` is about something else than a rule's log line");
    number.parse().unwrap_or_else(|_| panic!("{id}: `{pattern}` is about something else than a rule"))
}

/// A request as the file gives it, with FTW's defaults.
struct Input {
    method: String,
    uri: String,
    version: String,
    fields: Vec<(String, String)>,
    data: String,
    /// Nothing is added or coded.
    stop_magic: bool,
    /// Sent instead of all others.
    raw: Option<Vec<u8>>,
}

impl Input {
    fn read(id: &str, input: &Yaml) -> Input {
        let mut out = Input {
            method: "GET".into(),
            uri: "/".into(),
            version: "HTTP/1.1".into(),
            fields: Vec::new(),
            data: String::new(),
            stop_magic: false,
            raw: None,
        };
        for (key, value) in mapping(input) {
            match &*text(key) {
                "method" => out.method = text(value),
                "uri" => out.uri = text(value),
                "version" => out.version = text(value),
                "headers" => {
                    out.fields = mapping(value).map(|(name, value)| (text(name), text(value))).collect();
                }
                "data" => {
                    out.data = match value {
                        Yaml::Sequence(lines) => lines.iter().map(text).collect::<Vec<_>>().join("\r\n"),
                        one => text(one),
                    }
                }
                "stop_magic" => out.stop_magic = text(value) == "true",
                "raw_request" => out.raw = Some(text(value).into_bytes()),
                // FTW also resolves Python's escapes in the decoded text, and so changes bytes
                // beyond ASCII; its successor sends what was encoded, and so do we.
                "encoded_request" => out.raw = Some(STANDARD.decode(text(value)).expect("base64")),
                // Where to; the runner has its own ways.
                "dest_addr" | "port" | "protocol" => {}
                other => panic!("{id}: unknown input {other}"),
            }
        }
        out.complete();
        out
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What FTW adds to a request with a body.
    fn complete(&mut self) {
        if self.data.is_empty() || self.stop_magic {
            return;
        }
        if self.field("Content-Type").is_none() {
            self.fields.push(("Content-Type".into(), FORM.into()));
        }
        if self.field("Content-Type") == Some(FORM)
            && !is_encoded(&self.data)
            && let Some(encoded) = encode_form(&self.data)
        {
            self.data = encoded;
        }
        if self.field("Content-Length").is_none() {
            self.fields.push(("Content-Length".into(), self.data.len().to_string()));
        }
    }

    fn bytes(self) -> Vec<u8> {
        if let Some(raw) = self.raw {
            return raw;
        }
        let mut out = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        for (name, value) in &self.fields {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        if !self.data.is_empty() {
            out.push_str(&self.data);
            out.push_str("\r\n");
        }
        out.into_bytes()
    }
}

/// True when the text has a percent code.
fn is_encoded(data: &str) -> bool {
    data.as_bytes()
        .windows(3)
        .any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit())
}

/// Pairs that have a name and a value, percent-encoded anew; `None` when there are none.
fn encode_form(data: &str) -> Option<String> {
    let pairs =
        data.split('&').filter_map(|pair| pair.split_once('=')).filter(|(_, value)| !value.is_empty());
    let encoded: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", quote(name), quote(value))).collect();
    (!encoded.is_empty()).then(|| encoded.join("&"))
}

/// Forms write a space as `+`, before and after.
fn quote(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'+' | b' ' => out.push('+'),
            b'_' | b'.' | b'-' | b'~' => out.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn get<'a>(node: &'a Yaml, key: &str) -> Option<&'a Yaml<'a>> {
    mapping(node).find(|(known, _)| known.as_str() == Some(key)).map(|(_, value)| value)
}

fn mapping<'a>(node: &'a Yaml) -> impl Iterator<Item = (&'a Yaml<'a>, &'a Yaml<'a>)> {
    let Yaml::Mapping(mapping) = node else { panic!("not a mapping: {node:?}") };
    mapping.iter()
}

fn sequence<'a>(node: &'a Yaml) -> &'a [Yaml<'a>] {
    let Yaml::Sequence(list) = node else { panic!("not a sequence: {node:?}") };
    list
}

/// A scalar as it is written.
fn text(node: &Yaml) -> String {
    let Yaml::Value(scalar) = node else { panic!("not a scalar: {node:?}") };
    match scalar {
        Scalar::Null => String::new(),
        Scalar::Boolean(yes) => yes.to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::FloatingPoint(number) => number.to_string(),
        Scalar::String(text) => text.to_string(),
    }
}

#[test]
fn requests_are_built_as_the_framework_does() {
    let input = "method: POST\nheaders: {Host: h, Content-Length: 3}\ndata: 'a=b c&d=&e=;+~'\n";
    let read = |text: &str| {
        let documents = Yaml::load_from_str(text).unwrap();
        String::from_utf8(Input::read("test", &documents[0]).bytes()).unwrap()
    };
    assert_eq!(
        read(input),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         \r\na=b+c&e=%3B+~\r\n"
    );
    assert_eq!(read("stop_magic: true\ndata: 'a=;'\n"), "GET / HTTP/1.1\r\n\r\na=;\r\n");
    assert!(read("data: ['a=;', '%41']\n").ends_with("Content-Length: 8\r\n\r\na=;\r\n%41\r\n"));
    assert_eq!(read("encoded_request: R0VUIC8K\n"), "GET /\n");
    for pattern in ["id \"942100\"", "id:942100", "id \"942100", "942100"] {
        assert_eq!(rule("test", pattern), 942100);
    }
}
