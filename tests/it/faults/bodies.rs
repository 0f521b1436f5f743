//! Bodies made to exhaust or to deceive whoever reads them (F25, F27 to F30): refused or looked into, in bounded time
//! and memory. The attack in a body that hides one is the same throughout.

use std::sync::Arc;
use std::time::Instant;

use super::{Case, Seen};
use crate::support::Http;
use crate::support::client::{Client, Entry, get, request};
use crate::support::origin::{Raw, Spec, deflate, gzip};
use crate::support::proxy::Setup;

/// What any of these may add to the memory of the proxy: windows of two sizes, decoded and parsed.
const MEMORY: u64 = 128 << 20;

/// Seconds that any of these may take, on a machine that does much else.
const SECONDS: u64 = 20;

const REFUSED: &str = "refused, bounded";
const PASSED: &str = "arrived, bounded";

const EVIL: &str = "1 UNION SELECT password FROM users--";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const XML: &str = "application/xml";
const PARTS: &str = "multipart/form-data; boundary=b";
const BOTH: &str = "multipart/form-data; boundary=b; boundary=c";
const TEXT: &str = "text/plain;charset=UTF-8";

type Made = fn() -> Vec<u8>;

fn add(
    cases: &mut Vec<Case>,
    id: &'static str,
    what: &'static str,
    expected: &'static str,
    kind: &'static str,
    coding: &'static str,
    body: Made,
) {
    cases.push(Case::new(id, what, expected, move || upload(kind, coding, body)));
}

fn attack(in_front: &str) -> String {
    format!("{in_front}{}", EVIL.replace(' ', "+"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    add(&mut cases, "F25", "a bomb of gzip, 256 MiB", REFUSED, FORM, "gzip", || gzip(&vec![b'a'; 256 << 20]));
    add(&mut cases, "F25", "a bomb of deflate, 64 MiB", REFUSED, FORM, "deflate", || {
        deflate(&vec![b'a'; 64 << 20])
    });
    add(&mut cases, "F25", "a bomb of zstd, 256 MiB", REFUSED, FORM, "zstd", || {
        zstd_of(&vec![b'a'; 256 << 20])
    });
    add(&mut cases, "F25", "a bomb in a bomb, gzip twice", REFUSED, FORM, "gzip, gzip", || {
        gzip(&gzip(&vec![0; 64 << 20]))
    });
    add(&mut cases, "F25", "three codings, one above the other", REFUSED, FORM, "gzip, gzip, gzip", || {
        gzip(&gzip(&gzip(b"a=b")))
    });
    add(
        &mut cases,
        "F25",
        "three codings of JSON, an attack below",
        REFUSED,
        JSON,
        "gzip, gzip, gzip",
        || gzip(&gzip(&gzip(format!("{{\"q\": \"{EVIL}\"}}").as_bytes()))),
    );
    add(&mut cases, "F25", "gzip that breaks off, an attack in it", REFUSED, FORM, "gzip", || {
        let whole = gzip(attack("q=").as_bytes());
        whole[..whole.len() - 6].to_vec()
    });
    add(&mut cases, "F25", "a form that says it is gzip and is not", REFUSED, FORM, "gzip", || {
        attack("q=").into_bytes()
    });
    add(&mut cases, "F25", "deflate in gzip, an attack in it", REFUSED, FORM, "deflate, gzip", || {
        gzip(&deflate(attack("q=").as_bytes()))
    });
    add(&mut cases, "F25", "gzip in gzip, harmless", PASSED, FORM, "gzip, gzip", || gzip(&gzip(b"q=mild")));
    add(&mut cases, "F27", "10,000 parts, an attack in the last", REFUSED, PARTS, "", || {
        let mut body: Vec<u8> = (0..10_000).flat_map(|n| part(&format!("p{n}"), "mild")).collect();
        body.extend(part("q", EVIL));
        [body, b"--b--\r\n".to_vec()].concat()
    });
    add(&mut cases, "F27", "parts without an end, an attack in one", REFUSED, PARTS, "", || part("q", EVIL));
    add(&mut cases, "F27", "a part whose head has 1 MB", REFUSED, PARTS, "", || {
        let head = format!("--b\r\nX-Long: {}\r\n", "a".repeat(1 << 20));
        [head.into_bytes(), part("q", EVIL)[5..].to_vec(), b"--b--\r\n".to_vec()].concat()
    });
    add(
        &mut cases,
        "F27",
        "two boundaries, an attack behind the second",
        REFUSED,
        "multipart/form-data; boundary=a; boundary=b",
        "",
        || [part("q", EVIL), b"--b--\r\n".to_vec()].concat(),
    );
    add(
        &mut cases,
        "F27",
        "a boundary in quotes",
        REFUSED,
        "multipart/form-data; boundary=\"b\"",
        "",
        || [part("q", EVIL), b"--b--\r\n".to_vec()].concat(),
    );
    add(&mut cases, "F27", "a charset of its own in an early part", REFUSED, PARTS, "", || {
        let odd = b"--b\r\nContent-Disposition: form-data; name=\"x\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n\
                    +ADw-script+AD4-alert(1)+ADw-/script+AD4-\r\n";
        [odd.to_vec(), part("y", "mild"), b"--b--\r\n".to_vec()].concat()
    });
    add(
        &mut cases,
        "F27",
        "two boundaries, parts of both, an attack in the second's",
        REFUSED,
        BOTH,
        "",
        || {
            let second = String::from_utf8(part("q", EVIL)).unwrap().replace("--b", "--c");
            [part("p", "mild"), b"--b--\r\n".to_vec(), second.into_bytes(), b"--c--\r\n".to_vec()].concat()
        },
    );
    add(&mut cases, "F27", "multipart in a part, an attack in it", REFUSED, PARTS, "", || {
        let inner = String::from_utf8(part("q", EVIL)).unwrap().replace("--b", "--c");
        let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n";
        format!("{head}Content-Type: multipart/mixed; boundary=c\r\n\r\n{inner}--c--\r\n--b--\r\n")
            .into_bytes()
    });
    for (what, head) in [
        ("a file by filename* alone", "Content-Disposition: form-data; name=\"q\"; filename*=UTF-8''a.txt"),
        ("a file without a name", "Content-Disposition: form-data; name=\"q\"; filename=\"\""),
        (
            "a file and a field in one",
            "Content-Disposition: form-data; name=\"q\"; filename=\"a\"\r\nContent-Disposition: form-data; name=\"q\"",
        ),
    ] {
        cases.push(Case::new("F27", format!("{what}, an attack in it"), REFUSED, move || {
            upload(PARTS, "", move || format!("--b\r\n{head}\r\n\r\n{EVIL}\r\n--b--\r\n").into_bytes())
        }));
    }
    cases.extend(documents());
    cases.extend(forms());
    cases.extend(slow_texts());
    for target in ["//evil.test/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/a;/../../etc/passwd?q=1"] {
        cases.push(Case::new("F30", format!("the path {target}"), REFUSED, move || path(target)));
    }
    for (what, coding, body) in bombs() {
        cases.push(Case::new("F25", format!("an answer: {what}"), "bounded, others served", move || {
            download(coding, body)
        }));
    }
    cases
}

/// JSON and XML as they should be, as they should not be, and as neither.
fn documents() -> Vec<Case> {
    let mut cases = Vec::new();
    let cases_of = &mut cases;
    add(cases_of, "F28", "JSON 100,000 deep", REFUSED, JSON, "", || {
        [vec![b'['; 100_000], vec![b']'; 100_000]].concat()
    });
    add(cases_of, "F28", "JSON with a number of 500,000 digits", PASSED, JSON, "", || {
        format!("{{\"a\": {}}}", "9".repeat(500_000)).into_bytes()
    });
    add(cases_of, "F28", "JSON with a key twice, an attack in the first", REFUSED, JSON, "", || {
        format!("{{\"q\": \"{EVIL}\", \"q\": \"mild\"}}").into_bytes()
    });
    add(cases_of, "F28", "JSON behind a byte order mark, an attack in it", REFUSED, JSON, "", || {
        format!("\u{feff}{{\"q\": \"{EVIL}\"}}").into_bytes()
    });
    add(cases_of, "F28", "JSON in UTF-16, an attack in it", REFUSED, JSON, "", || {
        format!("{{\"q\": \"{EVIL}\"}}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    });
    for (what, text) in [
        ("NaN", "{\"a\": NaN, \"q\": \"VALUE\"}"),
        ("comments", "{/* a */ \"q\": // b\n \"VALUE\"}"),
        ("a comma too many", "[1, 2, {\"q\": \"VALUE\",},]"),
        ("other quotes and none", "{a: 1, q: 'VALUE'}"),
        ("a text without quotes", "{\"q\": VALUE}"),
        ("several documents", "{\"a\": 1}\n{\"q\": \"VALUE\"}\n"),
        ("no end", "{\"q\": \"VALUE\""),
        ("no JSON but a form", "q=VALUE"),
    ] {
        let sent = |value: &str| text.replace("VALUE", value).into_bytes();
        let (mild, evil) = (sent("mild"), sent(EVIL));
        cases.push(Case::new("F28", format!("JSON with {what}, harmless"), PASSED, move || {
            let body = mild.clone();
            upload(JSON, "", || body)
        }));
        cases.push(Case::new("F28", format!("JSON with {what}, an attack behind it"), REFUSED, move || {
            let body = evil.clone();
            upload(JSON, "", || body)
        }));
    }
    for (what, kind) in [("a form", FORM), ("text", TEXT), ("NDJSON", "application/x-ndjson")] {
        for (how, value, expected) in [("harmless", "mild", PASSED), ("an attack in it", EVIL, REFUSED)] {
            cases.push(Case::new("F28", format!("JSON sent as {what}, {how}"), expected, move || {
                upload(kind, "", move || format!("{{\"a\": 1, \"q\": \"{value}\"}}\n").into_bytes())
            }));
        }
    }
    markup(&mut cases);
    cases.push(Case::new("F28", "JSON with NaN, harmless, and policy is to refuse", REFUSED, || {
        let setup = Setup::new().config("[policy.fail]\nunparsable_request = 'deny'");
        sent(setup, JSON, "", || b"{\"a\": NaN}".to_vec())
    }));
    cases
}

fn markup(cases: &mut Vec<Case>) {
    add(cases, "F29", "XML: a billion laughs", REFUSED, XML, "", || {
        let mut text = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY l0 \"lol\">".to_owned();
        for n in 1..10 {
            text.push_str(&format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)));
        }
        text.push_str("]><l>&l9;</l>");
        text.into_bytes()
    });
    add(cases, "F29", "XML: an external entity", REFUSED, XML, "", || {
        b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>".to_vec()
    });
    add(cases, "F29", "XML 100,000 deep", REFUSED, XML, "", || {
        ["<a>".repeat(100_000), "</a>".repeat(100_000)].concat().into_bytes()
    });
    add(cases, "F29", "XML: 50,000 attributes, an attack in the last", REFUSED, XML, "", || {
        let mut text = "<a".to_owned();
        for n in 0..50_000 {
            text.push_str(&format!(" a{n}=\"m\""));
        }
        format!("{text} q=\"{EVIL}\"/>").into_bytes()
    });
    // Of each beginning of a comment an end may be looked for in all that follows.
    cases.push(Case::new("F29", "XML: 19,000 comments without an end", "answered, bounded", || {
        answered(XML, || format!("</a>{}{}", "<!-- >".repeat(19_000), "x".repeat(900_000)).into_bytes())
    }));
    for (how, value, expected) in [("harmless", "mild", PASSED), ("an attack behind it", EVIL, REFUSED)] {
        cases.push(Case::new("F29", format!("XML that is not well-formed, {how}"), expected, move || {
            upload(XML, "", move || format!("<a><b c=d></a><q>{value}</q>").into_bytes())
        }));
    }
}

fn forms() -> Vec<Case> {
    let mut cases = Vec::new();
    let cases_of = &mut cases;
    add(cases_of, "F30", "100,000 arguments, an attack in the last", REFUSED, FORM, "", || {
        ["a=b&".repeat(100_000), attack("q=")].concat().into_bytes()
    });
    add(cases_of, "F30", "5,000 arguments, an attack in the last", REFUSED, FORM, "", || {
        ["a=b&".repeat(5_000), attack("q=")].concat().into_bytes()
    });
    add(cases_of, "F30", "5,000 arguments, harmless", PASSED, FORM, "", || "a=b&".repeat(5_000).into_bytes());
    add(cases_of, "F30", "an attack behind a semicolon", REFUSED, FORM, "", || attack("a=1;q=").into_bytes());
    add(cases_of, "F30", "an attack encoded twice", REFUSED, FORM, "", || {
        b"q=%253Cscript%253Ealert(1)%253C/script%253E".to_vec()
    });
    add(cases_of, "F30", "an attack in overlong UTF-8", REFUSED, FORM, "", || {
        b"q=..%c0%af..%c0%afetc%c0%afpasswd".to_vec()
    });
    add(cases_of, "F30", "a NUL in an argument", REFUSED, FORM, "", || b"q=a%00b".to_vec());
    add(
        cases_of,
        "F30",
        "a form in UTF-16, an attack in it",
        REFUSED,
        "application/x-www-form-urlencoded; charset=utf-16",
        "",
        || {
            let value: String =
                EVIL.encode_utf16().flat_map(u16::to_be_bytes).map(|byte| format!("%{byte:02x}")).collect();
            format!("q={value}").into_bytes()
        },
    );
    add(
        cases_of,
        "F30",
        "a form in EBCDIC",
        REFUSED,
        "application/x-www-form-urlencoded; charset=ibm037",
        "",
        || b"%98=%F1%40%A4%95%89%96%95".to_vec(),
    );
    add(cases_of, "F30", "plain text, an attack in it", REFUSED, TEXT, "", || EVIL.as_bytes().to_vec());
    add(cases_of, "F30", "plain text, harmless", PASSED, TEXT, "", || b"some words, and others".to_vec());
    cases
}

/// Texts that make an engine with backtracking try for ever, through all core rules.
fn slow_texts() -> Vec<Case> {
    let mut cases = Vec::new();
    type Text = fn() -> String;
    let texts: [(&str, Text); 4] = [
        ("a, and a mark", || format!("{}!", "a".repeat(1_000_000))),
        ("spaces", || format!("x{}x", " ".repeat(1_000_000))),
        ("brackets", || format!("{}!", "a(".repeat(500_000))),
        ("quotes and commas", || format!("{}!", "','".repeat(330_000))),
    ];
    for (what, text) in texts {
        cases.push(Case::new("F31", format!("1 MB of {what}, in a form"), "answered, bounded", move || {
            answered(FORM, move || format!("q={}", text()).into_bytes())
        }));
        cases.push(Case::new("F31", format!("1 MB of {what}, in JSON"), "answered, bounded", move || {
            answered(JSON, move || format!("{{\"q\": \"{}\"}}", text()).into_bytes())
        }));
    }
    for (how, fail, told) in [("deny", "deny", STOPPED), ("let pass", "pass", LET_PASS)] {
        cases.push(Case::new(
            "F31",
            format!("rules that compute too long, policy is to {how}"),
            told,
            move || slow_rules(fail, told),
        ));
    }
    cases
}

const STOPPED: &str = "500 and a reason, others served";
const LET_PASS: &str = "passed and recorded, others served";

/// Rules of somebody's own that are dear and linear, as all of them are.
fn dear_rules() -> String {
    let rule = |n: usize| {
        // Which of the last letters were early ones decides, so that no automaton has as many states.
        let expression = format!("[a-f][a-z]{{{}}}[0-9]", 40 + n);
        serde_json::json!({
            "id": 900_000 + n, "phase": "request_body", "message": "dear", "severity": "notice",
            "when": { "variables": ["args_post"], "operator": { "rx": expression } },
            "then": ["score"],
            "examples": {
                "match": [format!("POST /\nContent-Type: text/plain\n\n{}1", "a".repeat(300))],
                "no_match": ["GET /"],
            },
        })
    };
    let rules: Vec<_> = (1..=200).map(rule).collect();
    serde_json::json!({ "name": "own", "version": "1.0.0", "rules": rules }).to_string()
}

/// A body for which they take longer than one exchange may; small ones go as ever.
async fn slow_rules(fail: &str, expected: &'static str) -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = format!("[limits]\nrules_time = '5ms'\n[policy.fail]\nengine_error = '{fail}'\n");
    let setup =
        Setup::new().config(&config).file("own.json", dear_rules()).arg("--rules").arg("{dir}/own.json");
    let proxy = setup.origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let send = async |name: &str, body: String| {
        let ask =
            request("POST", &format!("https://origin.test/{name}"), &[("content-type", "text/plain")], body);
        client.send(Http::H1, "origin.test", ask).await
    };
    let letter = |n: u32| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 16) as u8 % 12);
    let long = send("long", (0..12_000).map(letter).chain(" 1".chars()).collect()).await;
    let short = send("short", "some words 1".to_owned()).await;
    let record = |name: &'static str| {
        proxy.record("the exchange", move |it| it["url"].as_str().is_some_and(|url| url.ends_with(name)))
    };
    let (slow, quick) = (record("/long").await, record("/short").await);
    let arrived = origin.seen().iter().filter(|seen| seen.target.ends_with("/long")).count();
    let unseen = slow["request_inspection"]["extent"] == "partial";
    let fine = short.status == 200 && quick["verdict"] == "passed";
    let told = match (long.status.as_u16(), slow["verdict"].as_str(), arrived) {
        (500, Some("failed"), 0) if fine && unseen && slow["reason"] == "rules_out_of_time" => STOPPED,
        (200, Some("passed"), 1) if fine && unseen => LET_PASS,
        _ => "otherwise",
    };
    assert!(told == expected, "{} {arrived} {} {slow} {quick}", long.status, short.status);
    Seen { told: told.to_owned(), figures: format!("(200 rules, 12 KB, {})", long.status) }
}

/// Whether it is let through is not the question, but how long it takes.
async fn answered(kind: &'static str, body: impl FnOnce() -> Vec<u8> + Send + 'static) -> Seen {
    let Seen { told, figures } = upload(kind, "", body).await;
    let good = told == REFUSED || told == PASSED;
    Seen { told: if good { "answered, bounded".to_owned() } else { told }, figures }
}

fn part(name: &str, value: &str) -> Vec<u8> {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn bombs() -> [(&'static str, &'static str, Made); 3] {
    [
        ("a bomb of gzip, 256 MiB", "gzip", || gzip(&vec![b'a'; 256 << 20])),
        ("a bomb of zstd, 256 MiB", "zstd", || zstd_of(&vec![b'a'; 256 << 20])),
        ("a bomb in a bomb, gzip twice", "gzip, gzip", || gzip(&gzip(&vec![0; 64 << 20]))),
    ]
}

async fn upload(
    kind: &'static str,
    coding: &'static str,
    body: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Seen {
    sent(Setup::new(), kind, coding, body).await
}

async fn sent(
    setup: Setup,
    kind: &'static str,
    coding: &'static str,
    body: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Seen {
    let body = tokio::task::spawn_blocking(body).await.unwrap();
    let sent = body.len();
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = setup.origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    client.get(Http::H1, "https://origin.test/").await;
    let memory = proxy.rss();
    let mut fields = vec![("content-type", kind)];
    if !coding.is_empty() {
        fields.push(("content-encoding", coding));
    }
    let began = Instant::now();
    let answer = client
        .send(Http::H1, "origin.test", request("POST", "https://origin.test/echo", &fields, body))
        .await;
    let waited = began.elapsed();
    let grown = proxy.peak_rss().saturating_sub(memory);
    let arrived = origin.seen().iter().filter(|seen| seen.method == "POST").count();
    let figures = format!("({} bytes, {} after {waited:.1?}, {} KiB)", sent, answer.status, grown >> 10);
    let bounded = waited.as_secs() < SECONDS && grown < MEMORY && proxy.running();
    let told = match (answer.status.as_u16(), arrived) {
        (400 | 403 | 413 | 415, 0) if bounded => REFUSED.to_owned(),
        (200, 1) if bounded => PASSED.to_owned(),
        _ => format!("{arrived} arrived {figures}"),
    };
    Seen { told, figures }
}

async fn path(target: &'static str) -> Seen {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let ask = format!("GET {target} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&crate::support::client::rest(&mut stream).await).into_owned();
    let line = answer.lines().next().unwrap_or_default().to_owned();
    let refused = line.starts_with("HTTP/1.1 40") && origin.seen().is_empty();
    Seen { told: if refused { REFUSED.into() } else { line.clone() }, figures: format!("({line})") }
}

/// A bomb comes down: the default is to inspect what the limits allow and let it go on, in flat memory.
async fn download(coding: &'static str, body: Made) -> Seen {
    let body = Arc::new(tokio::task::spawn_blocking(body).await.unwrap());
    let sent = Arc::clone(&body);
    let origin = Raw::tls("origin.test", move |mut wire, _| {
        let sent = Arc::clone(&sent);
        async move {
            while wire.head().await.is_some() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
                    sent.len()
                );
                if !wire.write(head).await || !wire.write(&sent[..]).await {
                    return;
                }
            }
        }
    })
    .await;
    let other = Spec::tls(&["other.test"]).start().await;
    let proxy = Setup::new().raw(&origin).route("other.test", 443, other.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    client.get(Http::H1, "https://other.test/").await;
    let memory = proxy.rss();
    let began = Instant::now();
    let mut connection = client.https("origin.test", Http::H1).await.unwrap();
    let bomb = connection.try_send(get("https://origin.test/"));
    let (bomb, aside) = futures_util::future::join(bomb, client.get(Http::H2, "https://other.test/")).await;
    let waited = began.elapsed();
    let grown = proxy.peak_rss().saturating_sub(memory);
    let status = bomb.map_or("broken off".to_owned(), |answer| answer.status.to_string());
    let figures = format!("({} bytes, {status} after {waited:.1?}, {} KiB)", body.len(), grown >> 10);
    let good = aside.status == 200 && waited.as_secs() < SECONDS && grown < MEMORY;
    Seen { told: if good { "bounded, others served".into() } else { figures.clone() }, figures }
}
