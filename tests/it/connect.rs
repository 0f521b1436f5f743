//! Every way in leads to the origin, through the same checks; what policy does not allow leads nowhere.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Connection, Entry, NoTunnel, field, get, read_head, request, rest};
use crate::support::netns::{CLIENT, CLIENT_NET, NetLab, ORIGIN_NET, Redirect};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::split::{Cut, Split};
use crate::support::{Http, Tls, own_ip, within};

#[tokio::test(flavor = "multi_thread")]
async fn every_explicit_entry_reaches_the_origin_in_every_protocol() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut cases = 0;
    for entry in Entry::EXPLICIT {
        for http in Http::BOTH {
            for tls in Tls::BOTH {
                for port in [443, 8443] {
                    let case = format!("{entry:?} {http:?} {tls:?} {port}");
                    let client = Client::new(entry, &proxy).versions(&[tls]);
                    // The HTTPS proxy's own TLS has the same version.
                    let mut connection = client.https_on("origin.test", port, http).await.expect(&case);
                    let suffix = if port == 443 { String::new() } else { format!(":{port}") };
                    let answer =
                        connection.send(get(&format!("https://origin.test{suffix}/case/{cases}"))).await;
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, HELLO), "{case}");
                    let seen = origin.seen();
                    let last = seen.last().unwrap();
                    assert!(last.target.ends_with(&format!("/case/{cases}")), "{case}: {}", last.target);
                    assert_eq!(last.sni.as_deref(), Some("origin.test"), "{case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!((cases, origin.seen().len()), (24, 24));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_is_named_in_the_audit_record() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for (entry, name) in
        [(Entry::HttpProxy, "http_proxy"), (Entry::HttpsProxy, "https_proxy"), (Entry::Socks5, "socks5")]
    {
        Client::new(entry, &proxy).get(Http::H1, &format!("https://origin.test/{name}")).await;
        let record = proxy
            .record(name, |r| r["url"].as_str().is_some_and(|url| url.ends_with(name)) && r["status"] == 200)
            .await;
        assert_eq!(record["entry"], name, "{record}");
        assert_eq!(record["target"], "origin.test:443", "{record}");
        assert_eq!(record["verdict"], "passed", "{record}");
    }
}

async fn redirected(redirect: Redirect) {
    let net = Arc::new(NetLab::new(redirect, 8443));
    let secure = Spec::tls(&["origin.test"]).on(net.listen(443)).start().await;
    let other = Spec::tls(&["origin.test"]).on(net.listen(8443)).start().await;
    let plain = Spec::plain().on(net.listen(80)).start().await;
    let proxy = gateway(&net, redirect).await;
    for http in Http::BOTH {
        let client = Client::redirected(&proxy, &net);
        let answer = client.get(http, "https://origin.test/secure").await;
        assert_eq!(answer.text(), HELLO, "{redirect:?} {http:?}");
        let mut connection = client.https_on("origin.test", 8443, http).await.unwrap();
        assert_eq!(connection.send(get("https://origin.test:8443/other")).await.text(), HELLO);
    }
    let mut tunnel = Client::redirected(&proxy, &net).tunnel("origin.test", 80).await.unwrap();
    tunnel.write_all(b"GET /clear HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut tunnel).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(HELLO), "{answer}");
    assert_eq!((secure.seen().len(), other.seen().len(), plain.seen().len()), (2, 2, 1));
    let record =
        proxy.record("the plain request", |r| r["url"].as_str().is_some_and(|u| u.ends_with("/clear"))).await;
    assert_eq!(record["entry"], "transparent", "{record}");
    assert!(record["client"].as_str().unwrap().starts_with(CLIENT), "{record}");
}

/// Portward on the gateway of a network lab.
pub async fn gateway(net: &NetLab, redirect: Redirect) -> Proxy {
    let setup = Setup::strict()
        .behind(net.in_gateway())
        .args(["--allow-client", CLIENT_NET, "--allow-private", ORIGIN_NET])
        .args(["--resolve", "origin.test:10.200.2.2"]);
    match redirect {
        Redirect::Nat => setup.listen(&["0.0.0.0:8443"]).start().await,
        Redirect::Tproxy => setup.transparent("0.0.0.0:8443", "tproxy").start().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_redirected_by_nat_is_served_without_any_client_setting() {
    redirected(Redirect::Nat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_redirected_by_tproxy_is_served_without_any_client_setting() {
    redirected(Redirect::Tproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_redirected_connection_to_the_proxys_own_port_is_not_a_loop() {
    let net = Arc::new(NetLab::new(Redirect::Nat, 8443));
    let mut proxy = gateway(&net, Redirect::Nat).await;
    let socket = net.connect("10.200.1.1:8443".parse().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: 10.200.1.1:8443\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    let status: u16 = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
    assert!((400..=599).contains(&status), "{answer}");
    assert!(proxy.running());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_form_request_reaches_a_plain_origin_with_the_hosts_own_name() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    for entry in [Entry::HttpProxy, Entry::HttpsProxy] {
        let mut stream = Client::new(entry, &proxy).dial().await.unwrap();
        // RFC 9112 section 3.2.2: the target's authority replaces what Host says.
        stream
            .write_all(
                b"GET http://origin.test/a?b=c HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n",
            )
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(HELLO), "{entry:?}: {answer}");
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.target, "/a?b=c", "the origin is asked in origin form");
        assert_eq!(seen.headers["host"], "origin.test");
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_cut_at_any_byte_is_classified_the_same() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    let head = b"GET http://origin.test/cut HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    let mut cases = 0;
    for cut in (1..head.len()).map(Cut::At).chain([Cut::Every(head.len())]) {
        let socket = TcpStream::connect(proxy.addr()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = Split::new(socket, cut);
        stream.write_all(head).await.unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{cut:?}: {answer}");
        cases += 1;
    }
    assert_eq!((cases, origin.seen().len()), (head.len(), head.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_greeting_cut_at_any_byte_is_classified_the_same() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    let greeting = [5u8, 1, 0];
    let mut ask = vec![5, 1, 0, 3, 11];
    ask.extend(b"origin.test");
    ask.extend(80u16.to_be_bytes());
    let total = greeting.len() + ask.len();
    for cut in (1..total).map(Cut::At).chain([Cut::Every(total)]) {
        let socket = TcpStream::connect(proxy.addr()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = Split::new(socket, cut);
        stream.write_all(&greeting).await.unwrap();
        let mut chosen = [0; 2];
        within("SOCKS method", stream.read_exact(&mut chosen)).await.unwrap();
        assert_eq!(chosen, [5, 0], "{cut:?}");
        stream.write_all(&ask).await.unwrap();
        let mut reply = [0; 10];
        within("SOCKS reply", stream.read_exact(&mut reply)).await.unwrap();
        assert_eq!(reply[..2], [5, 0], "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_port_that_policy_does_not_list_is_denied() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().route("origin.test", 25, origin.addr).origin(&origin).start().await;
    for port in [22, 25, 1, 65535] {
        let denied = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", port).await.err().unwrap();
        assert_eq!(denied.status(), 403, "port {port}");
        assert!(denied.text().contains("port"), "port {port}: {}", denied.text());
        let socks = Client::new(Entry::Socks5, &proxy).tunnel("origin.test", port).await.err().unwrap();
        // RFC 1928 section 6: 2 is "connection not allowed by ruleset".
        assert!(matches!(socks, NoTunnel::Socks(2)), "port {port}: {socks:?}");
    }
    assert_eq!(origin.connections(), 0);
    let record = proxy.record("a denied port", |r| r["verdict"] == "denied").await;
    assert_eq!(record["status"], 403, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_policy_lists_is_inspected_whatever_its_number() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[policy.ports]\n4443 = \"inspect\"";
    let proxy = Setup::new().config(config).route("origin.test", 4443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut connection = client.https_on("origin.test", 4443, Http::H1).await.unwrap();
    assert_eq!(connection.send(get("https://origin.test:4443/")).await.text(), HELLO);
    let attack = "https://origin.test:4443/item?id=1%20UNION%20SELECT%20password%20FROM%20users--";
    let mut connection = client.https_on("origin.test", 4443, Http::H1).await.unwrap();
    assert_eq!(connection.send(get(attack)).await.status, 403);
    assert_eq!(origin.seen().len(), 1);
}

/// Spellings of addresses that a proxy must not be talked into (FAULTS: SSRF through CONNECT and absolute URIs).
const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[fe80::1]",
    "[fd00::1]",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0x7f.1",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "app.localhost",
    "127.0.0.1.",
];

#[tokio::test(flavor = "multi_thread")]
pub async fn private_destinations_are_denied_in_every_spelling() {
    let proxy = Setup::strict().start().await;
    for host in PRIVATE {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let refused = client.tunnel(host, 443).await.err();
        let refused = refused.unwrap_or_else(|| panic!("CONNECT {host}:443 was accepted"));
        // An address that is not spelled as one is malformed; one that is, is not allowed.
        assert!(
            matches!(refused.status(), 400 | 403),
            "CONNECT {host}:443 gave {}: {}",
            refused.status(),
            refused.text()
        );
        let mut stream = client.dial().await.unwrap();
        let ask = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        let denied = ["HTTP/1.1 400 ", "HTTP/1.1 403 "].iter().any(|start| answer.starts_with(start));
        assert!(denied, "GET http://{host}/ gave {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_name_that_resolves_to_a_private_address_is_denied_as_the_address_is() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::strict().origin(&origin).start().await;
    // A tunnel to be inspected is accepted before the name is looked up; the request is then refused.
    let status = match Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await {
        Ok(mut connection) => connection.send(get("https://origin.test/")).await.status.as_u16(),
        Err(refused) => refused.status(),
    };
    assert_eq!(status, 403);
    assert_eq!(origin.connections(), 0, "nothing was dialled");
    let record = proxy.record("the denial", |r| r["verdict"] == "denied").await;
    assert_eq!(record["reason"], "private_address", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn the_proxy_does_not_connect_to_itself() {
    let proxy = Setup::new().listen(&[&format!("{}:0", own_ip())]).start().await;
    let own = proxy.addr();
    let config = format!("[policy.ports]\n{} = \"inspect\"", own.port());
    drop(proxy);
    let proxy = Setup::new().config(&config).listen(&[&own.to_string()]).start().await;
    let mut stream = Client::new(Entry::HttpProxy, &proxy).dial().await.unwrap();
    let ask = format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    let status: u16 = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
    assert!(matches!(status, 403 | 508), "{answer}");
    let record = proxy.record("own listener", |r| r["reason"] == "own_listener").await;
    assert_eq!(record["status"], status, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_request_that_passed_here_before_is_a_loop() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for http in Http::BOTH {
        client.get(http, "https://origin.test/first").await;
        let via = origin.seen().pop().unwrap().headers["via"].to_str().unwrap().to_string();
        let again = request("GET", "https://origin.test/again", &[("via", &via)], "");
        let answer = client.send(http, "origin.test", again).await;
        assert_eq!(answer.status, 508, "{http:?}: {}", answer.text());
        // Another proxy's Via is no loop, and is kept.
        let other = request("GET", "https://origin.test/other", &[("via", "1.1 branch-office")], "");
        assert_eq!(client.send(http, "origin.test", other).await.status, 200);
        let seen = origin.seen().pop().unwrap();
        let via: Vec<&str> =
            seen.headers.get_all("via").iter().map(|value| value.to_str().unwrap()).collect();
        let via = via.join(", ");
        assert!(via.starts_with("1.1 branch-office, ") && via.matches(" portward-").count() == 1, "{via}");
    }
    assert_eq!(origin.seen().len(), 4, "the loop did not go round");
    let record = proxy.record("the loop", |r| r["reason"] == "loop").await;
    assert_eq!(record["status"], 508, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_serves_plain_http_as_well_as_tls() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    for entry in Entry::EXPLICIT {
        let tunnel = Client::new(entry, &proxy).tunnel("origin.test", 80).await.unwrap();
        let mut connection = Connection::over(tunnel, Http::H1).await;
        assert_eq!(connection.send(get("http://origin.test/inside")).await.text(), HELLO, "{entry:?}");
    }
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_of_ours_end_the_connection_and_nothing_else() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().origin(&origin).start().await;
    let cases: &[&[u8]] = &[
        b"\0",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\0",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO client.test\r\n",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n garbage",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"CONNECT HTTP/1.1\r\n\r\n",
        b"CONNECT :443 HTTP/1.1\r\nHost: :443\r\n\r\n",
        b"CONNECT origin.test HTTP/1.1\r\nHost: origin.test\r\n\r\n",
        b"CONNECT origin.test:99999 HTTP/1.1\r\nHost: origin.test:99999\r\n\r\n",
        b"CONNECT origin.test:443/ HTTP/1.1\r\nHost: origin.test:443\r\n\r\n",
        b"CONNECT user@origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n",
        b"CONNECT origin.test:443\r\nEvil: 1 HTTP/1.1\r\n\r\n",
        b"GET ftp://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
        b"GET /only-a-path HTTP/1.1\r\nHost: origin.test\r\n\r\n",
    ];
    for case in cases {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        let _ = stream.write_all(case).await;
        let _ = stream.shutdown().await;
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        let shown = String::from_utf8_lossy(case);
        assert!(!answer.contains(" 200 "), "{shown:?} got {answer}");
        // Who speaks HTTP gets an answer in HTTP.
        if case.starts_with(b"GET") || case.starts_with(b"CONNECT") {
            assert!(answer.starts_with("HTTP/1."), "{shown:?} got {answer:?}");
        }
    }
    assert_eq!(origin.connections(), 0);
    // It still works.
    assert_eq!(
        Client::new(Entry::HttpProxy, &proxy).get(Http::H2, "https://origin.test/").await.text(),
        HELLO
    );
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connect_leaves_the_connection_usable_or_closed_but_never_a_tunnel() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"CONNECT origin.test:22 HTTP/1.1\r\nHost: origin.test:22\r\n\r\n").await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert!(field(&head, "content-length").is_some() || field(&head, "connection").is_some(), "{head}");
    let _ = stream.write_all(b"SSH-2.0-client\r\n").await;
    let _ = stream.shutdown().await;
    let after = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(!after.contains("SSH-2.0-O") && origin.connections() == 0, "{after}");
}
