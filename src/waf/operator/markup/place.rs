//! Where in a value a tag stands. A payload is little else than its tag; in a document tags stand among text.

/// Where a tag stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// It opens the value, or follows what closes an attribute, a string or an element.
    pub start: bool,
    /// Not far from the start, in a value that is not long.
    pub near: bool,
    /// The value is not much more than this tag.
    pub short: bool,
    /// The value is hardly more than this tag.
    pub tiny: bool,
    /// Tags before it.
    pub tags: usize,
}

/// A tag this far into the value may still open it.
const START: usize = 64;
/// ... or this far, when what stands before it closes something.
const AFTER_EXIT: usize = 240;
const NEAR: usize = 600;
const SHORT: usize = 600;
const TINY: usize = 160;
/// Tags that stand around the one that counts: `<svg><g><animate ...>`.
const WRAPPERS: usize = 8;

pub(super) fn of(value: &[u8], at: usize, tags_before: usize) -> Place {
    let before = &value[..at];
    let last = before.trim_ascii_end().last();
    let exit =
        matches!(last, None | Some(b'>' | b'"' | b'\'' | b'`' | b';' | b')' | b'}' | b'-' | b'<' | b'|'));
    // A whole page: what stands in it is judged as in a document.
    let page = tags_before > 1 && (value.starts_with(b"<!doctype") || value.starts_with(b"<html"));
    let start = !page
        && tags_before <= WRAPPERS
        && (at <= START || (exit && at <= AFTER_EXIT))
        && value.len() <= 4 * NEAR;
    let near = start || (!page && at <= NEAR && value.len() <= 2 * NEAR);
    Place { start, near, short: value.len() <= SHORT, tiny: value.len() <= TINY, tags: tags_before }
}
