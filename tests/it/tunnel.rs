//! What is not decrypted is relayed byte for byte, for a stated reason, and only when policy says so.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Connection, Entry, get, rest};
use crate::support::origin::{HELLO, Raw, Spec};
use crate::support::proxy::Setup;
use crate::support::{Closed, Http, pki, until, within};

const BYPASS: &str =
    "[[policy.bypass]]\nname = \"pinned\"\nhosts = [\"origin.test\"]\nreason = \"pins its certificate\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_bypassed_host_shows_the_client_its_own_certificate() {
    let chain = pki::lab().good(&["origin.test"]);
    let expected = chain.certs.clone();
    let origin = Spec::chain(chain).start().await;
    let proxy = Setup::new().config(BYPASS).origin(&origin).start().await;
    for entry in Entry::EXPLICIT {
        let client =
            Client::new(entry, &proxy).trusting([pki::lab().root_der()].into_iter().chain(proxy.ca()));
        for http in Http::BOTH {
            let stream = client.tls("origin.test", 443, &[http]).await.unwrap();
            let shown = stream.get_ref().1.peer_certificates().unwrap().to_vec();
            assert_eq!(shown, expected, "{entry:?} {http:?}: byte for byte");
            let answer = Connection::over(stream, http).await.send(get("https://origin.test/opaque")).await;
            assert_eq!(answer.text(), HELLO);
        }
    }
    assert_eq!(origin.seen().len(), 6);
    let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
    assert_eq!(record["kind"], "tunnel", "{record}");
    assert!(record["sentence"].to_string().contains("pinned"), "the record names the rule: {record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_still_inspected_beside_a_bypassed_one() {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().config(BYPASS).route("second.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let attack = "https://second.test/item?id=1%20UNION%20SELECT%20password%20FROM%20users--";
    assert_eq!(client.get(Http::H1, attack).await.status, 403);
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_cannot_be_inspected_is_refused_by_default_and_relayed_when_policy_says_so() {
    let origin = Raw::plain(|mut wire, _| async move {
        if let Some(first) = wire.exactly(18).await {
            wire.write([b"echo ".as_slice(), &first].concat()).await;
        }
        wire.drained().await;
    })
    .await;
    for (config, relayed) in [("", false), ("[policy.fail]\nnot_http = \"tunnel\"", true)] {
        let proxy = Setup::new().config(config).raw(&origin).start().await;
        let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
        tunnel.write_all(b"\x00\x01binary protocol\n").await.unwrap();
        if relayed {
            let mut answer = [0; 23];
            within("the origin's answer", tunnel.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"echo \x00\x01binary protocol\n");
            drop(tunnel);
            let record = proxy.record("the tunnel", |r| r["verdict"] == "tunnelled").await;
            assert_eq!(record["reason"], "not_http", "{record}");
            assert_eq!(record["bytes_from_client"], 18, "{record}");
        } else {
            let answer = rest(&mut tunnel).await;
            assert!(!answer.starts_with(b"echo"), "{answer:?}");
            assert_eq!(origin.connections(), 0, "refused before the origin was asked");
            let record = proxy.record("the denial", |r| r["verdict"] == "denied").await;
            assert_eq!(record["reason"], "not_http", "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_silent_tunnel_is_ended_by_its_own_time_limit() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\ntunnel_first_byte = \"300ms\"").origin(&origin).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    assert_eq!(rest(&mut tunnel).await, b"", "closed without a byte");
    let record = proxy.record("the silence", |r| r["reason"] == "silent").await;
    assert_eq!(record["target"], "origin.test:443", "{record}");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_tunnels_client_may_close_its_half_and_still_get_everything() {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.drained().await;
        wire.write(b"all of the answer, after the end of the question").await;
        wire.shutdown().await;
    })
    .await;
    let proxy = Setup::new().config("[policy.fail]\nnot_http = \"tunnel\"").raw(&origin).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(b"\x00question").await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(rest(&mut tunnel).await, b"all of the answer, after the end of the question");
    assert_eq!(origin.received(), [b"\x00question"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_end_behind_a_bypass_is_told_before_the_tunnel_is_promised() {
    let closed = Closed::new();
    let proxy = Setup::new().config(BYPASS).route("origin.test", 443, closed.addr).start().await;
    let refused = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.err().unwrap();
    assert_eq!(refused.status(), 502, "{}", refused.text());
    let record = proxy.record("the dead end", |r| r["reason"] == "origin_refused").await;
    assert_eq!(record["status"], 502, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_heard_in_a_tunnel() {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.write(b"220 mail.test ready\r\n").await;
        while let Some(said) = wire.read().await {
            wire.write([b"250 ", said.as_slice()].concat()).await;
        }
    })
    .await;
    let config = "[policy.ports]\n2525 = \"tunnel\"";
    let proxy = Setup::new().config(config).route("mail.test", 2525, origin.addr).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("mail.test", 2525).await.unwrap();
    let mut greeting = [0; 21];
    within("the greeting", tunnel.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"220 mail.test ready\r\n");
    // One byte that could begin anything, then the rest.
    for said in [&b"E"[..], b"HLO client\r\n", b"\x16 no TLS any more"] {
        tunnel.write_all(said).await.unwrap();
        let mut back = vec![0; said.len() + 4];
        within("the echo", tunnel.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, [b"250 ", said].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_that_is_never_finished_does_not_reach_a_bypassed_origin() {
    let origin = Raw::plain(|mut wire, _| async move { wire.drained().await }).await;
    let config = format!("[limits]\nhandshake_time = \"300ms\"\n{BYPASS}");
    let proxy = Setup::new().config(&config).raw(&origin).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    rest(&mut tunnel).await;
    let record = proxy.record("the slow client", |r| r["reason"] == "client_tls").await;
    assert!(record["sentence"].to_string().contains("not whole"), "{record}");
    assert!(origin.received().concat().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_we_do_not_speak_goes_through_a_bypassed_tunnel() {
    let origin = Raw::plain(|mut wire, _| async move {
        if let Some(hello) = wire.tls_record().await {
            wire.write([b"echo ", hello.as_slice()].concat()).await;
        }
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().config(BYPASS).raw(&origin).start().await;
    // TLS 1.0, RC4 and 3DES, the server's name: the remedy for an origin that is stuck there.
    let mut hello = vec![3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0, 5, 0, 10, 1, 0]);
    let name = crate::support::hello::server_name(&[b"origin.test"]);
    hello.extend((name.len() as u16).to_be_bytes());
    hello.extend(&name);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(&hello);
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(&record).await.unwrap();
    let mut back = vec![0; record.len() + 5];
    within("the origin's answer", tunnel.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, [b"echo ", record.as_slice()].concat());
    drop(tunnel);
    let audited = proxy.record("the tunnel", |r| r["verdict"] == "bypassed").await;
    assert!(audited["client_leg"]["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t10d02")), "{audited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_on_the_bypass_list_holds_for_names_that_lead_there() {
    let chain = pki::lab().good(&["plc.test"]);
    let expected = chain.certs.clone();
    let origin = Spec::chain(chain).start().await;
    let port = origin.addr.port();
    let config = format!(
        "[policy.ports]\n{port} = \"inspect\"\n[[policy.bypass]]\nname = \"plant\"\nhosts = [\"127.0.0.0/30\"]"
    );
    let proxy = Setup::new().config(&config).arg("--resolve").arg("plc.test:127.0.0.1").start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()]);
    let stream = client.tls("plc.test", port, &[Http::H1]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), expected);
    drop(stream);
    let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
    assert_eq!((&record["policy_rule"], &record["sni"]), (&"plant".into(), &"plc.test".into()), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypass_by_address_keeps_to_the_port_that_is_dialled_for_the_name() {
    let chain = pki::lab().good(&["plc.test"]);
    let expected = chain.certs.clone();
    let origin = Spec::chain(chain).start().await;
    let config = "[[policy.bypass]]\nname = \"plant\"\nhosts = [\"127.0.0.0/30\"]";
    let proxy = Setup::new().config(config).route("plc.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()]);
    let stream = client.tls("plc.test", 443, &[Http::H1]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypass_by_address_tries_every_address_that_was_judged() {
    let chain = pki::lab().good(&["plc.test"]);
    let expected = chain.certs.clone();
    let origin = Spec::chain(chain).start().await;
    let port = origin.addr.port();
    let config = format!(
        "[policy.ports]\n{port} = \"inspect\"\n\
         [[policy.bypass]]\nname = \"plant\"\nhosts = [\"127.0.0.0/30\", \"::1\"]"
    );
    // Nothing listens at the first.
    let proxy = Setup::new().config(&config).args(["--allow-private", "::1/128"]);
    let proxy = proxy.args(["--resolve", "plc.test:[::1]", "--resolve", "plc.test:127.0.0.1"]).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([pki::lab().root_der()]);
    let stream = client.tls("plc.test", port, &[Http::H1]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), expected);
    drop(stream);
    let record = proxy.record("the bypass", |r| r["verdict"] == "bypassed").await;
    assert_eq!(record["policy_rule"], "plant", "{record}");
}

/// Clients that say nothing for this long are relayed.
const SILENT: &str = "[policy.fail]\nsilent_tunnel = \"tunnel\"\n[limits]\ntunnel_first_byte = \"300ms\"";
const ATTACK: &str = "/item?id=1%20UNION%20SELECT%20password%20FROM%20users--";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_and_begins_then_is_inspected_all_the_same() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config(SILENT).origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    // TLS, and HTTP in plain.
    let tunnel = client.tunnel("origin.test", 443).await.unwrap();
    until("the silence to be relayed", || (origin.connections() == 1).then_some(())).await;
    // The client trusts our CA alone: whoever shows another certificate is refused.
    let stream = client.tls_over(tunnel, "origin.test", &[Http::H1]).await.unwrap();
    let mut connection = Connection::over(stream, Http::H1).await;
    let honest = connection.send(get("https://origin.test/honest")).await;
    assert_eq!(honest.text(), HELLO);
    assert_eq!(connection.send(get(&format!("https://origin.test{ATTACK}"))).await.status, 403);
    let seen = origin.connections();
    let mut plain = client.tunnel("origin.test", 443).await.unwrap();
    until("the silence to be relayed", || (origin.connections() == seen + 1).then_some(())).await;
    plain.write_all(format!("GET {ATTACK} HTTP/1.1\r\nHost: origin.test\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    within("the refusal", plain.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 403");
    assert_eq!(origin.only().target, "/honest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_for_servers_that_speak_first_and_not_for_tls_behind_them() {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.write(b"220 mail.test ready\r\n").await;
        while let Some(said) = wire.read().await {
            wire.write([b"250 ", said.as_slice()].concat()).await;
        }
    })
    .await;
    let proxy = Setup::new().config(SILENT).raw(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut greeting = [0; 21];
    let mut mail = client.tunnel("origin.test", 443).await.unwrap();
    within("the greeting", mail.read_exact(&mut greeting)).await.unwrap();
    mail.write_all(b"EHLO client\r\n").await.unwrap();
    let mut back = [0; 17];
    within("the answer", mail.read_exact(&mut back)).await.unwrap();
    assert_eq!((&greeting, &back), (b"220 mail.test ready\r\n", b"250 EHLO client\r\n"));
    let mut late = client.tunnel("origin.test", 443).await.unwrap();
    within("the greeting", late.read_exact(&mut greeting)).await.unwrap();
    assert!(client.tls_over(late, "origin.test", &[Http::H1]).await.is_err());
    let record = proxy.record("the refusal", |r| r["verdict"] == "denied").await;
    assert_eq!(record["reason"], "not_http", "{record}");
    assert!(record["sentence"].to_string().contains("after the origin spoke"), "{record}");
    assert_eq!(origin.received()[1], b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_client_hello_and_a_malformed_one_do_not_reach_a_bypassed_origin() {
    let origin = Raw::plain(|mut wire, _| async move { wire.drained().await }).await;
    let proxy = Setup::new().config(BYPASS).raw(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for (case, bytes, end, sentence) in [
        ("half", &b"\x16\x03\x01\x02\x00\x01"[..], true, "ends in the middle"),
        ("no ClientHello", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", false, "no ClientHello"),
    ] {
        let mut tunnel = client.tunnel("origin.test", 443).await.unwrap();
        tunnel.write_all(bytes).await.unwrap();
        if end {
            tunnel.shutdown().await.unwrap();
        }
        assert_eq!(rest(&mut tunnel).await, [21, 3, 3, 0, 2, 2, 50], "{case}: decode_error");
        let record = proxy.record(case, |r| r["sentence"].to_string().contains(sentence)).await;
        assert_eq!(
            (&record["reason"], &record["verdict"]),
            (&"client_tls".into(), &"failed".into()),
            "{record}"
        );
    }
    assert!(origin.received().concat().is_empty());
}
