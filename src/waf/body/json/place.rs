//! Where a JSON text can be cut, and what is to stand in front of its later part so that a reader that begins there
//! reads on as it would have: the brackets that are open, and what begins the string, comment or word.

use super::super::border::Place;
use super::super::later::Nothing;
use super::{Bounds, Budget, Documents, Extent, Reader, Spot};

/// Where the last value ends behind `begin`, for one that is to be read in pieces.
pub(in super::super) fn last_end(bytes: &[u8], begin: usize) -> Option<Place> {
    let walked = Reader::walk(bytes, |reader| (reader.ended, prefix(&reader.ended_in, Spot::Name, b"")));
    Some(walked).filter(|(at, _)| *at > begin).map(|(at, prefix)| Place { at, prefix })
}

/// What brings a reader to where it stands at the end of these bytes. The place may be a little in front of it.
pub(in super::super) fn place(bytes: &[u8]) -> Place {
    // Half of what opens a comment.
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    let (open, prefix) =
        Reader::walk(bytes, |reader| (reader.open, prefix(&reader.stack, reader.spot, reader.open)));
    let slashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
    let in_escape = slashes % 2 == 1 && matches!(open, b"\"" | b"'" | b"`");
    Place { at: bytes.len() - usize::from(in_escape), prefix }
}

/// The brackets that are open, and how far the innermost was read.
fn prefix(stack: &[u8], spot: Spot, open: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, bracket) in stack.iter().enumerate() {
        out.push(*bracket);
        let inside = if at + 1 < stack.len() { Spot::Value } else { spot };
        if *bracket == b'{' {
            out.extend_from_slice(match inside {
                Spot::Name => b"",
                Spot::Colon => b"\"\"",
                Spot::Value => b"\"\":",
            });
        }
    }
    out.extend_from_slice(open);
    out
}

impl<'a> Reader<'a, '_> {
    /// Reads for the sake of where it leads.
    fn walk<T>(bytes: &'a [u8], then: impl FnOnce(&Reader<'_, '_>) -> T) -> T {
        /// As many as there are: whether they are too many is for who reads the values. Some room for sums.
        const ALL: usize = usize::MAX / 64;
        let bounds = Bounds { leaves: ALL, name_bytes: ALL, value_bytes: ALL, ..Bounds::default() };
        let (mut nothing, mut budget) = (Nothing, Budget::of(bytes.len()));
        let many = Documents::Many;
        let mut reader = Reader::new(bytes, many, Extent::Partial, &bounds, &mut budget, &mut nothing);
        let _ = reader.documents();
        then(&reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_of_a_later_part_says_where_it_is() {
        for (text, expect, back) in [
            (r#"{"a":1"#, "{\"\":x", 0),
            (r#"{"a":true"#, "{\"\":x", 0),
            (r#"{"a":[1, t"#, "{\"\":[x", 0),
            (r#"{"a":1,"#, "{", 0),
            (r#"{"a"#, "{\"", 0),
            (r#"{"a""#, "{\"\"", 0),
            (r#"{"a":[{"b":"x"#, "{\"\":[{\"\":\"", 0),
            (r#"{"a":[{"b":"x"}, "#, "{\"\":[", 0),
            (r#"[[1],'it"s"#, "['", 0),
            (r#"{a:`x\\\"#, "{\"\":`", 1),
            (r#"{a:`x\\"#, "{\"\":`", 0),
            (r#"{a: it's"#, "{\"\":x", 0),
            (r#"{a: /* it's"#, "{\"\":/*", 0),
            (r#"[1 // it's"#, "[#", 0),
            (r#"{"a":1} {"b"#, "{\"", 0),
            (r#"{"a":1}"#, "", 0),
            (r#"{"a": /"#, "{\"\":", 1),
        ] {
            let place = place(text.as_bytes());
            assert_eq!((&*place.prefix, place.at), (expect.as_bytes(), text.len() - back), "{text}");
        }
        for (text, expect) in [
            (r#"{"a":{"b":"x,y","c":"#, Some((16, "{\"\":{"))),
            (r#"{"a":"b"#, None),
            (r#"{"a":1} {"b":2"#, Some((7, ""))),
            (r#"["a", "b,c"#, Some((5, "["))),
        ] {
            let end = last_end(text.as_bytes(), 0);
            let end = end.map(|place| (place.at, String::from_utf8(place.prefix).unwrap()));
            assert_eq!(end, expect.map(|(at, prefix)| (at, prefix.to_owned())), "{text}");
        }
        assert!(last_end(br#"["a","b"#, 5).is_none());
    }
}
