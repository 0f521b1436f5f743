use super::*;

const WINDOW: usize = 64;

fn reader(long: Long) -> Reader {
    Reader::new(Masking::Required, WINDOW, long)
}

fn frame(part: Part, last: bool, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out, part, last, payload, Some([7, 77, 177, 211]));
    out
}

fn events(reader: &mut Reader, bytes: &[u8], step: usize) -> Result<Vec<Event>, Violation> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(step) {
        reader.push(chunk);
        while let Some(event) = reader.event()? {
            out.push(event);
        }
    }
    Ok(out)
}

#[test]
fn a_message_is_put_together_from_its_frames_at_every_split_point() {
    let mut wire = frame(Part::First(Kind::Text), false, "gr\u{fc}".as_bytes());
    wire.extend(frame(Part::Ping, true, b"are you there"));
    wire.extend(frame(Part::Next, false, b""));
    wire.extend(frame(Part::Next, true, "\u{df} dich".as_bytes()));
    wire.extend(frame(Part::First(Kind::Binary), true, b""));
    wire.extend(frame(Part::Close, true, &farewell(1000, "bye")));
    for step in 1..wire.len() {
        let got = events(&mut reader(Long::Pass), &wire, step).unwrap();
        let message = |kind, text: &[u8]| Event::Message { kind, payload: text.into(), whole: true };
        assert_eq!(
            got,
            [
                Event::Ping(Bytes::from_static(b"are you there")),
                message(Kind::Text, "gr\u{fc}\u{df} dich".as_bytes()),
                message(Kind::Binary, b""),
                Event::Close(Bytes::from_static(b"\x03\xe8bye")),
            ],
            "in steps of {step}"
        );
    }
}

#[test]
fn what_is_longer_than_the_window_comes_in_parts_or_not_at_all() {
    let long: Vec<u8> = (0..200u8).collect();
    let wire = frame(Part::First(Kind::Binary), true, &long);
    for step in [1, 13, 1000] {
        let got = events(&mut reader(Long::Pass), &wire, step).unwrap();
        let mut all = Vec::new();
        for (index, event) in got.iter().enumerate() {
            match event {
                Event::Message { payload, whole: false, .. } if index == 0 => {
                    assert_eq!(payload.len(), WINDOW);
                    all.extend_from_slice(payload);
                }
                Event::Rest { payload, last } => {
                    all.extend_from_slice(payload);
                    assert_eq!(*last, index == got.len() - 1);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(all, long, "in steps of {step}");
    }
    let refused = events(&mut reader(Long::Refuse), &wire[..20], 20).unwrap_err();
    assert_eq!(refused.code, close::TOO_BIG);
    // Just what the window holds is whole.
    let got = events(&mut reader(Long::Refuse), &frame(Part::First(Kind::Binary), true, &[1; WINDOW]), 9);
    assert!(matches!(&got.unwrap()[..], [Event::Message { whole: true, .. }]));
}

#[test]
fn every_break_of_the_protocol_has_its_close_code() {
    let mut unmasked = BytesMut::new();
    write(&mut unmasked, Part::First(Kind::Text), true, b"a", None);
    let text = |bytes: &[u8]| frame(Part::First(Kind::Text), true, bytes).to_vec();
    let twice = [&frame(Part::First(Kind::Text), false, b"a")[..], &text(b"b")].concat();
    for (name, wire, code) in [
        ("unmasked", unmasked.to_vec(), 1002),
        ("RSV1", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("RSV2", vec![0xa1, 0x80, 0, 0, 0, 0], 1002),
        ("RSV3", vec![0x91, 0x80, 0, 0, 0, 0], 1002),
        ("opcode 3", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("opcode 11", vec![0x8b, 0x80, 0, 0, 0, 0], 1002),
        ("2^63 bytes", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("a length in too many bytes", vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, b'a'], 1002),
        ("a ping of 126 bytes", frame(Part::Ping, true, &[0; 126]).to_vec(), 1002),
        ("a ping in fragments", frame(Part::Ping, false, b"").to_vec(), 1002),
        ("nothing to continue", frame(Part::Next, true, b"").to_vec(), 1002),
        ("a message in a message", twice, 1002),
        ("text that is not UTF-8", text(b"\xc0\xaf"), 1007),
        ("text that ends in a character", text(b"\xe2\x82"), 1007),
        ("a surrogate", text(b"\xed\xa0\x80"), 1007),
        ("half a close code", frame(Part::Close, true, &[3]).to_vec(), 1002),
        ("close code 1005", frame(Part::Close, true, &farewell(1005, "")).to_vec(), 1002),
        ("close code 999", frame(Part::Close, true, &farewell(999, "")).to_vec(), 1002),
        ("a reason that is not UTF-8", frame(Part::Close, true, &[3, 0xe8, 0xff]).to_vec(), 1007),
    ] {
        for step in [1, 7, 200] {
            let violation = events(&mut reader(Long::Pass), &wire, step).unwrap_err();
            assert_eq!(violation.code, code, "{name}: {violation}");
        }
    }
    let mut server = Reader::new(Masking::Forbidden, WINDOW, Long::Pass);
    assert_eq!(events(&mut server, &text(b"a"), 100).unwrap_err().code, 1002);
}

#[test]
fn frames_without_end_are_refused() {
    let mut reader = reader(Long::Pass);
    assert_eq!(events(&mut reader, &frame(Part::First(Kind::Binary), false, b""), 100), Ok(vec![]));
    let next = frame(Part::Next, false, b"");
    let refused = (0..MOST_FRAMES).find_map(|_| events(&mut reader, &next, 100).err());
    assert_eq!(refused.map(|violation| violation.code), Some(close::TOO_BIG));
}

#[test]
fn a_close_reason_fits_its_frame() {
    let payload = farewell(close::POLICY, &"\u{20ac}".repeat(60));
    assert!(payload.len() <= MOST_CONTROL && check_close(&payload).is_ok());
}
