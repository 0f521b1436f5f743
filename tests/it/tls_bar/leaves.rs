//! T52 to T54: leaves that clients accept, and that tell the truth about the origin.

mod clients;
mod dates;
pub mod many;

use std::collections::HashSet;

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::kinds::{Sites, longest, shown};
use crate::support::lint::{findings, sans};
use crate::support::origin::Spec;
use crate::support::pki;
use crate::support::proxy::Setup;

use super::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T52", "each kind of name: every field linted", "no finding", || async {
            let sites = Sites::start(Setup::new()).await;
            let root = sites.proxy.ca().remove(0);
            let mut found = Vec::new();
            for site in &sites.all {
                let (chain, _) = sites.chain_file(site).await;
                let of = |finding| format!("{}: {finding}", site.name);
                found.extend(findings(&chain, &root, &site.name).into_iter().map(of));
            }
            said(found)
        }),
        Case::new("T52", "an origin's names, addresses and subject", "no finding", copied),
        Case::new("T52", "an origin of 1,000 names", "the client's and 99 more", || async {
            let names: Vec<String> = (0..1000).map(|n| format!("h{n}.many.test")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let origin = Spec::chain(pki::lab().good(&names)).start().await;
            let proxy = Setup::new().route("h777.many.test", 443, origin.addr).start().await;
            let chain = shown(&proxy, "h777.many.test", origin.addr).await.unwrap();
            assert_eq!(findings(&chain, &proxy.ca()[0], "h777.many.test"), [""; 0]);
            let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
            let names = sans(&leaf);
            assert_eq!((names[0].as_str(), names[1].as_str()), ("h777.many.test", "h0.many.test"));
            format!("the client's and {} more", names.len() - 1)
        }),
        Case::new("T52", "two certificates of one name in turn", "a leaf for each, never mixed", in_turn),
        Case::new("T53", "100,000 mints, every certificate read", "unique, positive, 128 bits", || async {
            tokio::task::spawn_blocking(|| many(100_000)).await.unwrap()
        }),
    ];
    cases.extend(clients::cases());
    cases.extend(dates::cases());
    cases
}

fn said(findings: Vec<String>) -> String {
    if findings.is_empty() { "no finding".into() } else { findings.join("; ") }
}

/// The leaf has the names of the origin's certificate, and its subject where that is one of them.
async fn copied() -> String {
    let names = ["first.test", "*.wild.test", "xn--mnchen-3ya.test", "192.0.2.7", "2001:db8::1", &longest()];
    let origin = Spec::chain(pki::lab().good(&names)).start().await;
    let hosts = ["first.test", "any.wild.test", "xn--mnchen-3ya.test"];
    let mut setup = Setup::new();
    for host in hosts {
        setup = setup.route(host, 443, origin.addr);
    }
    let proxy = setup.start().await;
    let mut found = Vec::new();
    for host in hosts {
        let chain = shown(&proxy, host, origin.addr).await.unwrap();
        found.extend(findings(&chain, &proxy.ca()[0], host));
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let mut expected = vec![host.to_owned()];
        expected.extend(names.iter().filter(|name| **name != host).map(|name| (*name).to_owned()));
        if sans(&leaf) != expected {
            found.push(format!("{host}: {:?}", sans(&leaf)));
        }
        // The lab's subject is a certificate's first name.
        if leaf.subject().to_string() != "CN=first.test" {
            found.push(format!("{host}: subject {}", leaf.subject()));
        }
    }
    said(found)
}

/// A host whose origin shows one certificate and then another, as behind a load balancer: what is remembered of the
/// one is not served for the other.
async fn in_turn() -> String {
    let one = Spec::chain(pki::lab().good(&["origin.test", "one.test"])).start().await;
    let at = one.addr;
    let setup = Setup::new().config("[limits]\nverified_time = \"1ms\"");
    let proxy = setup.route("origin.test", 443, at).start().await;
    let names = async || {
        let chain = shown(&proxy, "origin.test", at).await.unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        (leaf.raw_serial().to_vec(), sans(&leaf))
    };
    let (first, names_of_one) = names().await;
    assert_eq!(names_of_one, ["origin.test", "one.test"]);
    assert_eq!(names().await.0, first, "remembered while the certificate stays");
    drop(one);
    // Another server takes the first one's place.
    let listener =
        crate::support::until("the port to be free", || std::net::TcpListener::bind(at).ok()).await;
    let _two = Spec::chain(pki::lab().good(&["origin.test", "two.test"])).on(listener).start().await;
    let (second, names_of_two) = names().await;
    assert_eq!(names_of_two, ["origin.test", "two.test"]);
    assert_ne!(first, second);
    "a leaf for each, never mixed".into()
}

/// Whole mints, as the proxy does them, on two threads.
fn many(total: usize) -> String {
    use portward::ca::{CaDir, KeyPool, LeafProfile};
    use portward::net::Host;

    let dir = tempfile::tempdir().unwrap();
    let now = time::OffsetDateTime::now_utc();
    let ca = CaDir::new(dir.path().join("ca")).open_or_create(now).unwrap();
    let keys = KeyPool::start();
    let mint = |thread: usize| {
        let (mut serials, mut bits) = (Vec::new(), ([0u8; 16], [0xffu8; 16]));
        for number in 0..total / 2 {
            let host = Host::parse(&format!("h{number}.t{thread}.test")).unwrap();
            let mut profile = LeafProfile::new(&host);
            profile.key = Some(keys.take().unwrap());
            let leaf = ca.mint(&profile, now).unwrap();
            let (_, cert) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
            let raw = cert.raw_serial();
            assert!(raw[0] < 0x80 && raw.len() <= 17 && raw.iter().any(|&byte| byte != 0), "{raw:x?}");
            let value = raw.strip_prefix(&[0]).unwrap_or(raw);
            let mut serial = [0; 16];
            serial[16 - value.len()..].copy_from_slice(value);
            assert_eq!(leaf.serial.to_string(), hex::encode(serial));
            for ((ever, always), byte) in bits.0.iter_mut().zip(&mut bits.1).zip(serial) {
                *ever |= byte;
                *always &= byte;
            }
            serials.push(serial);
        }
        (serials, bits)
    };
    let parts = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| mint(0)), scope.spawn(|| mint(1))];
        threads.map(|thread| thread.join().unwrap())
    });
    let unique: HashSet<[u8; 16]> = parts.iter().flat_map(|(serials, _)| serials.iter().copied()).collect();
    assert_eq!(unique.len(), total);
    // Each of the 128 bits is one in some serial and nought in some other.
    for (_, (or, and)) in &parts {
        assert_eq!((*or, *and), ([0xff; 16], [0; 16]));
    }
    "unique, positive, 128 bits".into()
}
