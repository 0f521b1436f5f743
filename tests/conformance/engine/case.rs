//! ModSecurity's engine cases as they lie in its source: JSON with comments, and with escapes that
//! JSON does not know.

use std::path::Path;

use serde_json::Value;

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// `variable-ARGS 3`: the third case of that file.
    pub identity: String,
    /// `variable-ARGS`, and the number of the case in it, from 1.
    pub file: String,
    pub number: usize,
    pub rules: String,
    pub client: End,
    pub server: End,
    pub method: String,
    pub uri: String,
    pub protocol: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
    pub response_protocol: String,
    pub response_fields: Vec<(String, String)>,
    pub response_body: String,
    pub expected: Expected,
}

#[derive(Clone, Debug, Default)]
pub struct End {
    pub ip: String,
    pub port: u16,
}

/// What must come of it. Empty patterns expect nothing.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub status: u16,
    pub debug_log: String,
    /// What it must not have.
    pub no_debug_log: String,
    pub error_log: String,
    pub audit_log: String,
    pub parser_error: String,
    pub redirect_url: String,
}

/// All cases of a file.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value: Value =
        serde_json::from_str(&as_json(&text)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    list.iter().enumerate().map(|(index, value)| case(&file, index + 1, value)).collect()
}

fn case(file: &str, number: usize, value: &Value) -> Case {
    let (request, response, expected) = (&value["request"], &value["response"], &value["expected"]);
    let version = text(&request["http_version"]);
    Case {
        identity: format!("{file} {number}"),
        file: file.to_owned(),
        number,
        rules: lines(&value["rules"]),
        client: end(&value["client"]),
        server: end(&value["server"]),
        method: text(&request["method"]),
        uri: text(&request["uri"]),
        protocol: format!("HTTP/{}", if version.is_empty() { "1.1" } else { &version }),
        fields: fields(&request["headers"]),
        body: lines(&request["body"]),
        response_protocol: Some(text(&response["protocol"]))
            .filter(|protocol| !protocol.is_empty())
            .unwrap_or_else(|| "HTTP/1.1".into()),
        response_fields: fields(&response["headers"]),
        response_body: lines(&response["body"]),
        expected: Expected {
            status: expected["http_code"].as_u64().map_or(200, |status| status as u16),
            debug_log: text(&expected["debug_log"]),
            no_debug_log: String::new(),
            error_log: text(&expected["error_log"]),
            audit_log: text(&expected["audit_log"]),
            parser_error: text(&expected["parser_error"]),
            redirect_url: text(&expected["redirect_url"]),
        },
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The lines of a list, each with its end.
fn lines(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(|line| text(line) + "\n").collect()
}

fn end(value: &Value) -> End {
    End { ip: text(&value["ip"]), port: value["port"].as_u64().unwrap_or_default() as u16 }
}

fn fields(value: &Value) -> Vec<(String, String)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The text without comments; an escape that is none stands for itself.
fn as_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                out.push('\\');
                match rest.next() {
                    Some(escaped) if "\"\\/bfnrtu".contains(escaped) => out.push(escaped),
                    other => out.extend(std::iter::once('\\').chain(other)),
                }
                continue;
            }
            '/' if !quoted && rest.peek() == Some(&'/') => {
                while rest.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}
