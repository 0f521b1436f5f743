//! Finds script in what was meant to be text: the value is read as it would be inside a page, as text between
//! tags, inside an attribute, inside a script's string, and what runs there is judged by what it calls. Markup that
//! only shows something is left alone, and so is the script of honest pages where it stands in longer texts.
//!
//! A value should be in lower case and without NUL. Work is bounded by a small multiple of the value's length.

mod element;
mod html;
mod names;
mod place;
mod script;
mod spill;
mod style;
mod tokens;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it stands in the value.
    pub at: usize,
    /// `onerror calls alert`: for the receipt.
    pub what: String,
}

impl Found {
    fn new(at: usize, place: &[u8], word: &[u8]) -> Found {
        let show = |bytes: &[u8]| bytes[..bytes.len().min(24)].escape_ascii().to_string();
        Found { at, what: format!("{}: {}", show(place), show(word)) }
    }
}

/// Bytes of tags and scripts that may be read per byte of the value: tags are looked for inside tags, too.
const WORK: usize = 8;
/// What a short value may have read anyway.
const LEAST_WORK: usize = 16 * 1024;

/// Script in the text of a page: elements, handlers, addresses, styles.
pub(crate) fn in_text(value: &[u8]) -> Option<Found> {
    let mut work = (WORK * value.len()).max(LEAST_WORK);
    let mut scratch = Vec::new();
    let mut tags = 0;
    let mut from = 0;
    while let Some(length) = memchr::memchr(b'<', &value[from..]) {
        let at = from + length;
        let Some(tag) = html::tag(value, at) else {
            from = at + 1;
            continue;
        };
        let place = place::of(value, at, tags);
        if let Some(found) = element::judge(value, at, &tag, place, &mut scratch) {
            return Some(found);
        }
        let read = tag.end - at + element::reads_on(&tag);
        from = if work > read { at + 1 } else { tag.end };
        work = work.saturating_sub(read);
        tags += 1;
    }
    None
}

pub(crate) use spill::{in_attribute, in_script};
