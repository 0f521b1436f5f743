//! One element: does it run script, and is that what an honest page would do there?

use super::html::{Attribute, Tag, unescape};
use super::names::{is_address, waits_for_the_user};
use super::place::Place;
use super::script::{Verdict, judge as judge_script};
use super::spill::prose;
use super::style;
use super::{Found, Look, address, within};

/// More of a script is not looked at.
const LONGEST_SCRIPT: usize = 2048;
/// A script of a payload that calls a function nobody knows is shorter than this.
const SHORT_SCRIPT: usize = 240;
/// Counters and loaders of advertisements are longer.
const LONG_SCRIPT: usize = 320;

pub(super) fn judge(
    value: &[u8],
    at: usize,
    tag: &Tag,
    place: Place,
    look: &mut Look,
    scratch: &mut Vec<u8>,
) -> Option<Found> {
    let found = |what: &[u8], word: &[u8]| Some(Found::new(at, what, word));
    for attribute in &tag.attributes {
        if let Some(word) = attribute_runs(value, tag, attribute, place, look, scratch) {
            return found(attribute.name, &word);
        }
    }
    if tag.ends {
        return end_of_script(value, at, tag, scratch);
    }
    if tag.name == b"base"
        && place.near
        && place.short
        && tag.get(b"href").is_some_and(|href| href.starts_with(b"//"))
    {
        return found(tag.name, b"all links of the page");
    }
    if let Some(what) = element_itself(value, at, tag, place) {
        return found(tag.name, what);
    }
    match local(tag.name) {
        b"script" | b"handler" => {
            let word = script_runs(value, tag, place, look, scratch)?;
            found(tag.name, &word)
        }
        b"style" if look.work > 0 => {
            look.spend(content(value, tag, b"</style").len());
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

pub(super) fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|&byte| byte == b':').next().unwrap_or(name)
}

/// `>alert(1)</script>`: the beginning of the element stood before the value, or was taken off.
fn end_of_script(value: &[u8], at: usize, tag: &Tag, scratch: &mut Vec<u8>) -> Option<Found> {
    const LONGEST: usize = 160;
    let before = &value[..at];
    if tag.name != b"script" || at > LONGEST || before.contains(&b'<') {
        return None;
    }
    let start = memchr::memrchr(b'>', before).map_or(0, |at| at + 1);
    unescape(&before[start..], scratch);
    let finding = judge_script(scratch);
    (finding.verdict >= Verdict::Loud && !prose(scratch)).then(|| Found::new(0, b"script", finding.word))
}

/// What follows the tag, up to where its element ends.
fn content<'a>(value: &'a [u8], tag: &Tag, end: &[u8]) -> &'a [u8] {
    let rest = &value[tag.end.min(value.len())..];
    let rest = &rest[..rest.len().min(LONGEST_SCRIPT)];
    memchr::memmem::find(rest, end).map_or(rest, |length| &rest[..length])
}

fn script_runs(
    value: &[u8],
    tag: &Tag,
    place: Place,
    look: &mut Look,
    scratch: &mut Vec<u8>,
) -> Option<Vec<u8>> {
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
        let elsewhere = [&b"//"[..], b"\\\\", b"/\\", b"http:", b"https:", b"ftp:"]
            .iter()
            .any(|start| address.starts_with(start));
        if (address.starts_with(b"data:") && place.near)
            || (elsewhere && place.start && place.short && place.tags <= 2)
        {
            return Some(scratch.clone());
        }
    }
    if look.work == 0 {
        return None;
    }
    let code = content(value, tag, b"</script");
    look.spend(code.len());
    unescape(code, scratch);
    let finding = judge_script(scratch);
    let rest = &value[tag.end.min(value.len())..];
    let ends = contains(&rest[..rest.len().min(2 * LONGEST_SCRIPT)], b"</script");
    let runs = match finding.verdict {
        // "how to use <script> and alert(1)"
        Verdict::Attack | Verdict::Loud if !ends && prose(&scratch[..scratch.len().min(80)]) => false,
        Verdict::Attack => true,
        _ if is_template(code) => false,
        Verdict::Loud => code.len() <= LONG_SCRIPT && (place.start || (place.near && place.short)),
        // `Map::<Script>::new()`: not every `<script>` is a tag, but each has an end.
        Verdict::Acts => place.start && place.tags <= 3 && code.len() <= SHORT_SCRIPT && ends,
        // `<script>XSS</script>`: a word to look for in the answer.
        Verdict::Idle => place.start && is_marker(value, tag, code),
    };
    runs.then(|| finding.word.to_vec())
}

/// A page generator fills it in; nothing runs as it stands.
fn is_template(code: &[u8]) -> bool {
    [&b"{{"[..], b"{%", b"<?php", b"<?=", b"<%"].iter().any(|mark| contains(code, mark))
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
fn attribute_runs(
    value: &[u8],
    tag: &Tag,
    attribute: &Attribute,
    place: Place,
    look: &mut Look,
    scratch: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let name = attribute.name;
    let local = local(name);
    if is_handler(local) {
        return handler_runs(tag, attribute, place, scratch);
    }
    if attribute.value.starts_with(b"&{") {
        let finding = judge_script(&attribute.value[2..]);
        return (finding.verdict >= Verdict::Loud).then(|| finding.word.to_vec());
    }
    if local == b"style" {
        unescape(attribute.value, scratch);
        if let Some(word) = style::runs(scratch) {
            return Some(word.as_bytes().to_vec());
        }
        return (place.start && place.tiny && style::leaves_attribute(scratch))
            .then(|| b"leaves its rule".to_vec());
    }
    if local == b"srcdoc" {
        unescape(attribute.value, scratch);
        let inner = std::mem::take(scratch);
        let runs = within(&inner, look);
        *scratch = inner;
        return (runs || (place.start && scratch.contains(&b'<') && place.short)).then(|| b"srcdoc".to_vec());
    }
    if is_address(name) {
        return address::runs(value, tag, attribute, place, look, scratch);
    }
    // A sanitiser that writes its tree back may turn escaped text of an attribute into markup.
    if place.start
        && place.short
        && contains(attribute.value, b"&lt;")
        && contains(attribute.value, b"--&gt;")
    {
        unescape(attribute.value, scratch);
        let inner = std::mem::take(scratch);
        return within(&inner, look).then(|| b"markup".to_vec());
    }
    is_framework(name)
        .then(|| judge_script(attribute.value))
        .filter(|finding| finding.verdict == Verdict::Attack)
        .map(|finding| finding.word.to_vec())
}

/// A handler, judged by what it calls.
fn handler_runs(tag: &Tag, attribute: &Attribute, place: Place, scratch: &mut Vec<u8>) -> Option<Vec<u8>> {
    let local = local(attribute.name);
    unescape(attribute.value, scratch);
    // `onClick={() => ...}`: JSX, which no browser reads.
    let finding = judge_script(scratch);
    let comes = tag
        .attributes
        .iter()
        .any(|a| matches!(a.name, b"autofocus" | b"tabindex" | b"accesskey" | b"contenteditable"));
    let waits = waits_for_the_user(local) && !(comes && matches!(local, b"onfocus" | b"onblur"));
    let runs = match finding.verdict {
        Verdict::Attack => true,
        Verdict::Loud => place.start || (place.near && place.short),
        Verdict::Acts => {
            // `<body onload="init()">`
            let begins = tag.name == b"body" && local == b"onload" && contains(scratch, b"()");
            place.start && place.short && !waits && !begins && !scratch.starts_with(b"{")
        }
        // `<body onload="XSS">`: a word to look for in the answer.
        Verdict::Idle => {
            let marker =
                !scratch.is_empty() && scratch.len() <= 8 && scratch.iter().all(u8::is_ascii_alphanumeric);
            marker && place.start && place.tiny && !waits
        }
    };
    runs.then(|| finding.word.to_vec())
}

pub(super) fn is_handler(name: &[u8]) -> bool {
    name.len() >= 5
        && name.starts_with(b"on")
        && name[2..].iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

/// Attributes whose value client-side frameworks evaluate.
fn is_framework(name: &[u8]) -> bool {
    [&b"ng-"[..], b"v-", b"x-", b"data-ng-", b"@", b":", b"hx-on", b"data-bind", b"_", b"ev:"]
        .iter()
        .any(|start| name.starts_with(start))
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// Elements that do harm by being there.
fn element_itself(value: &[u8], at: usize, tag: &Tag, place: Place) -> Option<&'static [u8]> {
    if !place.start {
        return None;
    }
    let only = |names: &[&[u8]]| tag.attributes.iter().all(|attribute| names.contains(&attribute.name));
    let has = |name: &[u8]| tag.get(name).is_some_and(|value| !value.is_empty());
    let is = |name: &[u8], part: &[u8]| tag.get(name).is_some_and(|value| contains(value, part));
    let small = value.len() <= 300;
    match local(tag.name) {
        b"base" if place.short && has(b"href") => Some(b"all links of the page"),
        b"meta" if small && !tag.get(b"content").is_some_and(is_template) => {
            let refresh = is(b"http-equiv", b"refresh") && (is(b"content", b"url") || place.tiny);
            let other = is(b"http-equiv", b"link")
                || is(b"http-equiv", b"set-cookie")
                || is(b"http-equiv", b"content-security-policy");
            let charset = is(b"charset", b"utf-7")
                || is(b"charset", b"x-")
                || is(b"charset", b"mac-")
                || is(b"content", b"utf-7");
            (refresh || other || charset).then_some(b"a command to the browser")
        }
        b"link" if place.short && is(b"rel", b"import") => Some(b"imports a page"),
        b"link" if small && is(b"type", b"javascript") => Some(b"a style that is a script"),
        b"link" if small && is(b"rel", b"stylesheet") && foreign(value, at, tag, b"href") => {
            Some(b"a style from elsewhere")
        }
        b"iframe" | b"frame"
            if small && only(&[b"src", b"sandbox", b"name"]) && foreign(value, at, tag, b"src") =>
        {
            Some(b"a bare frame")
        }
        b"iframe" | b"frame" if is(b"src", b"mhtml:") || is(b"src", b"view-source:") => {
            Some(b"a frame of the browser")
        }
        b"object" | b"embed"
            if small
                && !tag.attributes.iter().any(|attribute| attribute.name == b"width")
                && (is(b"allowscriptaccess", b"always")
                    || is(b"type", b"x-scriptlet")
                    || [&b"data"[..], b"src", b"code"].iter().any(|name| foreign(value, at, tag, name))) =>
        {
            Some(b"a bare object")
        }
        b"object" if is(b"classid", b"clsid:") && small => Some(b"an ActiveX object"),
        b"template" if place.short && tag.attributes.iter().any(|a| a.name.starts_with(b"shadowroot")) => {
            Some(b"shadow tree")
        }
        b"xml" if small && (has(b"src") || has(b"id")) => Some(b"a data island"),
        b"import" if has(b"implementation") => Some(b"a behaviour"),
        b"attlist" | b"entity" if small => {
            let text = &value[at..tag.end.max(at)];
            (contains(text, b"onerror cdata") || contains(text, b"onload cdata") || contains(text, b"&#"))
                .then_some(b"a definition")
        }
        b"layer" | b"ilayer" if small && has(b"src") => Some(b"a layer"),
        b"vmlframe" => Some(b"a frame"),
        b"applet" if small && (has(b"code") || has(b"archive")) => Some(b"an applet"),
        b"use" if small && (is(b"href", b"data:") || is(b"xlink:href", b"data:")) => {
            Some(b"a picture with script")
        }
        b"script" if place.tiny && at > 0 && (leaves(value, at) || value[..at].ends_with(b"</script>")) => {
            Some(b"behind the end of an attribute")
        }
        b"form" if small && foreign(value, at, tag, b"action") => Some(b"a form for another site"),
        _ if place.tiny && at > 0 && tag.closed && place.tags == 0 && leaves(value, at) => {
            Some(b"behind the end of an attribute")
        }
        b"xss" => Some(b"a tester's element"),
        b"listener" if small && has(b"handler") => Some(b"an XML event"),
        b"style" if small && imports(content(value, tag, b"</style")) => Some(b"imports a style"),
        _ if small && tag.attributes.iter().any(|a| matches!(a.name, b"datasrc" | b"dataformatas")) => {
            Some(b"data binding")
        }
        _ if small && exits(value, at) && tag.closed => Some(b"behind the end of an attribute"),
        _ => dangling(value, tag),
    }
}

/// An address on another host, written without quotes or right behind what closes an attribute. Pages that offer
/// fonts give a full, quoted address.
fn foreign(value: &[u8], at: usize, tag: &Tag, name: &[u8]) -> bool {
    let Some(attribute) = tag.attributes.iter().find(|attribute| attribute.name == name) else {
        return false;
    };
    let quoted = matches!(value.get(attribute.value_at.wrapping_sub(1)), Some(b'"' | b'\''));
    let href = attribute.value;
    let before = &value[..at];
    let exit = !before.contains(&b'<') && matches!(before.trim_ascii_end().last(), Some(b'>' | b'"' | b'\''));
    href.starts_with(b"//") || href.starts_with(b"http:") || (href.starts_with(b"http") && (!quoted || exit))
}

/// `@import'//x.test'`: as short as can be. People put a space before the address.
fn imports(css: &[u8]) -> bool {
    [
        &b"@import'"[..],
        b"@import\"",
        b"@import//",
        b"@importurl",
        b"@import url(//",
        b"@import '//",
        b"@import \"//",
    ]
    .iter()
    .any(|mark| contains(css, mark))
}

/// Nothing but quotes and a `>` stand before the tag.
fn leaves(value: &[u8], at: usize) -> bool {
    let before = &value[..at];
    before.contains(&b'>')
        && before.iter().any(|byte| matches!(byte, b'"' | b'\''))
        && before.iter().all(|byte| matches!(byte, b'"' | b'\'' | b'>' | b'/' | b' ' | b'`' | b'\\'))
}

/// Quotes of more than one kind and a `>` right before the tag: what a tester writes who does not know where the
/// value will stand. Behind a `<` they end an attribute of the value's own.
fn exits(value: &[u8], at: usize) -> bool {
    const LONGEST: usize = 8;
    let signs =
        value[..at].iter().rev().take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'>' | b'/' | b' '));
    let signs: Vec<u8> = signs.take(LONGEST).copied().collect();
    let kinds = [b'"', b'\'', b'`'].iter().filter(|quote| signs.contains(quote)).count();
    kinds >= 2 && signs.contains(&b'>') && at <= 64 && !value[..at].contains(&b'<')
}

/// `<img src='//x.test/?`: the rest of the page, up to the next quote, becomes part of an address.
fn dangling(value: &[u8], tag: &Tag) -> Option<&'static [u8]> {
    let last =
        tag.attributes.last().filter(|last| last.open_quote && !tag.closed && tag.end == value.len())?;
    let far = last.value.starts_with(b"//") || last.value.starts_with(b"http");
    let open = matches!(last.value.last(), Some(b'?' | b'=' | b'&' | b'#'));
    // Pages write double quotes, and their HTML is cut off anywhere.
    let open = open && value.get(last.value_at.wrapping_sub(1)) != Some(&b'"');
    (far && open && is_address(last.name)).then_some(b"takes in the rest of the page")
}
