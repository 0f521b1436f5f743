//! The first bytes of a stream: TLS, HTTP, SOCKS 5 or none of them. A pure function over a
//! growing prefix; "need more" never means no, so a client that writes one byte at a time is
//! classified exactly like any other.

/// What a prefix turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    NeedMore,
    Tls,
    Http,
    Socks5,
    Other,
}

/// Longer than any registered method ("UPDATEREDIRECTREF" has 17 characters).
const METHOD_MAX: usize = 32;

/// Classifies a prefix. Certain answers stay the same however much follows.
pub fn sniff(prefix: &[u8]) -> Sniff {
    match prefix {
        [] | [0x16] => Sniff::NeedMore,
        // ContentType handshake, legacy_record_version 3.x (RFC 8446 section 5.1).
        [0x16, 0x03, ..] => Sniff::Tls,
        [0x05, ..] => Sniff::Socks5,
        _ => http(prefix),
    }
}

/// More blanks than this are no mistake of somebody who speaks HTTP.
const BLANK_MAX: usize = 64;

/// A request line starts with a method token and a space (RFC 9112 section 3); empty lines before it
/// are to be skipped (section 2.2). Other blanks before it are wrong, but there are servers that skip
/// them: it is HTTP to be refused, and nothing to be let through as unknown.
fn http(prefix: &[u8]) -> Sniff {
    let blanks = prefix.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    let line = &prefix[blanks..];
    if blanks > BLANK_MAX {
        return Sniff::Other;
    }
    if line.is_empty() {
        return Sniff::NeedMore;
    }
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b' ' if at > 0 => return Sniff::Http,
            _ if at >= METHOD_MAX || !is_token(byte) => return Sniff::Other,
            _ => {}
        }
    }
    Sniff::NeedMore
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_of_a_certain_answer_says_otherwise() {
        let cases: [(&[u8], Sniff); 10] = [
            (b"  \tGET / HTTP/1.1\r\n", Sniff::Http),
            (b"\n\r\n GET / HTTP/1.1\r\n", Sniff::Http),
            (&[b' '; 65], Sniff::Other),
            (b"\x16\x03\x01\x02\x00\x01\x00", Sniff::Tls),
            (b"GET / HTTP/1.1\r\n", Sniff::Http),
            (b"\r\nPRI * HTTP/2.0\r\n", Sniff::Http),
            (b"CONNECT a:443 HTTP/1.1\r\n", Sniff::Http),
            (b"\x05\x01\x00", Sniff::Socks5),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Sniff::Other),
            (b"\x16\x02\x00", Sniff::Other),
        ];
        for (bytes, expect) in cases {
            assert_eq!(sniff(bytes), expect, "{bytes:?}");
            let mut settled = None;
            for end in 0..=bytes.len() {
                let seen = sniff(&bytes[..end]);
                if let Some(settled) = settled {
                    assert_eq!(seen, settled, "{bytes:?} at {end}");
                } else if seen != Sniff::NeedMore {
                    settled = Some(seen);
                }
            }
            assert_eq!(settled, Some(expect));
        }
    }

    #[test]
    fn a_token_that_never_ends_is_not_http() {
        assert_eq!(sniff(&[b'A'; METHOD_MAX]), Sniff::NeedMore);
        assert_eq!(sniff(&[b'A'; METHOD_MAX + 1]), Sniff::Other);
        assert_eq!(sniff(b"(GET) / HTTP/1.1"), Sniff::Other);
    }

    #[test]
    fn blanks_in_front_hide_no_request() {
        for blanks in [&b" "[..], b"\t", b"\n", b"\r\n \r\n", &[b' '; BLANK_MAX]] {
            assert_eq!(sniff(blanks), Sniff::NeedMore);
            assert_eq!(sniff(&[blanks, b"GET / HTTP/1.1"].concat()), Sniff::Http);
            assert_eq!(sniff(&[blanks, b"(GET) / HTTP/1.1"].concat()), Sniff::Other);
        }
        assert_eq!(sniff(&[b' '; BLANK_MAX + 1]), Sniff::Other);
    }
}
