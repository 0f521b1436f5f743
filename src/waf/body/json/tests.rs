//! What is JSON, and what only lenient readers take for it.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::waf::body::tests::Notes;

fn read(text: &[u8], extent: Extent) -> (Notes, Result<(), BodyError>) {
    let mut notes = Notes::default();
    let outcome = parse(text, extent, &Bounds::default(), &mut notes);
    (notes, outcome)
}

#[test]
fn leaves_are_named_by_their_path() {
    let text = br#" {"a":[{"b":"x"},2.50,-0,1E400,true,null],"c.d":{},"e":[],"a":"again","":[[false]]} "#;
    let (notes, outcome) = read(text, Extent::Whole);
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        notes.pairs(),
        [
            ("json.a.0.b", "x"),
            ("json.a.1", "2.50"),
            ("json.a.2", "-0"),
            ("json.a.3", "1E400"),
            ("json.a.4", "true"),
            ("json.a.5", ""),
            ("json.a", "6"),
            ("json.c.d", ""),
            ("json.e", "0"),
            ("json.a", "again"),
            ("json..0.0", "false"),
            ("json..0", "1"),
            ("json.", "1"),
        ]
    );
    for (text, value) in [("\"s\"", "s"), ("12", "12"), ("null", ""), ("\u{feff}true", "true")] {
        let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
        assert_eq!((outcome, notes.pairs()), (Ok(()), vec![("json", value)]), "{text}");
    }
}

#[test]
fn strings_and_names_are_decoded() {
    let text = br#"{"\u003cb\u003E":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00\u0000"}"#;
    let (notes, outcome) = read(text, Extent::Whole);
    assert_eq!(outcome, Ok(()));
    assert_eq!(notes.pairs(), [("json.<b>", "\"\\/\x08\x0c\n\r\t\u{e4}\u{1f600}\0")]);
}

#[test]
fn what_only_lenient_readers_take_is_read_and_is_an_error() {
    for (text, value) in [
        ("[\"a\nb\"]", "a\nb"),
        ("[\"\\x41\"]", "x41"),
        ("[\"\\u12g4\"]", "u12g4"),
        ("[\"\\ud800x\"]", "\u{fffd}x"),
        ("[\"\\ud800\\u0041\"]", "\u{fffd}A"),
        ("[01]", "01"),
        ("[1.]", "1."),
        ("[-]", "-"),
        ("[1e]", "1e"),
        ("[1-1]", "1-1"),
    ] {
        let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
        assert_eq!(notes.pairs(), [("json.0", value), ("json", "1")], "{text}");
        assert_eq!(outcome.unwrap_err().code(), "malformed", "{text}");
    }
}

#[test]
fn a_broken_document_is_an_error_and_is_read_to_its_end() {
    for (text, pairs) in [
        ("", &[][..]),
        (" ", &[]),
        ("{", &[]),
        ("[1", &[("json.0", "1")]),
        ("[1,", &[("json.0", "1")]),
        ("[1 2]", &[("json.0", "1 2"), ("json", "1")]),
        ("[1 \"x\"]", &[("json.0", "1"), ("json.1", "x"), ("json", "2")]),
        ("{\"a\"}", &[("json.a", "")]),
        ("{\"a\":}", &[]),
        ("{\"a\":,\"b\":1}", &[("json.b", "1")]),
        ("{a:1}", &[("json.a", "1")]),
        ("{'a':'1\"'}", &[("json.a", "1\"")]),
        ("{`a`:`\\u003c`}", &[("json.a", "<")]),
        ("[1]x", &[("json.0", "1"), ("json", "1"), ("json", "x")]),
        ("[1,]", &[("json.0", "1"), ("json", "1")]),
        ("[,1]", &[("json.0", "1"), ("json", "1")]),
        ("{\"a\":1,}", &[("json.a", "1")]),
        ("{\"a\":1 \"b\":2}", &[("json.a", "1"), ("json.b", "2")]),
        ("{\"a\":[1}}", &[("json.a.0", "1"), ("json.a", "1")]),
        ("[1}", &[("json.0", "1"), ("json", "1")]),
        ("[1]]", &[("json.0", "1"), ("json", "1")]),
        ("nul", &[]),
        ("[tru e]", &[("json.0", "tru e"), ("json", "1")]),
        ("\"", &[("json", "")]),
        ("\"a", &[("json", "a")]),
        ("{\"a\":1}{\"a\":2}", &[("json.a", "1"), ("json.a", "2")]),
        ("{\"a\":1}\n{\"b\":2}", &[("json.a", "1"), ("json.b", "2")]),
        ("{\"a\": NaN, \"b\": -Infinity}", &[("json.a", "NaN"), ("json.b", "-Infinity")]),
        ("{\"a\": undefined, b: 0x1F}", &[("json.a", "undefined"), ("json.b", "0x1F")]),
        ("{q: 1 union select 'a'}", &[("json.q", "1 union select 'a'")]),
        ("[1, // two\n/* three */ 4]", &[("json", "// two"), ("json", "/* three */"), ("json.1", "4")]),
        ("# a\n1", &[("json", "# a"), ("json", "1")]),
        ("{{\"a\":1}:2}", &[("json..a", "1"), ("json.", "2")]),
        ("[\u{feff}1]", &[("json.0", "1"), ("json", "1")]),
        (")]}',\n{\"a\":1}", &[("json", ")"), ("json", ",\n{\"a\":1}")]),
        ("\u{1}", &[("json", "\u{1}")]),
    ] {
        let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
        assert_eq!(outcome.map_err(|error| error.code()), Err("malformed"), "{text}");
        let found = notes.pairs();
        assert!(pairs.iter().all(|pair| found.contains(pair)), "{text}: {found:?}");
        assert!(text.contains("//") || found.len() == pairs.len(), "{text}: {found:?}");
    }
}

#[test]
fn documents_in_a_row_are_no_error_where_the_type_says_so() {
    let text = b"{\"a\":1}\n\x1e{\"a\":\"x\"}\n[2]\n";
    let mut notes = Notes::default();
    let outcome = parse_all(text, Documents::Many, Extent::Whole, &Bounds::default(), &mut notes);
    assert_eq!(outcome, Ok(()));
    assert_eq!(notes.pairs(), [("json.a", "1"), ("json.a", "x"), ("json.0", "2"), ("json", "1")]);
    assert!(read(text, Extent::Whole).1.is_err());
}

#[test]
fn numbers_in_arrays_count_apart() {
    let bounds = Bounds { leaves: 2, ..Bounds::default() };
    let read = |text: &str| parse(text.as_bytes(), Extent::Whole, &bounds, &mut Notes::default()).is_ok();
    assert!(read(&format!("[{}1]", "1.5,".repeat(30))) && !read(&format!("[{}1]", "1.5,".repeat(32))));
    assert!(!read("[\"a\",\"b\",\"c\"]"));
}

#[test]
fn a_cut_end_keeps_the_text_before_the_cut() {
    let text = br#"{"a":"one","b":["tw\u006f thr"#;
    let (notes, outcome) = read(text, Extent::Partial);
    assert_eq!((outcome, notes.pairs()), (Ok(()), vec![("json.a", "one"), ("json.b.0", "two thr")]));
    let (notes, outcome) = read(br#"{"a":1,"key"#, Extent::Partial);
    assert_eq!((outcome, notes.pairs()), (Ok(()), vec![("json.a", "1"), ("json.key", "")]));
    let (notes, outcome) = read(br#"{"a":"x"} y"#, Extent::Partial);
    assert_eq!((outcome.is_err(), notes.pairs()), (true, vec![("json.a", "x"), ("json", "y")]));
}

#[test]
fn every_cut_of_a_document_reads_as_partial() {
    let text = br#" {"a":[{"b\u00e4":"x\ud83d\ude00y"},2.5e-3,true,null,""],"c":{"d":"\\"}} "#;
    for end in 0..text.len() {
        let (_, outcome) = read(&text[..end], Extent::Partial);
        assert_eq!(outcome, Ok(()), "{}", text[..end].escape_ascii());
    }
}

#[test]
fn bounds_are_errors() {
    let bounds = Bounds { leaves: 2, depth: 2, name_bytes: 8, value_bytes: 3, ..Bounds::default() };
    for (text, code) in [
        ("[\"1\",\"2\",\"3\"]", "too_many_args"),
        ("[[],[],[]]", "too_many_args"),
        ("[[[1]]]", "too_deep"),
        ("{\"abcd\":1}", "name_too_long"),
        ("[\"abcd\"]", "value_too_long"),
    ] {
        let outcome = parse(text.as_bytes(), Extent::Whole, &bounds, &mut Notes::default());
        assert_eq!(outcome.unwrap_err().code(), code, "{text}");
    }
    // One long name above many short leaves.
    let wide = format!("{{\"{}\":[{}1]}}", "n".repeat(8000), "1,".repeat(9000));
    let (notes, outcome) = read(wide.as_bytes(), Extent::Whole);
    assert_eq!(outcome.unwrap_err().code(), "names_too_long");
    let named: usize = notes.args.iter().map(|(name, _)| name.len()).sum();
    assert!(named > 1 << 18 && named < 1 << 20, "{named}");
    let deep = "[".repeat(1 << 20);
    assert_eq!(read(deep.as_bytes(), Extent::Whole).1, Err(BodyError::TooDeep(64)));
}

/// What serde_json reads, as leaves.
fn flatten(value: &Value, path: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(item, &format!("{path}.{index}"), out);
            }
            out.push((path.to_owned(), items.len().to_string()));
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                flatten(item, &format!("{path}.{key}"), out);
            }
        }
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => out.push((path.to_owned(), value.to_string())),
        _ => out.push((path.to_owned(), String::new())),
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_documents_read_as_serde_json_reads_them(document in document(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let (notes, outcome) = read(text.unwrap().as_bytes(), Extent::Whole);
        prop_assert_eq!(outcome, Ok(()));
        let mut expect = Vec::new();
        flatten(&document, "json", &mut expect);
        prop_assert_eq!(notes.args, expect);
    }

    #[test]
    fn what_serde_json_refuses_is_refused_and_nothing_panics(
        bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\",:\\ua01-.eE tfn\n".to_vec()), 0..24)
    ) {
        let (_, outcome) = read(&bytes, Extent::Whole);
        // serde_json alone refuses numbers that do not fit a float.
        let serde = serde_json::from_slice::<Value>(&bytes);
        let fits = !matches!(&serde, Err(error) if error.to_string().contains("out of range"));
        prop_assert!(!fits || outcome.is_ok() == serde.is_ok(), "{:?}: {:?}, {:?}", bytes.escape_ascii().to_string(), outcome, serde);
    }
}
