//! Values that leave the attribute or the script string they are put into, without a tag of their own.

use smallvec::SmallVec;

use super::Found;
use super::html::{attributes, unescape};
use super::script::{Verdict, judge};
use super::tokens::{Kind, tokens};
use super::{address, element};

/// A payload comes to the point within this.
const HEAD: usize = 600;
/// Quotes that are tried as the one which ends the attribute or string.
const MOST_EXITS: usize = 4;

/// The value ends the attribute it stands in, and goes on with others: `" onfocus=alert(1) autofocus x="`.
pub(crate) fn in_attribute(value: &[u8]) -> Option<Found> {
    let end = memchr::memchr(b'<', value).unwrap_or(value.len()).min(HEAD);
    let head = &value[..end];
    memchr::memchr(b'=', head)?;
    let quotes = quotes(head);
    let mut scratch = Vec::new();
    for start in std::iter::once(0).chain(quotes.iter().map(|at| at + 1)) {
        let mut found = SmallVec::new();
        attributes(head, start, head.len(), &mut found);
        let focus =
            found.iter().any(|attribute| attribute.name == b"autofocus" || attribute.name == b"accesskey");
        for attribute in &found {
            let offset = attribute.name_at;
            let quoted = quotes.first().is_some_and(|first| *first < offset);
            let early = offset <= 24 && !prose(&head[..offset]);
            if !quoted && !early {
                continue;
            }
            if element::is_handler(attribute.name) {
                unescape(attribute.value, &mut scratch);
                let finding = judge(&scratch);
                let runs = match finding.verdict {
                    Verdict::Attack => true,
                    Verdict::Loud => quoted,
                    Verdict::Acts => quoted && focus,
                    Verdict::Idle => false,
                };
                if runs {
                    return Some(Found::new(offset, attribute.name, finding.word));
                }
            } else if quoted && attribute.name == b"style" {
                unescape(attribute.value, &mut scratch);
                if let Some(word) = super::style::runs(&scratch) {
                    return Some(Found::new(offset, b"style", word.as_bytes()));
                }
            } else if quoted
                && matches!(attribute.name, b"href" | b"src" | b"action" | b"formaction" | b"xlink:href")
            {
                unescape(attribute.value, &mut scratch);
                let script = address::script(&scratch, attribute.name);
                if let Some(finding) =
                    script.map(|code| judge(&scratch[code..])).filter(|f| f.verdict >= Verdict::Loud)
                {
                    return Some(Found::new(offset, attribute.name, finding.word));
                }
            }
        }
    }
    None
}

/// The value ends the string, comment or template it stands in and calls something, or is itself such a call.
pub(crate) fn in_script(value: &[u8]) -> Option<Found> {
    let head = &value[..value.len().min(HEAD)];
    if let Some(found) = address(head) {
        return Some(found);
    }
    // Markdown's links.
    if let Some(found) = memchr::memmem::find(head, b"](").and_then(|at| address(&head[at + 2..])) {
        return Some(found);
    }
    let attack = |from: usize| {
        let finding = judge(&head[from..]);
        (finding.verdict == Verdict::Attack).then(|| Found::new(from, b"script", finding.word))
    };
    for at in quotes(head) {
        let before = &head[..at];
        // An address has `=` before the value that leaves it.
        let address = before.starts_with(b"http");
        if at > 240
            || before.iter().any(|byte| matches!(byte, b'(' | b'{' | b'<') || (*byte == b'=' && !address))
        {
            break;
        }
        let rest = &head[at + 1..];
        if leaves(rest) {
            if let Some(found) = attack(at + 1) {
                return Some(found);
            }
            // `'/alert(1)/'` divides; it is no regular expression.
            if let Some(found) = rest.starts_with(b"/").then(|| attack(at + 2)).flatten() {
                return Some(found);
            }
            let finding = judge(rest);
            // The first quote of a value that has next to nothing before it opens no string of its own.
            let tight = at <= 2 && !before.iter().any(u8::is_ascii_alphanumeric) && is_operator(rest);
            if finding.verdict == Verdict::Loud && (tight || repairs(rest, head[at])) {
                return Some(Found::new(at, b"script", finding.word));
            }
        }
    }
    for mark in [&b"{{"[..], b"${", b"*/", b"[[", b"#{"] {
        if let Some(at) = memchr::memmem::find(head, mark)
            && let Some(found) = attack(at + mark.len())
        {
            let inside = head[at + mark.len()..].trim_ascii_start();
            if !prose(&inside[..inside.len().min(60)]) {
                return Some(found);
            }
        }
    }
    // `${print()}`: nothing but the call.
    if let Some(inside) = head.strip_prefix(b"${").and_then(|rest| rest.strip_suffix(b"}")) {
        let finding = judge(inside);
        if finding.verdict >= Verdict::Loud && inside.len() <= 80 && !prose(inside) {
            return Some(Found::new(0, b"${", finding.word));
        }
    }
    whole(value)
}

/// All of the value is a script: a field that a page uses as one, a callback's name, what is left of a number
/// that was put into a script.
fn whole(value: &[u8]) -> Option<Found> {
    const LONGEST: usize = 300;
    // Code shown in formatted text.
    let shown = [&b"<code"[..], b"<pre", b"</p>", b"</li>", b"</td>", b"<br", b"</span>"];
    let markup = shown.iter().any(|mark| memchr::memmem::find(value, mark).is_some());
    if value.len() > LONGEST || value.len() < 4 || markup {
        return None;
    }
    const DECLARES: [&[u8]; 12] = [
        b"function",
        b"var",
        b"let",
        b"const",
        b"import",
        b"class",
        b"if",
        b"for",
        b"export",
        b"use",
        b"def",
        b"print",
    ];
    let found = tokens(value);
    let first = found.first()?;
    if first.kind == Kind::Word && DECLARES.contains(&first.text) || prose(value) {
        return None;
    }
    let finding = judge(value);
    (finding.verdict == Verdict::Attack).then(|| Found::new(0, b"script", finding.word))
}

/// A `javascript:` address.
fn address(head: &[u8]) -> Option<Found> {
    memchr::memchr2(b':', b'&', head)?;
    let mut plain = Vec::new();
    unescape(head, &mut plain);
    let head = &plain[..];
    let start = head.iter().position(|byte| !matches!(byte, 0..=b' ' | b'"' | b'\'' | b'(' | b'`'))?;
    let code = start + address::script(&head[start..], b"href")?;
    if head.get(code) == Some(&b' ') && prose(&head[code..]) {
        return None;
    }
    let script = address::percent(&head[code..]);
    let finding = judge(&script);
    // In some template languages a line says `javascript:` and the next ones are a script.
    let least =
        if script.first().is_some_and(u8::is_ascii_whitespace) { Verdict::Attack } else { Verdict::Loud };
    (finding.verdict >= least).then(|| Found::new(start, b"javascript:", finding.word))
}

fn quotes(head: &[u8]) -> SmallVec<[usize; MOST_EXITS]> {
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`');
    head.iter().enumerate().filter(|(_, byte)| is_quote(byte)).map(|(at, _)| at).take(MOST_EXITS).collect()
}

/// What follows a quote leaves the string: closers, then an operator or the end of the statement.
fn leaves(rest: &[u8]) -> bool {
    let blank = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b')' | b']' | b'}'))
        .count();
    match rest.get(blank) {
        Some(
            b';' | b',' | b'+' | b'-' | b'*' | b'/' | b'|' | b'&' | b'^' | b'%' | b'?' | b':' | b'=' | b'<'
            | b'>' | b'!' | b'~' | b'(' | b'{',
        ) => true,
        Some(_) if [&b"in "[..], b"instanceof "].iter().any(|word| rest[blank..].starts_with(word)) => true,
        // A space may have been a plus.
        Some(_) => {
            blank > 0 || [&b"alert"[..], b"confirm", b"prompt"].iter().any(|word| rest.starts_with(word))
        }
        None => false,
    }
}

/// It goes on as an expression or statement, not as a list or an object.
fn is_operator(rest: &[u8]) -> bool {
    let sign = rest.iter().find(|byte| !matches!(byte, b')' | b']' | b'}'));
    rest.starts_with(b"}") || matches!(sign, Some(b';' | b'+' | b'-' | b'*' | b'|' | b'&' | b'^' | b'?'))
}

/// The end of the value makes good what the exit broke.
fn repairs(rest: &[u8], quote: u8) -> bool {
    let end = rest.trim_ascii_end();
    end.ends_with(b"//") || end.ends_with(b"/*") || end.ends_with(b"<!--") || {
        end.last() == Some(&quote)
            && end.len() > 1
            && matches!(end[end.len() - 2], b'+' | b'-' | b'*' | b'|' | b'&' | b',' | b';' | b' ')
    }
}

/// Two words stand side by side with nothing between them, as in no script.
pub(super) fn prose(text: &[u8]) -> bool {
    let found = tokens(text);
    let is_word = |token: &super::tokens::Token| {
        token.kind == Kind::Word && !super::names::is_keyword(token.text) && token.text != b"throw"
    };
    found.windows(2).any(|pair| is_word(&pair[0]) && pair[1].kind == Kind::Word)
}
