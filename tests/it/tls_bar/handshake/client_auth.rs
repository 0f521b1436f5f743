//! T43: origins that ask for a client certificate. They get none, or one of the operator's, or the client itself; never
//! a client's key, which Portward does not even ask for.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::super::Case;
use super::refused;
use super::server::{Server, Wants, config};
use crate::support::client::{Client, Connection, Entry, get};
use crate::support::pki::{self, Chain};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, Tls};

const POLICY: &str = "[policy.fail]\nclient_certificate = ";

const PASSWORD: &str = "correct horse";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T43", "origin asks and does not insist, by default", "200, none_given", || {
            asked(Wants::Asks, Tls::V13, "")
        }),
        Case::new("T43", "the same in TLS 1.2", "200, none_given", || asked(Wants::Asks, Tls::V12, "")),
        Case::new("T43", "origin insists, by default", "502 client_cert_required", || {
            asked(Wants::Insists, Tls::V13, "")
        }),
        Case::new("T43", "the same in TLS 1.2", "502 client_cert_required", || {
            asked(Wants::Insists, Tls::V12, "")
        }),
        Case::new("T43", "client_certificate = \"tunnel\"", "502 once, then the client's own", tunnelled),
        Case::new("T43", "origin.client_certificates has one", "200, given, to one client", configured),
        Case::new("T43", "its key can be read by others, or is another's", "start refused", bad_files),
    ];
    for tls in Tls::BOTH {
        cases.push(Case::new(
            "T43",
            format!("client_certificate = \"block\", {tls:?}"),
            "502 client_cert_required",
            move || asked(Wants::Asks, tls, "block"),
        ));
    }
    cases
}

async fn origin(wants: Wants, tls: Tls) -> Server {
    Server::start(config(&pki::lab().good(&["origin.test"]), &[tls], wants), true).await
}

/// A TLS client that has a certificate and would show it to whoever asks.
async fn with_certificate(
    proxy: &Proxy,
    chain: &Chain,
    roots: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> Connection {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(store)
        .with_client_auth_cert(chain.certs.clone(), chain.key())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tunnel = Client::new(Entry::HttpProxy, proxy).tunnel("origin.test", 443).await.unwrap();
    let name = ServerName::try_from("origin.test").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tunnel).await.unwrap();
    Connection::over(stream, Http::H1).await
}

/// A request to an origin that asks, from a client that has a certificate, under this policy.
async fn asked(wants: Wants, tls: Tls, policy: &str) -> String {
    let origin = origin(wants, tls).await;
    let mut setup = Setup::new().route("origin.test", 443, origin.addr);
    if !policy.is_empty() {
        setup = setup.config(&format!("{POLICY}\"{policy}\""));
    }
    let proxy = setup.start().await;
    let mine = pki::lab().rsa(&["client.test"]);
    let mut connection = with_certificate(&proxy, &mine, proxy.ca()).await;
    let answer = connection.send(get("https://origin.test/secret")).await;
    assert!(origin.shakes().iter().all(|shake| shake.client.is_none()), "nobody's certificate was shown");
    if answer.status == 200 {
        let record = proxy.record("the request", |r| r["status"] == 200).await;
        return format!(
            "200, {}",
            record["origin_leg"]["client_certificate"].as_str().unwrap_or("not asked")
        );
    }
    assert_eq!(origin.requests(), 0, "no request arrived");
    let page = answer.text();
    assert!(page.contains("[[policy.bypass]]") && page.contains("[[origin.client_certificates]]"), "{page}");
    refused(&proxy, &answer).await
}

async fn tunnelled() -> String {
    let origin = origin(Wants::Insists, Tls::V13).await;
    let setup = Setup::new().route("origin.test", 443, origin.addr).config(&format!("{POLICY}\"tunnel\""));
    let proxy = setup.start().await;
    let mine = pki::lab().rsa(&["client.test"]);
    let first = with_certificate(&proxy, &mine, proxy.ca()).await.send(get("https://origin.test/")).await;
    assert!(first.text().contains("relayed unread"), "the first is told: {}", first.text());
    let code = refused(&proxy, &first).await;
    assert_eq!((code.as_str(), origin.requests()), ("502 client_cert_required", 0));
    // From now on the client speaks with the origin itself, and shows it what it has.
    let roots = vec![pki::lab().root_der()];
    let second = with_certificate(&proxy, &mine, roots).await.send(get("https://origin.test/")).await;
    assert_eq!((second.status.as_u16(), second.text().as_str()), (200, "ok\n"));
    assert_eq!(origin.shakes().last().unwrap().client.as_deref(), Some(&*mine.certs[0]));
    let record = proxy.record("the tunnel", |r| r["kind"] == "tunnel").await;
    assert_eq!(
        (record["reason"].as_str(), record["verdict"].as_str()),
        (Some("client_certificate"), Some("tunnelled"))
    );
    "502 once, then the client's own".into()
}

/// One rule that fits another host, one for another person, and the one that fits.
async fn configured() -> String {
    let origin = origin(Wants::Insists, Tls::V13).await;
    let ours = pki::lab().rsa(&["proxy.test"]);
    let given = |hosts: &str, identity: &str| {
        format!(
            "[[origin.client_certificates]]\nhosts = [\"{hosts}\"]\ncertificate = \"ours.pem\"\nkey = \"ours.key\"\n\
             identities = [\"{identity}\"]\n"
        )
    };
    let setup = Setup::new()
        .route("origin.test", 443, origin.addr)
        .file("ours.pem", ours.pem())
        .file("ours.key", ours.key_pem())
        .file(
            "users",
            ["ann", "bob"].map(|name| format!("{name}:{}\n", bcrypt::hash(PASSWORD, 4).unwrap())).concat(),
        )
        .config("[clients]\nauth_file = \"users\"\n")
        .config(&given("*.origin.test", "bob"))
        .config(&given("origin.test", "ann"));
    chmod(&setup, "ours.key", 0o600);
    let proxy = setup.start().await;
    let ask = async |name: &str| {
        let client = Client::new(Entry::HttpProxy, &proxy).user(name, PASSWORD);
        client.send(Http::H1, "origin.test", get("https://origin.test/")).await
    };
    let answer = ask("ann").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok\n"));
    assert_eq!(origin.shakes()[0].client.as_deref(), Some(&*ours.certs[0]));
    let record = proxy.record("ann's request", |r| r["status"] == 200).await;
    let given = record["origin_leg"]["client_certificate"].as_str().unwrap().to_owned();
    // The connection that ann's certificate opened is not bob's.
    let answer = ask("bob").await;
    assert_eq!(refused(&proxy, &answer).await, "502 client_cert_required");
    assert_eq!(origin.requests(), 1);
    format!("{}, {given}, to one client", 200)
}

fn chmod(setup: &Setup, name: &str, mode: u32) {
    std::fs::set_permissions(setup.dir().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

async fn bad_files() -> String {
    let ours = pki::lab().rsa(&["proxy.test"]);
    let setup = || {
        Setup::new().file("ours.pem", ours.pem()).file("ours.key", ours.key_pem()).config(
            "[[origin.client_certificates]]\nhosts = [\"origin.test\"]\ncertificate = \"ours.pem\"\nkey = \"ours.key\"",
        )
    };
    for mode in [0o640, 0o604, 0o644] {
        let setup = setup();
        chmod(&setup, "ours.key", mode);
        let refused = setup.refused();
        assert!(refused.stderr.contains("fix: chmod 600"), "{}", refused.stderr);
    }
    let linked = setup();
    chmod(&linked, "ours.key", 0o600);
    std::fs::rename(linked.dir().join("ours.key"), linked.dir().join("real.key")).unwrap();
    std::os::unix::fs::symlink("real.key", linked.dir().join("ours.key")).unwrap();
    assert!(linked.refused().stderr.contains("ours.key cannot be read"));
    let other = setup().file("ours.key", pki::lab().good(&["proxy.test"]).key_pem());
    chmod(&other, "ours.key", 0o600);
    assert!(other.refused().stderr.contains("do not belong together"));
    "start refused".into()
}
