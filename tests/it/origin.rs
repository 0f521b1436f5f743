//! The origin is verified before anything is sent to it, and whatever is wrong with it becomes one clear answer.

use crate::support::client::{Client, Entry, get, request};
use crate::support::dns::{Dns, Reply};
use crate::support::origin::{HELLO, Raw, Spec};
use crate::support::peer;
use crate::support::pki::{self, Leaf};
use crate::support::proxy::Setup;
use crate::support::{Closed, Http};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_is_a_502_that_names_its_fault_and_the_origin_sees_no_request() {
    let cases = [
        (Leaf::Expired, "cert_expired"),
        (Leaf::NotYetValid, "cert_not_yet_valid"),
        (Leaf::OtherName, "name_mismatch"),
        (Leaf::CommonNameOnly, "name_mismatch"),
        (Leaf::SelfSigned, "self_signed"),
        (Leaf::UnknownIssuer, "unknown_issuer"),
        (Leaf::IntermediateMissing, "chain_incomplete"),
        (Leaf::ClientAuthOnly, "wrong_purpose"),
        (Leaf::IsACa, "bad_certificate"),
    ];
    let mut done = 0;
    for (flaw, code) in cases {
        let origin = Spec::chain(pki::lab().leaf(&["origin.test"], flaw)).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for http in Http::BOTH {
            let client = Client::new(Entry::HttpProxy, &proxy);
            let secret = request(
                "POST",
                "https://origin.test/secret",
                &[("authorization", "Bearer s3cret")],
                "canary",
            );
            let answer = client.send(http, "origin.test", secret).await;
            let case = format!("{flaw:?} {http:?}");
            assert_eq!(answer.status, 502, "{case}: {}", answer.text());
            assert!(answer.text().contains("certificate"), "{case}: {}", answer.text());
            assert!(answer.text().contains("origin.test"), "{case}: {}", answer.text());
            done += 1;
        }
        let record = proxy.record(code, |r| r["reason"] == code).await;
        assert_eq!(record["status"], 502, "{record}");
        assert_eq!(record["verdict"], "failed", "{record}");
        assert_eq!(origin.seen().len(), 0, "{flaw:?}: no request left");
    }
    assert_eq!(done, 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_labs_authority_is_trusted_only_when_it_was_given() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().public_roots().origin(&origin).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H2, "https://origin.test/").await;
    assert_eq!(answer.status, 502);
    let record = proxy.record("the refusal", |r| r["status"] == 502).await;
    assert_eq!(record["reason"], "unknown_issuer", "{record}");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_origin_that_shows_our_own_ca_is_a_loop_even_when_that_ca_is_trusted() {
    let far = Spec::tls(&["origin.test"]).start().await;
    let second = Setup::new().origin(&far).start().await;
    let roots = second.ca_pem().display().to_string();
    // The second proxy speaks TLS to its clients with a certificate of the CA that both use.
    let first = Setup::new().public_roots().ca(second.ca_dir()).args(["--origin-ca", &roots]).route(
        "localhost.test",
        443,
        second.addr(),
    );
    let first = first.start().await;
    let client = Client::new(Entry::HttpProxy, &first).trusting(second.ca());
    let answer = client.get(Http::H1, "https://localhost.test/").await;
    assert!(matches!(answer.status.as_u16(), 502 | 508), "{}", answer.text());
    first.record("the loop", |r| r["reason"] == "own_ca_loop").await;
    assert_eq!(far.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_closed_port_is_a_502_at_once() {
    let closed = Closed::new();
    let proxy = Setup::new().route("origin.test", 443, closed.addr).start().await;
    for http in Http::BOTH {
        let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
        assert_eq!(answer.status, 502, "{http:?}: {}", answer.text());
        assert!(answer.text().contains("refused"), "{}", answer.text());
    }
    let record = proxy.record("the dead origin", |r| r["reason"] == "origin_refused").await;
    assert_eq!(record["status"], 502, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_name_that_cannot_be_resolved_says_whether_it_does_not_exist_or_was_not_answered() {
    let dns = Dns::start(|name| match name {
        "missing.test" => Reply::NoSuchName,
        "broken.test" => Reply::Failure,
        "silent.test" => Reply::Silence,
        "inside.test" => Reply::Addresses(vec![[10, 9, 8, 7].into()]),
        _ => Reply::NoSuchName,
    })
    .await;
    let setup = Setup::strict().config("[limits]\nresolve_time = \"5s\"");
    let words = dns.behind(setup.dir());
    let proxy = setup.behind(words).start().await;
    let cases = [
        ("missing.test", 502, "dns_nxdomain"),
        ("broken.test", 504, "dns_timeout"),
        ("silent.test", 504, "dns_timeout"),
        ("inside.test", 403, "private_address"),
    ];
    for (host, status, code) in cases {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let got = match client.https(host, Http::H1).await {
            Ok(mut connection) => connection.send(get(&format!("https://{host}/"))).await.status.as_u16(),
            Err(refused) => refused.status(),
        };
        assert_eq!(got, status, "{host}");
        proxy
            .record(code, |r| {
                r["reason"] == code && r["target"].as_str().is_some_and(|t| t.starts_with(host))
            })
            .await;
    }
    assert!(dns.asked().iter().any(|name| name == "missing.test"));
}

#[tokio::test(flavor = "multi_thread")]
pub async fn the_address_that_was_checked_is_the_address_that_is_dialled() {
    // A rebinding name: first a public address, then loopback.
    let origin = Spec::tls(&["rebind.test"]).start().await;
    let config =
        format!("[policy.ports]\n{} = \"inspect\"\n[limits]\nconnect_time = \"500ms\"", origin.addr.port());
    let dns = Dns::start(|_| Reply::Addresses(vec![[192, 0, 2, 1].into(), [127, 0, 0, 1].into()])).await;
    let setup = Setup::strict().config(&config);
    let words = dns.behind(setup.dir());
    let proxy = setup.behind(words).start().await;
    let port = origin.addr.port();
    let client = Client::new(Entry::HttpProxy, &proxy);
    for turn in 0..3 {
        let status = match client.https_on("rebind.test", port, Http::H1).await {
            Ok(mut connection) => {
                connection.send(get(&format!("https://rebind.test:{port}/{turn}"))).await.status.as_u16()
            }
            Err(refused) => refused.status(),
        };
        assert!(matches!(status, 403 | 502 | 504), "turn {turn}: {status}");
    }
    assert_eq!(origin.connections(), 0, "loopback was never dialled");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_answer_that_is_not_http_is_a_502_and_its_connection_is_not_used_again() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(5000));
    let cases: Vec<(&str, String)> = vec![
        ("garbage", "\u{1}\u{2}\u{3} nothing of the kind\r\n\r\n".into()),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n".into()),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde".into()),
        ("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde".into()),
        ("a bad status", "HTTP/1.1 2x0 OK\r\n\r\n".into()),
        ("a null in a field", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n".into()),
        ("a head of a megabyte", long),
        ("too many fields", many),
        ("nothing", String::new()),
    ];
    for (case, bytes) in cases {
        let origin = Raw::tls("origin.test", move |mut wire, _| {
            let bytes = bytes.clone();
            async move {
                if wire.head().await.is_some() {
                    wire.write(&bytes).await;
                }
                wire.shutdown().await;
                wire.drained().await;
            }
        })
        .await;
        let proxy = Setup::new().raw(&origin).start().await;
        for http in Http::BOTH {
            let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
            assert_eq!(answer.status, 502, "{case} {http:?}: {}", answer.text());
        }
        proxy
            .record(case, |r| {
                r["status"] == 502 && r["reason"].as_str().is_some_and(|c| c.starts_with("origin_"))
            })
            .await;
        for received in origin.received() {
            let asked = String::from_utf8_lossy(&received).matches("GET / HTTP/1.1").count();
            assert!(asked <= 1, "{case}: a broken connection was used again");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_answer_that_breaks_off_never_looks_complete() {
    let cases: [(&str, &str); 2] = [
        (
            "length",
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nhalf",
        ),
        (
            "chunked",
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
    ];
    for (case, bytes) in cases {
        let origin = Raw::tls("origin.test", move |mut wire, _| async move {
            if wire.head().await.is_some() {
                wire.write(bytes).await;
            }
            wire.shutdown().await;
            wire.drained().await;
        })
        .await;
        let proxy = Setup::new().raw(&origin).start().await;
        for http in Http::BOTH {
            let client = Client::new(Entry::HttpProxy, &proxy);
            let mut connection = client.https("origin.test", http).await.unwrap();
            match connection.try_send(get("https://origin.test/")).await {
                // A proxy that still holds the body may say so outright.
                Ok(answer) => assert_eq!(answer.status, 502, "{case} {http:?} looked complete: {answer:?}"),
                Err(error) => assert!(!error.is_timeout(), "{case} {http:?}: {error}"),
            }
        }
        proxy.record(case, |r| r["reason"] == "origin_closed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_origin_that_does_not_answer_in_time_is_a_504() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nfirst_byte_time = \"400ms\"").origin(&origin).start().await;
    for http in Http::BOTH {
        let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/held").await;
        assert_eq!(answer.status, 504, "{http:?}: {}", answer.text());
    }
    proxy.record("the timeout", |r| r["reason"] == "origin_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_request_with_effects_is_sent_once_however_the_origin_fails() {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        wire.head().await;
        wire.shutdown().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let answer = client
            .send(http, "origin.test", request("POST", "https://origin.test/pay", &[], "amount=1"))
            .await;
        assert_eq!(answer.status, 502, "{http:?}");
    }
    let asked: usize = origin
        .received()
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes).matches("POST /pay").count())
        .sum();
    assert_eq!(asked, 2, "each was sent exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_the_origin_closed_costs_the_client_nothing() {
    // Every connection answers one request and closes, without saying so.
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        if wire.head().await.is_some() {
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
        wire.shutdown().await;
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut connection = client.https("origin.test", Http::H1).await.unwrap();
    for turn in 0..20 {
        let answer = connection.send(get("https://origin.test/")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "turn {turn}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_origin_are_kept_and_used_again() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        for turn in 0..10 {
            assert_eq!(client.get(Http::H1, &format!("https://origin.test/{turn}")).await.text(), HELLO);
        }
        assert_eq!(origin.seen().len(), 10);
        assert!(origin.seen().iter().all(|seen| seen.connection <= 3), "{:?}", origin.seen());
        assert!(
            origin.handshakes() <= 3,
            "{origin_http:?}: {} handshakes for 10 requests",
            origin.handshakes()
        );
        let record =
            proxy.record("a request on a kept connection", |r| r["origin_leg"]["pooled"] == true).await;
        assert_eq!(record["status"], 200, "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_of_the_nineties_is_refused_as_outdated() {
    let chain = pki::lab().good(&["origin.test"]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chain.pem"), chain.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), chain.key_pem()).unwrap();
    for old in ["-tls1", "-tls1_1"] {
        let mut server = peer::command("openssl");
        server.arg("s_server").current_dir(dir.path());
        server.args(["-cert", "chain.pem", "-key", "key.pem", "-www", old, "-cipher", "ALL:@SECLEVEL=0"]);
        let (_server, addr) = peer::s_server(server).await;
        let proxy = Setup::new().route("origin.test", 443, addr).start().await;
        let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
        assert_eq!(answer.status, 502, "{old}: {}", answer.text());
        proxy.record(old, |r| r["reason"] == "legacy_tls").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_does_not_speak_tls_is_told_apart_from_one_that_is_down() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().route("origin.test", 443, origin.addr).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    proxy.record("not TLS", |r| r["reason"] == "tls_failed").await;
    assert_eq!(origin.seen().len(), 0);
}
