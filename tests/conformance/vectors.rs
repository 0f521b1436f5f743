//! ModSecurity's vectors of operators and transformations: one call each, no rules around it.
//!
//! Texts are read as ModSecurity's own runner reads them: JSON strings end at their first NUL, and
//! then `\xHH` and `\uHHHH` in inputs and outputs stand for one byte.

use std::path::Path;

use portward::waf::operator::{self, Data, Hit};
use portward::waf::transformation;
use serde_json::{Value, json};

use super::support::{Tally, data, files};

const FOLDER: &str = "modsecurity/test/test-cases/secrules-language-tests";

/// Debian has shipped 3,952 and 3,955 of the one, 374 and 375 of the other.
const LEAST_OPERATORS: usize = 3952;
const LEAST_TRANSFORMATIONS: usize = 374;

/// How the text behind an operator's name becomes our argument.
#[derive(Clone, Copy)]
enum Argument {
    /// `true`: ModSecurity takes a text and ignores it.
    None,
    Text,
    /// As C's `atoi`.
    Number,
    /// Between spaces.
    Words,
    /// Between commas.
    List,
    /// A file beside the vectors.
    File,
}

/// ModSecurity's name, ours, and the argument.
const OPERATORS: &[(&str, &str, Argument)] = &[
    ("beginsWith", "begins_with", Argument::Text),
    ("contains", "contains", Argument::Text),
    ("containsWord", "contains_word", Argument::Text),
    ("detectSQLi", "detect_sqli", Argument::None),
    ("detectXSS", "detect_xss", Argument::None),
    ("endsWith", "ends_with", Argument::Text),
    ("eq", "eq", Argument::Number),
    ("ge", "ge", Argument::Number),
    ("geoLookup", "geo_lookup", Argument::None),
    ("gt", "gt", Argument::Number),
    ("ipMatch", "ip_match", Argument::List),
    ("le", "le", Argument::Number),
    ("lt", "lt", Argument::Number),
    ("noMatch", "no_match", Argument::None),
    ("pm", "pm", Argument::Words),
    ("pmFromFile", "pm_from_file", Argument::File),
    ("rx", "rx", Argument::Text),
    ("rxGlobal", "rx_global", Argument::Text),
    ("streq", "streq", Argument::Text),
    ("strmatch", "str_match", Argument::Text),
    ("unconditionalMatch", "unconditional_match", Argument::None),
    ("validateByteRange", "validate_byte_range", Argument::Text),
    ("validateUrlEncoding", "validate_url_encoding", Argument::None),
    ("validateUtf8Encoding", "validate_utf8_encoding", Argument::None),
    ("verifyCC", "verify_cc", Argument::Text),
    ("verifycpf", "verify_cpf", Argument::Text),
    ("verifyssn", "verify_ssn", Argument::Text),
    ("verifysvnr", "verify_svnr", Argument::Text),
    ("within", "within", Argument::Text),
];

#[test]
fn operators_decide_as_modsecurity_does() {
    let mut tally = Tally::new("operator");
    for vector in vectors("operators", "op") {
        let (name, param) = (text(&vector, "name"), text(&vector, "param"));
        let identity = identity(&[name, param, text(&vector, "input")]);
        tally.case(identity, operator_case(&vector, name, param));
    }
    tally.finish(LEAST_OPERATORS);
}

#[test]
fn transformations_give_what_modsecurity_gives() {
    let mut tally = Tally::new("transformation");
    for vector in vectors("transformations", "tfn") {
        let name = text(&vector, "name");
        let identity = identity(&[name, text(&vector, "input")]);
        tally.case(identity, transformation_case(&vector, name));
    }
    tally.finish(LEAST_TRANSFORMATIONS);
}

/// What a vector tests, long texts cut.
fn identity(parts: &[&str]) -> String {
    const LONGEST: usize = 60;
    let cut = |part: &&str| match part.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}... of {} bytes", &part[..end], part.len()),
        None => (*part).to_owned(),
    };
    json!(parts.iter().map(cut).collect::<Vec<_>>()).to_string()
}

/// All vectors of a folder, which must be of this type.
fn vectors(folder: &str, kind: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for file in files(&data(&format!("{FOLDER}/{folder}")), "json") {
        let content = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let list: Vec<Value> =
            serde_json::from_slice(&content).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(!list.is_empty(), "{} holds no vector", file.display());
        assert!(list.iter().all(|vector| text(vector, "type") == kind), "{}", file.display());
        all.extend(list);
    }
    all
}

fn operator_case(vector: &Value, name: &str, param: &str) -> Result<(), String> {
    let (_, ours, argument) = OPERATORS
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| format!("the runner knows no operator `{name}`"))?;
    let (argument, data) = argument_of(*argument, param);
    let operator = operator::build(ours, &argument, &data).map_err(|e| format!("refused: {e}"))?;
    let input = bytes(text(vector, "input"));
    let hit = operator.evaluate(&input);
    if hit.is_some() && !operator.need().may_match(&input) {
        return Err(format!("hits although its need says it cannot: {:?}", operator.need()));
    }
    let expected = vector["ret"].as_u64() == Some(1);
    if hit.is_some() != expected {
        return Err(format!("expected {expected}, got {hit:?}"));
    }
    match (vector["re_groups"].as_array(), hit) {
        (Some(expected), Some(hit)) => groups(expected, &hit, &input),
        _ => Ok(()),
    }
}

/// The groups of a match: the whole, then those of the expression.
fn groups(expected: &[Value], hit: &Hit, input: &[u8]) -> Result<(), String> {
    let expected: Vec<&[u8]> = expected.iter().filter_map(Value::as_str).map(str::as_bytes).collect();
    let got: Vec<&[u8]> =
        std::iter::once(&hit.span).chain(&hit.captures).map(|range| &input[range.clone()]).collect();
    if got == expected { Ok(()) } else { Err(format!("expected groups {expected:?}, got {got:?}")) }
}

fn argument_of(argument: Argument, param: &str) -> (Value, Data) {
    let mut files = Data::new();
    let argument = match argument {
        Argument::None => json!(true),
        Argument::Text => json!(param),
        Argument::Number => {
            let digits = param.strip_prefix('-').unwrap_or(param);
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            json!(param[..param.len() - digits.len() + end].parse::<i64>().unwrap_or(0))
        }
        Argument::Words => param.split_ascii_whitespace().collect(),
        Argument::List => param.split(',').map(str::trim).collect(),
        Argument::File => {
            let path = data(&format!("modsecurity/test/{param}"));
            let content = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let name = Path::new(param).file_name().map_or(param.into(), |name| name.to_string_lossy());
            files.insert(name.to_string(), content);
            json!(name)
        }
    };
    (argument, files)
}

fn transformation_case(vector: &Value, name: &str) -> Result<(), String> {
    let transformation = transformation::find_seclang(name).ok_or("there is no such transformation")?;
    let (input, expected) = (bytes(text(vector, "input")), bytes(text(vector, "output")));
    let mut out = b"left over".to_vec();
    let changed = (transformation.apply)(&input, &mut out);
    let got = if changed { &out } else { &input };
    // What a vector says of "changed" (`ret`) is not looked at by ModSecurity's runner, and is wrong
    // in many; that ours is right in all is tested beside the transformations.
    if *got != expected {
        return Err(format!("expected {}, got {}", expected.escape_ascii(), got.escape_ascii()));
    }
    Ok(())
}

/// A text of a vector. It is handed on as a C string, which ends at the first NUL.
fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    let whole = vector.get(field).and_then(Value::as_str).unwrap_or_default();
    whole.split('\0').next().unwrap_or_default()
}

/// The bytes of an input or output.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    unescape(&mut bytes, b'x', 2);
    unescape(&mut bytes, b'u', 4);
    bytes
}

/// Replaces the first escape of this kind, and every other that is spelled alike, until none is
/// left. An escape is any letters and digits; as many of them as are hexadecimal count, and where
/// none is, the number before still stands (the runner does not initialise it).
fn unescape(bytes: &mut Vec<u8>, letter: u8, digits: usize) {
    let mut number = 0;
    let is_escape = |window: &[u8]| {
        window[0] == b'\\' && window[1] == letter && window[2..].iter().all(u8::is_ascii_alphanumeric)
    };
    while let Some(at) = bytes.windows(2 + digits).position(is_escape) {
        let escape = bytes[at..at + 2 + digits].to_vec();
        let hexadecimal: String =
            escape[2..].iter().map(|&byte| char::from(byte)).take_while(char::is_ascii_hexdigit).collect();
        number = u32::from_str_radix(&hexadecimal, 16).unwrap_or(number);
        let mut rest = &bytes[..];
        let mut replaced = Vec::new();
        while let Some(at) = memchr::memmem::find(rest, &escape) {
            replaced.extend_from_slice(&rest[..at]);
            replaced.push(number as u8);
            rest = &rest[at + escape.len()..];
        }
        replaced.extend_from_slice(rest);
        *bytes = replaced;
    }
}

/// `url_decode_uni` has ModSecurity's table for code page 20127 built in.
#[test]
fn units_become_the_characters_of_code_page_20127() {
    let file = data("modsecurity/unicode.mapping");
    let content = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (_, table) = content.split_once("20127 (US-ASCII)").expect("the file has this code page");
    let table = table.trim_start().lines().next().unwrap_or_default();
    let url_decode_uni = transformation::find("url_decode_uni").expect("the name is in the table");
    let mut checked = 0;
    for pair in table.split_ascii_whitespace() {
        let (unit, character) = pair.split_once(':').expect("pairs have a colon");
        let mut out = Vec::new();
        assert!((url_decode_uni.apply)(format!("%u{unit}").as_bytes(), &mut out));
        assert_eq!(u8::from_str_radix(character, 16), Ok(out[0]), "{pair}");
        assert_eq!(out.len(), 1, "{pair}");
        checked += 1;
    }
    assert!(checked >= 370, "{checked} units were checked, at least 370 were expected");
}

#[test]
fn texts_are_read_as_modsecuritys_runner_reads_them() {
    assert_eq!(bytes(r"a\x00b\u0041\u00e4"), b"a\0bA\xe4");
    assert_eq!(bytes(r"\xag\xga"), b"\x0a\x0a");
    assert_eq!(bytes(r"\x4\u41 \x\x"), br"\x4\u41 \x\x");
    assert_eq!(text(&json!({"input": "a\0b"}), "input"), "a");
}
