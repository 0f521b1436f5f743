use super::*;
use crate::audit::record::tests::{blocked, found, plain};
use crate::waf::report::Step;

fn on() -> Redaction {
    Redaction::default()
}

#[test]
fn names_are_judged_by_their_words() {
    for name in [
        "password",
        "Passwd",
        "pwd",
        "user_pass",
        "newPassword",
        "user[password]",
        "json.auth.value",
        "access_token",
        "csrfToken",
        "X-Api-Key",
        "apikey",
        "client_secret",
        "PHPSESSID",
        "sessionId",
        "sid",
        "authorization",
        "otp",
        "card_number",
        "X-Amz-Signature",
        "sig",
    ] {
        assert!(is_secret_name(name, &on()), "{name}");
    }
    for name in [
        "q",
        "id",
        "passenger",
        "compass",
        "author",
        "design",
        "keyword",
        "spin",
        "page",
        "sidebar",
        "key",
        "",
    ] {
        assert!(!is_secret_name(name, &on()), "{name}");
    }
    let own = Redaction { names: vec!["Kunden-Nr".into()], ..on() };
    assert!(is_secret_name("kunden_nr", &own) && !is_secret_name("kunden", &own));
}

#[test]
fn urls_keep_everything_but_their_secrets() {
    for (url, expect) in [
        ("https://a.test/p?q=1&x=%20y#f", "https://a.test/p?q=1&x=%20y#f"),
        ("https://ann:CANARY@a.test/", "https://[redacted]@a.test/"),
        ("https://a.test/?password=CANARY&q=1", "https://a.test/?password=[redacted]&q=1"),
        (
            "https://a.test/?q=1&user%5Bpassw%6Frd%5D=CANARY",
            "https://a.test/?q=1&user%5Bpassw%6Frd%5D=[redacted]",
        ),
        ("https://a.test/x;jsessionid=CANARY?q=1", "https://a.test/x;jsessionid=[redacted]"),
        (
            "/go?to=https%3A%2F%2Fb.test%2F%3Ftoken%3DCANARY%26q%3D1&r=2",
            "/go?to=https%3A%2F%2Fb.test%2F%3Ftoken%3D[redacted]%26q%3D1&r=2",
        ),
        ("https://a.test/pay?n=4111+1111-1111%201111&q=1", "https://a.test/pay?n=[redacted]&q=1"),
        ("https://a.test/reset/eyJhbGciOiJub25l.eyJzdWIiOiJhIn0.CANARY", "https://a.test/reset/[redacted]"),
        ("https://a.test/?q=' or 1=1 --", "https://a.test/?q=' or 1=1 --"),
    ] {
        let once = redact_url(url, &on());
        assert_eq!(once, expect);
        assert_eq!(redact_url(&once, &on()), expect, "a second time");
    }
}

#[test]
fn text_in_every_notation_loses_its_secrets() {
    for text in [
        r#"{"user":"ann","password" : "CAN\"ARY","q":1}"#,
        r#"{"token":{"a":["CANARY"]},"q":1}"#,
        r#"{"pin": 90210CANARY}"#,
        r#"{"body":"{\"password\":\"CANARY\"}"}"#,
        "user=ann&password=CANARY&q=1",
        "<login><password>CANARY</password></login>",
        "GET / HTTP/1.1\r\nAuthorization: Basic CANARY\r\nHost: a.test",
        "Cookie: a=CANARY; b=CANARY\nHost: a.test",
        "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nCANARY\r\n--b--",
        r#"--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nCANARY\r\n--b--"#,
        r"GET / HTTP/1.1\r\nAuthorization: Basic CANARY\r\nHost: a.test",
        "see http://ann:CANARY@a.test/ for more",
        "x Bearer CANARYCANARY y",
        "-----BEGIN EC PRIVATE KEY-----\nCANARY\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nCANARY cut",
    ] {
        let out = redact_text(text, &on());
        assert!(!out.contains("CANARY") && !out.contains("ARY"), "{out}");
        assert!(out.contains("[redacted"), "{out}");
        assert_eq!(redact_text(&out, &on()), out, "a second time");
    }
    let benign = r#"{"q":"1 union select","page":2} name: ann, compass=north 2024-01-02 10:20:30"#;
    assert_eq!(redact_text(benign, &on()), benign);
}

#[test]
fn card_numbers_are_found_and_other_numbers_left() {
    for card in [
        "4111111111111111",
        "5500 0000 0000 0004",
        "3400-000000-00009",
        "6011.0000.0000.0004",
        "2223003122003222",
    ] {
        assert_eq!(redact_text(&format!("n {card} x"), &on()), format!("n {} x", mask(card)));
    }
    for number in ["4111111111111112", "1790000000123", "0000000000000000", "41111111111111111111111", "4111"]
    {
        assert_eq!(redact_text(number, &on()), number);
    }
}

#[test]
fn hostile_lengths_stay_quick() {
    for text in ["1 ".repeat(50_000), "%3d".repeat(30_000), "=".repeat(50_000), "//".repeat(50_000)] {
        assert_eq!(redact_url(&text, &on()), text);
    }
    for text in ["token%3D".repeat(10_000), "token=".repeat(10_000), "token&token=".repeat(10_000)] {
        assert!(redact_url(&text, &on()).contains("[redacted]"));
    }
}

#[test]
fn a_secret_variable_is_masked_with_its_length_and_so_are_its_echoes() {
    let mut nameless = found("tx:0", "x CANARY' or 1=1", "CANARY' or 1=1");
    nameless.steps = vec![Step { transformation: "lowercase".into(), result: "x canary' or 1=1".into() }];
    let mut record =
        blocked(1, vec![nameless, found("args:json.user.password", "CANARY' or 1=1", "' or 1=1")]);
    record.sentence = "rule 1 found CANARY' or 1=1".into();
    record.waf.as_mut().unwrap().interruption.as_mut().unwrap().reason = "found CANARY' or 1=1".into();
    redact(&mut record, &on());
    let line = serde_json::to_string(&record).unwrap();
    assert!(!line.to_lowercase().contains("canary"), "{line}");
    let masked = &record.waf.as_ref().unwrap().matches[1];
    assert_eq!(masked.value, "[redacted: 14 bytes]");
    assert_eq!(masked.matched, "[redacted: 8 bytes]");
    assert_eq!(masked.steps[0].result, "[redacted: 14 bytes]");
    assert!(masked.exclusion.contains("args:json.user.password"));
    let before = record.clone();
    redact(&mut record, &on());
    assert_eq!(record, before, "a second time");
}

#[test]
fn cookies_and_credentials_are_masked_and_other_variables_stay_explained() {
    for variable in [
        "request_cookies:lang",
        "request_headers:Cookie",
        "request_headers:authorization",
        "request_headers:Proxy-Authorization",
        "response_headers:set-cookie",
        "args_post:pwd",
    ] {
        let mut record = blocked(1, vec![found(variable, "CANARY", "ANA")]);
        redact(&mut record, &on());
        let found = &record.waf.as_ref().unwrap().matches[0];
        assert_eq!(
            (found.value.as_str(), found.matched.as_str()),
            ("[redacted: 6 bytes]", "[redacted: 3 bytes]")
        );
    }
    for variable in ["args:q", "args_names:password", "request_headers:User-Agent", "request_uri"] {
        let original = blocked(1, vec![found(variable, "1 UNION SELECT x", "union select")]);
        let mut record = original.clone();
        redact(&mut record, &on());
        assert_eq!(record, original, "{variable}");
    }
}

#[test]
fn matched_bytes_inside_a_secret_of_a_larger_value_go() {
    let body = "q=1&password=x' or 1=1&r=<script>";
    for (matched, expect) in [
        ("' or 1=1", "[redacted: 8 bytes]"),
        ("word=x' or 1", "word=[redacted: 7 bytes]"),
        ("1=1&r=<scr", "[redacted: 3 bytes]&r=<scr"),
        ("<script>", "<script>"),
        ("beyond the cut", "[redacted: 14 bytes]"),
    ] {
        let mut one = found("request_body", body, matched);
        one.steps.clear();
        let mut record = blocked(1, vec![one]);
        redact(&mut record, &on());
        let found = &record.waf.as_ref().unwrap().matches[0];
        assert_eq!(found.matched, expect);
        assert_eq!(found.value, "q=1&password=[redacted: 9 bytes]&r=<script>");
    }
}

#[test]
fn switched_off_it_leaves_the_record_as_it_is() {
    let mut record = plain(1);
    record.url = "https://a.test/?password=CANARY".into();
    let original = record.clone();
    redact(&mut record, &Redaction { switch: Switch::DangerOff, ..on() });
    assert_eq!(record, original);
}
