//! T01, T09 to T11: keys and signatures. What rustls cannot make or serve, the openssl command does.

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Case, Setup, Show, ask, trusting};
use crate::support::forge::{Ca, OpenSsl, authority, dns, server};
use crate::support::pki::Chain;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T01", "P-256", "200", || key(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())),
        Case::new("T01", "P-384", "200", || key(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap())),
        Case::new("T01", "P-521", "200", || key(KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap())),
        Case::new("T01", "Ed25519", "200", || key(KeyPair::generate_for(&PKCS_ED25519).unwrap())),
        Case::new("T01", "RSA-2048", "200", || key(rsa(RsaKeySize::_2048))),
        Case::new("T01", "RSA-4096", "200", || key(rsa(RsaKeySize::_4096))),
        // Of four primes, which are found in a second; what the certificate shows is the same.
        Case::new("T01", "RSA-8192", "200", || {
            served("openssl genrsa -primes 4 -out leaf.key 8192", "sha256")
        }),
        Case::new("T01", "empty subject with critical SAN", "200", || {
            let ca = Ca::root(authority("Lab"));
            let mut params = server(&["origin.test"]);
            params.distinguished_name = rcgen::DistinguishedName::new();
            let made = ca.sign(params);
            Show::new(made.chain(&[]), &ca).seen()
        }),
        Case::new("T01", "wildcard of one label", "200", || {
            let ca = Ca::root(authority("Lab"));
            let mut params = server(&[]);
            params.subject_alt_names = vec![dns("*.origin.test")];
            Show::new(ca.sign(params).chain(&[]), &ca).host("www.origin.test").seen()
        }),
    ];
    cases.extend([
        Case::new("T09", "leaf signed with SHA-1", "502 weak_key", || old_digest("sha1")),
        Case::new("T09", "leaf signed with MD5", "502 weak_key", || old_digest("md5")),
        Case::new("T09", "intermediate signed with SHA-1", "502 weak_key", old_intermediate),
        Case::new("T10", "RSA-1024 leaf", "502 weak_key", || {
            served("openssl genrsa -out leaf.key 1024", "sha256")
        }),
        // No signature of TLS 1.3 fits into so short a key, nor one of TLS 1.2 that we offer: the
        // origin finds nothing to agree on.
        Case::new("T10", "RSA-512 leaf", "502 legacy_tls", || {
            served("openssl genrsa -out leaf.key 512", "sha256")
        }),
        Case::new("T10", "RSA-1024 intermediate", "502 weak_key", short_intermediate),
        Case::new("T11", "DSA-2048 leaf", "502 legacy_tls", || {
            served("openssl dsaparam -genkey -noout -out leaf.key 2048", "sha256")
        }),
        Case::new("T11", "P-192 leaf", "502 legacy_tls", || {
            served("openssl ecparam -name prime192v1 -genkey -noout -out leaf.key", "sha256")
        }),
    ]);
    cases
}

fn rsa(size: RsaKeySize) -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap()
}

async fn key(key: KeyPair) -> String {
    let ca = Ca::root(authority("Lab"));
    Show::new(ca.sign_with(server(&["origin.test"]), key).chain(&[]), &ca).seen().await
}

/// A leaf that openssl makes and serves.
async fn served(genkey: &str, digest: &str) -> String {
    let ca = Ca::root(authority("Lab"));
    let openssl = OpenSsl::new(&ca);
    openssl.leaf(genkey, digest);
    let server = openssl.serve().await;
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false);
    let proxy = setup.route("origin.test", 443, server.addr).start().await;
    ask(&proxy, None, "origin.test").await.0
}

/// Under an RSA authority, because there is no MD5 with an elliptic key.
async fn old_digest(digest: &str) -> String {
    let ca = Ca::root_with(authority("Lab"), rsa(RsaKeySize::_2048));
    let openssl = OpenSsl::new(&ca);
    openssl.leaf("openssl ecparam -name prime256v1 -genkey -noout -out leaf.key", digest);
    let server = openssl.serve().await;
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false);
    let proxy = setup.route("origin.test", 443, server.addr).start().await;
    ask(&proxy, None, "origin.test").await.0
}

async fn old_intermediate() -> String {
    let (root, issuing) = (Ca::root(authority("Lab")), Ca::root(authority("Lab-issuing")));
    let openssl = OpenSsl::new(&root);
    let made = issuing.sign(server(&["origin.test"]));
    openssl.put("issuing.key", issuing.key_pem());
    openssl.put("ca.cnf", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
    openssl.run("openssl req -new -key issuing.key -subj /CN=Lab-issuing -out issuing.csr");
    openssl.run(
        "openssl x509 -req -in issuing.csr -CA ca.pem -CAkey ca.key -sha1 -days 7 -set_serial 42 -extfile ca.cnf \
         -out issuing.pem",
    );
    let above = CertificateDer::from_pem_slice(&openssl.read("issuing.pem")).unwrap();
    let key = KeyPair::from_pem(&made.key.serialize_pem()).unwrap();
    Show::new(Chain::from_der(vec![made.der, above], &key), &root).seen().await
}

/// A key that was good in 2010 in the middle of the chain.
async fn short_intermediate() -> String {
    let root = Ca::root(authority("Lab"));
    let openssl = OpenSsl::new(&root);
    openssl.put("ca.cnf", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
    openssl.run("openssl genrsa -out short.key 1024");
    openssl.run("openssl req -new -key short.key -subj /CN=Short -out short.csr");
    openssl.run(
        "openssl x509 -req -in short.csr -CA ca.pem -CAkey ca.key -sha256 -days 7 -set_serial 42 -extfile ca.cnf \
         -out short.pem",
    );
    openssl.put("root.pem", root.pem());
    openssl.put("ca.pem", openssl.text("short.pem"));
    openssl.put("ca.key", openssl.text("short.key"));
    openssl.leaf("openssl ecparam -name prime256v1 -genkey -noout -out leaf.key", "sha256");
    openssl.run("openssl pkcs8 -topk8 -nocrypt -in leaf.key -out leaf.p8");
    let read = |name: &str| CertificateDer::from_pem_slice(&openssl.read(name)).unwrap();
    let key = KeyPair::from_pem(&openssl.text("leaf.p8")).unwrap();
    Show::new(Chain::from_der(vec![read("leaf.pem"), read("short.pem")], &key), &root).seen().await
}
