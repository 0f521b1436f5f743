use super::*;

const HOSTILE: &str =
    "a\r\nSet-Cookie: x=1\r\n\r\n<script>alert(1)</script>\"' onload=`x` &\u{1b}[31m\0\u{202e}{title}";

fn about(format: Format) -> About<'static> {
    About { format, receipt: ReceiptId::from_random([7; 10]), host: Some(HOSTILE) }
}

fn every_reply(format: Format) -> Vec<Reply> {
    let about = about(format);
    let mut all = vec![
        block(
            &about,
            &Block {
                status: 403,
                code: Code::Score,
                side: Side::Request,
                message: HOSTILE,
                rule: Some(120010),
            },
        ),
        block(
            &about,
            &Block { status: 9999, code: Code::Blocked, side: Side::Response, message: "", rule: None },
        ),
        authenticate(&about, HOSTILE),
        redirect(&about, 308, HOSTILE),
        redirect(&about, 200, "https://help.test/why?a=b"),
    ];
    for status in [400, 403, 408, 413, 414, 417, 421, 431, 502, 503, 504, 508] {
        all.extend(Code::ALL.iter().map(|&code| error(&about, status, code, HOSTILE)));
    }
    all
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

fn body(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

#[test]
fn no_reply_lets_hostile_text_break_out() {
    for format in [Format::Html, Format::Json, Format::Text, Format::Grpc(Grpc::Native)] {
        for reply in every_reply(format) {
            assert!((200..600).contains(&reply.status));
            for (name, value) in &reply.fields {
                http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{name}: {value:?}");
            }
            let body = body(&reply);
            let forbidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            match format {
                Format::Html => {
                    assert!(
                        !body.contains("<script") && !body.contains("onload=`") && !body.contains(forbidden)
                    );
                    assert!(!body.contains(HOSTILE));
                }
                Format::Json => {
                    let value: serde_json::Value = serde_json::from_str(body).unwrap();
                    assert_eq!(value["host"], HOSTILE);
                    assert_eq!(body.matches('\n').count(), 1);
                }
                Format::Text => {
                    assert!(!body.contains(forbidden) && !body.contains("\nSet-Cookie"), "{body}")
                }
                Format::Grpc(_) => {
                    assert!(body.is_empty() && reply.fields.iter().any(|(name, _)| *name == "grpc-status"))
                }
            }
        }
    }
}

#[test]
fn every_reply_has_the_receipt_and_is_never_stored_or_sniffed() {
    let receipt = about(Format::Html).receipt.to_string();
    for format in [Format::Html, Format::Json, Format::Text] {
        for reply in every_reply(format) {
            assert_eq!(field(&reply, "Portward-Receipt"), Some(receipt.as_str()));
            assert_eq!(field(&reply, "Cache-Control"), Some("no-store"));
            assert_eq!(field(&reply, "X-Content-Type-Options"), Some("nosniff"));
            assert!(field(&reply, "Content-Type").unwrap().ends_with("; charset=utf-8"));
            assert!(body(&reply).contains(&receipt));
        }
    }
}

#[test]
fn a_page_runs_nothing_and_loads_nothing() {
    for reply in every_reply(Format::Html) {
        let policy = field(&reply, "Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"));
        let body = body(&reply);
        for outside in ["src=", "href=", "@import", "url("] {
            assert!(!body.contains(outside), "{outside}");
        }
        for tag in ["html", "head", "body", "main", "h1", "dl", "style", "title"] {
            assert_eq!(body.matches(&format!("</{tag}>")).count(), 1, "{tag}");
        }
    }
}

#[test]
fn the_block_page_tells_id_host_rule_and_what_to_do() {
    let about = About { host: Some("shop.test"), ..about(Format::Html) };
    let blocked = Block {
        status: 403,
        code: Code::Score,
        side: Side::Request,
        message: "SQL injection: UNION SELECT",
        rule: Some(120010),
    };
    let id = about.receipt;
    let page = block(&about, &blocked);
    assert_eq!(page.status, 403);
    let main =
        format!("<main id=\"portward-block\" data-receipt=\"{id}\" data-code=\"score\" data-status=\"403\">");
    let command = format!("portward explain {id}");
    for part in
        [main.as_str(), "shop.test", "SQL injection: UNION SELECT", "120010", &command, "has not received it"]
    {
        assert!(body(&page).contains(part), "{part}");
    }
    let text = block(&About { format: Format::Text, ..about }, &blocked);
    for part in ["shop.test", "SQL injection: UNION SELECT", "120010", &command] {
        assert!(body(&text).contains(part), "{part}");
    }
    let json = block(&About { format: Format::Json, ..about }, &blocked);
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["code"], "score");
    assert_eq!(problem["rule"], 120010);
    assert_eq!(problem["receipt"], id.to_string());
    assert_eq!(problem["type"], "urn:portward:score");
}

#[test]
fn a_407_challenges_with_the_realm() {
    let reply = authenticate(&about(Format::Text), "port\"ward\\\r\nX: y");
    assert_eq!(reply.status, 407);
    assert_eq!(
        field(&reply, "Proxy-Authenticate"),
        Some("Basic realm=\"port\\\"ward\\\\??X: y\", charset=\"UTF-8\"")
    );
}

#[test]
fn a_redirect_goes_to_one_clean_address() {
    let reply = redirect(&about(Format::Text), 307, "https://help.test/\r\nSet-Cookie: a=b\u{e4}");
    assert_eq!(reply.status, 307);
    assert_eq!(field(&reply, "Location"), Some("https://help.test/%0D%0ASet-Cookie:%20a=b%C3%A4"));
    assert_eq!(redirect(&about(Format::Text), 403, "/x").status, 302);
}

#[test]
fn a_503_says_when_to_come_back() {
    let reply = error(&about(Format::Json), 503, Code::AuditUnavailable, "");
    assert!(field(&reply, "Retry-After").is_some());
}
