//! TLS ends here and begins again: what the client gets is as strong as what the origin gave, and every byte that
//! could hide a handshake is looked at.

use std::collections::BTreeSet;

use rustls::NamedGroup;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::support::attack;
use crate::support::client::{Client, Connection, Entry, get, rest};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::Setup;
use crate::support::split::Cut;
use crate::support::{Http, Tls, within};

#[tokio::test(flavor = "multi_thread")]
async fn any_protocol_on_one_leg_meets_any_protocol_on_the_other() {
    let mut cases = 0;
    for origin_http in Http::BOTH {
        for origin_tls in Tls::BOTH {
            let origin =
                Spec::tls(&["origin.test"]).http(&[origin_http]).versions(&[origin_tls]).start().await;
            let proxy = Setup::new().origin(&origin).start().await;
            for http in Http::BOTH {
                for tls in Tls::BOTH {
                    let case = format!("client {http:?} {tls:?}, origin {origin_http:?} {origin_tls:?}");
                    let client = Client::new(Entry::HttpProxy, &proxy).versions(&[tls]);
                    let answer = client.get(http, "https://origin.test/").await;
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, HELLO), "{case}");
                    assert_eq!(answer.version == http::Version::HTTP_2, http == Http::H2, "{case}");
                    let blocked =
                        client.send(http, "origin.test", attack::query().request("origin.test")).await;
                    attack::blocked(&case, &blocked);
                    cases += 1;
                }
            }
            let seen = origin.seen();
            assert_eq!(seen.len(), 4, "the origin saw only what was harmless");
            for seen in seen {
                assert_eq!(seen.alpn.as_deref(), Some(origin_http.alpn()));
                assert_eq!(seen.version == http::Version::HTTP_2, origin_http == Http::H2);
                let version = if origin_tls == Tls::V12 { "TLSv1_2" } else { "TLSv1_3" };
                assert_eq!(seen.tls.as_deref(), Some(version));
            }
        }
    }
    assert_eq!(cases, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_or_a_client_without_alpn_speaks_http_1() {
    let origin = Spec::tls(&["origin.test"]).http(&[]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for http in Http::BOTH {
        assert_eq!(client.get(http, "https://origin.test/").await.text(), HELLO, "{http:?}");
    }
    let stream = client.tls("origin.test", 443, &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let mut connection = Connection::over(stream, Http::H1).await;
    assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_cut_at_any_byte_is_still_inspected() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    // Every place in the record's head, the names and the suites; then every 29th up to the end of a ClientHello with
    // a post-quantum share; then all of it byte by byte.
    let cuts: Vec<Cut> = (1..=160)
        .chain((161..1800).step_by(29))
        .map(Cut::At)
        .chain([Cut::Every(400), Cut::Every(2000)])
        .collect();
    let mut cases = 0;
    for cut in cuts.iter().copied() {
        let client = Client::new(Entry::HttpProxy, &proxy).cut(cut);
        let answer = client.send(Http::H1, "origin.test", attack::query().request("origin.test")).await;
        attack::blocked(&format!("{cut:?}"), &answer);
        cases += 1;
    }
    assert_eq!(cases, cuts.len());
    assert!(cases > 200);
    assert_eq!(origin.seen().len(), 0, "no attack arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_inside_a_tunnel_cut_at_any_byte_is_still_inspected() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    let bytes = attack::query().bytes("origin.test");
    for cut in (1..bytes.len()).map(Cut::At).chain([Cut::Every(bytes.len())]) {
        let mut tunnel =
            Client::new(Entry::HttpProxy, &proxy).cut(cut).tunnel("origin.test", 80).await.unwrap();
        tunnel.write_all(&bytes).await.unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut tunnel).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{cut:?}: {answer}");
    }
    assert_eq!(origin.seen().len(), 0, "no attack arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaf_is_what_a_careful_client_wants() {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().origin(&origin).route("second.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut keys = BTreeSet::new();
    let mut serials = BTreeSet::new();
    for (host, other) in [("origin.test", "second.test"), ("second.test", "origin.test")] {
        let stream = client.tls(host, 443, &[Http::H1]).await.unwrap();
        let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        assert_eq!(leaf.version().0, 2, "X.509 v3");
        let lasts = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
        assert!(lasts <= 26 * 3600, "24 hours and the backdating, not {lasts} s");
        assert!(leaf.raw_serial().len() >= 15, "128 random bits: {:?}", leaf.raw_serial());
        serials.insert(leaf.raw_serial().to_vec());
        keys.insert(leaf.public_key().raw.to_vec());
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        let wanted = [GeneralName::DNSName(host), GeneralName::DNSName(other)];
        assert_eq!(names.value.general_names, wanted, "the client's name, then the origin's others");
        let usage = leaf.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
        let extended = leaf.extended_key_usage().unwrap().unwrap();
        assert!(extended.value.server_auth && !extended.value.client_auth && !extended.value.any);
        let authority = leaf
            .extensions()
            .iter()
            .any(|x| matches!(x.parsed_extension(), ParsedExtension::AuthorityKeyIdentifier(_)));
        assert!(authority, "the leaf names its issuer's key");
        // The chain leads to the CA on disk, whose key is nobody's leaf key.
        for above in &chain[1..] {
            let (_, ca) = X509Certificate::from_der(above).unwrap();
            assert!(ca.basic_constraints().unwrap().unwrap().value.ca);
            keys.insert(ca.public_key().raw.to_vec());
        }
    }
    let (_, root) = X509Certificate::from_der(&proxy.ca()[0])
        .map(|(rest, cert)| (rest, cert.public_key().raw.to_vec()))
        .unwrap();
    keys.insert(root);
    assert!(keys.len() >= 4, "two leaves, an intermediate and the root have a key each");
    assert_eq!(serials.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_leaf_is_minted_once_and_the_same_for_everybody() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let client = client.clone();
        tasks.spawn(async move {
            let stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        });
    }
    let leaves: BTreeSet<Vec<u8>> = tasks.join_all().await.into_iter().collect();
    assert_eq!(leaves.len(), 1, "32 clients at once, one mint");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_leg_gives_up_the_post_quantum_exchange() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).versions(&[Tls::V13]);
    let stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    let mut connection = Connection::over(stream, Http::H1).await;
    assert_eq!(connection.send(get("https://origin.test/pq")).await.status, 200);
    let record = proxy.record("the request", |r| r["url"].as_str().is_some_and(|u| u.ends_with("/pq"))).await;
    for leg in ["client_leg", "origin_leg"] {
        assert_eq!(record[leg]["tls"]["version"], "TLSv1.3", "{record}");
        assert_eq!(record[leg]["tls"]["group"], "X25519MLKEM768", "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_refuses_our_ca_is_recorded_as_such() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let stranger = Client::new(Entry::HttpProxy, &proxy).trusting([]);
    assert!(stranger.tls("origin.test", 443, &[Http::H1]).await.is_err());
    let record = proxy.record("the refusal", |r| r["reason"] == "client_tls").await;
    assert_eq!(record["stage"], "intercept", "{record}");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_must_be_the_tunnels_host() {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().origin(&origin).route("second.test", 443, origin.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    // CONNECT origin.test, then a ClientHello for second.test.
    let tunnel = client.tunnel("origin.test", 443).await.unwrap();
    let refused = client.tls_over(tunnel, "second.test", &[Http::H1]).await;
    let status = match refused {
        Ok(stream) => {
            Connection::over(stream, Http::H1).await.send(get("https://second.test/")).await.status.as_u16()
        }
        Err(_) => 421,
    };
    assert!(matches!(status, 403 | 421), "{status}");
    assert_eq!(origin.seen().len(), 0, "nothing was passed on");
    proxy.record("the mismatch", |r| r["verdict"] == "denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_name_must_be_the_tunnels_host() {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().origin(&origin).route("second.test", 443, origin.addr).start().await;
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let mut connection = client.https("origin.test", http).await.unwrap();
        let answer = connection.send(get("https://second.test/front")).await;
        assert_eq!(answer.status, 421, "{http:?}: {}", answer.text());
    }
    assert_eq!(origin.seen().len(), 0, "nothing was passed on");
    proxy.record("the mismatch", |r| r["reason"] == "misdirected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_right_behind_connect_are_not_lost() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let early = b"CONNECT origin.test:80 HTTP/1.1\r\nHost: origin.test:80\r\n\r\n\
                  GET /early HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    stream.write_all(early).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(HELLO), "{answer}");
    assert_eq!(origin.only().target, "/early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_to_an_address_needs_a_certificate_for_the_address() {
    let origin = Spec::tls(&["127.0.0.1"]).start().await;
    let config = format!("[policy.ports]\n{} = \"inspect\"", origin.addr.port());
    let proxy = Setup::new().config(&config).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut connection = client.https_on("127.0.0.1", origin.addr.port(), Http::H1).await.unwrap();
    let url = format!("https://127.0.0.1:{}/by-address", origin.addr.port());
    assert_eq!(connection.send(get(&url)).await.text(), HELLO);
    assert_eq!(origin.only().sni, None, "an address is no server name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_too_old_for_tls_1_2_is_refused() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    // A ClientHello of TLS 1.0 with two suites of its time and a server name, no more.
    let mut hello = vec![3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0]);
    let mut name = vec![0, 0, 0, 16, 0, 14, 0, 0, 11];
    name.extend(b"origin.test");
    hello.extend((name.len() as u16).to_be_bytes());
    hello.extend(&name);
    let mut message = vec![1, 0, 0, hello.len() as u8];
    message.extend(&hello);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(&message);
    tunnel.write_all(&record).await.unwrap();
    let answer = within("an alert", rest(&mut tunnel)).await;
    // RFC 8446 section 6: an alert, fatal, handshake_failure or protocol_version.
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 40 | 70]), "{answer:?}");
    assert_eq!(origin.seen().len(), 0);
}
