//! Where a multipart body can be cut, and what is to stand in front of its later part so that a reader that begins
//! there reads on as it would have: the head of the part that goes on.

use memchr::memmem;

use super::super::border::Place;
use super::super::later::Nothing;
use super::{Bounds, Charset, DEEPEST, Flaws, Mark, Marks, boundaries, first_line, part};

/// The longest head that is repeated. Rules look at no longer names than that.
const MOST_HEAD: usize = 8 * 1024;

/// The boundaries by which a body is read that begins so.
pub(in super::super) fn boundaries_of(content_type: &[u8], start: &[u8]) -> Vec<Vec<u8>> {
    let named = quietly(|sink| boundaries(content_type, sink));
    if named.is_empty() { first_line(start).into_iter().collect() } else { named }
}

/// Where the last part ends behind `begin`.
pub(in super::super) fn last_end(boundaries: &[Vec<u8>], text: &[u8], begin: usize) -> Option<Place> {
    let (first, others) = boundaries.split_first()?;
    let at = last_mark(first, text)?.line;
    (at > begin).then(|| {
        let prefix = others.iter().flat_map(|boundary| open_part(boundary, &text[..at], 1).1).collect();
        Place { at, prefix }
    })
}

/// What brings a reader to the end of the text. The place may be a little in front of it.
pub(in super::super) fn place(boundaries: &[Vec<u8>], text: &[u8], behind: &[u8]) -> Place {
    let mut at = text.len();
    // Hyphens that stand in a line must not come to stand at its beginning.
    let next = |at: usize| text.get(at).or(behind.first());
    while at > 0 && next(at) == Some(&b'-') && text[at - 1] != b'\n' {
        at -= 1;
    }
    let mut prefix = Vec::new();
    for boundary in boundaries {
        let (back, head) = open_part(boundary, &text[..at], 1);
        at -= back;
        prefix.extend(head);
    }
    Place { at, prefix }
}

/// The head of the part in which the text ends, and how many bytes at the end may belong to the next boundary.
fn open_part(boundary: &[u8], text: &[u8], depth: usize) -> (usize, Vec<u8>) {
    let delimiter = [b"--", boundary].concat();
    let half = (1..=delimiter.len()).rev().find(|length| {
        let begin = text.len().checked_sub(*length);
        begin.is_some_and(|begin| {
            text[begin..] == delimiter[..*length] && (begin == 0 || text[begin - 1] == b'\n')
        })
    });
    let text = &text[..text.len() - half.unwrap_or(0)];
    let mut back = half.unwrap_or(0);
    let Some(mark) = last_mark(boundary, text).filter(|mark| !mark.is_final) else {
        return (back, Vec::new());
    };
    let inside = quietly(|sink| part::inside(&text[mark.end..], &Bounds::default(), sink));
    let Some((start, inner)) = inside else {
        // In the head itself.
        let head =
            if text.len() - mark.line <= MOST_HEAD { &text[mark.line..] } else { &text[mark.line..mark.end] };
        return (back, head.to_vec());
    };
    let start = mark.end + start;
    let mut head = match start - mark.line <= MOST_HEAD {
        true => text[mark.line..start].to_vec(),
        false => [&delimiter[..], b"\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n"].concat(),
    };
    for boundary in inner.iter().filter(|_| depth < DEEPEST) {
        let (more, inner) = open_part(boundary, &text[start..text.len()], depth + 1);
        back = back.max(half.unwrap_or(0) + more);
        head.extend(inner);
    }
    (back, head)
}

/// The last line that is a boundary, whatever follows.
fn last_mark(boundary: &[u8], text: &[u8]) -> Option<Mark> {
    let delimiter = [b"--", boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut marks = Marks { bytes: text, finder, length: delimiter.len(), at: 0 };
    quietly(|sink| {
        let all = std::iter::from_fn(|| marks.next(sink));
        all.filter(|mark| mark.is_final || text[..mark.end].ends_with(b"\n")).last()
    })
}

fn quietly<T>(run: impl FnOnce(&mut Flaws<'_>) -> T) -> T {
    run(&mut Flaws::new(Charset::Plain, &mut Nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n";

    #[test]
    fn what_stands_in_front_of_a_later_part_is_its_head() {
        let long = format!("--b\r\nX: {}\r\n\r\n", "x".repeat(MOST_HEAD));
        let plain = "--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n";
        let nested = "--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n";
        for (text, behind, expect, back) in [
            (format!("{HEAD}value"), "more", HEAD.to_owned(), 0),
            (format!("{HEAD}value\r\n--"), "b", HEAD.to_owned(), 2),
            (format!("{HEAD}value\r\n--b"), "x", HEAD.to_owned(), 3),
            (format!("{HEAD}value"), "--b", HEAD.to_owned(), 1),
            (format!("{HEAD}value --"), "-b", HEAD.to_owned(), 3),
            (format!("{HEAD}value\r\n--bx"), "", HEAD.to_owned(), 0),
            (format!("{HEAD}value\r\n--b--\r\n"), "", String::new(), 0),
            ("--b\r\nContent-Disp".to_owned(), "", "--b\r\nContent-Disp".to_owned(), 0),
            ("preamble".to_owned(), "", String::new(), 0),
            (format!("{long}value"), "", plain.to_owned(), 0),
            (format!("{nested}--i\r\nA: b\r\n\r\nx\n--"), "", format!("{nested}--i\r\nA: b\r\n\r\n"), 2),
        ] {
            let place = place(&[b"b".to_vec()], text.as_bytes(), behind.as_bytes());
            let prefix = String::from_utf8(place.prefix).unwrap();
            assert_eq!((prefix, place.at), (expect, text.len() - back), "{text}");
        }
    }

    #[test]
    fn a_body_is_cut_at_a_boundary_and_not_at_what_looks_like_one() {
        let boundaries = [b"b".to_vec(), b"c".to_vec()];
        let end = |text: &str, begin| last_end(&boundaries, text.as_bytes(), begin);
        let text = format!("{HEAD}x\r\n{HEAD}y\r\n--bz --b\r\n--b");
        let place = end(&text, 0).unwrap();
        assert_eq!((place.at, place.prefix.len()), (HEAD.len() + 3, 0));
        assert_eq!(end(&text, HEAD.len() + 3), None);
        // To a reader that takes the other boundary another part goes on.
        let other = HEAD.replace("--b", "--c");
        let text = format!("{HEAD}x\r\n{other}y\r\n--b\r\n");
        assert_eq!(end(&text, 0).unwrap().prefix, other.as_bytes());
    }
}
