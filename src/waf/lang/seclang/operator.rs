//! Operators of SecLang as ours: `@pm a b` is a list, `@ge 5` a number, `@pmFromFile` a phrase file
//! of the rule set.

use serde_json::{Value, json};

use crate::waf::lang::ast::{Data, OperatorCall};
use crate::waf::lang::error::{At, shown};
use crate::waf::operator;
use crate::waf::variable::Live;
use crate::waf::variable::target::{Role, Target};

use super::fault::Fault;
use super::pattern::Rewritten;
use super::rule::Operator;
use super::{Files, macros, names, pattern};

/// Our operator and whether what it does not match is looked for.
pub(super) struct Translated {
    pub call: OperatorCall,
    pub negate: bool,
    /// Where an expression does not mean the same to the letter.
    pub notes: Vec<String>,
}

/// Where phrase files come from and go to.
pub(super) struct DataFiles<'a> {
    pub files: &'a mut dyn Files,
    /// The name of the .conf whose rule is translated.
    pub from: String,
    pub data: &'a mut Data,
}

/// Finds the operator's name in our table and makes its argument one that we understand.
pub(super) fn translate(
    source: &Operator,
    targets: &[Target],
    data: &mut DataFiles,
) -> Result<Translated, Fault> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let wanted = match plain(&source.name.value).as_str() {
        "pmf" => "pmfromfile".to_owned(),
        "ipmatchf" => "ipmatchfromfile".to_owned(),
        other => other.to_owned(),
    };
    let place = source.name.place;
    if let Some((_, why)) = names::REFUSED_OPERATORS.iter().find(|(name, _)| *name == wanted) {
        return Err(Fault::unsupported(place, format!("the operator `@{}` {why}", source.name.value)));
    }
    let Some(name) = operator::names().find(|known| plain(known) == wanted) else {
        let known: Vec<String> = operator::names().map(camel_case).collect();
        return Err(Fault::unknown(place, "operator", &source.name.value, known.iter().map(String::as_str)));
    };
    let mut notes = Vec::new();
    let (name, argument) = argument(name, source, targets, data, &mut notes)?;
    check(name, source, &argument, data.data)?;
    let call = OperatorCall {
        name: At::new(place, name.to_owned()),
        argument: At::new(source.argument.place, argument),
    };
    Ok(Translated { call, negate: source.negate, notes })
}

/// The name as SecLang spells it, for help.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut spelled = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1.min(word.len()));
        spelled.push_str(&first.to_ascii_uppercase());
        spelled.push_str(rest);
    }
    spelled
}

/// The argument, and the name of the operator that takes it.
fn argument(
    name: &'static str,
    source: &Operator,
    targets: &[Target],
    data: &mut DataFiles,
    notes: &mut Vec<String>,
) -> Result<(&'static str, Value), Fault> {
    let written = &source.argument;
    let text = written.value.as_str();
    let argument = match name {
        "detect_sqli"
        | "detect_xss"
        | "unconditional_match"
        | "no_match"
        | "validate_url_encoding"
        | "validate_utf8_encoding" => json!(true),
        "eq" | "ge" | "gt" | "le" | "lt" if !text.contains("%{") => {
            json!(operator::number(text.as_bytes()))
        }
        "pm" => return phrases(source, data),
        "pm_from_file" | "ip_match_from_file" => json!(data_file(source, data)?),
        "ip_match" if !text.contains("%{") => {
            let all: Vec<&str> =
                text.split(',').flat_map(str::split_whitespace).filter(|one| !one.is_empty()).collect();
            json!(all)
        }
        "rx" | "rx_global" | "verify_cc" | "verify_cpf" | "verify_ssn" | "verify_svnr" => {
            let mut rewritten = expression(written)?;
            notes.append(&mut rewritten.notes);
            if looks_at_names(targets) {
                // Our names of variables are in lower case, and such expressions are about names.
                rewritten.pattern.insert_str(0, "(?i)");
            }
            rewritten.argument()
        }
        "validate_byte_range" => json!(text.trim()),
        _ => {
            let text = macros::template(written)?.value;
            json!(if looks_at_names(targets) { our_name(&text) } else { text })
        }
    };
    Ok((name, argument))
}

/// Builds the operator as the engine will, so that errors name the .conf.
fn check(name: &str, source: &Operator, argument: &Value, data: &Data) -> Result<(), Fault> {
    let built = match operator::Dynamic::parse(name, argument) {
        Some(dynamic) => dynamic.map(|_| ()),
        None => operator::build(name, argument, data).map(|_| ()),
    };
    built.map_err(|error| {
        let fault = match error.kind {
            // Most are what a linear-time engine cannot do.
            operator::OperatorErrorKind::Expression => {
                Fault::unsupported(source.argument.place, error.problem)
            }
            _ => Fault::error(source.argument.place, error.problem),
        };
        match error.help {
            Some(help) => fault.help(help),
            None => fault,
        }
    })
}

/// True when all that is looked at are names of variables.
fn looks_at_names(targets: &[Target]) -> bool {
    let is_name = |target: &Target| {
        matches!(target.live(), Some(Live::MatchedVarName | Live::MatchedVarsNames))
            && target.role == Role::Include
    };
    !targets.is_empty() && targets.iter().all(is_name)
}

/// `ARGS:a` as the engine names it, `args:a`.
fn our_name(text: &str) -> String {
    let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
    if names::is_variable(name) { name.to_ascii_lowercase() + rest } else { text.to_owned() }
}

/// Four backslashes in a row are two. Apache reads `\\` in an argument as one backslash and
/// libmodsecurity as two, so an expression for one backslash is written with four for the one and
/// with two for the other. Four of them can only be meant for Apache, two only for the other: what
/// Apache would leave of them is an escape of the next character, which nobody needs to write so.
fn unfold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let length = rest[at..].len() - rest[at..].trim_start_matches('\\').len();
        let kept = if length.is_multiple_of(4) { length / 2 } else { length };
        out.extend(std::iter::repeat_n('\\', kept));
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// An expression in our dialect; macros stay, and what is rewritten is what stands around them.
fn expression(written: &At<String>) -> Result<Rewritten, Fault> {
    let text = unfold(&written.value);
    let mut held = Vec::new();
    let mut around = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, inner, after)) = macros::next(rest) {
        around.push_str(before);
        match macros::ours(inner) {
            Some(known) => {
                around.push_str(&placeholder(held.len()));
                held.push(known);
            }
            // A percent sign, so many times, and no macro.
            None => around.push_str(&format!("%{{{inner}}}")),
        }
        rest = after;
    }
    around.push_str(rest);
    let mut rewritten = pattern::rewrite(&around).map_err(|refusal| {
        let problem = format!("the expression at its character {}: {}", refusal.at, refusal.what);
        Fault::unsupported(written.place, problem).help(refusal.help)
    })?;
    rewritten.pattern = no_macro(&rewritten.pattern);
    for other in rewritten.also.iter_mut().chain(&mut rewritten.unless) {
        *other = no_macro(other);
    }
    for (number, known) in held.iter().enumerate() {
        let mark = placeholder(number);
        if rewritten.pattern.matches(&mark).count() != 1 || rewritten.argument().is_object() {
            let problem = "a macro stands where the expression has to be rewritten";
            return Err(Fault::unsupported(written.place, problem));
        }
        rewritten.pattern = rewritten.pattern.replace(&mark, known);
    }
    Ok(rewritten)
}

/// The expression without what could be taken for a macro: `%{2}` becomes `\x25{2}`.
fn no_macro(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = (character == '\\').then(|| characters.next()).flatten();
        if (character == '%' || escaped == Some('%')) && characters.peek() == Some(&'{') {
            out.push_str("\\x25");
        } else {
            out.push(character);
            out.extend(escaped);
        }
    }
    out
}

fn placeholder(number: usize) -> String {
    format!("qMACROq{number}q")
}

/// The phrases of `@pm`; one that is no text goes into a phrase file.
fn phrases(source: &Operator, data: &mut DataFiles) -> Result<(&'static str, Value), Fault> {
    let written = &source.argument;
    let phrases = split_phrases(&written.value);
    let texts: Option<Vec<&str>> = phrases.iter().map(|phrase| std::str::from_utf8(phrase).ok()).collect();
    if phrases.is_empty() {
        return Err(Fault::error(written.place, "`@pm` has no phrase"));
    }
    if let Some(texts) = texts {
        return Ok(("pm", json!(texts)));
    }
    let lost = |phrase: &Vec<u8>| {
        phrase.contains(&b'\n') || phrase.starts_with(b"#") || phrase.trim_ascii().len() < phrase.len()
    };
    if phrases.iter().any(lost) {
        return Err(Fault::unsupported(
            written.place,
            "a phrase file cannot hold a phrase that begins or ends with white space or begins with #",
        ));
    }
    let mut content = phrases.join(&b'\n');
    content.push(b'\n');
    Ok(("pm_from_file", json!(store("phrases.txt", content, data.data))))
}

/// Phrases between white space; `|41 42|` are bytes, `\:` and its like the character.
fn split_phrases(text: &str) -> Vec<Vec<u8>> {
    let mut phrases = vec![Vec::new()];
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        let last = phrases.len() - 1;
        if character.is_ascii_whitespace() {
            phrases.push(Vec::new());
        } else if character == '|'
            && let Some((bytes, taken)) = hexadecimal(rest)
        {
            phrases[last].extend(bytes);
            length = taken;
        } else if character == '\\'
            && let Some(escaped) = rest[1..].chars().next().filter(|c| matches!(c, ':' | ';' | '\\' | '"'))
        {
            phrases[last].push(escaped as u8);
            length = 2;
        } else {
            phrases[last].extend(&rest.as_bytes()[..length]);
        }
        rest = &rest[length..];
    }
    phrases.retain(|phrase| !phrase.is_empty());
    phrases
}

/// `|41 42|` at the start of a text: its bytes and its length.
fn hexadecimal(text: &str) -> Option<(Vec<u8>, usize)> {
    let inner = text.strip_prefix('|')?;
    let end = inner.find('|')?;
    let digits: Vec<u8> = inner[..end].bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(crate::waf::transformation::hex_pair).collect();
    Some((bytes?, end + 2))
}

/// Reads the files that the argument names and keeps them as one phrase file.
fn data_file(source: &Operator, data: &mut DataFiles) -> Result<String, Fault> {
    let written = &source.argument;
    let mut content = Vec::new();
    let mut name = None;
    for path in written.value.split_whitespace() {
        if path.contains("://") {
            return Err(Fault::unsupported(
                written.place,
                format!("`{}` is not on this machine", shown(path)),
            ));
        }
        let read = data.files.data(&data.from, path).map_err(|error| Fault::error(written.place, error))?;
        content.extend(read);
        if !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        name.get_or_insert_with(|| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned());
    }
    let Some(name) = name else {
        return Err(Fault::error(written.place, format!("`@{}` names no file", source.name.value)));
    };
    Ok(store(&name, content, data.data))
}

/// Keeps a phrase file under this name, or under one like it when that is taken.
fn store(name: &str, content: Vec<u8>, data: &mut Data) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while data.get(&candidate).is_some_and(|known| *known != content) {
        candidate = format!("{number}-{name}");
        number += 1;
    }
    data.insert(candidate.clone(), content);
    candidate
}
