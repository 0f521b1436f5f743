//! Multipart bodies as parsers agree on them, and what they disagree on.

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use proptest::prelude::*;

use super::*;
use crate::waf::body::tests::Notes;

fn parse(
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    notes: &mut Notes,
) -> Result<(), BodyError> {
    super::parse(content_type, Charset::of(content_type), bytes, extent, bounds, notes)
}

const TYPE: &str = "multipart/form-data; boundary=B";

fn read(text: &str, extent: Extent) -> (Notes, Result<(), BodyError>) {
    let mut notes = Notes::default();
    let outcome = parse(TYPE.as_bytes(), text.as_bytes(), extent, &Bounds::default(), &mut notes);
    (notes, outcome)
}

const GOOD: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
    --B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"C:\\x\\\"y;.txt\"\r\n\
    Content-Type: text/plain\r\n\r\nline\r\n\r\n--not\r\n--B\r\nContent-Disposition: form-data; name=e\r\n\r\n\r\n--B--\r\n";

#[test]
fn fields_files_and_header_lines_are_read() {
    let (notes, outcome) = read(GOOD, Extent::Whole);
    assert_eq!(outcome, Ok(()));
    assert_eq!(notes.pairs(), [("a", "one"), ("e", "")]);
    assert_eq!(notes.files, [("f".to_owned(), "C:\\x\"y;.txt".to_owned(), "line\r\n\r\n--not".len())]);
    assert_eq!(notes.headers.len(), 4);
    assert_eq!(notes.headers[2], ("f".to_owned(), "Content-Type: text/plain".to_owned()));
    assert_eq!(notes.flaws, []);
}

#[test]
fn what_parsers_disagree_on_is_told_and_read_nevertheless() {
    use MultipartFlaw::*;
    let part = |head: &str| format!("--B\r\n{head}\r\n\r\nv\r\n--B--\r\n");
    for (text, flaws, args) in [
        (GOOD.replace("\r\n", "\n"), vec![LineFeed], vec!["a", "e"]),
        (
            part("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
            vec![DuplicateDisposition],
            vec!["a", "b"],
        ),
        (
            part("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\""),
            vec![DuplicateDisposition],
            vec!["a", "b"],
        ),
        (part("Content-Type: text/plain"), vec![NoName], vec![""]),
        (part("Content-Disposition: attachment; name=a"), vec![BadHeader], vec!["a"]),
        (part("Content-Disposition: form-data name=a"), vec![BadHeader, NoName], vec![""]),
        (part("Content-Disposition: form-data"), vec![NoName], vec![""]),
        (part("Content-Disposition: form-data;\r\n name=\"a\""), vec![FoldedHeader], vec!["a"]),
        (
            part("Content-Disposition: form-data;\r\n\x0bname=\"a\""),
            vec![FoldedHeader, InvalidFolding],
            vec!["a"],
        ),
        (GOOD.replacen("\r\n", "\n", 1), vec![LineFeed, MixedLines], vec!["a", "e"]),
        (part("Content-Disposition: form-data; name=a\r\nX: a\0b"), vec![BadHeader], vec!["a"]),
        (part("Content-Disposition: form-data; name='a'"), vec![InvalidQuoting], vec!["'a'"]),
        (part("Content-Disposition: form-data; name=\"a\"x; y=z"), vec![InvalidQuoting], vec!["a"]),
        (part("Content-Disposition: form-data; name=\"a"), vec![InvalidQuoting], vec!["a"]),
        (part("junk\r\nContent-Disposition: form-data; NAME=a"), vec![BadHeader], vec!["a"]),
        (format!("preamble\r\n{GOOD}"), vec![DataBefore], vec!["a", "e"]),
        (format!("{GOOD}epilogue"), vec![DataAfter], vec!["a", "e"]),
        (GOOD.replace("one", "o--Bne"), vec![UnmatchedBoundary], vec!["a", "e"]),
        (GOOD.replace("one", "o\r\n--Bx\r\nne"), vec![UnmatchedBoundary], vec!["a", "e"]),
        (GOOD.replace("--B\r\nContent", "--B \r\nContent"), vec![UnmatchedBoundary], vec!["a", "e"]),
    ] {
        let (notes, outcome) = read(&text, Extent::Whole);
        assert_eq!(outcome, Ok(()), "{text}");
        assert_eq!(notes.flaws, flaws, "{text}");
        assert_eq!(notes.args.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), args, "{text}");
    }
    let text =
        part("Content-Disposition: form-data; name=a; filename=\"x.txt\"; filename*=UTF-8''%2e%2e%2fy.php");
    let (notes, _) = read(&text, Extent::Whole);
    assert_eq!(notes.flaws, [DuplicateDisposition]);
    assert_eq!(notes.files.iter().map(|file| file.1.as_str()).collect::<Vec<_>>(), ["x.txt", "../y.php"]);
}

#[test]
fn a_file_that_may_be_a_field_is_read_as_both() {
    let read_part = |head: &str| {
        let text = format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\nv\r\n--B--\r\n");
        let (notes, outcome) = read(&text, Extent::Whole);
        assert_eq!(outcome, Ok(()), "{head}");
        (notes.args.len(), notes.files.len())
    };
    assert_eq!(read_part("name=a; filename=x"), (0, 1));
    assert_eq!(read_part("name=a; filename=\"\""), (1, 1));
    assert_eq!(read_part("name=a; filename*=UTF-8''x"), (1, 1));
    assert_eq!(read_part("name=a; filename=x\r\nContent-Disposition: form-data; name=b"), (2, 2));
}

#[test]
fn a_part_is_read_as_its_head_says_and_as_it_stands() {
    let read_part = |head: &str, content: &str| {
        let head = format!("Content-Disposition: form-data; name=a\r\n{head}");
        let text = format!("--B\r\n{head}\r\n\r\n{content}\r\n--B--\r\n");
        let (notes, outcome) = read(&text, Extent::Whole);
        let values: Vec<String> = notes.args.iter().map(|(_, value)| value.clone()).collect();
        (values, outcome.map_err(|error| error.code()))
    };
    let (values, outcome) = read_part("Content-Transfer-Encoding: quoted-printable", "=3Cx=\r\n>=");
    assert_eq!((&values[1][..], outcome), ("<x>=", Ok(())));
    let (values, outcome) = read_part("Content-Transfer-Encoding: base64", "PHg+\r\nPA==");
    assert_eq!((&values[1][..], outcome), ("<x><", Ok(())));
    let (values, outcome) = read_part("Content-Type: text/plain; charset=utf-16be", "\0<\0b");
    assert!(values.contains(&"<b".to_owned()) && outcome.is_ok(), "{values:?}");
    assert_eq!(read_part("Content-Type: text/plain; charset=utf-7", "+ADw-").1, Err("charset"));
    let inner = "--C\r\nContent-Disposition: form-data; name=x\r\n\r\ninner\r\n--C--";
    let (values, outcome) = read_part("Content-Type: multipart/mixed; boundary=C", inner);
    assert_eq!((values, outcome), (vec![inner.to_owned(), "inner".to_owned()], Ok(())));
    let mut deep = "v".to_owned();
    for n in 0..4 {
        deep =
            format!("--D{n}\r\nContent-Type: multipart/mixed; boundary=D{}\r\n\r\n{deep}\r\n--D{n}--", n - 1);
    }
    assert_eq!(read_part("Content-Type: multipart/mixed; boundary=D3", &deep).1, Err("too_deep"));
    let text = "--B\r\nContent-Disposition: form-data; name=_charset_\r\n\r\nutf-7\r\n\
        --B\r\nContent-Disposition: form-data; name=a\r\n\r\n+ADw-\r\n--B--\r\n";
    assert_eq!(read(text, Extent::Whole).1, Err(BodyError::Charset));
}

#[test]
fn a_part_with_two_types_or_encodings_is_read_as_each_and_told() {
    let hidden = "=27=20or=201=3D1--";
    for (head, content, shown) in [
        (
            "Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: 8bit",
            hidden,
            "' or 1=1--",
        ),
        (
            "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: quoted-printable",
            hidden,
            "' or 1=1--",
        ),
        ("Content-Type: text/plain; charset=utf-16be\r\nContent-Type: text/plain", "\0<\0b", "<b"),
        ("Content-Type: text/plain\r\nContent-Type: text/plain; charset=utf-16be", "\0<\0b", "<b"),
    ] {
        let text =
            format!("--B\r\nContent-Disposition: form-data; name=a\r\n{head}\r\n\r\n{content}\r\n--B--\r\n");
        let (notes, outcome) = read(&text, Extent::Whole);
        assert!(
            notes.pairs().contains(&("a", shown)) && notes.pairs().contains(&("a", content)),
            "{notes:?}"
        );
        assert_eq!((notes.flaws, outcome), (vec![MultipartFlaw::DuplicateDisposition], Ok(())), "{head}");
    }
    let twice = "Content-Type: text/plain; charset=utf-16\r\nContent-Type: text/plain; charset=shift_jis";
    let text = format!("--B\r\nContent-Disposition: form-data; name=a\r\n{twice}\r\n\r\nb\r\n--B--\r\n");
    assert_eq!(read(&text, Extent::Whole).1, Err(BodyError::Charset));
    // The same line twice says one thing.
    let same = "Content-Type: text/plain\r\nContent-Type: text/plain";
    let text = format!("--B\r\nContent-Disposition: form-data; name=a\r\n{same}\r\n\r\nb\r\n--B--\r\n");
    assert!(read(&text, Extent::Whole).0.flaws.is_empty());
}

#[test]
fn base64_is_undone_as_lenient_readers_do() {
    for (content, shown) in [
        ("JyBvciAxPTEtLQ==", "' or 1=1--"),
        ("!JyBv.ciAxPT-EtLQ", "' or 1=1--"),
        // Bits left over, padding in front, and text behind padding.
        ("JyBvciAxPTEtLR==", "' or 1=1--"),
        ("=JyBvciAxPTEtLQ", "' or 1=1--"),
        ("JyBv=ciAxPTEtLQ==", "' or 1=1--"),
        ("Jw==IG9yIDE9MS0t", "' or 1=1--"),
    ] {
        let head = "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64";
        let text = format!("--B\r\n{head}\r\n\r\n{content}\r\n--B--\r\n");
        let (notes, _) = read(&text, Extent::Whole);
        assert!(notes.pairs().contains(&("a", shown)), "{content}: {notes:?}");
    }
}

#[test]
fn a_charset_field_speaks_of_the_parts_before_it_too() {
    let part = |name: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n")
    };
    let utf16: String = "<b>".chars().flat_map(|c| ['\0', c]).collect();
    for text in [
        [part("_charset_", "utf-16be"), part("a", &utf16)].concat(),
        [part("a", &utf16), part("_charset_", "utf-16be")].concat(),
        [part("_charset_", "utf-8"), part("_charset_", "utf-16be"), part("a", &utf16)].concat(),
    ] {
        let (notes, outcome) = read(&format!("{text}--B--\r\n"), Extent::Whole);
        assert!(notes.pairs().contains(&("a", "<b>")), "{text}: {notes:?}");
        assert_eq!(outcome, Ok(()), "{text}");
        assert_eq!(
            notes.args.iter().filter(|(name, _)| name == "_charset_").count(),
            text.matches("_charset_").count()
        );
    }
    for text in [
        [part("a", "+ADw-"), part("_charset_", "utf-7")].concat(),
        [part("_charset_", "utf-16"), part("a", "b"), part("_charset_", "shift_jis")].concat(),
    ] {
        assert_eq!(read(&format!("{text}--B--\r\n"), Extent::Whole).1, Err(BodyError::Charset), "{text}");
    }
}

#[test]
fn a_missing_end_is_an_error_only_of_a_whole_body() {
    let text = GOOD.strip_suffix("--B--\r\n").unwrap();
    let (notes, outcome) = read(text, Extent::Whole);
    assert_eq!(outcome.unwrap_err().code(), "malformed");
    assert_eq!(notes.flaws, [MultipartFlaw::NoFinalBoundary]);
    assert_eq!(notes.args.len(), 2);
    for end in 0..GOOD.len() {
        let (notes, outcome) = read(&GOOD[..end], Extent::Partial);
        assert_eq!((outcome, notes.flaws), (Ok(()), vec![]), "{end}: {}", &GOOD[..end]);
    }
    let (notes, _) =
        read("--B\r\nContent-Disposition: form-data; name=a\r\n\r\nattack here", Extent::Partial);
    assert_eq!(notes.pairs(), [("a", "attack here")]);
    assert!(read("", Extent::Whole).1.is_err() && read("no boundary", Extent::Whole).1.is_err());
}

#[test]
fn the_boundary_is_taken_from_the_content_type() {
    for (content_type, outcome, flaws) in [
        ("multipart/form-data; boundary=B", Ok(()), 0),
        ("multipart/form-data; charset=utf-8; Boundary=\"B\"", Ok(()), 1),
        ("multipart/form-data; boundary = B", Ok(()), 1),
        ("multipart/form-data boundary=B", Ok(()), 1),
        ("multipart/form-data", Err(BodyError::NoBoundary), 0),
        ("multipart/form-data; boundary=", Err(BodyError::NoBoundary), 0),
    ] {
        let mut notes = Notes::default();
        let result =
            parse(content_type.as_bytes(), GOOD.as_bytes(), Extent::Whole, &Bounds::default(), &mut notes);
        assert_eq!((result, notes.flaws.len()), (outcome, flaws), "{content_type}");
    }
    // Read by both, wherever the parts are.
    for content_type in
        ["multipart/form-data; boundary=B; boundary=C", "multipart/form-data; boundary=C; boundary=B"]
    {
        let mut notes = Notes::default();
        let result =
            parse(content_type.as_bytes(), GOOD.as_bytes(), Extent::Whole, &Bounds::default(), &mut notes);
        assert_eq!(result.unwrap_err().code(), "malformed", "{content_type}");
        assert_eq!(notes.pairs(), [("a", "one"), ("e", "")], "{content_type}");
        assert!(notes.flaws.contains(&MultipartFlaw::OddBoundary), "{content_type}");
    }
    let odd = "multipart/form-data; boundary=\"B@\"";
    let mut notes = Notes::default();
    let text = GOOD.replace("--B", "--B@");
    assert_eq!(parse(odd.as_bytes(), text.as_bytes(), Extent::Whole, &Bounds::default(), &mut notes), Ok(()));
    assert_eq!(notes.flaws, [MultipartFlaw::BoundaryQuoted, MultipartFlaw::OddBoundary]);
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    assert!(parse(long.as_bytes(), b"", Extent::Whole, &Bounds::default(), &mut notes).is_err());
}

#[test]
fn bounds_are_errors() {
    let bounds = Bounds { parts: 2, part_headers: 1, name_bytes: 4, value_bytes: 3, ..Bounds::default() };
    let part =
        |head: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    for (text, code) in [
        (part("name=a", "v").repeat(3), "too_many_parts"),
        (part("name=a\r\nX: y", "v"), "too_many_part_headers"),
        (part("name=abcde", "v"), "name_too_long"),
        (part("name=a", "abcd"), "value_too_long"),
    ] {
        let outcome =
            parse(TYPE.as_bytes(), text.as_bytes(), Extent::Partial, &bounds, &mut Notes::default());
        assert_eq!(outcome.unwrap_err().code(), code, "{text}");
    }
}

/// A thousand names for one content would make a thousand copies of it.
#[test]
fn of_many_names_the_first_and_the_last_are_read() {
    let names: String = (0..1000).map(|n| format!("; name=n{n}")).collect();
    let text = format!("--B\r\nContent-Disposition: form-data{names}\r\n\r\nv\r\n--B--\r\n");
    let (notes, outcome) = read(&text, Extent::Whole);
    assert_eq!(outcome, Ok(()));
    assert_eq!(notes.pairs(), [("n0", "v"), ("n1", "v"), ("n2", "v"), ("n999", "v")]);
    assert_eq!(notes.flaws, [MultipartFlaw::DuplicateDisposition]);
}

/// What multer reads: name, file name, content.
fn multer(text: &str) -> Vec<(String, Option<String>, Vec<u8>)> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let once = stream::once(async move { Ok::<_, std::convert::Infallible>(body) });
    let mut reader = multer::Multipart::new(once, "B");
    let mut all = Vec::new();
    let read = async {
        while let Some(field) = reader.next_field().await.unwrap() {
            let name = field.name().unwrap().to_owned();
            let file = field.file_name().map(str::to_owned);
            all.push((name, file, field.bytes().await.unwrap().to_vec()));
        }
    };
    read.now_or_never().expect("the whole body is there");
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_bodies_read_as_multer_reads_them(
        parts in proptest::collection::vec(
            ("[a-z\\[\\]; .]{1,8}", proptest::option::of("[a-z; .=]{1,8}"), "[a-zB\r\n -]{0,20}"), 1..6),
    ) {
        prop_assume!(parts.iter().all(|(_, _, content)| !content.contains("--B")));
        let mut text = String::new();
        for (name, file, content) in &parts {
            text.push_str(&format!("--B\r\nContent-Disposition: form-data; name=\"{name}\""));
            if let Some(file) = file {
                text.push_str(&format!("; filename=\"{file}\""));
            }
            text.push_str(&format!("\r\n\r\n{content}\r\n"));
        }
        text.push_str("--B--\r\n");
        let (notes, outcome) = read(&text, Extent::Whole);
        prop_assert_eq!(outcome, Ok(()));
        let all = multer(&text);
        let fields: Vec<_> = all.iter().filter(|part| part.1.is_none())
            .map(|part| (part.0.clone(), String::from_utf8(part.2.clone()).unwrap())).collect();
        let files: Vec<_> = all.iter().filter_map(|part| Some((part.0.clone(), part.1.clone()?, part.2.len()))).collect();
        prop_assert_eq!(notes.args, fields);
        prop_assert_eq!(notes.files, files);
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "--B", "--", "\r\n", "\n", "\r", "Content-Disposition:", "form-data", ";", "name", "=", "\"", "\\", "a", " ", "filename*", "'",
        ]), 0..40)
    ) {
        for extent in [Extent::Whole, Extent::Partial] {
            let _ = read(&pieces.concat(), extent);
        }
    }
}
