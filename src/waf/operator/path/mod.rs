//! Hostile paths, judged by evidence. A path is read in every notation and normalised (`walk`, `unit`); then it counts
//! how often it steps up and down, whether the steps are written as no honest client writes them, where it ends
//! (`places`), and whether it is all there is to the value or part of a text.
//!
//! - Steps up that end at a system's own file are hostile: one where the value is nothing but a path, two in a text.
//! - A disguised step is hostile: encoded dots, overlong UTF-8, a NUL, `..;/`.
//! - Two plain steps to anything else are hostile only as a whole value, and not when they are a link to a page's file or
//!   into a source tree: `../../img/a.png`, `../../node_modules/x`.
//! - Without steps, the whole value must be the path of such a file: `/etc/passwd`. In a text it is prose.

use self::places::{Kind, Place};
use self::unit::Writing;
use self::walk::{Path, Root};

mod places;
#[cfg(test)]
mod tests;
mod unit;
mod walk;

/// Of a longer value the beginning is judged, as for SQL and HTML.
const MOST_BYTES: usize = 1024 * 1024;

/// More `/.` than this in a row is there to fill a path up to a length at which the rest is cut.
const PADDING: u32 = 12;

/// What was found, where it stands, and why it is hostile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub span: std::ops::Range<usize>,
    pub ups: u32,
    pub why: Why,
    pub place: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It leads to a place.
    Place,
    /// Its steps are disguised.
    Disguise(&'static str),
    /// It steps up without more.
    Steps,
    /// It names another stream of a file: `::$DATA`.
    Stream,
}

impl Finding {
    /// The shape in a few words, 64 bytes at most: `3 up to etc/passwd`, `1 up, overlong UTF-8`.
    pub(super) fn note(&self) -> String {
        let mut note = match (self.ups, self.why) {
            (_, Why::Stream) => return "stream of a file".to_owned(),
            (0, _) => "whole".to_owned(),
            (ups, _) => format!("{} up", ups.min(999)),
        };
        if let Some(place) = self.place {
            note += " to ";
            note += place;
        }
        if let Why::Disguise(how) = self.why {
            note += ", ";
            note += how;
        }
        note
    }
}

/// The first hostile path of the value.
pub(super) fn detect(value: &[u8]) -> Option<Finding> {
    let value = &value[..value.len().min(MOST_BYTES)];
    if let Some(finding) = stream(value) {
        return Some(finding);
    }
    if !is_worth_reading(value) {
        return None;
    }
    let mut extent = Extent::new(value);
    let first = extent.start;
    walk::walk(value, first, |path| judge(path, &mut extent))
}

/// Only a value with a step in it, or one that begins as a place does, can be hostile.
fn is_worth_reading(value: &[u8]) -> bool {
    let begins_a_step = |at: usize| {
        matches!(
            &value[at..],
            [b'.', b'.' | b'%' | 0..0x20 | 0xc0.., ..]
                | [b'.', b'\\', b'u' | b'x', ..]
                | [b'.', b'0', b'x' | b'X', ..]
                | [b'%', b'2', b'e' | b'E' | b'5', ..]
                | [b'%', b'%' | b'u' | b'U' | b'c' | b'C' | b'e' | b'E' | b'f' | b'F', ..]
        )
    };
    if memchr::memchr2_iter(b'.', b'%', value).any(begins_a_step) {
        return true;
    }
    let hexadecimal = |at: usize| at > 0 && value[at - 1] == b'0' && value.get(at + 1) == Some(&b'2');
    begins_as_a_place(value)
        || (!value.is_ascii() && has_long_dot(value))
        || memchr::memchr_iter(b'x', value).any(hexadecimal)
        || memchr::memchr_iter(b'\\', value).any(|at| value[at + 1..].starts_with(b"u002"))
}

/// A dot of more than one byte: overlong, or a look-alike.
fn has_long_dot(value: &[u8]) -> bool {
    (0..value.len()).filter(|&at| value[at] >= 0xc0).any(|at| {
        matches!(
            &value[at..],
            [0xc0, b'.' | 0xae, ..]
                | [0xc0, b'%', ..]
                | [0xe0 | 0xf0 | 0xf8 | 0xfc, 0x80, ..]
                | [0xe2, 0x80, 0xa4 | 0xa5, ..]
                | [0xef, 0xb8, 0xb0, ..]
                | [0xef, 0xb9, 0x92, ..]
                | [0xef, 0xbc, 0x8e, ..]
        )
    })
}

fn begins_as_a_place(value: &[u8]) -> bool {
    if memchr::memchr3(b'/', b'\\', b'%', value).is_none() {
        return false;
    }
    let inner = trim(value);
    let mut rest = inner;
    if let [b'f' | b'F', _, _, _, b':', behind @ ..] = rest {
        rest = behind;
    }
    rest = behind_separators(rest);
    if let [b'a'..=b'z' | b'A'..=b'Z', b':' | b'|', behind @ ..] = rest {
        rest = behind_separators(behind);
    }
    if rest.first() == Some(&b'%') || inner.starts_with(b"\\\\") {
        return true;
    }
    let first = rest.iter().take(64).position(|byte| matches!(byte, b'/' | b'\\' | b'%' | 0 | b'?' | b'#'));
    let first = &rest[..first.unwrap_or(rest.len()).min(64)];
    places::may_begin(first, rest.len() < inner.len())
}

/// The rest behind slashes and segments that lead nowhere.
fn behind_separators(mut rest: &[u8]) -> &[u8] {
    while let [b'/' | b'\\' | 0, ..] | [b'.', b'/' | b'\\', ..] = rest {
        rest = &rest[1..];
    }
    rest
}

/// White space and quotes around a value say nothing.
fn trim(value: &[u8]) -> &[u8] {
    let is_rim = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'"' | b'`');
    let start = value.iter().position(|byte| !is_rim(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_rim(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// What the value is besides the path.
struct Extent<'v> {
    value: &'v [u8],
    start: usize,
    end: usize,
    /// Known when first asked.
    single: Option<bool>,
}

impl Extent<'_> {
    fn new(value: &[u8]) -> Extent<'_> {
        let inner = trim(value);
        let start = inner.as_ptr() as usize - value.as_ptr() as usize;
        Extent { value, start, end: start + inner.len(), single: None }
    }

    /// One word: no white space, no quotes, no markup; escaped ones count as well.
    fn is_single(&mut self) -> bool {
        let (value, range) = (self.value, self.start..self.end);
        *self.single.get_or_insert_with(|| {
            let parts =
                |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`');
            !value[range.clone()].iter().any(parts) && !has_escaped_blank(&value[range])
        })
    }

    /// The path is all there is, up to a query, a fragment or what a NUL cuts off.
    fn is_whole(&self, path: &Path) -> bool {
        let behind = self.value.get(path.end).copied();
        path.start <= self.start
            && !path.led
            && (path.end >= self.end
                || matches!(behind, Some(b'?' | b'#' | b';' | b'&' | b'|')) && !self.has_space_from(path.end))
    }

    fn has_space_from(&self, from: usize) -> bool {
        self.value[from.min(self.end)..self.end].iter().any(u8::is_ascii_whitespace)
    }
}

/// A text that is written in percent escapes as a whole, as in cookies.
fn has_escaped_blank(value: &[u8]) -> bool {
    const BLANKS: [&[u8]; 7] = [b"%20", b"%0a", b"%0d", b"%22", b"%27", b"%3c", b"%3e"];
    memchr::memchr_iter(b'%', value).any(|at| {
        let escape = value.get(at..at + 3);
        // At the end it is stuck on, not part of a text.
        at + 3 < value.len()
            && escape.is_some_and(|escape| BLANKS.iter().any(|blank| escape.eq_ignore_ascii_case(blank)))
    })
}

fn judge(path: &Path, extent: &mut Extent<'_>) -> Option<Finding> {
    let finding = |why, place: Option<Place>| {
        let place = place.map(|place| place.name);
        Some(Finding { span: path.start.min(path.end)..path.end, ups: path.ups, why, place })
    };
    if path.ups == 0 {
        let place = if extent.is_whole(path) { without_steps(path) } else { None }?;
        return finding(Why::Place, Some(place));
    }
    let place = places::below(path.text());
    let disguise = disguise(path);
    let single = extent.is_single();
    if let Some(how) = disguise
        && (single || path.ups > 1 || place.is_some())
    {
        return finding(Why::Disguise(how), place);
    }
    if let Some(place) = place.filter(|place| is_enough(place, path, single || extent.is_whole(path))) {
        return finding(Why::Place, Some(place));
    }
    if single && steps_are_enough(path) { finding(Why::Steps, None) } else { None }
}

/// Whether plain steps to that place are hostile. `alone` says that the value is no text.
fn is_enough(place: &Place, path: &Path, alone: bool) -> bool {
    match place.kind {
        Kind::Account if alone => true,
        // In a text the name of a file alone could be anything.
        Kind::Account => path.ups > if path.depth() == 1 { 2 } else { 1 },
        Kind::System => alone,
        Kind::Secret => alone && path.ups > 1,
    }
}

/// How the steps are hidden, if they are.
fn disguise(path: &Path) -> Option<&'static str> {
    let (dots, separators) = (path.dots, path.separators);
    if dots != Writing::PLAIN {
        return Some(dots.name());
    }
    // `..%2f` is what a link inside a link looks like.
    if separators.has(Writing::OVERLONG.with(Writing::NESTED).with(Writing::UNICODE)) {
        return Some(separators.name());
    }
    if path.odd {
        return Some("parameters or control bytes");
    }
    if path.nul {
        return Some("NUL");
    }
    if path.still > PADDING {
        return Some("padding");
    }
    None
}

fn without_steps(path: &Path) -> Option<Place> {
    let text = path.text();
    // A sentence may begin with a path.
    let leaf = places::leaf(text);
    if leaf.contains(&b' ') {
        return None;
    }
    let is_prose = text.ends_with(b".") || text.ends_with(b"/");
    let known = places::at(text).filter(|place| place.kind == Kind::Account || !is_prose);
    match path.root {
        Root::Url => None,
        // `etc/passwd`
        Root::Relative => known.filter(|place| {
            let hidden =
                || [".ssh", ".git", ".svn", ".aws"].iter().any(|folder| place.name.starts_with(folder));
            place.kind == Kind::Account && text.contains(&b'/') && (!text.starts_with(b".") || hidden())
        }),
        Root::Share => administrative(text),
        Root::Slash | Root::Drive | Root::File => {
            let alone =
                || places::file(text).filter(|place| place.kind == Kind::Account && path.depth() == 1);
            known
                .filter(|place| place.kind > Kind::Secret)
                .or_else(|| places::kept_by_server(text))
                .or_else(alone)
        }
    }
}

/// `\\host\c$\...`: the hidden shares that Windows has for its administrators.
fn administrative(text: &[u8]) -> Option<Place> {
    let share = text.split(|&byte| byte == b'/').nth(1)?;
    let hidden = matches!(share, [b'a'..=b'z', b'$'] | b"admin$" | b"ipc$");
    hidden.then_some(Place { kind: Kind::System, name: "administrative share" })
}

/// Steps up to nothing known. Links of pages and modules step up, too: those have a page's ending, or go down into a
/// source tree again.
fn steps_are_enough(path: &Path) -> bool {
    let text = path.text();
    let first = text.split(|&byte| byte == b'/').next().unwrap_or(text);
    let is_module = || places::is_source_folder(first) && places::ending(text).is_none();
    if places::is_page_file(text) || first == b"node_modules" || is_module() {
        return false;
    }
    match path.root {
        Root::Url => path.above > 3,
        Root::File => path.ups > 3,
        _ if path.many > 0 => path.above > if path.depth() > 0 { 1 } else { 3 },
        // It ends where it began or below.
        _ if path.above == 0 => path.ups > 2 && path.root != Root::Relative,
        _ => path.ups > 2 || (path.ups == 2 && path.depth() == 1),
    }
}

/// `default.asp::$DATA`: NTFS shows the same file by another name.
fn stream(value: &[u8]) -> Option<Finding> {
    /// File names are shorter.
    const LONGEST: usize = 255;
    for dollar in memchr::memchr_iter(b'$', value) {
        let behind = &value[dollar + 1..];
        let is = |name: &[u8]| behind.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let before = &value[..dollar];
        let goes_on = |name: &[u8]| {
            behind.get(name.len()).is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'>'))
        };
        let ends = |name: &[u8]| is(name) && !goes_on(name);
        let named = before.strip_suffix(b"::").filter(|_| ends(b"data") || ends(b"index_allocation"));
        let Some(name) = named.or_else(|| before.strip_suffix(b":").filter(|_| is(b"i30:"))) else {
            continue;
        };
        let from = name.len().saturating_sub(LONGEST);
        let ends = |byte: &u8| {
            !(byte.is_ascii_graphic() || *byte >= 0x80) || matches!(byte, b'/' | b'\\' | b'"' | b'\'')
        };
        let start = name[from..].iter().rposition(ends).map_or(from, |at| from + at + 1);
        // `Class::$data` is PHP.
        let is_file = is(b"i30:") || name[start.min(name.len())..].contains(&b'.');
        if start < name.len() && is_file {
            return Some(Finding { span: start..dollar + 4, ups: 0, why: Why::Stream, place: None });
        }
    }
    None
}
