//! What must not reach the log: credentials, cookies, values whose name says that they are
//! secret, things that look like keys and tokens, and card numbers. On unless switched off.
//!
//! Names and shapes are judged, not meanings: a password in a field called `q` is not known to
//! be one, and neither is the text of an XML element once it has lost its tag.

mod shapes;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::record::{Record, Text};
use crate::waf::report::{Match, Report};
use shapes::{cards, shapes};

/// What is redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    pub switch: Switch,
    /// Further names to treat as secret, compared without regard to case, `-` and `_`.
    pub names: Vec<String>,
}

impl Default for Redaction {
    fn default() -> Redaction {
        Redaction { switch: Switch::On, names: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    /// Secrets are written to the log as they are.
    DangerOff,
}

/// Takes the secrets out of a record, in place. Doing it twice changes nothing more.
pub fn redact(record: &mut Record, how: &Redaction) {
    if how.switch == Switch::DangerOff {
        return;
    }
    if let Cow::Owned(url) = redact_url(&record.url, how) {
        record.url = url;
    }
    let mut secrets = Vec::new();
    if let Some(report) = record.waf.as_deref_mut() {
        redact_report(report, how, &mut secrets);
    }
    let sentence = redact_sentence(&record.sentence, how, &secrets);
    if let Some(sentence) = sentence {
        record.sentence = Text::Owned(sentence);
    }
}

/// A URL without its user name and password, the secret values of its query and path
/// parameters, tokens and card numbers.
pub fn redact_url<'a>(url: &'a str, how: &Redaction) -> Cow<'a, str> {
    let mut hidden = Vec::new();
    userinfo(url, &mut hidden);
    pairs(url, Ends::Url, how, &mut hidden);
    shapes(url, &mut hidden);
    cards(url, &mut hidden);
    cover(url, hidden, |_| "[redacted]".to_owned())
}

/// Free text (a body, a header) without what a secret's name introduces, tokens
/// and card numbers.
pub fn redact_text<'a>(text: &'a str, how: &Redaction) -> Cow<'a, str> {
    cover(text, secret_ranges(text, how), mask)
}

fn redact_report(report: &mut Report, how: &Redaction, secrets: &mut Vec<String>) {
    for found in &mut report.matches {
        redact_match(found, how, secrets);
    }
    // A secret that one variable showed by its name can stand nameless in another: `tx.0`,
    // `matched_var`. Short ones would hit by chance.
    secrets.retain(|secret| secret.len() >= 4 && !secret.starts_with("[redacted"));
    secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    for found in &mut report.matches {
        let steps = found.steps.iter_mut().map(|step| &mut step.result);
        let texts =
            [&mut found.value, &mut found.matched, &mut found.exclusion, &mut found.message, &mut found.data];
        for text in texts.into_iter().chain(steps) {
            replace_known(text, secrets);
        }
    }
    if let Some(interruption) = &mut report.interruption
        && let Some(reason) = redact_sentence(&interruption.reason, how, secrets)
    {
        interruption.reason = reason;
    }
}

fn redact_match(found: &mut Match, how: &Redaction, secrets: &mut Vec<String>) {
    // Macros can put what was matched into the rule's own words.
    for text in [&mut found.message, &mut found.data] {
        if let Cow::Owned(covered) = cover(text, secret_ranges(text, how), mask) {
            *text = covered;
        }
    }
    if is_secret_variable(&found.variable, how) {
        let steps = found.steps.iter_mut().map(|step| &mut step.result);
        for text in [&mut found.value, &mut found.matched].into_iter().chain(steps) {
            if !text.is_empty() && !is_masked(text) {
                let masked = mask(text);
                secrets.push(std::mem::replace(text, masked));
            }
        }
        return;
    }
    redact_matched(found, how, secrets);
    let steps = found.steps.iter_mut().map(|step| &mut step.result);
    for text in std::iter::once(&mut found.value).chain(steps) {
        let ranges = secret_ranges(text, how);
        secrets.extend(ranges.iter().map(|range| text[range.clone()].to_owned()));
        if let Cow::Owned(covered) = cover(text, ranges, mask) {
            *text = covered;
        }
    }
    let mut hidden = Vec::new();
    shapes(&found.exclusion, &mut hidden);
    cards(&found.exclusion, &mut hidden);
    if let Cow::Owned(covered) = cover(&found.exclusion, hidden, mask) {
        found.exclusion = covered;
    }
}

/// The matched bytes are a cut out of the value after its transformations and no longer show
/// whose they are: what of them lies in a secret of that value goes, and, when the value has
/// secrets but they are not found in it (it was cut), all of them go, to be safe.
fn redact_matched(found: &mut Match, how: &Redaction, secrets: &mut Vec<String>) {
    if found.matched.is_empty() || is_masked(&found.matched) {
        return;
    }
    let text = found.steps.last().map_or(&found.value, |step| &step.result);
    let ranges = secret_ranges(text, how);
    let mut seen = false;
    let mut inside = Vec::new();
    for (at, part) in text.match_indices(found.matched.as_str()) {
        seen = true;
        let end = at + part.len();
        let overlaps = ranges.iter().filter(|r| at < r.end && r.start < end);
        inside.extend(overlaps.map(|r| r.start.max(at) - at..r.end.min(end) - at));
    }
    if !seen && !ranges.is_empty() {
        let masked = mask(&found.matched);
        secrets.push(std::mem::replace(&mut found.matched, masked));
        return;
    }
    inside.extend(secret_ranges(&found.matched, how));
    if let Cow::Owned(covered) = cover(&found.matched, inside, mask) {
        found.matched = covered;
    }
}

fn redact_sentence(text: &str, how: &Redaction, secrets: &[String]) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    // Sentences are ours and have colons of their own, so that only pairs and shapes count.
    let mut hidden = Vec::new();
    userinfo(text, &mut hidden);
    pairs(text, Ends::Url, how, &mut hidden);
    shapes(text, &mut hidden);
    cards(text, &mut hidden);
    let mut out = cover(text, hidden, mask).into_owned();
    replace_known(&mut out, secrets);
    (out != text).then_some(out)
}

fn replace_known(text: &mut String, secrets: &[String]) {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), &mask(secret));
        }
    }
}

/// `args:password`, `request_headers:Cookie`, `request_cookies:anything`, `args:json.user.token`.
fn is_secret_variable(variable: &str, how: &Redaction) -> bool {
    let (collection, key) = variable.split_once(':').unwrap_or((variable, ""));
    let collection = collection.to_ascii_lowercase();
    match collection.as_str() {
        // The names themselves are no secret.
        name if name.ends_with("_names") => false,
        "request_cookies" | "response_cookies" => true,
        _ => is_secret_name(key, how),
    }
}

/// Words that make a name secret wherever they stand in it as a word.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "pin",
    "otp",
    "totp",
    "secret",
    "secrets",
    "token",
    "apikey",
    "auth",
    "authorization",
    "authentication",
    "credential",
    "credentials",
    "jwt",
    "bearer",
    "session",
    "sessionid",
    "sessid",
    "sid",
    "cookie",
    "cvv",
    "cvc",
    "cvv2",
    "signature",
    "sig",
    "ssn",
    "iban",
];

/// Endings and parts that make a name secret even when it is written as one word.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "sessionid",
    "sessid",
    "credential",
    "authorization",
    "cardnumber",
];

/// Names beyond this are no names.
const LONGEST_NAME: usize = 512;

/// Says whether a parameter, header or JSON name looks secret.
pub fn is_secret_name(name: &str, how: &Redaction) -> bool {
    static PARTS_FINDER: LazyLock<AhoCorasick> =
        LazyLock::new(|| AhoCorasick::new(PARTS).expect("constant texts"));
    if name.is_empty() || name.len() > LONGEST_NAME {
        return false;
    }
    let mut joined = [0; LONGEST_NAME];
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
    let length = joined.iter_mut().zip(letters).map(|(to, byte)| *to = byte.to_ascii_lowercase()).count();
    let joined = &joined[..length];
    if PARTS_FINDER.is_match(joined) {
        return true;
    }
    let listed = |own: &String| {
        let own = own.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase());
        own.eq(joined.iter().copied())
    };
    any_word(name, |word| WORDS.iter().any(|secret| secret.eq_ignore_ascii_case(word)))
        || how.names.iter().any(|own| !own.is_empty() && listed(own))
}

/// Asks for the words of a name: split at everything that is no letter or digit, and where
/// camelCase begins a word.
fn any_word(name: &str, is: impl Fn(&str) -> bool) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
        let bytes = part.as_bytes();
        let mut start = 0;
        for at in 1..bytes.len() {
            if bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase() {
                if is(&part[start..at]) {
                    return true;
                }
                start = at;
            }
        }
        is(&part[start..])
    })
}

fn secret_ranges(text: &str, how: &Redaction) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    pairs(text, Ends::Text, how, &mut hidden);
    named_values(text, how, &mut hidden);
    userinfo(text, &mut hidden);
    shapes(text, &mut hidden);
    cards(text, &mut hidden);
    merge(hidden)
}

/// `//user:password@` in front of a host.
fn userinfo(text: &str, hidden: &mut Vec<Range<usize>>) {
    if memchr::memchr(b'@', text.as_bytes()).is_none() {
        return;
    }
    for (at, _) in text.match_indices("//") {
        let start = at + 2;
        let rest = &text[start..];
        let end = rest.find(['/', '?', '#', ' ', '"', '<', '\n']).unwrap_or(rest.len());
        if let Some(length) = rest[..end].rfind('@').filter(|&length| length > 0) {
            hidden.push(start..start + length);
        }
    }
}

/// Where a value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// At what cannot stand in a value of a query: `&`, `#`, white space.
    Url,
    /// A decoded value can hold nearly anything: at `&` or the end of the line.
    Text,
}

/// `name=value` pairs as in queries, forms, path parameters and cookies, names percent-decoded;
/// nested encodings (`%26token%3D`) too.
fn pairs(text: &str, ends: Ends, how: &Redaction, hidden: &mut Vec<Range<usize>>) {
    if memchr::memchr2(b'=', b'%', text.as_bytes()).is_none() {
        return;
    }
    let mut done = 0;
    for (equals, sign) in text.match_indices(['=', '%']) {
        let encoded = sign == "%";
        if equals < done || (encoded && !starts_with_ignore_case(&text[equals..], "%3d")) {
            continue;
        }
        // No name that counts is longer, and hostile input shall not make this quadratic.
        let before = &text[text.ceil_char_boundary(equals.saturating_sub(256))..equals];
        let start = before
            .rfind(['&', ';', '?', ',', '"', '\'', '/', '=', ' ', '\n', '\r', '\t', '{', '('])
            .map_or(0, |at| at + 1);
        let decoded = percent_encoding::percent_decode_str(&before[start..]).decode_utf8_lossy();
        // After decoding, only what stands behind the last separator is the name.
        let last = decoded.rsplit(['&', ';', '?', '=', '/', ' ']).next().unwrap_or(&decoded);
        if !is_secret_name(last, how) {
            continue;
        }
        let value = equals + if encoded { 3 } else { 1 };
        done = value + value_length(&text[value..], ends, encoded);
        if done > value {
            hidden.push(value..done);
        }
    }
}

fn value_length(rest: &str, ends: Ends, encoded: bool) -> usize {
    // What was masked before ends with its bracket, whatever it says inside.
    if let Some(end) = rest.strip_prefix("[redacted").and_then(|_| rest.find(']')) {
        return end + 1;
    }
    let ends_here = |(at, c): (usize, char)| match c {
        '&' | '\n' | '\r' => true,
        '#' | ' ' | '\t' => ends == Ends::Url,
        '%' if encoded => rest.get(at + 1..at + 3).is_some_and(|hex| matches!(hex, "26" | "23")),
        _ => false,
    };
    rest.char_indices().find(|&at| ends_here(at)).map_or(rest.len(), |(at, _)| at)
}

fn starts_with_ignore_case(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Values that follow a secret's name in other notations: JSON, header lines, multipart parts,
/// XML elements.
fn named_values(text: &str, how: &Redaction, hidden: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_name_byte(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_name_byte(bytes[at]) {
            at += 1;
        }
        if !is_secret_name(&text[start..at], how) {
            continue;
        }
        if let Some(range) = value_after(text, start, at) {
            at = at.max(range.end);
            hidden.push(range);
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The value that belongs to the name at `start..end`, if its notation is one that is known.
fn value_after(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let quoted = start > 0 && matches!(bytes[start - 1], b'"' | b'\'');
    let skip_blank = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            at += 1;
        }
        at
    };
    match bytes.get(end)? {
        b'>' if start > 0 && bytes[start - 1] == b'<' => {
            let length = text[end + 1..].find('<').unwrap_or(text.len() - end - 1);
            (length > 0).then_some(end + 1..end + 1 + length)
        }
        b'"' if text[..start].ends_with("name=\"") => {
            // multipart: the value stands behind the empty line and ends before a boundary. The
            // engine's reports spell line ends with backslashes.
            let rest = &text[end..];
            let blanks = ["\r\n\r\n", "\n\n", "\\r\\n\\r\\n", "\\n\\n"];
            let blank = blanks.iter().filter_map(|blank| Some(rest.find(blank)? + blank.len())).min()?;
            let from = end + blank;
            let ends = ["\n--", "\\n--"].iter().filter_map(|end| text[from..].find(end));
            let length = ends.min().unwrap_or(text.len() - from);
            (length > 0).then_some(from..from + length)
        }
        b'"' | b'\'' if quoted => {
            let colon = skip_blank(end + 1);
            (bytes.get(colon) == Some(&b':')).then(|| json_value(text, skip_blank(colon + 1)))?
        }
        // The value of a nested JSON text: \"password\":\"...\"
        b'\\' if bytes.get(end + 1) == Some(&b'"') && bytes.get(end + 2) == Some(&b':') => {
            let from = end + 3;
            let from = if text[from..].starts_with("\\\"") { from + 2 } else { from };
            let length = text[from..].find(['\\', ',', '}']).unwrap_or(text.len() - from);
            (length > 0).then_some(from..from + length)
        }
        b':' if !quoted => {
            let mut from = end + 1;
            while bytes.get(from).is_some_and(|b| matches!(b, b' ' | b'\t')) {
                from += 1;
            }
            let length = text[from..].find(['\n', '\r']).unwrap_or(text.len() - from);
            (length > 0).then_some(from..from + length)
        }
        _ => None,
    }
}

/// A JSON value from `from`: a string without its quotes, a whole array or object, or a word.
fn json_value(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(from)?;
    if matches!(quote, b'"' | b'\'') {
        let mut at = from + 1;
        while at < bytes.len() && bytes[at] != quote {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        let mut end = at.min(bytes.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        return (end > from + 1).then_some(from + 1..end);
    }
    if matches!(quote, b'{' | b'[') {
        let mut depth = 0usize;
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(from..at + 1);
            }
        }
        return Some(from..bytes.len());
    }
    let length = text[from..].find([',', '}', ']', ' ', '\n', '\r']).unwrap_or(text.len() - from);
    (length > 0).then_some(from..from + length)
}

fn mask(text: &str) -> String {
    format!("[redacted: {} bytes]", text.len())
}

fn is_masked(text: &str) -> bool {
    text.starts_with("[redacted") && text.ends_with(']')
}

fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn cover(text: &str, hidden: Vec<Range<usize>>, with: impl Fn(&str) -> String) -> Cow<'_, str> {
    let hidden = merge(hidden);
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in hidden {
        out.push_str(&text[from..range.start]);
        let part = &text[range.clone()];
        if is_masked(part) {
            out.push_str(part);
        } else {
            out.push_str(&with(part));
        }
        from = range.end;
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
