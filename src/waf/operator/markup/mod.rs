//! Finds script in what was meant to be text: the value is read as it would be inside a page, as text between
//! tags, inside an attribute, inside a script's string, and what runs there is judged by what it calls. Markup that
//! only shows something is left alone, and so is the script of honest pages where it stands in longer texts.
//!
//! A value should be in lower case and without NUL. Work is bounded by a small multiple of the value's length.

mod address;
mod element;
mod html;
mod names;
mod place;
mod probe;
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
/// Markup inside an attribute inside markup: deeper it is not looked for.
const MOST_NESTED: u8 = 2;

/// What is left to spend on one value.
struct Look {
    work: usize,
    nested: u8,
}

impl Look {
    fn spend(&mut self, bytes: usize) {
        self.work = self.work.saturating_sub(bytes);
    }
}

/// Script in the text of a page: elements, handlers, addresses, styles.
pub(crate) fn in_text(value: &[u8]) -> Option<Found> {
    text(value, &mut Look { work: (WORK * value.len()).max(LEAST_WORK), nested: 0 })
}

fn text(value: &[u8], look: &mut Look) -> Option<Found> {
    let mut scratch = Vec::new();
    let mut tags = 0;
    let mut from = 0;
    while let Some(length) = memchr::memchr(b'<', &value[from..]) {
        let at = from + length;
        let Some(tag) = html::tag(value, at) else {
            from = at + 1;
            continue;
        };
        look.spend(tag.end - at);
        let place = place::of(value, at, tags);
        if let Some(found) = element::judge(value, at, &tag, place, look, &mut scratch) {
            return Some(found);
        }
        // Once the work is used up, tags inside of tags and what stands in scripts are left out.
        from = if look.work > 0 { at + 1 } else { tag.end };
        tags += usize::from(!tag.ends);
    }
    None
}

/// Markup inside an attribute's value.
fn within(value: &[u8], look: &mut Look) -> bool {
    if look.nested == MOST_NESTED || look.work == 0 {
        return false;
    }
    look.nested += 1;
    let found = text(value, look).is_some();
    look.nested -= 1;
    found
}

pub(crate) use spill::{in_attribute, in_script};
