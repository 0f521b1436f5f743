//! T36 to T39: origins with nothing but what is no longer safe. Each is a live server: the same origin answers a
//! client of its age through an explicit bypass rule, which is the remedy that the page names.

use serde_json::{Value, json};

use super::super::Case;
use super::refused;
use crate::support::client::{Client, Entry, get};
use crate::support::origin::Raw;
use crate::support::pki;
use crate::support::proxy::Setup;
use crate::support::python::{Server, script};
use crate::support::{Http, peer, wire};

const REFUSED: &str = "502 legacy_tls; 200 by a bypass rule";

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut old = |id, what: &str, expected, settings: Value| {
        cases.push(Case::new(id, format!("origin: {what}"), expected, move || legacy(settings.clone())));
    };
    let versions = |version: u8| json!([[3, version]]);
    for (version, what) in [(0, "SSLv3 only"), (1, "TLS 1.0 only"), (2, "TLS 1.1 only")] {
        old("T36", what, REFUSED, json!({"versions": versions(version)}));
    }
    let tls12 = |ciphers: Value, kx: Value| json!({"versions": [[3, 3]], "ciphers": ciphers, "kx": kx});
    let mac = |mut settings: Value| {
        settings["macs"] = json!(["sha", "sha256"]);
        settings
    };
    old("T37", "RC4", REFUSED, mac(tls12(json!(["rc4"]), json!(["rsa", "ecdhe_rsa"]))));
    old("T37", "3DES", REFUSED, mac(tls12(json!(["3des"]), json!(["rsa", "ecdhe_rsa"]))));
    old("T37", "NULL", REFUSED, mac(tls12(json!(["null"]), json!(["rsa", "ecdhe_rsa"]))));
    let mut anonymous = mac(tls12(json!(["aes128"]), json!(["dh_anon", "ecdh_anon"])));
    anonymous["anon"] = json!(true);
    old("T37", "aNULL", REFUSED, anonymous);
    let gcm = || json!(["aes128gcm"]);
    let dhe = |g: &str, p: &str| {
        let mut settings = tls12(gcm(), json!(["dhe_rsa"]));
        settings["dh"] = json!([g, p]);
        settings
    };
    old("T38", "DHE, 1024 bits", REFUSED, dhe("2", &OAKLEY_2.replace(' ', "")));
    old("T38", "DHE, 512 bits", REFUSED, dhe("2", P_512));
    // The generator's order is 2: the shared secret is one of two values.
    let minus_one = OAKLEY_2.replace(' ', "");
    let minus_one = format!("{}E", &minus_one[..minus_one.len() - 1]);
    old("T38", "DHE, a subgroup of two elements", REFUSED, dhe(&minus_one, &OAKLEY_2.replace(' ', "")));
    // Odd and of the right size, and divisible by 3.
    old("T38", "DHE, a composite modulus", REFUSED, dhe("2", &format!("{}3", "F".repeat(255))));
    old("T39", "static RSA, GCM", REFUSED, tls12(gcm(), json!(["rsa"])));
    old("T39", "static RSA, CBC", REFUSED, mac(tls12(json!(["aes128"]), json!(["rsa"]))));
    old("T39", "ECDHE, CBC", REFUSED, mac(tls12(json!(["aes128", "aes256"]), json!(["ecdhe_rsa"]))));
    old("T39", "DHE, GCM", REFUSED, tls12(gcm(), json!(["dhe_rsa"])));
    old(
        "T39",
        "ECDHE and GCM beside CBC and static RSA",
        "200",
        json!({"versions": [[3, 1], [3, 2], [3, 3]], "ciphers": ["aes128", "aes128gcm"],
               "kx": ["rsa", "ecdhe_rsa"], "macs": ["sha", "sha256", "aead"]}),
    );
    cases.push(Case::new("T37", "origin: EXPORT, none of which we offer", "502 legacy_tls", || {
        says(wire::alert(40))
    }));
    cases.push(Case::new("T37", "origin: takes EXPORT unasked (FREAK)", "502 tls_failed", || {
        says(wire::server_hello([7; 32], &[], 0x0003, &[]))
    }));
    cases.push(Case::new("T38", "origin: takes DHE unasked (Logjam)", "502 tls_failed", || {
        says(wire::server_hello([7; 32], &[], 0x009e, &[]))
    }));
    cases
}

/// RFC 2409 section 6.2: the second Oakley group.
const OAKLEY_2: &str = "FFFFFFFFFFFFFFFF C90FDAA22168C234 C4C6628B80DC1CD1 29024E088A67CC74 020BBEA63B139B22 514A08798E3404DD \
    EF9519B3CD3A431B 302B0A6DF25F1437 4FE1356D6D51C245 E485B576625E7EC6 F44C42E9A637ED6B 0BFF5CB6F406B7ED \
    EE386BFB5A899FA5 AE9F24117C4B1FE6 49286651ECE65381 FFFFFFFFFFFFFFFF";

/// 512 bits: what export rules once allowed.
const P_512: &str = "D4BCD52406F69B35994B88DE5DB89682C8157F62D8F33633EE5772F11F05AB22D6B5145B9F241E5ACC31FF090A4BC71148976F76795094E71E7903529F5A824B";

/// An origin with these settings, asked through a proxy without and with a bypass rule for it.
async fn legacy(settings: Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let rsa = pki::lab().rsa(&["origin.test"]);
    std::fs::write(&chain, rsa.pem()).unwrap();
    std::fs::write(&key, rsa.key_pem()).unwrap();
    let settings = settings.to_string();
    let mut command = script("tls_bar/scripts/legacy.py");
    command.arg("serve").arg(&settings).args([&chain, &key]);
    let origin = Server::start(command);
    let proxy = Setup::new().route("origin.test", 443, origin.addr).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy)
        .send(Http::H1, "origin.test", get("https://origin.test/secret"))
        .await;
    if answer.status == 200 {
        assert_eq!(answer.text(), "old\n");
        let record = proxy.record("the request", |r| r["status"] == 200).await;
        assert_eq!(record["origin_leg"]["tls"]["version"], "TLSv1.2");
        assert_eq!(record["protection"]["grade"], "A");
        return "200".into();
    }
    let page = answer.text();
    assert!(page.contains("[[policy.bypass]]"), "the page names the remedy: {page}");
    assert_eq!(origin.said("request"), 0, "no request left: {}", origin.lines.text());
    let seen = refused(&proxy, &answer).await;
    drop(proxy);

    let proxy = Setup::new()
        .route("origin.test", 443, origin.addr)
        .config("[[policy.bypass]]\nname = \"old machine\"\nhosts = [\"origin.test\"]")
        .start()
        .await;
    let mut command = script("tls_bar/scripts/legacy.py");
    command.arg("fetch").arg(&settings).arg(proxy.addr().to_string()).arg("origin.test");
    let said = peer::run(command).await;
    if !said.text().starts_with("HTTP/1.1 200 OK") {
        return format!("{seen}; by a bypass rule: {} {}", said.text(), said.stderr);
    }
    assert_eq!(origin.said("request"), 1);
    let record = proxy.record("the tunnel", |r| r["kind"] == "tunnel").await;
    assert_eq!((&record["verdict"], &record["reason"]), (&json!("bypassed"), &json!("bypass")));
    assert!(record["sentence"].as_str().unwrap().contains("old machine"));
    format!("{seen}; 200 by a bypass rule")
}

/// An origin that answers every ClientHello with these bytes.
async fn says(bytes: Vec<u8>) -> String {
    let origin = Raw::plain(move |mut wire, _| {
        let bytes = bytes.clone();
        async move {
            wire.tls_record().await;
            wire.write(bytes).await;
            wire.drained().await;
        }
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy)
        .send(Http::H1, "origin.test", get("https://origin.test/secret"))
        .await;
    refused(&proxy, &answer).await
}
