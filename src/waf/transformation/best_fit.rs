//! Which ASCII character Windows takes for a UTF-16 unit when it converts to code page 20127
//! (US-ASCII, best fit). Applications behind such a conversion see a quotation mark where a
//! client sent a typographic one. The data is that of ModSecurity's file `unicode.mapping`, whose
//! recommended configuration asks for this code page; [`MORE`] adds what other code pages do.

/// The character for a unit; none when no conversion knows one.
pub(super) fn best_fit(unit: u16) -> Option<u8> {
    let run = TABLE.partition_point(|(first, _)| *first <= unit).checked_sub(1)?;
    let (first, characters) = TABLE[run];
    let more = || MORE.iter().find(|(known, _)| *known == unit).map(|(_, character)| *character);
    characters.get(usize::from(unit - first)).copied().or_else(more)
}

/// Marks that other code pages (1252 and its kin) convert to ASCII and this one does not.
const MORE: &[(u16, u8)] = &[
    (0x00b4, b'\''),
    (0x00d7, b'x'),
    (0x01c0, b'|'),
    (0x037e, b';'),
    (0x2012, b'-'),
    (0x2015, b'-'),
    (0x201b, b'\''),
    (0x201f, b'"'),
    (0x2033, b'"'),
    (0x2044, b'/'),
    (0x2212, b'-'),
    (0x2215, b'/'),
    (0x2216, b'\\'),
    (0x2217, b'*'),
    (0x2223, b'|'),
    (0x2236, b':'),
    (0x223c, b'~'),
    (0x226a, b'<'),
    (0x226b, b'>'),
    (0x2329, b'<'),
    (0x232a, b'>'),
    (0x2758, b'|'),
    (0x3008, b'<'),
    (0x3009, b'>'),
    (0x301a, b'['),
    (0x301b, b']'),
    (0x301d, b'"'),
    (0x301e, b'"'),
];

/// Runs of neighbouring units: the first, and the characters of all.
const TABLE: &[(u16, &[u8])] = &[
    (0x00a0, b" !c"),
    (0x00a4, b"$Y|"),
    (0x00a9, b"Ca<"),
    (0x00ad, b"-R"),
    (0x00b2, b"23"),
    (0x00b7, b".,1o>"),
    (0x00c0, b"AAAAAAACEEEEIIIIDNOOOOO"),
    (0x00d8, b"OUUUUY"),
    (0x00e0, b"aaaaaaaceeeeiiii"),
    (0x00f1, b"nooooo"),
    (0x00f8, b"ouuuuy"),
    (0x00ff, b"yAaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi"),
    (0x0134, b"JjKk"),
    (0x0139, b"LlLlLl"),
    (0x0141, b"LlNnNnNn"),
    (0x014c, b"OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZ"),
    (0x017b, b"ZzZz"),
    (0x0180, b"b"),
    (0x0189, b"D"),
    (0x0191, b"Ff"),
    (0x0197, b"I"),
    (0x019a, b"l"),
    (0x019f, b"OOo"),
    (0x01ab, b"t"),
    (0x01ae, b"TUu"),
    (0x01b6, b"z"),
    (0x01cd, b"AaIiOoUuUuUuUuUu"),
    (0x01de, b"Aa"),
    (0x01e4, b"GgGgKkOoOo"),
    (0x01f0, b"j"),
    (0x0261, b"g"),
    (0x02b9, b"'\""),
    (0x02bc, b"'"),
    (0x02c4, b"^"),
    (0x02c6, b"^"),
    (0x02c8, b"'"),
    (0x02cb, b"`"),
    (0x02cd, b"_"),
    (0x02dc, b"~"),
    (0x0300, b"`"),
    (0x0302, b"^~"),
    (0x030e, b"\""),
    (0x0331, b"__"),
    (0x2000, b"       "),
    (0x2010, b"--"),
    (0x2013, b"--"),
    (0x2018, b"'',"),
    (0x201c, b"\"\"\""),
    (0x2022, b"."),
    (0x2026, b"."),
    (0x2032, b"'"),
    (0x2035, b"`"),
    (0x2039, b"<>"),
    (0x2122, b"T"),
    (0xff01, b"!\"#$%&'()*+,-./0123456789:;<=>"),
    (0xff20, b"@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_read_at_its_edges() {
        assert!(TABLE.windows(2).all(|two| usize::from(two[0].0) + two[0].1.len() <= usize::from(two[1].0)));
        for (unit, character) in [
            (0x00, None),
            (0x9f, None),
            (0xa0, Some(b' ')),
            (0xa2, Some(b'c')),
            (0xa3, None),
            (0xe9, Some(b'e')),
            (0xb4, Some(b'\'')),
            (0x2215, Some(b'/')),
            (0x2019, Some(b'\'')),
            (0xff01, Some(b'!')),
            (0xff5e, Some(b'~')),
            (0xff5f, None),
            (0xffff, None),
        ] {
            assert_eq!(best_fit(unit), character, "{unit:04x}");
        }
    }
}
