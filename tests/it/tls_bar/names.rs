//! T48, T49 and T60: names that a client gives, and what is not decrypted.

use tokio::io::AsyncWriteExt;

use crate::support::attack;
use crate::support::client::{Client, Connection, Entry, get, request, rest};
use crate::support::hello::{answer, client_hello, extension, server_name};
use crate::support::origin::{HELLO, Origin, Raw, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, Tls, pki, until};

use super::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = spellings();
    cases.extend(disagreements());
    cases.extend(bypassed());
    cases
}

/// Five labels, 253 octets.
fn long() -> String {
    let label = "l".repeat(61);
    let name = format!("{label}.{label}.{label}.{label}.test");
    assert_eq!(name.len(), 252);
    format!("x{name}")
}

/// T48: the one result of each spelling, when CONNECT names `target`.
fn spellings() -> Vec<Case> {
    let spelling =
        |what: &'static str, target: &'static str, sni: Option<&'static [&'static [u8]]>, expected| {
            Case::new("T48", what, expected, move || async move {
                let sni = sni.map(|names| names.iter().map(|name| name.to_vec()).collect());
                spelled(target, sni, &[]).await
            })
        };
    let mut cases = vec![
        spelling("no server name", "origin.test", None, "leaf, inspected"),
        spelling(
            "the server name is an address",
            "origin.test",
            Some(&[b"192.0.2.9"]),
            "alert 49, client_tls",
        ),
        spelling("upper case", "origin.test", Some(&[b"ORIGIN.Test"]), "leaf, inspected"),
        spelling("trailing dot", "origin.test", Some(&[b"origin.test."]), "leaf, inspected"),
        spelling("underscore", "my_origin.test", Some(&[b"my_origin.test"]), "leaf, inspected"),
        spelling("punycode", "xn--bcher-kva.test", Some(&[b"xn--bcher-kva.test"]), "leaf, inspected"),
        spelling(
            "letters outside of ASCII",
            "origin.test",
            Some(&[b"b\xc3\xbccher.test"]),
            "alert 47, client_tls",
        ),
        spelling(
            "NUL in the name",
            "origin.test",
            Some(&[b"origin.test\0.evil.test"]),
            "alert 47, client_tls",
        ),
        spelling("two names", "origin.test", Some(&[b"origin.test", b"evil.test"]), "alert 47, client_tls"),
        spelling("an empty list of names", "origin.test", Some(&[]), "alert 47, client_tls"),
        spelling("a port in the name", "origin.test", Some(&[b"origin.test:443"]), "alert 47, client_tls"),
    ];
    cases.push(Case::new("T48", "253 octets", "leaf, inspected", || async {
        let long = long();
        spelled(&long, Some(vec![long.clone().into_bytes()]), &[]).await
    }));
    cases.push(Case::new("T48", "254 octets", "alert 47, client_tls", || async {
        spelled("origin.test", Some(vec![format!("y{}", long()).into_bytes()]), &[]).await
    }));
    cases.push(Case::new("T48", "GREASE suites and extensions", "leaf, inspected", || async {
        spelled("origin.test", Some(vec![b"origin.test".to_vec()]), &[extension(0x1a1a, b"")]).await
    }));
    cases.push(Case::new("T48", "GREASE encrypted ClientHello", "leaf, inspected, ech", || async {
        // Outer, HKDF-SHA256, AES-128-GCM, a configuration's number, a share and a payload of noise.
        let noise = [&[0, 0, 1, 0, 1, 42, 0, 32][..], &[7; 32], &[0, 144], &[8; 144]].concat();
        let ech = extension(0xfe0d, &noise);
        spelled("origin.test", Some(vec![b"origin.test".to_vec()]), &[ech]).await
    }));
    cases.push(Case::new("T48", "outer name of an encrypted ClientHello", "421, ech", || async {
        let (origin, proxy) = proxy("", &["origin.test"], &[Tls::V13]).await;
        let client = Client::new(Entry::HttpProxy, &proxy).ech_grease();
        let tunnel = client.tunnel("origin.test", 443).await.unwrap();
        let stream = client.tls_over(tunnel, "outer.test", &[Http::H1]).await.unwrap();
        let answer = Connection::over(stream, Http::H1).await.send(get("https://outer.test/")).await;
        assert_eq!(origin.seen().len(), 0);
        let record = proxy.record("the refusal", |r| r["reason"] == "misdirected").await;
        assert_eq!(record["sni"], "outer.test");
        format!(
            "{}{}",
            answer.status.as_u16(),
            if record["client_leg"]["ech"] == true { ", ech" } else { "" }
        )
    }));
    cases.push(Case::new("T48", "the target's own address", "leaf, inspected", || async {
        let origin = Spec::tls(&["127.0.0.1"]).start().await;
        let port = origin.addr.port();
        let proxy = Setup::new().config(&format!("[policy.ports]\n{port} = \"inspect\"")).start().await;
        let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("127.0.0.1", port).await.unwrap();
        let said = answer(&mut tunnel, &client_hello(&[], &[server_name(&[b"127.0.0.1"])])).await;
        assert_eq!(said, "leaf for 127.0.0.1");
        "leaf, inspected".to_owned()
    }));
    cases
}

async fn proxy(config: &str, names: &[&str], tls: &[Tls]) -> (Origin, Proxy) {
    let origin = Spec::tls(names).versions(tls).start().await;
    let mut setup = Setup::new().config(config);
    for name in names {
        setup = setup.route(name, 443, origin.addr);
    }
    (origin, setup.start().await)
}

/// CONNECT, then this server name: what comes back, and the record's code when it was refused.
async fn spelled(target: &str, sni: Option<Vec<Vec<u8>>>, more: &[Vec<u8>]) -> String {
    let (origin, proxy) = proxy("", &[target], &Tls::BOTH).await;
    let mut extensions = more.to_vec();
    if let Some(names) = &sni {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        extensions.push(server_name(&names));
    }
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel(target, 443).await.unwrap();
    let said = answer(&mut tunnel, &client_hello(&[0x2a2a], &extensions)).await;
    drop(tunnel);
    assert_eq!(origin.seen().len(), 0, "no request was made");
    match said.strip_prefix("leaf for ") {
        Some(names) => {
            assert!(names.split(' ').any(|name| name == target), "{names}");
            // The origin counts a handshake a moment after we have its certificate.
            until("the origin's handshake", || (origin.handshakes() == 1).then_some(())).await;
            // The client of this test cannot finish; that is a record of its own.
            let record = proxy.record("the end", |r| r["target"] == format!("{target}:443")).await;
            let ech = if record["client_leg"]["ech"] == true { ", ech" } else { "" };
            assert!(record["client_leg"]["ja4"].as_str().is_some_and(|ja4| ja4.len() == 36), "{record}");
            format!("leaf, inspected{ech}")
        }
        None => {
            assert_eq!(origin.connections(), 0, "refused before the origin was reached");
            let record = proxy.record("the refusal", |r| r["verdict"] == "denied").await;
            format!("{said}, {}", record["reason"].as_str().unwrap_or_default())
        }
    }
}

const DENY: &str = "[[policy.deny]]\nname = \"no\"\nhosts = [\"denied.test\"]\n";
const BYPASS: &str = "[[policy.bypass]]\nname = \"pinned\"\nhosts = [\"bypassed.test\"]\nreason = \"pins\"\n";
const NAMES: [&str; 4] = ["origin.test", "second.test", "denied.test", "bypassed.test"];

/// T49: three names that disagree, by what is asked for on the connection.
async fn named(config: &str, target: &str, port: u16, sni: &str, host: &str, http: Http) -> String {
    let origin = Spec::tls(&NAMES).start().await;
    let mut setup = Setup::new().config(&format!("{config}{DENY}{BYPASS}"));
    for name in NAMES {
        setup = setup.route(name, port, origin.addr);
    }
    let proxy = setup.start().await;
    let client =
        Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()].into_iter().chain(proxy.ca()));
    let tunnel = client.tunnel(target, port).await.unwrap();
    let seen = match client.tls_over(tunnel, sni, &[http]).await {
        Err(_) => "alert".to_owned(),
        Ok(stream) => {
            let evil = request(
                "GET",
                &format!("https://{host}/item?id=1%20UNION%20SELECT%20password%20FROM%20users--"),
                &[],
                "",
            );
            Connection::over(stream, http).await.send(evil).await.status.as_u16().to_string()
        }
    };
    assert_eq!(origin.seen().len(), 0, "nothing arrived");
    if seen == "alert" {
        // Not even the handshake: it was refused before the origin had a byte of it.
        assert_eq!(origin.handshakes(), 0);
    }
    let record =
        proxy.record("the refusal", |r| matches!(r["verdict"].as_str(), Some("denied" | "blocked"))).await;
    if record["reason"] == "host_denied" {
        assert_eq!(record["policy_rule"], "no", "{record}");
    }
    format!("{seen} {}", record["reason"].as_str().unwrap_or_default())
}

fn disagreements() -> Vec<Case> {
    let case = |what: &'static str, names: [&'static str; 3], expected| {
        Case::new("T49", what, expected, move || async move {
            let [target, sni, host] = names;
            let mut seen: Vec<String> = Vec::new();
            for http in Http::BOTH {
                seen.push(named("", target, 443, sni, host, http).await);
            }
            seen.dedup();
            seen.join(" | ")
        })
    };
    vec![
        case("SNI is not the target", ["origin.test", "second.test", "second.test"], "421 misdirected"),
        case("Host is not the target", ["origin.test", "origin.test", "second.test"], "421 misdirected"),
        case(
            "denied SNI on an allowed target",
            ["origin.test", "denied.test", "denied.test"],
            "403 host_denied",
        ),
        case(
            "denied Host on an allowed target",
            ["origin.test", "origin.test", "denied.test"],
            "403 host_denied",
        ),
        case(
            "bypassed SNI on an inspected target",
            ["origin.test", "bypassed.test", "bypassed.test"],
            "421 misdirected",
        ),
        case(
            "bypassed Host on an inspected target",
            ["origin.test", "origin.test", "bypassed.test"],
            "421 misdirected",
        ),
        case(
            "denied SNI on a bypassed target",
            ["bypassed.test", "denied.test", "denied.test"],
            "alert host_denied",
        ),
        case(
            "another SNI on a bypassed target",
            ["bypassed.test", "second.test", "second.test"],
            "alert misdirected",
        ),
        Case::new("T49", "fronting allowed, SNI not bypassed: inspected", "403 score", || async {
            let config = "[policy]\nfronting = \"allow\"\n";
            named(config, "bypassed.test", 443, "second.test", "bypassed.test", Http::H1).await
        }),
        Case::new("T49", "denied SNI through a port in tunnel mode", "alert host_denied", || async {
            named(
                "[policy.ports]\n9443 = \"tunnel\"\n",
                "origin.test",
                9443,
                "denied.test",
                "denied.test",
                Http::H1,
            )
            .await
        }),
    ]
}

/// T60: what a bypassed tunnel shows, to the client and in its record.
fn bypassed() -> Vec<Case> {
    vec![
        Case::new("T60", "bypassed host", "origin's chain, bypassed by pinned", || async {
            let chain = pki::lab().good(&["bypassed.test"]);
            let expected = chain.certs.clone();
            let origin = Spec::chain(chain).start().await;
            let proxy = Setup::new().config(BYPASS).route("bypassed.test", 443, origin.addr).start().await;
            for entry in Entry::EXPLICIT {
                for tls in Tls::BOTH {
                    let client = Client::new(entry, &proxy)
                        .versions(&[tls])
                        .trusting([pki::lab().root_der()].into_iter().chain(proxy.ca()));
                    let stream = client.tls("bypassed.test", 443, &[Http::H1]).await.unwrap();
                    assert_eq!(
                        stream.get_ref().1.peer_certificates().unwrap(),
                        expected,
                        "{entry:?} {tls:?}"
                    );
                    let said =
                        Connection::over(stream, Http::H1).await.send(get("https://bypassed.test/")).await;
                    assert_eq!(said.text(), HELLO);
                }
            }
            let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
            assert_eq!(record["sni"], "bypassed.test", "{record}");
            assert!(record["client_leg"]["ja4"].as_str().is_some(), "{record}");
            format!("origin's chain, bypassed by {}", record["policy_rule"].as_str().unwrap_or_default())
        }),
        Case::new("T60", "every byte of a bypassed tunnel, in any cut", "exact both ways", || async {
            let origin = Raw::plain(|mut wire, _| async move {
                let Some(mut all) = wire.read().await else { return };
                while all.len() < 2000 {
                    let Some(more) = wire.read().await else { return };
                    all.extend(more);
                }
                all.reverse();
                wire.write(all).await;
                wire.shutdown().await;
            })
            .await;
            let proxy = Setup::new().config(BYPASS).route("bypassed.test", 443, origin.addr).start().await;
            let mut sent =
                client_hello(&[], &[server_name(&[b"bypassed.test"]), extension(0xabcd, &[5; 700])]);
            sent.resize(2000, 0x55);
            for cut in [1, 5, 6, 100, 800, 1999] {
                let mut tunnel =
                    Client::new(Entry::HttpProxy, &proxy).tunnel("bypassed.test", 443).await.unwrap();
                tunnel.write_all(&sent[..cut]).await.unwrap();
                tunnel.flush().await.unwrap();
                tokio::task::yield_now().await;
                tunnel.write_all(&sent[cut..]).await.unwrap();
                let back: Vec<u8> = rest(&mut tunnel).await.into_iter().rev().collect();
                assert_eq!(back, sent, "cut at {cut}");
            }
            assert!(origin.received().iter().all(|received| *received == sent));
            "exact both ways".to_owned()
        }),
        Case::new("T60", "a name that is none in a bypassed tunnel", "alert 49, no byte arrives", || async {
            let origin = Raw::plain(|mut wire, _| async move { wire.drained().await }).await;
            let proxy = Setup::new().config(BYPASS).route("bypassed.test", 443, origin.addr).start().await;
            for names in [&[&b"bypassed.test\0x"[..]][..], &[b"bypassed.test", b"evil.test"]] {
                let mut tunnel =
                    Client::new(Entry::HttpProxy, &proxy).tunnel("bypassed.test", 443).await.unwrap();
                assert_eq!(answer(&mut tunnel, &client_hello(&[], &[server_name(names)])).await, "alert 49");
            }
            assert!(origin.received().concat().is_empty());
            "alert 49, no byte arrives".to_owned()
        }),
        Case::new("T60", "no rule for the host, with a list of allowed hosts", "403 host_denied", || async {
            let config = "[[policy.allow]]\nname = \"ours\"\nhosts = [\"ours.test\"]";
            let (origin, proxy) = proxy(config, &["origin.test"], &Tls::BOTH).await;
            let refused =
                Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.err().unwrap();
            assert_eq!(origin.connections(), 0);
            let record = proxy.record("the refusal", |r| r["verdict"] == "denied").await;
            format!("{} {}", refused.status(), record["reason"].as_str().unwrap_or_default())
        }),
        checked(
            "certificate for the name, TLS 1.2",
            Tls::V12,
            "bypassed.test",
            "record",
            "200 bypassed match",
        ),
        checked(
            "certificate for another name, TLS 1.2",
            Tls::V12,
            "other.test",
            "record",
            "200 bypassed mismatch",
        ),
        checked("the same, to be closed", Tls::V12, "other.test", "close", "closed denied mismatch"),
        checked(
            "certificate for another name, TLS 1.3",
            Tls::V13,
            "other.test",
            "close",
            "200 bypassed hidden",
        ),
    ]
}

/// A bypassed tunnel to an origin whose certificate is for `name`.
fn checked(
    what: &'static str,
    tls: Tls,
    name: &'static str,
    policy: &'static str,
    expected: &'static str,
) -> Case {
    Case::new("T60", what, expected, move || async move {
        let origin = Spec::tls(&[name]).versions(&[tls]).start().await;
        let config = format!("[policy]\ntunnel_name_mismatch = \"{policy}\"\n{BYPASS}");
        let proxy = Setup::new().config(&config).route("bypassed.test", 443, origin.addr).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()]).careless();
        let seen = match client.tls("bypassed.test", 443, &[Http::H1]).await {
            Err(_) => "closed".to_owned(),
            Ok(stream) => {
                let mut connection = Connection::over(stream, Http::H1).await;
                connection.send(get("https://bypassed.test/")).await.status.as_u16().to_string()
            }
        };
        let record = proxy.record("the tunnel", |r| r["target"] == "bypassed.test:443").await;
        if seen == "closed" {
            assert_eq!(record["reason"], "name_mismatch", "{record}");
            assert_eq!(origin.handshakes(), 0, "the handshake was not finished");
        }
        format!(
            "{seen} {} {}",
            record["verdict"].as_str().unwrap_or_default(),
            record["origin_leg"]["name_check"].as_str().unwrap_or_default()
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_and_dates_decide_what_is_bypassed() {
    let origin = Spec::tls(&["bank.test", "www.credit.test", "ended.test", "denied.test"]).start().await;
    let config = "[[policy.category]]\nname = \"money\"\nfiles = [\"lists/money.txt\"]\n\
        [[policy.category]]\nname = \"bad\"\nfiles = [\"lists/bad.txt\"]\n\
        [[policy.deny]]\nname = \"bad places\"\ncategories = [\"bad\"]\n\
        [[policy.bypass]]\nname = \"privacy\"\ncategories = [\"money\"]\n\
        [[policy.bypass]]\nname = \"ended\"\nhosts = [\"ended.test\"]\nexpires = 2020-02-29\n";
    let mut setup = Setup::new().config(config);
    std::fs::create_dir(setup.dir().join("lists")).unwrap();
    setup = setup
        .file("lists/money.txt", "# of staff\nbank.test\n.credit.test\n")
        .file("lists/bad.txt", "denied.test\n");
    for name in ["bank.test", "www.credit.test", "ended.test", "denied.test"] {
        setup = setup.route(name, 443, origin.addr);
    }
    let proxy = setup.start().await;
    let lab = Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()]);
    for name in ["bank.test", "www.credit.test"] {
        assert_eq!(lab.get(Http::H1, &format!("https://{name}/")).await.text(), HELLO, "{name}");
    }
    let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
    assert_eq!(record["policy_rule"], "privacy", "{record}");
    // An ended rule holds no longer, and the log says so.
    let client = Client::new(Entry::HttpProxy, &proxy);
    attack::blocked(
        "ended",
        &client.send(Http::H1, "ended.test", attack::query().request("ended.test")).await,
    );
    proxy.stderr.line("the warning", |line| line.contains("expired") && line.contains("ended")).await;
    assert_eq!(client.tunnel("denied.test", 443).await.err().unwrap().status(), 403);
    // A list is read again when it changes.
    std::fs::write(proxy.dir().join("lists/money.txt"), "ended.test\n").unwrap();
    proxy.stderr.line("the reload", |line| line.contains("reloaded")).await;
    assert_eq!(lab.get(Http::H1, "https://ended.test/").await.text(), HELLO);
}

#[test]
fn a_bypass_rule_that_cannot_hold_is_a_configuration_error() {
    let category = "[[policy.category]]\nname = \"a\"\nfiles = [\"list.txt\"]\n";
    let cases = [
        ("[[policy.bypass]]\nname = \"x\"\ncategories = [\"nothing\"]\n", "names the category `nothing`"),
        ("[[policy.deny]]\nname = \"x\"\nhosts = [\"a.test\"]\nexpires = 2030-01-01\n", "has `expires`"),
        (
            "[[policy.bypass]]\nname = \"x\"\nhosts = [\"a.test\"]\nexpires = 2030-01-01T10:00:00\n",
            "is no moment",
        ),
        (category, "line 2: \"https://a.test/\" is no host"),
        ("[[policy.category]]\nname = \"a\"\nfiles = [\"none.txt\"]\n", "none.txt: cannot be read"),
    ];
    for (config, problem) in cases {
        let refused = Setup::new().config(config).file("list.txt", "a.test\nhttps://a.test/\n").refused();
        assert_eq!(refused.code, Some(2), "{config}");
        assert!(refused.stderr.contains(problem), "{config}: {}", refused.stderr);
    }
}
