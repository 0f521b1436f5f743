//! Cross-site scripting, found the way libinjection does it: a value is cut into HTML tokens, and a tag, attribute,
//! comment or declaration that can run a script makes it an attack.
//!
//! A value may stand between tags, in a tag, or in an attribute's value whose quote it closes: it is read from each of
//! these five starts. The readings advance side by side, and two that come to the same place are one from there on.
//!
//! The reference is libinjection 3.9.2, where these ways to hide a script from it work no longer:
//! - the byte 0xff before an attribute ended the reading;
//! - a tag behind `</a >` or `</>` was taken for a closing one.

use memchr::memchr;

use self::html::{Finding, Place};

mod html;
mod names;

/// How many starts there are.
const STARTS: usize = 5;

/// A longer value is judged by this much of its beginning. It is the default bound of all that is inspected of a
/// message, and the worst value of this length takes some hundredths of a second.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// True for a value that runs a script in some place of a page.
pub(super) fn detect(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MOST_BYTES)];
    let behind = |quote| memchr(quote, value).map(|at| Place::Tag(at + 1));
    let mut places: [Option<Place>; STARTS] =
        [Some(Place::Text(0)), Some(Place::Tag(0)), behind(b'\''), behind(b'"'), behind(b'`')];
    while let Some(first) = places.iter().flatten().min_by_key(|place| place.at()).copied() {
        let next = match html::read(value, first) {
            Finding::Attack => return true,
            Finding::Harmless(place) => Some(place),
            Finding::End => None,
        };
        for place in &mut places {
            if *place == Some(first) {
                *place = next;
            }
        }
    }
    false
}
