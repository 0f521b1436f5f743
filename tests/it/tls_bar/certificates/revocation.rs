//! T29: certificates that were withdrawn, by list and by stapled response, and what becomes of one of which
//! nobody says so.

use std::sync::Arc;

use portward::net::Host;
use portward::tls::verify::{Own, Revocation, Settings, Verifier};
use rcgen::{ExtendedKeyUsagePurpose as Eku, KeyUsagePurpose, SerialNumber};
use rustls::pki_types::UnixTime;

use super::{Case, Setup, Show, Spec, ask, trusting};
use crate::support::Http;
use crate::support::client::{Client, Entry, get};
use crate::support::forge::{Ca, Made, OpenSsl, authority, must_staple, pem, server};
use crate::support::until;

const SERIAL: u64 = 0x1234;

pub fn cases() -> Vec<Case> {
    let hard = "--revocation=hard";
    vec![
        Case::new("T29", "revoked by a list", "502 revoked", || listed(|ca| ca.crl(&[SERIAL], -1, 7), "")),
        Case::new("T29", "revoked by a list in PEM", "502 revoked", || {
            listed(|ca| pem("X509 CRL", &ca.crl(&[SERIAL], -1, 7)).into_bytes(), "")
        }),
        Case::new("T29", "revoked by a list that expired", "502 revoked", || {
            listed(|ca| ca.crl(&[SERIAL], -9, -1), "")
        }),
        Case::new("T29", "intermediate revoked by the root's list", "502 revoked", || async {
            let root = Ca::root(authority("Lab"));
            let mut params = authority("Issuing");
            params.serial_number = Some(SerialNumber::from(77));
            let issuing = root.below(params);
            let chain = issuing.sign(server(&["origin.test"])).chain(&[&issuing]);
            Show::new(chain, &root).crl(root.crl(&[77], -1, 7)).seen().await
        }),
        Case::new("T29", "a list without it", "200 revocation=good", || listed(|ca| ca.crl(&[1], -1, 7), "")),
        Case::new("T29", "a list without it, hard", "200 revocation=good", move || {
            listed(|ca| ca.crl(&[1], -1, 7), hard)
        }),
        Case::new("T29", "a list that expired, soft", "200 revocation=unknown", || {
            listed(|ca| ca.crl(&[1], -9, -1), "")
        }),
        Case::new("T29", "a list that expired, hard", "502 revocation_unknown", move || {
            listed(|ca| ca.crl(&[1], -9, -1), hard)
        }),
        Case::new("T29", "no list and no staple, hard", "502 revocation_unknown", move || {
            listed(|_| Ca::root(authority("Other")).crl(&[1], -1, 7), hard)
        }),
        Case::new("T29", "a list by somebody of the same name", "200 revocation=unknown", || {
            listed(|_| Ca::root(authority("Lab")).crl(&[SERIAL], -1, 7), "")
        }),
        Case::new("T29", "a list whose issuer may not sign lists", "200 revocation=unknown", unentitled),
        Case::new("T29", "revoked, revocation off", "200 revocation=not_checked", || {
            listed(|ca| ca.crl(&[SERIAL], -1, 7), "--revocation=off")
        }),
        Case::new("T29", "revoked while the proxy runs", "200, then 502 revoked", reloaded),
        Case::new("T29", "revoked while a connection is open", "200, then 502 revoked", || kept(Http::H1)),
        Case::new("T29", "revoked while a connection is open, HTTP/2", "200, then 502 revoked", || {
            kept(Http::H2)
        }),
        Case::new("T29", "a malformed list", "refused to start", malformed),
        Case::new("T29", "staple says good", "200 revocation=good", || stapled("V", "ca", "", false)),
        Case::new("T29", "staple says good, by a delegate", "200 revocation=good", || {
            stapled("V", "delegate", "", false)
        }),
        Case::new("T29", "staple names it by SHA-256", "200 revocation=good", || named_by("sha256")),
        Case::new("T29", "staple names it by SHA-384", "200 revocation=good", || named_by("sha384")),
        Case::new("T29", "staple names it by SHA-512", "200 revocation=good", || named_by("sha512")),
        Case::new("T29", "staple names it by SHA-224", "200 revocation=unknown", || named_by("sha224")),
        Case::new("T29", "staple says revoked", "502 revoked", || stapled("R", "ca", "", false)),
        Case::new("T29", "staple signed by a stranger", "502 staple_bad", || {
            stapled("V", "stranger", "", false)
        }),
        Case::new("T29", "staple is too old", "200 revocation=unknown", || {
            stapled("V", "ca", "faketime -f -9d ", false)
        }),
        Case::new("T29", "staple is too old, must-staple", "502 staple_bad", || {
            stapled("V", "ca", "faketime -f -9d ", true)
        }),
        Case::new("T29", "must-staple with a staple", "200 revocation=good", || stapled("V", "ca", "", true)),
        Case::new("T29", "must-staple without a staple", "502 staple_missing", || async {
            let ca = Ca::root(authority("Lab"));
            Show::new(leaf(&ca, true).chain(&[]), &ca).seen().await
        }),
        Case::new("T29", "a thousand mutated staples", "none believed", mutated),
        Case::new("T29", "staple is garbage", "502 staple_bad", || async {
            let ca = Ca::root(authority("Lab"));
            let mut chain = leaf(&ca, false).chain(&[]);
            chain.ocsp = b"not a response".to_vec();
            Show::new(chain, &ca).seen().await
        }),
        Case::new("T29", "staple is for another certificate", "502 staple_bad", || async {
            let ca = Ca::root(authority("Lab"));
            let mut other = server(&["origin.test"]);
            other.serial_number = Some(SerialNumber::from(0x4321));
            let response = OpenSsl::new(&ca).ocsp(&ca.sign(other), 0x4321, "V", "ca", "");
            let mut chain = leaf(&ca, false).chain(&[]);
            chain.ocsp = response;
            Show::new(chain, &ca).seen().await
        }),
    ]
}

fn leaf(ca: &Ca, promise: bool) -> Made {
    let mut params = server(&["origin.test"]);
    params.serial_number = Some(SerialNumber::from(SERIAL));
    if promise {
        params.custom_extensions.push(must_staple());
    }
    ca.sign(params)
}

async fn listed(list: impl FnOnce(&Ca) -> Vec<u8>, flag: &str) -> String {
    let ca = Ca::root(authority("Lab"));
    let mut show = Show::new(leaf(&ca, false).chain(&[]), &ca).crl(list(&ca));
    if !flag.is_empty() {
        show = show.arg(flag);
    }
    show.marked("revocation").await
}

/// The list is signed with the right key, whose certificate does not allow that.
async fn unentitled() -> String {
    let root = Ca::root(authority("Lab"));
    let (key, twin) = (rcgen::KeyPair::generate().unwrap(), authority("Issuing"));
    let copy = rcgen::KeyPair::from_pem(&key.serialize_pem()).unwrap();
    let mut params = authority("Issuing");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuing = root.below_with(params, key);
    let chain = leaf(&issuing, false).chain(&[&issuing]);
    let list = root.below_with(twin, copy).crl(&[SERIAL], -1, 7);
    Show::new(chain, &root).crl(list).marked("revocation").await
}

/// The folder of lists gets one more while the proxy runs.
async fn reloaded() -> String {
    let ca = Ca::root(authority("Lab"));
    let origin = Spec::chain(leaf(&ca, false).chain(&[])).start().await;
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false);
    let folder = setup.dir().join("crls");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.crl"), ca.crl(&[1], -1, 7)).unwrap();
    let proxy = setup.args(["--crl", "{dir}/crls"]).route("origin.test", 443, origin.addr).start().await;
    let first = ask(&proxy, None, "origin.test").await.0;
    std::fs::write(folder.join("b.crl"), ca.crl(&[SERIAL], -1, 7)).unwrap();
    until("the lists to be read again", || {
        proxy.stderr.all().iter().any(|line| line.ends_with("reloaded")).then_some(())
    })
    .await;
    let second = ask(&proxy, None, "origin.test").await.0;
    assert_eq!(origin.seen().len(), 1, "the second request did not leave");
    format!("{first}, then {second}")
}

/// The client goes on in its own connection, behind which the origin's is kept open as well.
async fn kept(http: Http) -> String {
    let ca = Ca::root(authority("Lab"));
    let origin = Spec::chain(leaf(&ca, false).chain(&[])).start().await;
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false).file("a.crl", ca.crl(&[1], -1, 7));
    let proxy = setup.args(["--crl", "{dir}/a.crl"]).route("origin.test", 443, origin.addr).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
    let mut before = Vec::new();
    for _ in 0..2 {
        before.push(connection.send(get("https://origin.test/")).await.status.as_u16());
    }
    assert_eq!((before, origin.connections()), (vec![200, 200], 1), "it is kept");
    std::fs::write(proxy.dir().join("a.crl"), ca.crl(&[SERIAL], -1, 7)).unwrap();
    until("the list to be read again", || {
        proxy.stderr.all().iter().any(|line| line.ends_with("reloaded")).then_some(())
    })
    .await;
    let status = connection.send(get("https://origin.test/")).await.status.as_u16();
    assert_eq!(origin.seen().len(), 2, "the third request did not leave");
    let record = proxy.record("the refusal", |r| r["status"] == status).await;
    format!("200, then {status} {}", record["reason"].as_str().unwrap())
}

async fn malformed() -> String {
    let ca = Ca::root(authority("Lab"));
    let mut list = ca.crl(&[SERIAL], -1, 7);
    list.truncate(list.len() / 2);
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false);
    let refused = setup.file("bad.crl", list).args(["--crl", "{dir}/bad.crl"]).refused();
    assert!(refused.stderr.contains("bad.crl"), "{}", refused.stderr);
    "refused to start".to_owned()
}

async fn stapled(status: &str, signer: &str, before: &str, promise: bool) -> String {
    let ca = Ca::root(authority("Lab"));
    let made = leaf(&ca, promise);
    let openssl = OpenSsl::new(&ca);
    let mut params = server(&[]);
    params.extended_key_usages = vec![Eku::OcspSigning];
    let issuer =
        if signer == "stranger" { Ca::root(authority("Lab")) } else { Ca::root(authority("unused")) };
    let responder = if signer == "stranger" { issuer.sign(params) } else { ca.sign(params) };
    if signer != "ca" {
        openssl.put(&format!("{signer}.pem"), pem("CERTIFICATE", &responder.der));
        openssl.put(&format!("{signer}.key"), responder.key.serialize_pem());
    }
    let response = openssl.ocsp(&made, SERIAL, status, signer, before);
    let mut chain = made.chain(&[]);
    chain.ocsp = response;
    Show::new(chain, &ca).marked("revocation").await
}

/// A good response whose certificate is named by this hash.
async fn named_by(hash: &str) -> String {
    let ca = Ca::root(authority("Lab"));
    let made = leaf(&ca, false);
    let response = OpenSsl::new(&ca).ocsp_named_by(hash, &made, SERIAL, "V", "ca", "");
    let mut chain = made.chain(&[]);
    chain.ocsp = response;
    Show::new(chain, &ca).marked("revocation").await
}

/// A good response with bytes changed is never taken for good, unless it still says what its signer said.
async fn mutated() -> String {
    let ca = Ca::root(authority("Lab"));
    let made = leaf(&ca, false);
    let openssl = OpenSsl::new(&ca);
    let response = openssl.ocsp(&made, SERIAL, "V", "ca", "");
    openssl.put("roots.pem", ca.pem());
    let settings = Settings { ca_file: Some(openssl.dir.path().join("roots.pem")), ..Settings::default() };
    let verifier = Verifier::new(&settings, Arc::new(Own::default)).unwrap();
    let host = Host::parse("origin.test").unwrap();
    let good = |staple: &[u8]| {
        let judged = verifier.judge(std::slice::from_ref(&made.der), staple, &host, UnixTime::now());
        judged.is_ok_and(|judged| judged.marks.revocation == Revocation::Good)
    };
    assert!(good(&response), "unchanged");
    // The signature's own form leaves no room: every changed byte of an ECDSA response is a wrong one, but
    // for those of the responder's certificate, which is not needed here.
    let signed = response.len() - ca.der().len();
    let believed = (0..1000).filter(|n| {
        let mut bytes = response.clone();
        let at = (n * 7919) % signed;
        bytes[at] ^= 1 << (n % 8);
        good(&bytes)
    });
    match believed.count() {
        0 => "none believed".to_owned(),
        count => format!("{count} believed"),
    }
}
