//! Rules see what the application will see, through every entry and protocol; what they stop never arrives, and what
//! they let through arrives unchanged.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::connect::gateway;
use crate::support::attack::{self, Sample, blocked, pairs, receipt};
use crate::support::client::{Answer, Client, Entry, request, rest};
use crate::support::netns::{NetLab, Redirect};
use crate::support::origin::{LEAK, Origin, PAGE, Spec, deflate, gzip};
use crate::support::proxy::{PORTWARD, Proxy, Setup, portward};
use crate::support::{Http, until};

/// The benign twin must arrive, and come back, byte for byte.
async fn passes(case: &str, twin: &Sample, answer: Answer, origin: &Origin) {
    assert_eq!(answer.status, 200, "{case}: {}", answer.text());
    let seen = origin.seen().pop().unwrap();
    assert!(seen.complete, "{case}");
    assert_eq!((seen.method.as_str(), seen.body.as_slice()), (twin.method, &twin.body[..]), "{case}");
    let target = seen.target.strip_prefix("https://origin.test").unwrap_or(&seen.target);
    assert_eq!(target, twin.target, "{case}");
    for (name, value) in &twin.fields {
        assert_eq!(seen.headers.get(*name).map(|v| v.as_bytes()), Some(value.as_bytes()), "{case}: {name}");
    }
    if twin.target == "/echo" {
        assert_eq!(answer.body, twin.body, "{case}: the echo");
    }
}

/// Every attack and its twin through one client, against one origin.
async fn matrix(client: &Client, http: Http, origin: &Origin, case: &str) -> usize {
    let mut cases = 0;
    for (attack, twin) in pairs() {
        let case = format!("{case}, {}", attack.place);
        let before = origin.seen().len();
        let answer = client.send(http, "origin.test", attack.request("origin.test")).await;
        blocked(&case, &answer);
        assert_eq!(origin.seen().len(), before, "{case}: the attack arrived: {:#?}", origin.seen().last());
        let answer = client.send(http, "origin.test", twin.request("origin.test")).await;
        passes(&case, &twin, answer, origin).await;
        cases += 1;
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_attack_is_blocked_through_each_entry_and_protocol_and_its_twin_passes() {
    let mut cases = 0;
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for entry in Entry::EXPLICIT {
            for http in Http::BOTH {
                let case = format!("{entry:?}, client {http:?}, origin {origin_http:?}");
                cases += matrix(&Client::new(entry, &proxy), http, &origin, &case).await;
            }
        }
        everything_is_recorded(&proxy, 60).await;
    }
    assert_eq!(cases, 2 * 3 * 2 * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_attack_is_blocked_in_redirected_traffic_and_its_twin_passes() {
    let mut cases = 0;
    for redirect in [Redirect::Nat, Redirect::Tproxy] {
        for origin_http in Http::BOTH {
            let net = Arc::new(NetLab::new(redirect, 8443));
            let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).on(net.listen(443)).start().await;
            let proxy = gateway(&net, redirect).await;
            for http in Http::BOTH {
                let case = format!("{redirect:?}, client {http:?}, origin {origin_http:?}");
                cases += matrix(&Client::redirected(&proxy, &net), http, &origin, &case).await;
            }
        }
    }
    assert_eq!(cases, 2 * 2 * 2 * 5);
}

/// One record for each exchange, the blocked ones with their rule.
async fn everything_is_recorded(proxy: &Proxy, exchanges: usize) {
    let records = until("all audit records", || {
        let records: Vec<_> = proxy.audit().into_iter().filter(|r| r["kind"] == "exchange").collect();
        (records.len() >= exchanges).then_some(records)
    })
    .await;
    assert_eq!(records.len(), exchanges);
    let blocked: Vec<_> = records.iter().filter(|r| r["verdict"] == "blocked").collect();
    assert_eq!(blocked.len(), exchanges / 2);
    for record in blocked {
        assert_eq!(record["status"], 403, "{record}");
        assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{record}");
        assert!(record["origin_leg"].is_null() || record["origin_leg"]["pooled"].is_null(), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_inspected_as_well() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    for (attack, twin) in pairs() {
        for entry in [Entry::HttpProxy, Entry::HttpsProxy] {
            let mut answers = Vec::new();
            for sample in [&attack, &twin] {
                let mut stream = Client::new(entry, &proxy).dial().await.unwrap();
                let bytes = sample.bytes("origin.test");
                let split = bytes.iter().position(|&b| b == b' ').unwrap() + 1;
                let absolute = [&bytes[..split], b"http://origin.test".as_slice(), &bytes[split..]].concat();
                stream.write_all(&absolute).await.unwrap();
                answers.push(String::from_utf8_lossy(&rest(&mut stream).await).into_owned());
            }
            assert!(answers[0].starts_with("HTTP/1.1 403"), "{entry:?} {}: {}", attack.place, answers[0]);
            assert!(answers[1].starts_with("HTTP/1.1 200"), "{entry:?} {}: {}", twin.place, answers[1]);
        }
    }
    assert_eq!(origin.seen().len(), 10, "the twins, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_decoded_before_it_is_judged_however_it_is_coded() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let evil = b"q=1+UNION+SELECT+password+FROM+users--".as_slice();
    let mild = b"q=credit+union+select+committee".as_slice();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    // Brotli's own compressor is no dependency: stored blocks are valid brotli too.
    let stored = |bytes: &[u8]| brotli_stored(bytes);
    type Coder<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let codings: [(&str, Coder<'_>); 6] = [
        ("gzip", &gzip),
        ("x-gzip", &gzip),
        ("deflate", &deflate),
        ("zstd", &zstd),
        ("br", &stored),
        ("gzip, gzip", &|bytes| gzip(&gzip(bytes))),
    ];
    let mut cases = 0;
    for (coding, code) in codings {
        for http in Http::BOTH {
            let case = format!("{coding} {http:?}");
            let fields =
                [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", coding)];
            let client = Client::new(Entry::HttpProxy, &proxy);
            let ask = |body: &[u8]| request("POST", "https://origin.test/echo", &fields, code(body));
            let before = origin.seen().len();
            blocked(&case, &client.send(http, "origin.test", ask(evil)).await);
            assert_eq!(origin.seen().len(), before, "{case}");
            let answer = client.send(http, "origin.test", ask(mild)).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &code(mild)[..]), "{case}");
            assert_eq!(origin.seen().pop().unwrap().body, code(mild), "{case}: the coding is the client's");
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

/// One uncompressed meta-block and an empty last one (RFC 7932 section 9.2), for up to 64 KiB.
fn brotli_stored(bytes: &[u8]) -> Vec<u8> {
    // WBITS=16 is the single bit 0; ISLAST=0; MNIBBLES=4 is 00; MLEN-1 in 16 bits; ISUNCOMPRESSED=1; to a byte.
    let header: u32 = ((bytes.len() as u32 - 1) << 4) | (1 << 20);
    let mut out = header.to_le_bytes()[..3].to_vec();
    out.extend(bytes);
    // ISLAST=1, ISLASTEMPTY=1.
    out.push(0b11);
    out
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_body_that_cannot_be_decoded_does_not_pass_unseen() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let whole = gzip(b"q=1+UNION+SELECT+password+FROM+users--");
    let bomb = gzip(&vec![b'a'; 64 << 20]);
    let cases: [(&str, Vec<u8>); 4] = [
        ("truncated", whole[..whole.len() - 12].to_vec()),
        ("damaged", whole.iter().enumerate().map(|(n, &b)| if n == 14 { !b } else { b }).collect()),
        ("not gzip at all", b"q=1+UNION+SELECT+password+FROM+users--".to_vec()),
        ("a bomb", bomb),
    ];
    for (case, body) in cases {
        let fields = [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")];
        let answer = client
            .send(Http::H1, "origin.test", request("POST", "https://origin.test/echo", &fields, body))
            .await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 403 | 413 | 415),
            "{case}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(receipt(&answer.text()).is_some(), "{case}: {}", answer.text());
        assert_eq!(origin.seen().iter().filter(|seen| seen.complete).count(), 0, "{case}");
    }
    assert!(proxy.peak_rss() < 400 << 20, "a bomb of 64 MiB cost {} MiB", proxy.peak_rss() >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_and_xml_are_looked_into() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let part = |value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\n{value}\r\n--b--\r\n")
            .into_bytes()
    };
    let xml =
        |value: &str| format!("<?xml version=\"1.0\"?><order><note>{value}</note></order>").into_bytes();
    let multipart = "multipart/form-data; boundary=b";
    let evil = "1 UNION SELECT password FROM users--";
    let mild = "credit union select committee";
    for (kind, body, twin) in [
        (multipart, part(evil), part(mild)),
        ("application/xml", xml(evil), xml(mild)),
        ("text/xml", xml(evil), xml(mild)),
    ] {
        for http in Http::BOTH {
            let ask =
                |body: Vec<u8>| request("POST", "https://origin.test/echo", &[("content-type", kind)], body);
            let before = origin.seen().len();
            blocked(kind, &client.send(http, "origin.test", ask(body.clone())).await);
            assert_eq!(origin.seen().len(), before, "{kind}");
            let answer = client.send(http, "origin.test", ask(twin.clone())).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &twin[..]), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_block_page_speaks_the_clients_format_and_never_shows_the_rule() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let cases = [
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html", "id=\"portward-block\""),
        ("application/json", "application/problem+json", "\"receipt\""),
        ("*/*", "text/plain", "blocked"),
    ];
    for http in Http::BOTH {
        for (accept, kind, mark) in cases {
            let url = format!("https://origin.test{}", attack::query().target);
            let answer =
                client.send(http, "origin.test", request("GET", &url, &[("accept", accept)], "")).await;
            let id = blocked(accept, &answer);
            assert!(
                answer.header("content-type").starts_with(kind),
                "{accept}: {}",
                answer.header("content-type")
            );
            assert!(answer.text().contains(mark), "{accept}: {}", answer.text());
            assert!(answer.text().contains(&id));
            assert_eq!(answer.header("cache-control"), "no-store", "{accept}");
            for secret in ["(?i", "\\b", "union\\s"] {
                assert!(!answer.text().contains(secret), "{accept}: the page shows the rule's expression");
            }
            if kind == "application/problem+json" {
                let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(page["status"], 403, "{page}");
            }
        }
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn what_an_attacker_wrote_is_text_on_the_page() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let url = "https://origin.test/%3Cscript%3Ealert(1)%3C/script%3E?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    let ask = request("GET", url, &[("accept", "text/html")], "");
    let answer = Client::new(Entry::HttpProxy, &proxy).send(Http::H2, "origin.test", ask).await;
    blocked("a script", &answer);
    assert!(!answer.text().contains("<script"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_of_a_receipt_what_matched_how_and_what_would_let_it_through() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let answer = client.send(Http::H1, "origin.test", attack::query().request("origin.test")).await;
    let id = blocked("query", &answer);
    let record = proxy.record("the block", |r| r["id"] == id.as_str()).await;
    let rule = record["waf"]["matches"][0]["rule"].as_u64().unwrap().to_string();
    let log = proxy.audit_path().display().to_string();
    let told = portward(&["explain", &id, "--audit-log", &log]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    for part in [id.as_str(), &rule, "args", "UNION", "exclu"] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    // Lower case and a receipt nobody has.
    assert!(portward(&["explain", &id.to_lowercase(), "--audit-log", &log]).status.success());
    let nobody = portward(&["explain", "0000000000000000", "--audit-log", &log]);
    assert_eq!(nobody.status.code(), Some(1), "{}", String::from_utf8_lossy(&nobody.stderr));
    assert_eq!(portward(&["explain", "not-a-receipt", "--audit-log", &log]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn detection_only_lets_everything_through_and_says_what_it_would_have_done() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().args(["--mode", "detect"]).origin(&origin).start().await;
    for http in Http::BOTH {
        for (attack, _) in pairs() {
            let answer = Client::new(Entry::HttpProxy, &proxy)
                .send(http, "origin.test", attack.request("origin.test"))
                .await;
            assert_eq!(answer.status, 200, "{}", attack.place);
            assert_eq!(origin.seen().pop().unwrap().body, &attack.body[..], "{}", attack.place);
        }
    }
    let records = until("ten records", || {
        let found: Vec<_> = proxy.audit().into_iter().filter(|r| r["verdict"] == "would_block").collect();
        (found.len() >= 10).then_some(found)
    })
    .await;
    assert!(records.iter().all(|r| r["waf"]["detection_only"] == true), "{records:#?}");
}

const OWN_RULES: &str = r#"{
  "name": "own", "version": "1.0.0",
  "rules": [{
    "id": 900001, "phase": "request_headers", "message": "No word of the project", "severity": "critical",
    "when": { "variables": ["args"], "transformations": ["lowercase"], "operator": { "contains": "codename-osprey" } },
    "then": ["block"],
    "examples": { "match": ["GET /?q=Codename-Osprey"], "no_match": ["GET /?q=osprey"] }
  }]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn own_rules_are_added_and_core_rules_can_be_left_out() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let own = "https://origin.test/?q=CODENAME-osprey";
    let core = format!("https://origin.test{}", attack::query().target);
    for (args, own_status, core_status) in [
        (vec!["--rules", "{dir}/own.json"], 403, 403),
        (vec!["--rules", "{dir}/own.json", "--no-core-rules"], 403, 200),
        (vec!["--no-core-rules"], 200, 200),
    ] {
        let mut setup = Setup::new().file("own.json", OWN_RULES).origin(&origin);
        for arg in &args {
            setup = setup.arg(*arg);
        }
        let proxy = setup.start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        assert_eq!(client.get(Http::H1, own).await.status, own_status, "{args:?}");
        assert_eq!(client.get(Http::H1, &core).await.status, core_status, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusion_lets_through_what_it_names_and_nothing_else() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let url = format!("https://origin.test{}", attack::query().target);
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, &url).await;
    let id = blocked("before", &answer);
    let record = proxy.record("the block", |r| r["id"] == id.as_str()).await;
    let rules: Vec<u64> =
        record["waf"]["matches"].as_array().unwrap().iter().map(|m| m["rule"].as_u64().unwrap()).collect();
    drop(proxy);
    let exclusion = serde_json::json!({
        "name": "own", "version": "1",
        "exclusions": [{ "rules": rules, "paths": ["/item"], "variables": ["args:id"], "reason": "a test" }],
    });
    let proxy = Setup::new()
        .file("own.json", exclusion.to_string())
        .arg("--rules")
        .arg("{dir}/own.json")
        .origin(&origin)
        .start()
        .await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H1, &url).await.status, 200, "the excluded place");
    assert_eq!(client.get(Http::H1, &url.replace("/item", "/other")).await.status, 403, "another path");
    assert_eq!(client.get(Http::H1, &url.replace("id=", "name=")).await.status, 403, "another argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_leaks_is_kept_back_however_it_is_coded() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for http in Http::BOTH {
            let client = Client::new(Entry::HttpProxy, &proxy);
            for path in ["/leak", "/leak-gzip"] {
                let answer = client.get(http, &format!("https://origin.test{path}")).await;
                let case = format!("{path}, client {http:?}, origin {origin_http:?}");
                assert!(
                    matches!(answer.status.as_u16(), 403 | 502),
                    "{case}: {} {}",
                    answer.status,
                    answer.text()
                );
                assert!(!answer.text().contains("MySQL"), "{case}");
                assert!(receipt(&answer.text()).is_some(), "{case}");
            }
            let page = client.get(http, "https://origin.test/plain").await;
            assert_eq!(page.text(), PAGE);
        }
        let record = proxy.record("the leak", |r| r["verdict"] == "blocked").await;
        assert!(record["waf"]["ledger"]["outbound"].as_i64().unwrap() > 0, "{record}");
    }
    assert!(LEAK.contains("MySQL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_pass_byte_for_byte_in_the_coding_they_came_in() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        for (path, coding, bytes) in [
            ("/plain", "", PAGE.as_bytes().to_vec()),
            ("/gzip", "gzip", gzip(PAGE.as_bytes())),
            ("/deflate", "deflate", deflate(PAGE.as_bytes())),
            ("/zstd", "zstd", zstd::encode_all(PAGE.as_bytes(), 3).unwrap()),
        ] {
            let answer = client.get(http, &format!("https://origin.test{path}")).await;
            assert_eq!(answer.header("content-encoding"), coding, "{path} {http:?}");
            assert_eq!(answer.body, bytes, "{path} {http:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_body_longer_than_the_window_is_inspected_in_part_and_says_so_or_is_refused() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let fields = [("content-type", "application/x-www-form-urlencoded")];
    let long = |front: &str| {
        let mut body = format!("{front}&pad=").into_bytes();
        body.resize(3 << 20, b'a');
        body
    };
    let evil = "q=1+UNION+SELECT+password+FROM+users--";
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for http in Http::BOTH {
        let before = origin.seen().iter().filter(|seen| seen.complete).count();
        let ask = request("POST", "https://origin.test/status/200", &fields, long(evil));
        assert_eq!(
            client.send(http, "origin.test", ask).await.status,
            403,
            "{http:?}: an attack in the window"
        );
        assert_eq!(origin.seen().iter().filter(|seen| seen.complete).count(), before);
        let ask = request("POST", "https://origin.test/status/200", &fields, long("q=harmless"));
        assert_eq!(client.send(http, "origin.test", ask).await.status, 200, "{http:?}");
        assert_eq!(origin.seen().pop().unwrap().body_len, 3 << 20);
    }
    let record =
        proxy.record("the partial inspection", |r| r["request_inspection"]["extent"] == "partial").await;
    assert_eq!(record["status"], 200, "{record}");
    drop(proxy);
    let count = origin.seen().len();
    let proxy =
        Setup::new().config("[policy.fail]\noversize_request_body = \"deny\"").origin(&origin).start().await;
    let ask = request("POST", "https://origin.test/status/200", &fields, long("q=harmless"));
    assert_eq!(Client::new(Entry::HttpProxy, &proxy).send(Http::H1, "origin.test", ask).await.status, 413);
    assert_eq!(origin.seen().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_in_small_pieces_is_one_attack() {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let body = b"user=admin%27+OR+%271%27%3D%271%27--+";
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in body {
        stream.write_all(&[b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat()).await.unwrap();
        stream.flush().await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(origin.seen().iter().all(|seen| !seen.complete && seen.body.is_empty()), "{:#?}", origin.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_rules_pass_their_own_examples() {
    let done = std::process::Command::new(PORTWARD).args(["rules", "test"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    let counted =
        regex::Regex::new(r"(\d+) examples").unwrap().captures(&text).map(|c| c[1].parse::<u32>().unwrap());
    assert!(counted.is_some_and(|n| n > 100), "too few examples were run: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_traffic_is_left_alone() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let agent =
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36");
    let gets = [
        "/",
        "/search?q=how+to+select+a+union+from+the+list",
        "/docs/sql/union-select?page=2&sort=-date",
        "/api/v1/items/42?fields=id,name,price&filter[status]=active",
        "/wiki/Bobby_Tables#history",
        "/calendar?from=2026-01-01T00%3A00%3A00Z&to=2026-12-31",
        "/redirect?next=%2Faccount%2Fsettings%3Ftab%3Dsecurity",
        "/search?q=O%27Reilly+%26+Sons+%3C3",
        "/math?expr=1%2B1%3D2%3B+x%3E%3D0",
        "/cdn/app.min.js?v=3.2.1-rc.1",
        "/img?src=https%3A%2F%2Fcdn.example.com%2Fa.png&w=640",
        "/names?name=Ren%C3%A9e+%C3%98deg%C3%A5rd",
    ];
    for target in gets {
        let answer = client
            .send(
                Http::H2,
                "origin.test",
                request("GET", &format!("https://origin.test{target}"), &[agent], ""),
            )
            .await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    }
    let posts = [
        ("application/json", r#"{"query":"query { user(id: 1) { name posts { title } } }","variables":{}}"#),
        (
            "application/json",
            r#"{"text":"Please drop the table off at the loading dock; select the one by the window."}"#,
        ),
        ("application/x-www-form-urlencoded", "comment=I+like+%22quotes%22%2C+semicolons%3B+and+%26+signs"),
        ("text/plain", "SELECT is a keyword, and so is UNION, as every student learns."),
        ("application/octet-stream", "\u{0}\u{1}\u{2}binary\u{fffd}"),
    ];
    for (kind, body) in posts {
        let ask = request("POST", "https://origin.test/echo", &[agent, ("content-type", kind)], body);
        let answer = client.send(Http::H2, "origin.test", ask).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{kind}");
    }
    assert_eq!(origin.seen().len(), gets.len() + posts.len());
}
