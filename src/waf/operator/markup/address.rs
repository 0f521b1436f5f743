//! What an address in an attribute comes to when a browser follows it: script, a document of its own, or just
//! another page.

use super::element::{contains, is_handler, local};
use super::html::{Attribute, Tag, unescape};
use super::names::loads;
use super::place::Place;
use super::script::{Verdict, judge as judge_script};
use super::{Look, within};

/// What comes of an address when a browser follows it.
pub(super) fn runs(
    value: &[u8],
    tag: &Tag,
    attribute: &Attribute,
    place: Place,
    look: &mut Look,
    scratch: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let written_as = broken_scheme(value, attribute);
    unescape(written_as, scratch);
    let element = local(tag.name);
    let own = local(attribute.name);
    // `set` and `animate` write other attributes.
    let written = tag.get(b"attributename").map(local);
    if written.is_some_and(is_handler) && judge_script(scratch).verdict >= Verdict::Acts {
        return Some(scratch.clone());
    }
    if matches!(own, b"to" | b"values" | b"from" | b"value") && scratch.contains(&b'<') {
        let inner = std::mem::take(scratch);
        if within(&inner, look) {
            return Some(b"markup".to_vec());
        }
        *scratch = inner;
    }
    if let Some(code) = script(scratch, own) {
        let disguised = !contains(written_as, b"script:") && !contains(written_as, b"vbs:");
        let code_text = percent(&scratch[code..]);
        let finding = judge_script(&code_text);
        let auto = loads(element) && element != b"a";
        let runs = match finding.verdict {
            Verdict::Attack => true,
            _ if disguised && code_text.len() > 2 => true,
            Verdict::Loud => place.start || (place.near && place.short),
            Verdict::Acts => {
                (auto && place.near) || (place.start && place.short && finding.word == b"location")
            }
            Verdict::Idle => element == b"base",
        };
        return runs.then(|| finding.word.to_vec());
    }
    data_address(tag, own, place, scratch)
}

/// The value of an attribute without quotes that a blank ended in the middle of a scheme: read on to the end of
/// the tag.
fn broken_scheme<'a>(value: &'a [u8], attribute: &Attribute<'a>) -> &'a [u8] {
    const LONGEST: usize = 120;
    let text = attribute.value;
    let start = attribute.value_at;
    let stops = value.get(start + text.len()).is_some_and(|byte| *byte < b' ');
    let scheme = [&b"javascript:"[..], b"vbscript:"].iter().any(|scheme| scheme.starts_with(text));
    if text.is_empty() || !stops || !scheme {
        return text;
    }
    let rest = &value[start..value.len().min(start + LONGEST)];
    &rest[..memchr::memchr(b'>', rest).unwrap_or(rest.len())]
}

/// The script of an address is percent-decoded before it runs.
pub(super) fn percent(code: &[u8]) -> Vec<u8> {
    let digit = |at: usize| code.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(code.len());
    let mut at = 0;
    while at < code.len() {
        match (code[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are a byte.
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Where the script of a `javascript:` or `vbscript:` address begins. Blanks and control characters inside the
/// scheme are dropped, as browsers did.
pub(super) fn script(address: &[u8], attribute: &[u8]) -> Option<usize> {
    const SCHEMES: [&[u8]; 4] = [b"javascript:", b"vbscript:", b"livescript:", b"vbs:"];
    const LONGEST: usize = 120;
    let mut scheme = Vec::with_capacity(32);
    // Lists (`values`), and the target behind the delay of a refresh.
    let anywhere = matches!(
        attribute,
        b"values" | b"content" | b"to" | b"from" | b"by" | b"value" | b"srcset" | b"filter"
    );
    for (at, &byte) in address.iter().enumerate().take(LONGEST) {
        if byte <= b' ' || byte == 0x7f {
            continue;
        }
        scheme.push(byte.to_ascii_lowercase());
        if byte == b':' {
            let fits = |known: &&[u8]| {
                if anywhere { scheme.ends_with(known) } else { scheme == **known || feed(&scheme, known) }
            };
            if SCHEMES.iter().any(fits) {
                return Some(at + 1);
            }
        }
    }
    None
}

/// `feed:javascript:`, and quotes before the scheme.
fn feed(scheme: &[u8], known: &[u8]) -> bool {
    scheme.strip_suffix(known).is_some_and(|before| {
        matches!(before, b"feed:" | b"view-source:" | b"url=" | b"jar:" | b"mhtml:")
            || before.iter().all(|byte| !byte.is_ascii_alphanumeric())
    })
}

/// A `data:` address that is a document or a script.
fn data_address(tag: &Tag, attribute: &[u8], place: Place, address: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<u8> = address.iter().take(100).copied().filter(|byte| *byte > b' ').collect();
    let at = memchr::memmem::find(&plain, b"data:")?;
    let refresh = attribute == b"content" && tag.get(b"http-equiv").is_some();
    if at > 0 && !refresh && !plain[..at].ends_with(b":") {
        return None;
    }
    let rest = &plain[at + 5..];
    let kind = &rest[..rest.iter().position(|byte| matches!(byte, b',' | b';')).unwrap_or(rest.len())];
    let page = [&b"text/html"[..], b"xhtml", b"xml", b"javascript", b"x-x509", b"text/xsl", b"text/css"]
        .iter()
        .any(|mark| contains(kind, mark));
    let page = page && !kind.starts_with(b"image/");
    let picture = kind.starts_with(b"image/svg")
        && (contains(address, b"<script")
            || contains(address, b"onload")
            || contains(address, b"onerror")
            || tag.get(b"to").is_some()
            || matches!(local(tag.name), b"embed" | b"object" | b"iframe"));
    let untyped = kind.is_empty()
        && matches!(
            local(tag.name),
            b"script" | b"iframe" | b"embed" | b"object" | b"link" | b"xml-stylesheet"
        );
    ((page || picture || untyped) && place.near).then(|| b"data:".to_vec())
}
