//! What other programs say to us on connections of our own or beside ours: malware scanners, and both ends of a TLS
//! handshake that is only looked at.

use portward::net::Host;
use portward::net::hello::Sni;
use portward::scan::icap_answer::{Answer, Malformed};
use portward::scan::icap_head::Head;
use portward::scan::icap_options::{MOST_PREVIEW, Options};
use portward::scan::{Finding, understood};
use portward::tls::flight::{Flight, FlightReader};
use portward::tls::hello::{HelloReader, Look};
use rustls::server::Acceptor;

use super::shown;

/// An answer over ICAP. The first byte says whether a preview waits for it.
pub fn icap_answer(data: &[u8]) {
    let (how, bytes) = data.split_first().unwrap_or((&0, b""));
    let read = |size: usize| -> Result<Answer, Malformed> {
        let mut answer = Answer::new(how & 1 == 1);
        for piece in bytes.chunks(size) {
            if answer.is_done() {
                break;
            }
            answer.push(piece)?;
        }
        Ok(answer)
    };
    let whole = read(usize::MAX);
    for size in [1, 3, 17] {
        match (read(size), &whole) {
            (Err(told), Err(expect)) => assert_eq!(told, *expect, "in pieces of {size}: {}", shown(data)),
            (Ok(answer), Ok(expect)) => {
                let same = answer.head == expect.head
                    && answer.message == expect.message
                    && answer.found == expect.found
                    && answer.continued == expect.continued
                    && answer.is_done() == expect.is_done()
                    && answer.body.is(&expect.body);
                assert!(same, "in pieces of {size}: {}", shown(data));
                // Bytes behind the answer are seen or not, as they come.
                assert!(answer.leaves_clean() || !expect.leaves_clean(), "{}", shown(data));
            }
            (answer, _) => panic!("in pieces of {size} it is read: {}; {}", answer.is_ok(), shown(data)),
        }
    }
    let Ok(answer) = whole else { return };
    assert!(!answer.continued || how & 1 == 1, "nothing was to be continued: {}", shown(data));
    assert!(answer.found.is_none() || !answer.leaves_clean());
    let Some(head) = &answer.head else { return };
    assert!(head.status != 100);
    options(head);
}

fn options(head: &Head) {
    let options = Options::read(head, None);
    assert!(options.preview("exe").is_none_or(|bytes| bytes <= MOST_PREVIEW));
    assert!((1..=24 * 3600).contains(&options.lifetime.as_secs()));
    if let Some(room) = &options.connections {
        assert!(room.available_permits() > 0);
    }
}

/// What clamd says of a stream: one word means that it is clean, and nothing else does.
pub fn clamd_answer(data: &[u8]) {
    let end = data.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..end]);
    match understood(data) {
        Finding::Clean => assert_eq!(text.strip_prefix("stream: ").unwrap_or(&text).trim(), "OK"),
        Finding::Found(name) | Finding::Unscannable(name) => {
            assert!(text.trim().ends_with("FOUND"), "{text:?}");
            assert!(name.chars().count() <= 200 && !name.chars().any(char::is_control), "{name:?}");
        }
        Finding::Failed(why) => assert!(why.len() <= text.len() + 32),
        Finding::TooLarge | Finding::Changed => {}
    }
}

/// A ClientHello in its records: one reading, which is that of rustls where rustls takes it.
pub fn client_hello(data: &[u8]) {
    let whole = HelloReader::default().look(data);
    for size in [1, 5, 64] {
        let mut reader = HelloReader::default();
        let ends = (size..data.len()).step_by(size).chain([data.len()]);
        let mut looks = ends.map(|end| reader.look(&data[..end]));
        // A certain answer stays.
        let first = looks.find(|look| *look != Look::NeedMore).unwrap_or(Look::NeedMore);
        assert_eq!(first, whole, "in pieces of {size}: {}", shown(data));
    }
    let mut acceptor = Acceptor::default();
    let mut rest = data;
    let accepted = loop {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => break None,
            Ok(_) => match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => break Some(accepted),
                Err(_) => break None,
            },
        }
    };
    let ours = match whole {
        Look::Hello(hello) => hello,
        Look::Malformed(_) => return,
        Look::NeedMore => return assert!(accepted.is_none(), "rustls needs no more: {}", shown(data)),
    };
    let ja4 = ours.ja4.as_deref().unwrap_or_default();
    assert!(ja4.len() == 36 && ja4.is_ascii(), "{ja4}");
    let Some(accepted) = accepted else { return };
    let theirs = accepted.client_hello();
    match (&ours.sni, theirs.server_name()) {
        (Sni::Name(host), Some(name)) => assert_eq!(Host::parse(name).as_ref(), Ok(host)),
        // rustls takes no notice of an address.
        (Sni::Name(host), None) => assert!(host.ip().is_some(), "{host}"),
        (Sni::Absent, name) => assert_eq!(name, None),
        // Refused.
        (Sni::Invalid, _) => {}
    }
    let protocols: Vec<Vec<u8>> = theirs.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    assert_eq!(ours.alpn, protocols, "{}", shown(data));
}

/// An origin's first flight in a tunnel.
pub fn first_flight(data: &[u8]) {
    let look = |size: usize| {
        let mut reader = FlightReader::default();
        data.chunks(size).find_map(|piece| reader.look(piece))
    };
    let whole = look(usize::MAX);
    for size in [1, 4, 33] {
        assert_eq!(look(size), whole, "in pieces of {size}: {}", shown(data));
    }
    if let Some(Flight::Leaf(leaf)) = whole {
        assert!(leaf.len() < data.len());
        let _ = portward::tls::flight::is_for(&leaf, &Host::parse("origin.test").expect("a host"));
    }
}
