//! The small languages inside a rule's arguments: its variables and its operator, taken to pieces.
//! Names are not looked up here.

use crate::waf::lang::error::{At, Place, shown};
use crate::waf::variable::target::Role;

use super::fault::Fault;
use super::lexer::Text;
use super::names;

/// One variable of a list.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub place: Place,
    pub role: Role,
    /// As written.
    pub name: String,
    pub selector: Option<Selector>,
}

/// What stands behind a variable's colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Key(String),
    /// Without its slashes.
    Pattern(String),
}

/// An operator and its argument.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub negate: bool,
    /// As written, without `@`; `rx` when nothing is written.
    pub name: At<String>,
    pub argument: At<String>,
}

/// Takes a list of variables to pieces: `ARGS|!ARGS:/a|b/|&TX:'/x/'`.
pub(super) fn variables(text: &Text, faults: &mut Vec<Fault>) -> Vec<Variable> {
    let mut found = Vec::new();
    let whole = text.value.as_str();
    let mut at = 0;
    while at < whole.len() {
        let rest = &whole[at..];
        if let Some(separator) = rest.chars().next().filter(|c| matches!(c, '|' | ',') || c.is_whitespace()) {
            at += separator.len_utf8();
            continue;
        }
        let start = at;
        let role = match rest.as_bytes()[0] {
            b'!' => Role::Exclude,
            b'&' => Role::Count,
            _ => Role::Include,
        };
        at += usize::from(role != Role::Include);
        let length = whole[at..].find([':', '|', ',', ' ', '\t']).unwrap_or(whole.len() - at);
        let mut name = &whole[at..at + length];
        // libmodsecurity takes a dot for the colon.
        if let Some((base, _)) = name.split_once('.')
            && names::is_variable(base)
        {
            name = base;
        }
        at += name.len();
        let place = text.place(start);
        if name.is_empty() {
            faults.push(Fault::error(place, "a variable's name is missing"));
        }
        let selector = match whole[at..].strip_prefix([':', '.']) {
            None => None,
            Some(rest) => {
                let (selector, length) = selector(rest, name.eq_ignore_ascii_case("xml"));
                at += 1 + length;
                if selector == Selector::Key(String::new()) {
                    faults.push(Fault::error(place, format!("the selector of `{}` is empty", shown(name))));
                }
                Some(selector)
            }
        };
        found.push(Variable { place, role, name: name.to_owned(), selector });
    }
    if found.is_empty() {
        faults.push(Fault::error(text.place(0), "there is no variable"));
    }
    found
}

/// The selector at the start of a text, and its length.
fn selector(rest: &str, is_xml: bool) -> (Selector, usize) {
    let bytes = rest.as_bytes();
    // XPath begins with a slash, too, and is no expression.
    if is_xml {
        let end = rest.find('|').unwrap_or(rest.len());
        let path = rest[..end].trim().trim_matches('\'');
        return (Selector::Key(path.to_owned()), end);
    }
    if bytes.first() == Some(&b'\'')
        && let Some(end) = closing(rest, 1, b'\'')
    {
        let inner = rest[1..end].replace("\\'", "'");
        let pattern = inner.strip_prefix('/').and_then(|inner| inner.strip_suffix('/'));
        let selector = match pattern.filter(|pattern| !pattern.is_empty()) {
            Some(pattern) => Selector::Pattern(plain_slashes(pattern)),
            None => Selector::Key(inner),
        };
        return (selector, end + 1);
    }
    if bytes.first() == Some(&b'/') {
        // A slash further inside makes it a key; our own targets read `/a/b/` as an expression, too.
        let end = closing(rest, 1, b'/').filter(|end| *end > 1 && is_end(&rest[end + 1..]));
        if let Some(end) = end {
            return (Selector::Pattern(plain_slashes(&rest[1..end])), end + 1);
        }
    }
    let end = key_end(rest);
    (Selector::Key(rest[..end].trim_end().to_owned()), end)
}

/// Where the next one of these stands that has no backslash before it.
fn closing(text: &str, from: usize, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == wanted => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['|', ',']) || rest.starts_with(char::is_whitespace)
}

/// A key goes up to `|`, or to a comma that another variable follows: keys may hold commas.
fn key_end(rest: &str) -> usize {
    let next_is_variable = |at: usize| {
        let next = rest[at + 1..].trim_start().trim_start_matches(['!', '&']);
        let length = next.find([':', '|', ',']).unwrap_or(next.len());
        names::is_variable(&next[..length])
    };
    rest.char_indices()
        .find(|(at, character)| *character == '|' || (*character == ',' && next_is_variable(*at)))
        .map_or(rest.len(), |(at, _)| at)
}

/// `\/` is how a slash is written inside slashes.
fn plain_slashes(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('/') => plain.push('/'),
            Some(escaped) => plain.extend(['\\', escaped]),
            None => plain.push('\\'),
        }
    }
    plain
}

/// Takes an operator to pieces: `!@rx a`, `@pm a b`, or an expression without a name.
pub(super) fn operator(text: &Text) -> Operator {
    let whole = text.value.as_str();
    let mut at = whole.len() - whole.trim_start().len();
    let negate = whole[at..].starts_with('!');
    if negate {
        at += 1;
        at += whole[at..].len() - whole[at..].trim_start().len();
    }
    let Some(named) =
        whole[at..].strip_prefix('@').filter(|rest| rest.starts_with(|c: char| c.is_alphabetic()))
    else {
        return Operator {
            negate,
            name: At::new(text.place(at), "rx".to_owned()),
            argument: At::new(text.place(at), whole[at..].to_owned()),
        };
    };
    let place = text.place(at);
    let length = named.find(char::is_whitespace).unwrap_or(named.len());
    let name = At::new(place, named[..length].to_owned());
    let argument = named[length..].trim_start();
    let place = text.place(whole.len() - argument.len());
    Operator { negate, name, argument: At::new(place, argument.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::lang::seclang::Log;
    use crate::waf::lang::seclang::lexer::lex;

    fn argument(text: &str) -> Text {
        let quoted = format!("X \"{}\"", text.replace('"', "\\\""));
        let mut log = Log { faults: &mut Vec::new(), notes: &mut Vec::new() };
        lex(0, &quoted, &mut log).remove(0).arguments.remove(0)
    }

    fn spelled(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let found = variables(&argument(text), &mut faults);
        assert!(faults.is_empty(), "{text}: {faults:?}");
        let spell = |variable: Variable| {
            let role = match variable.role {
                Role::Include => "",
                Role::Exclude => "!",
                Role::Count => "&",
            };
            match variable.selector {
                None => format!("{role}{}", variable.name),
                Some(Selector::Key(key)) => format!("{role}{} key {key}", variable.name),
                Some(Selector::Pattern(pattern)) => format!("{role}{} pattern {pattern}", variable.name),
            }
        };
        found.into_iter().map(spell).collect()
    }

    #[test]
    fn lists_of_variables_come_apart() {
        for (text, expect) in [
            ("ARGS|REQUEST_HEADERS", &["ARGS", "REQUEST_HEADERS"][..]),
            ("XML:/*|XML://@*|ARGS", &["XML key /*", "XML key //@*", "ARGS"]),
            ("XML://@*", &["XML key //@*"]),
            (
                "REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|ARGS",
                &["REQUEST_COOKIES", "!REQUEST_COOKIES pattern __utm", "ARGS"],
            ),
            ("!ARGS:/x|y/|ARGS", &["!ARGS pattern x|y", "ARGS"]),
            (r"ARGS:/a\/b/|ARGS:/\\/", &["ARGS pattern a/b", r"ARGS pattern \\"]),
            ("&TX:'/x|y/'", &["&TX pattern x|y"]),
            ("TX:'/WEB_ATTACK/'", &["TX pattern WEB_ATTACK"]),
            ("ARGS:'a|b'", &["ARGS key a|b"]),
            ("ARGS:/path|ARGS:a/b/", &["ARGS key /path", "ARGS key a/b/"]),
            ("ARGS:/a/b/", &["ARGS key /a/b/"]),
            ("!ARGS:email,!ARGS:foo", &["!ARGS key email", "!ARGS key foo"]),
            ("ARGS:a,b", &["ARGS key a,b"]),
            ("ARGS:a[b][c]|&REQUEST_HEADERS:Host", &["ARGS key a[b][c]", "&REQUEST_HEADERS key Host"]),
            ("ARGS:a:b", &["ARGS key a:b"]),
            ("TX.a|&ip.b.c", &["TX key a", "&ip key b.c"]),
            ("ARGS:/[|]$/|TX:1", &["ARGS pattern [|]$", "TX key 1"]),
            (
                "REQUEST_HEADERS|!REQUEST_HEADERS:User-Agent",
                &["REQUEST_HEADERS", "!REQUEST_HEADERS key User-Agent"],
            ),
        ] {
            assert_eq!(spelled(text), expect, "{text}");
        }
        for text in ["", "|", "ARGS:", "!", "&|ARGS"] {
            let mut faults = Vec::new();
            variables(&argument(text), &mut faults);
            assert!(!faults.is_empty(), "{text}");
        }
    }

    #[test]
    fn operators_come_apart() {
        for (text, negate, name, rest) in [
            ("@rx ^a", false, "rx", "^a"),
            ("!@rx ^a b$", true, "rx", "^a b$"),
            ("! @eq 5", true, "eq", "5"),
            ("^a@b", false, "rx", "^a@b"),
            ("!a", true, "rx", "a"),
            ("@", false, "rx", "@"),
            ("@rx", false, "rx", ""),
            ("", false, "rx", ""),
            ("@pm  a b ", false, "pm", "a b "),
            (" @streq x", false, "streq", "x"),
        ] {
            let operator = operator(&argument(text));
            let found = (operator.negate, operator.name.value.as_str(), operator.argument.value.as_str());
            assert_eq!(found, (negate, name, rest), "{text}");
        }
    }
}
