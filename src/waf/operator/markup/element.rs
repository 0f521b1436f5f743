//! One element: does it run script, and is that what an honest page would do there?

use super::Found;
use super::html::{Attribute, Tag, unescape};
use super::names::{is_address, loads, waits_for_the_user};
use super::place::Place;
use super::script::{Verdict, judge as judge_script};
use super::style;

/// More of a script is not looked at.
const LONGEST_SCRIPT: usize = 2048;
/// A script of a payload that calls a function nobody knows is shorter than this.
const SHORT_SCRIPT: usize = 300;

pub(super) fn judge(value: &[u8], at: usize, tag: &Tag, place: Place, scratch: &mut Vec<u8>) -> Option<Found> {
    let found = |what: &[u8], word: &[u8]| Some(Found::new(at, what, word));
    for attribute in &tag.attributes {
        if let Some(word) = attribute_runs(tag, attribute, place, scratch) {
            return found(attribute.name, &word);
        }
    }
    if let Some(what) = element_itself(value, at, tag, place, scratch) {
        return found(tag.name, what);
    }
    match local(tag.name) {
        b"script" | b"handler" => {
            let word = script_runs(value, tag, place, scratch)?;
            found(tag.name, &word)
        }
        b"style" => {
            if tag.get(b"type").is_some_and(|kind| contains(kind, b"javascript")) {
                let finding = judge_script(content(value, tag, b"</style"));
                return (finding.verdict >= Verdict::Loud).then(|| Found::new(at, tag.name, finding.word));
            }
            let word = style::runs(content(value, tag, b"</style"))?;
            (place.near || word != "@import").then(|| Found::new(at, tag.name, word.as_bytes()))
        }
        _ => None,
    }
}

/// Bytes behind the tag that `judge` reads.
pub(super) fn reads_on(tag: &Tag) -> usize {
    if matches!(local(tag.name), b"script" | b"style" | b"handler") { LONGEST_SCRIPT } else { 0 }
}

fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|&byte| byte == b':').next().unwrap_or(name)
}

/// What follows the tag, up to where its element ends.
fn content<'a>(value: &'a [u8], tag: &Tag, end: &[u8]) -> &'a [u8] {
    let rest = &value[tag.end.min(value.len())..];
    let rest = &rest[..rest.len().min(LONGEST_SCRIPT)];
    memchr::memmem::find(rest, end).map_or(rest, |length| &rest[..length])
}

fn script_runs(value: &[u8], tag: &Tag, place: Place, scratch: &mut Vec<u8>) -> Option<Vec<u8>> {
    let kind = tag.get(b"type").unwrap_or_default();
    let is = |mark: &[u8]| memchr::memmem::find(kind, mark).is_some();
    if is(b"importmap") || is(b"speculationrules") {
        return place.start.then(|| kind.to_vec());
    }
    if is(b"json") || is(b"template") || is(b"text/html") {
        return None;
    }
    let is_source = |attribute: &&Attribute| matches!(local(attribute.name), b"src" | b"href");
    let source = tag.attributes.iter().find(is_source).map(|attribute| attribute.value);
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        unescape(source, scratch);
        let address = scratch.trim_ascii_start();
        let elsewhere = [&b"//"[..], b"\\\\", b"/\\", b"http:", b"https:", b"ftp:"].iter().any(|start| address.starts_with(start));
        if (address.starts_with(b"data:") && place.near) || (elsewhere && place.start && place.short) {
            return Some(scratch.clone());
        }
    }
    let code = content(value, tag, b"</script");
    unescape(code, scratch);
    let finding = judge_script(scratch);
    let runs = match finding.verdict {
        Verdict::Attack => true,
        Verdict::Loud => place.start || (place.near && place.short),
        Verdict::Acts => place.start && code.len() <= SHORT_SCRIPT && place.short,
        // `<script>XSS</script>`: a word to look for in the answer.
        Verdict::Idle => place.start && is_marker(value, tag, code),
    };
    runs.then(|| finding.word.to_vec())
}

/// Nothing but a word in a script that is all of the value.
fn is_marker(value: &[u8], tag: &Tag, code: &[u8]) -> bool {
    let before = &value[..memchr::memchr(b'<', value).unwrap_or(0)];
    let word = code.trim_ascii();
    tag.closed
        && !word.is_empty()
        && word.len() <= 24
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'<' | b'\\' | b'/' | b'='))
        && contains(value, b"/script")
        && !before.iter().any(u8::is_ascii_alphanumeric)
        && value.len() <= 120
}

/// The word that tells that this attribute runs script.
fn attribute_runs(tag: &Tag, attribute: &Attribute, place: Place, scratch: &mut Vec<u8>) -> Option<Vec<u8>> {
    let name = attribute.name;
    let local = local(name);
    if is_handler(local) {
        unescape(attribute.value, scratch);
        // `onClick={() => ...}`: JSX, which no browser reads.
        let finding = judge_script(scratch);
        let comes = tag.attributes.iter().any(|a| matches!(a.name, b"autofocus" | b"tabindex" | b"accesskey" | b"contenteditable"));
        let waits = waits_for_the_user(local) && !(comes && matches!(local, b"onfocus" | b"onblur"));
        let runs = match finding.verdict {
            Verdict::Attack => true,
            Verdict::Loud => place.start || (place.near && place.short),
            Verdict::Acts => place.start && place.short && !waits && !scratch.starts_with(b"{"),
            // `<body onload="XSS">`: a word to look for in the answer.
            Verdict::Idle => {
                let marker = !scratch.is_empty() && scratch.len() <= 8 && scratch.iter().all(u8::is_ascii_alphanumeric);
                marker && place.start && place.tiny && !waits
            }
        };
        return runs.then(|| finding.word.to_vec());
    }
    if local == b"style" {
        unescape(attribute.value, scratch);
        if let Some(word) = style::runs(scratch) {
            return Some(word.as_bytes().to_vec());
        }
        return (place.start && place.tiny && style::leaves_attribute(scratch)).then(|| b"leaves its rule".to_vec());
    }
    if local == b"srcdoc" {
        unescape(attribute.value, scratch);
        let runs = super::in_text(&scratch.clone()).is_some();
        return (runs || (place.start && scratch.contains(&b'<') && place.short)).then(|| b"srcdoc".to_vec());
    }
    if is_address(name) {
        return address_runs(tag, attribute, place, scratch);
    }
    is_framework(name).then(|| judge_script(attribute.value)).filter(|finding| finding.verdict == Verdict::Attack).map(
        |finding| finding.word.to_vec(),
    )
}

pub(super) fn is_handler(name: &[u8]) -> bool {
    name.len() >= 5 && name.starts_with(b"on") && name[2..].iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

/// Attributes whose value client-side frameworks evaluate.
fn is_framework(name: &[u8]) -> bool {
    [&b"ng-"[..], b"v-", b"x-", b"data-ng-", b"@", b":", b"hx-on", b"data-bind", b"_", b"ev:"].iter().any(|start| name.starts_with(start))
}

/// What comes of an address when a browser follows it.
fn address_runs(tag: &Tag, attribute: &Attribute, place: Place, scratch: &mut Vec<u8>) -> Option<Vec<u8>> {
    unescape(attribute.value, scratch);
    let element = local(tag.name);
    let own = local(attribute.name);
    // `set` and `animate` write other attributes.
    let written = tag.get(b"attributename").map(local);
    if written.is_some_and(is_handler) && judge_script(scratch).verdict >= Verdict::Acts {
        return Some(scratch.clone());
    }
    if matches!(own, b"to" | b"values" | b"from" | b"value") && scratch.contains(&b'<') {
        let inner = scratch.clone();
        if super::in_text(&inner).is_some() {
            return Some(b"markup".to_vec());
        }
    }
    if let Some(code) = script_address(scratch, own) {
        let disguised = !contains(attribute.value, b"script:") && !contains(attribute.value, b"vbs:");
        let finding = judge_script(&scratch[code..]);
        let auto = loads(element) && element != b"a";
        let runs = match finding.verdict {
            Verdict::Attack => true,
            _ if disguised && code + 2 < scratch.len() => true,
            Verdict::Loud => place.start || (place.near && place.short),
            Verdict::Acts => (auto && place.near) || (place.start && place.short && finding.word == b"location"),
            Verdict::Idle => element == b"base",
        };
        return runs.then(|| finding.word.to_vec());
    }
    data_address(tag, own, place, scratch)
}

/// Where the script of a `javascript:` or `vbscript:` address begins. Blanks and control characters inside the
/// scheme are dropped, as browsers did.
pub(super) fn script_address(address: &[u8], attribute: &[u8]) -> Option<usize> {
    const SCHEMES: [&[u8]; 4] = [b"javascript:", b"vbscript:", b"livescript:", b"vbs:"];
    const LONGEST: usize = 120;
    let mut scheme = Vec::with_capacity(32);
    // Lists (`values`), and the target behind the delay of a refresh.
    let anywhere = matches!(attribute, b"values" | b"content" | b"to" | b"from" | b"by" | b"value" | b"srcset" | b"filter");
    for (at, &byte) in address.iter().enumerate().take(LONGEST) {
        if byte <= b' ' || byte == 0x7f {
            continue;
        }
        scheme.push(byte.to_ascii_lowercase());
        if byte == b':' {
            let fits = |known: &&[u8]| if anywhere { scheme.ends_with(known) } else { scheme == **known || feed(&scheme, known) };
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
        matches!(before, b"feed:" | b"view-source:" | b"url=" | b"jar:" | b"mhtml:") || before.iter().all(|byte| !byte.is_ascii_alphanumeric())
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
    let page = [&b"text/html"[..], b"xhtml", b"xml", b"javascript", b"x-x509", b"text/xsl", b"text/css"].iter().any(|mark| contains(kind, mark));
    let page = page && !kind.starts_with(b"image/");
    let picture = kind.starts_with(b"image/svg")
        && (contains(address, b"<script") || contains(address, b"onload") || contains(address, b"onerror") || tag.get(b"to").is_some()
            || matches!(local(tag.name), b"embed" | b"object" | b"iframe"));
    let untyped = kind.is_empty() && matches!(local(tag.name), b"script" | b"iframe" | b"embed" | b"object" | b"link" | b"xml-stylesheet");
    ((page || picture || untyped) && place.near).then(|| b"data:".to_vec())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// Elements that do harm by being there.
fn element_itself(value: &[u8], at: usize, tag: &Tag, place: Place, scratch: &mut Vec<u8>) -> Option<&'static [u8]> {
    if !place.start {
        return None;
    }
    let only = |names: &[&[u8]]| tag.attributes.iter().all(|attribute| names.contains(&attribute.name));
    let has = |name: &[u8]| tag.get(name).is_some_and(|value| !value.is_empty());
    let is = |name: &[u8], part: &[u8]| tag.get(name).is_some_and(|value| contains(value, part));
    let small = value.len() <= 300;
    match local(tag.name) {
        b"base" if place.short && has(b"href") => Some(b"all links of the page"),
        b"meta" if small => {
            let refresh = is(b"http-equiv", b"refresh") && is(b"content", b"url");
            let other = is(b"http-equiv", b"link") || is(b"http-equiv", b"set-cookie");
            let charset = is(b"charset", b"utf-7") || is(b"charset", b"x-") || is(b"charset", b"mac-") || is(b"content", b"utf-7");
            (refresh || other || charset).then_some(b"a command to the browser")
        }
        b"link" if place.short && is(b"rel", b"import") => Some(b"imports a page"),
        b"iframe" | b"frame" if small && has(b"src") && only(&[b"src", b"sandbox"]) => Some(b"a bare frame"),
        b"iframe" | b"frame" if is(b"src", b"mhtml:") || is(b"src", b"view-source:") => Some(b"a frame of the browser"),
        b"object" | b"embed" | b"applet"
            if small
                && (has(b"data") || has(b"src") || has(b"code"))
                && (only(&[b"data", b"src", b"code", b"type", b"allowscriptaccess"]) || is(b"allowscriptaccess", b"always")) =>
        {
            Some(b"a bare object")
        }
        b"object" if is(b"classid", b"clsid:") && small => Some(b"an ActiveX object"),
        b"template" if place.short && tag.attributes.iter().any(|a| a.name.starts_with(b"shadowroot")) => Some(b"shadow tree"),
        b"xml" if small && (has(b"src") || has(b"id")) => Some(b"a data island"),
        b"import" if has(b"implementation") => Some(b"a behaviour"),
        b"attlist" | b"entity" if small => {
            let text = &value[at..tag.end.max(at)];
            (contains(text, b"onerror cdata") || contains(text, b"onload cdata") || contains(text, b"&#")).then_some(b"a definition")
        }
        b"xss" => Some(b"a tester's element"),
        b"listener" if small && has(b"handler") => Some(b"an XML event"),
        b"style" if small && contains(content(value, tag, b"</style"), b"@import") => Some(b"imports a style"),
        _ if small && tag.attributes.iter().any(|a| matches!(a.name, b"datasrc" | b"dataformatas")) => Some(b"data binding"),
        _ => dangling(value, tag, scratch),
    }
}

/// `<img src='//x.test/?`: the rest of the page, up to the next quote, becomes part of an address.
fn dangling(value: &[u8], tag: &Tag, _: &mut Vec<u8>) -> Option<&'static [u8]> {
    let last = tag.attributes.last().filter(|last| last.open_quote && !tag.closed && tag.end == value.len())?;
    let far = last.value.starts_with(b"//") || last.value.starts_with(b"http");
    let open = matches!(last.value.last(), Some(b'?' | b'=' | b'&' | b'#'));
    (far && open && is_address(last.name)).then_some(b"takes in the rest of the page")
}
