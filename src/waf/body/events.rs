//! Server-sent events (the HTML standard, section 9.2): where one ends, and what stands in it.

/// True for the media type of an event stream.
pub fn is_events(content_type: &[u8]) -> bool {
    super::media_type(content_type) == b"text/event-stream"
}

/// Where the first event ends: behind the empty line that dispatches it. Lines end with LF, CRLF or CR. Bytes before
/// `from` are known to hold no end.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) {
        let first = at + found;
        let next = first + line_end(&bytes[first..]);
        match line_end(&bytes[next..]) {
            0 => at = next,
            length => return Some(next + length),
        }
    }
    None
}

/// The length of the line end that these bytes begin with.
fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// An event, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its data lines.
    pub data: Vec<u8>,
    pub name: Vec<u8>,
    pub id: Vec<u8>,
    /// Its data, then the values of all other lines, comments and unknown fields included: readers that are no browsers
    /// see them, too.
    pub text: Vec<u8>,
}

impl Event {
    /// Several events are read as one.
    pub fn read(bytes: &[u8]) -> Event {
        let mut event = Event::default();
        let mut others = Vec::new();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty());
        for line in lines {
            let (field, value) = match memchr::memchr(b':', line) {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => (line, &b""[..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let shown = match field {
                b"data" => {
                    push(&mut event.data, value);
                    continue;
                }
                b"event" => {
                    event.name = value.to_vec();
                    value
                }
                b"id" => {
                    event.id = value.to_vec();
                    value
                }
                b"" | b"retry" => value,
                _ => line,
            };
            push(&mut others, shown);
        }
        event.text.clone_from(&event.data);
        if !others.is_empty() {
            push(&mut event.text, &others);
        }
        event
    }
}

fn push(out: &mut Vec<u8>, line: &[u8]) {
    if !out.is_empty() {
        out.push(b'\n');
    }
    out.extend_from_slice(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_at_an_empty_line_of_any_kind() {
        for (text, expect) in [
            ("data: a\n\nrest", Some(9)),
            ("data: a\r\n\r\nrest", Some(11)),
            ("data: a\r\rrest", Some(9)),
            ("data: a\n\r\nrest", Some(10)),
            ("data: a\r\n\nrest", Some(10)),
            ("data: a\nid: 1\n\n", Some(15)),
            ("data: a\n", None),
            ("data: a\r\n", None),
            ("data: a", None),
            ("", None),
            ("\n\n", Some(2)),
        ] {
            assert_eq!(end(text.as_bytes(), 0), expect, "{text:?}");
            for from in 0..expect.unwrap_or(0) {
                assert_eq!(end(text.as_bytes(), from), expect, "{text:?} from {from}");
            }
        }
    }

    #[test]
    fn an_event_has_its_data_its_name_and_its_id() {
        let event = Event::read(
            b"\xef\xbb\xbf: note\nevent: chat\ndata: one\ndata:two\nid: 7\nother: x\nretry: 5\ndata\n\n",
        );
        assert_eq!(event.data, b"one\ntwo\n");
        assert_eq!((&event.name[..], &event.id[..]), (&b"chat"[..], &b"7"[..]));
        assert_eq!(event.text, b"one\ntwo\n\nnote\nchat\n7\nother: x\n5");
    }
}
