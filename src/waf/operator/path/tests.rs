//! What is hostile and what is honest, in tables; and what holds of every value.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::tests::built;
use super::{Why, detect};

fn note(value: &[u8]) -> Option<String> {
    detect(value).map(|finding| finding.note())
}

#[test]
fn a_hostile_path_is_told_by_its_shape() {
    for (value, expect) in [
        (&b"../../../../etc/passwd"[..], "4 up to etc/passwd"),
        (b"../etc/passwd", "1 up to etc/passwd"),
        (b"images/../../../etc/shadow", "3 up to etc/shadow"),
        (b"..\\..\\..\\windows\\win.ini", "3 up to windows/win.ini"),
        (b"..\\\\..\\\\boot.ini", "2 up to boot.ini"),
        (b"/var/www/images/../../../etc/passwd", "3 up to etc/passwd"),
        (b"....//....//etc/passwd", "2 up to etc/passwd"),
        (b"..././..././etc/passwd", "2 up to etc/passwd"),
        (b"%2e%2e%2fetc%2fpasswd", "1 up to etc/passwd, percent escapes"),
        (b"%252e%252e%252fx", "1 up, nested percent escapes"),
        (b"..%c0%afx", "1 up, overlong UTF-8"),
        (b"..\xc0\xaf..\xc0\xafetc/passwd", "2 up to etc/passwd, overlong UTF-8"),
        (b"%c0%ae%c0%ae/x", "1 up, overlong UTF-8"),
        (b"..%255c..%255cx", "2 up, nested percent escapes"),
        (b"..%u2215..%u2215x", "2 up, Unicode escapes"),
        (b"\xef\xbc\x8e\xef\xbc\x8e\xef\xbc\x8fetc/passwd", "1 up to etc/passwd, Unicode escapes"),
        (b"\xe2\x80\xa5/x", "1 up, Unicode escapes"),
        (b"0x2e0x2e0x2fetc/passwd", "1 up to etc/passwd, Unicode escapes"),
        (b"..%00/..%00/x", "2 up, parameters or control bytes"),
        (b".\0./.\0./x", "2 up, parameters or control bytes"),
        (b"/app/..;/manager/html", "1 up, parameters or control bytes"),
        (b"../../x.png\0.jpg", "2 up, NUL"),
        (b"../../../secret.txt", "3 up"),
        (b"../../secret", "2 up"),
        (b"..%2f..%2f..%2f", "3 up"),
        (b"../../../../WEB-INF/web.xml", "4 up to web-inf/web.xml"),
        (b"../../.env", "2 up to .env"),
        (b"/files/../../etc/passwd/view", "2 up to etc/passwd"),
        (b"../var/log/auth.log", "1 up to var/log/auth.log"),
        (b"../../../Program Files/MySQL/my.ini", "3 up to my.ini"),
        (b"file=../../../../etc/hosts", "4 up to etc/hosts"),
        (b"http://x.test/?f=../../../etc/passwd", "3 up to etc/passwd"),
        (b"see ../../../../etc/passwd for accounts", "4 up to etc/passwd"),
        (b"{\"f\": \"../../../etc/passwd\"}", "3 up to etc/passwd"),
        (b"/etc/passwd", "whole to etc/passwd"),
        (b"//etc//passwd", "whole to etc/passwd"),
        (b"/./etc/./passwd", "whole to etc/passwd"),
        (b"/etc/passwd\0.png", "whole to etc/passwd"),
        (b"/etc/passwd%00", "whole to etc/passwd"),
        (b" '/etc/passwd' ", "whole to etc/passwd"),
        (b"%2fetc%2fpasswd", "whole to etc/passwd"),
        (b"etc/passwd", "whole to etc/passwd"),
        (b"\\etc\\passwd", "whole to etc/passwd"),
        (b"/proc/self/environ", "whole to proc/?/environ"),
        (b"/proc/1/cmdline", "whole to proc/?/cmdline"),
        (b"/var/log/apache2/access.log", "whole to var/log/apache2/*"),
        (b"/etc/apache2/apache2.conf", "whole to etc/apache2/*"),
        (b"/usr/local/apache2/logs/error_log", "whole to error_log"),
        (b"/opt/lampp/etc/httpd.conf", "whole to httpd.conf"),
        (b"/root/.ssh/id_rsa", "whole to root/.*/*"),
        (b"/home/ann/.ssh/id_rsa", "whole to home/?/.ssh/*"),
        (b"C:\\boot.ini", "whole to boot.ini"),
        (b"c:/windows/win.ini", "whole to windows/win.ini"),
        (b"C:\\Windows\\System32\\drivers\\etc\\hosts", "whole to windows/system32/drivers/etc/*"),
        (b"C:\\Program Files\\Apache Group\\Apache\\logs\\access.log", "whole to access.log"),
        (b"/boot.ini", "whole to boot.ini"),
        (b"file:///etc/passwd", "whole to etc/passwd"),
        (b"file:///c:/boot.ini", "whole to boot.ini"),
        (b"WEB-INF/web.xml", "whole to web-inf/web.xml"),
        (b"/etc/passwd?x", "whole to etc/passwd"),
        (b"\\\\localhost\\c$\\boot.ini", "whole to administrative share"),
        (b"\\\\?\\C:\\Windows\\win.ini", "whole to windows/win.ini"),
        (b"default.asp::$DATA", "stream of a file"),
        (b"/admin:$i30:$INDEX_ALLOCATION/x", "stream of a file"),
    ] {
        let shown = value.escape_ascii();
        assert_eq!(note(value).as_deref(), Some(expect), "{shown}");
        assert!(built("detect_path", json!(true)).need().may_match(value), "{shown}");
    }
}

#[test]
fn an_honest_path_is_left_alone() {
    for value in [
        &b""[..],
        b"..",
        b"../",
        b"../..",
        b"../../",
        b"../img/a.png",
        b"../../img/a.png",
        b"../../../css/site.css?v=3",
        b"[guide](../../docs/guide.md)",
        b"<img src=\"../../../images/logo.png\">",
        b"import x from '../../etc/config'",
        b"../../node_modules/react-dom/index.js",
        b"../../../../node_modules/vue/dist/vue",
        b"webpack:///../../../src/app.ts",
        b"../../../src/components/Button",
        b"../../packages/ui",
        b"file:../../packages/ui",
        b"https://example.test/a/../b/c.html",
        b"https://example.test/../../x",
        b"cd ../../..",
        b"ls ../../build; make",
        b"cp /etc/hosts ../etc/hosts",
        b"The file /etc/passwd lists accounts",
        b"what does ../../../ mean",
        b"wait...",
        b"1...2...3",
        b".../---/...",
        b"1../2",
        b"and/or",
        b"a..b/c",
        b"main..feature/x",
        b"/home/ann/project/src/a.ts",
        b"file:///home/ann/project/src/a.ts",
        b"/usr/bin/python3",
        b"/usr/lib/node_modules/npm/lib/x.js",
        b"/var/www/html/index.php",
        b"/etc/designs/site/clientlib.css",
        b"/etc/",
        b"/etc/ourshop.conf",
        b"/var/log/ourshop/error.log",
        b"/user/passwd",
        b"/reset/shadow",
        b"/login/main.ini",
        b"/index.html",
        b"/dev/null",
        b"C:\\Users\\Ann\\Documents\\a.docx",
        b"C:\\Windows\\System32",
        b"C:\\Windows\\System32\\ntdll.dll",
        b"C:\\fakepath\\photo.jpg",
        b"\\\\server\\share\\a.docx",
        b"https://example.test/etc/passwd",
        b"https://example.test/a%20b%2Fc",
        b"2026/01/02",
        b"application/json",
        b"image/png,image/*;q=0.8",
        b"a%2Fb%2Fc",
        b"%E3%81%82%E3%81%84",
        b"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
        b"100%",
        b"cost: $5 :$x",
        b"http://...",
        b"see ../proc for the procedure",
        b"\xe2\x80\x9cquoted\xe2\x80\xa6\xe2\x80\x9d",
        b"\xe5\xa5\xbd\xef\xbc\x8e\xef\xbc\x8f",
    ] {
        assert_eq!(note(value), None, "{}", value.escape_ascii());
    }
}

#[test]
fn a_path_longer_than_the_buffer_keeps_its_end() {
    let long = |middle: &str| format!("{}{}etc/passwd", middle.repeat(500), "../".repeat(600));
    assert_eq!(note(long("abc/").as_bytes()).as_deref(), Some("600 up to etc/passwd"));
    assert_eq!(note(long("x").as_bytes()).as_deref(), Some("599 up to etc/passwd"));
    let padded = format!("../index{}", "/.".repeat(2000));
    assert_eq!(note(padded.as_bytes()).as_deref(), Some("1 up, padding"));
    assert_eq!(detect(&b"a".repeat(3 * super::MOST_BYTES)), None);
}

#[test]
fn the_span_is_the_path() {
    for (value, expect) in
        [("x=../../../etc/passwd&y", "../../../etc/passwd"), (" /etc/passwd ", "/etc/passwd")]
    {
        let finding = detect(value.as_bytes()).expect("it is hostile");
        assert_eq!(&value[finding.span], expect);
    }
    assert_eq!(detect(b"..;/x/").map(|f| f.why), Some(Why::Disguise("parameters or control bytes")));
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "..",
        "/",
        "\\",
        "../",
        "..\\",
        "....//",
        "%2e",
        "%2f",
        "%252e",
        "%%32%65",
        "%c0%ae",
        "%c0%af",
        "%u2215",
        "\0",
        "%00",
        ";",
        "?",
        "#",
        "=",
        " ",
        "\"",
        "'",
        ":",
        "::$DATA",
        "c:",
        "file:",
        "http://",
        "etc",
        "passwd",
        "windows",
        "win.ini",
        "a",
        "B.png",
        "\u{ff0e}",
        "\u{2215}",
        "0x2e",
        "\\u002e",
        "%",
        "%25",
        "%c0",
        "%u",
        ".",
        "~",
        "proc",
        "self",
        "environ",
        "var/log/x",
        "|",
        "*",
    ]);
    let any = proptest::collection::vec(any::<u8>(), 0..3);
    let part = prop_oneof![9 => piece.prop_map(|piece| piece.as_bytes().to_vec()), 1 => any];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hit_is_inside_the_value_and_needed(value in value()) {
        let operator = built("detect_path", json!(true));
        if let Some(hit) = operator.evaluate(&value) {
            prop_assert!(hit.span.start <= hit.span.end && hit.span.end <= value.len());
            prop_assert!(hit.note.is_some_and(|note| note.len() <= 64));
            prop_assert!(operator.need().may_match(&value), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn the_quick_look_misses_no_plain_step(
        before in "[a-z/]{0,6}", ups in 2..6usize, back in any::<bool>(),
    ) {
        let step = if back { "..\\" } else { "../" };
        let value = format!("{before}/{}etc/passwd", step.repeat(ups));
        prop_assert!(detect(value.as_bytes()).is_some(), "{}", value);
    }
}
