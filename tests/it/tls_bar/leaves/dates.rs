//! Leaves and time: never outside the dates of the origin, of any CA above, and of what is configured; renewed before
//! they end; and none that ended is served, whatever the clock does. The real binary runs under libfaketime, with a
//! clock that the case moves.

use std::fs;
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncWriteExt;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::client::rest;
use crate::support::clock::Clock;
use crate::support::kinds::unverified;
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::pki::Chain;
use crate::support::proxy::{Proxy, Setup, portward};

use super::Case;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("T54", "upstream ends tomorrow, in an hour, in 500 days", "inside all dates", inside),
        Case::new("T54", "[ca] leaf_lifetime of two hours", "inside all dates", configured),
        Case::new("T54", "the CA ends in an hour", "inside all dates, then no leaf", authority_ends),
        Case::new("T54", "the clock comes to a leaf's last hour", "minted again before its end", renewed),
        Case::new("T54", "the clock is 400 days on", "a leaf of that day, chain verified", far),
        Case::new(
            "T54",
            "the upstream's certificate has ended",
            "502 cert_expired, a leaf of that day",
            ended,
        ),
    ]
}

/// A time as certificates have it.
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

/// A root of ten years, which origins of any length are under.
fn root() -> &'static CertifiedIssuer<'static, KeyPair> {
    static ROOT: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    ROOT.get_or_init(|| {
        let params =
            authority("A root of ten years", now() - Duration::days(1), now() + Duration::days(3650));
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}

fn authority(name: &str, from: OffsetDateTime, to: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (from, to);
    params
}

/// An origin whose certificate is valid from a while ago until `to`.
async fn origin(from: OffsetDateTime, to: OffsetDateTime) -> Origin {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["origin.test".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (from, to);
    let cert = params.signed_by(&key, root()).unwrap();
    Spec::chain(Chain::of(&[&cert], &key)).start().await
}

/// A proxy that trusts the root of ten years, under a clock of its own.
fn clocked() -> (Setup, Clock) {
    let setup = Setup::new().public_roots().file("root.pem", root().pem());
    let clock = Clock::new();
    (setup.args(["--origin-ca", "{dir}/root.pem"]).behind(clock.words()), clock)
}

struct Served {
    chain: Vec<CertificateDer<'static>>,
    from: OffsetDateTime,
    to: OffsetDateTime,
    answer: String,
}

/// Asks for a page, with a client that takes any certificate.
async fn served(proxy: &Proxy, origin: &Origin) -> Result<Served, String> {
    let stream = unverified(proxy, "origin.test", origin.addr).await;
    let mut stream = stream.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
    let request = b"GET /date HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let (from, to) = (leaf.validity().not_before.to_datetime(), leaf.validity().not_after.to_datetime());
    Ok(Served { chain: chain.clone(), from, to, answer })
}

impl Served {
    /// As a client would at that time, that trusts the proxy's CA.
    fn verified(&self, proxy: &Proxy, at: OffsetDateTime) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(proxy.ca());
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build().unwrap();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.unix_timestamp() as u64));
        let name = ServerName::try_from("origin.test").unwrap();
        let verdict = verifier.verify_server_cert(&self.chain[0], &self.chain[1..], &name, &[], at);
        verdict.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Everything above the leaf holds it.
    fn assert_inside(&self, proxy: &Proxy, floor: OffsetDateTime, cap: OffsetDateTime) {
        assert!(self.to <= cap && self.from >= floor, "{} to {}, not {floor} to {cap}", self.from, self.to);
        for above in self.chain[1..].iter().chain(&proxy.ca()) {
            let (_, above) = X509Certificate::from_der(above).unwrap();
            assert!(self.from >= above.validity().not_before.to_datetime(), "before its CA");
            assert!(self.to <= above.validity().not_after.to_datetime(), "beyond its CA");
        }
    }
}

async fn inside() -> String {
    for (begun, left) in [
        (Duration::days(30), Duration::hours(20)),
        (Duration::minutes(5), Duration::hours(1)),
        (Duration::days(30), Duration::days(470)),
    ] {
        let (floor, cap) = (now() - begun, now() + left);
        let origin = origin(floor, cap).await;
        let (setup, _clock) = clocked();
        let proxy = setup.origin(&origin).start().await;
        let served = served(&proxy, &origin).await.unwrap();
        assert!(served.answer.ends_with(HELLO), "{}", served.answer);
        served.assert_inside(&proxy, floor, cap.min(now() + Duration::days(1)));
        // As long as it may be, not just short.
        assert!(served.to >= cap.min(now() + Duration::hours(23)), "{}", served.to);
        assert_eq!(served.verified(&proxy, now()), Ok(()));
    }
    "inside all dates".into()
}

async fn configured() -> String {
    let (floor, cap) = (now() - Duration::days(1), now() + Duration::days(90));
    let origin = origin(floor, cap).await;
    let (setup, _clock) = clocked();
    let proxy = setup.config("[ca]\nleaf_lifetime = \"2h\"").origin(&origin).start().await;
    let served = served(&proxy, &origin).await.unwrap();
    served.assert_inside(&proxy, floor, now() + Duration::hours(2));
    assert!(served.to > now() + Duration::minutes(110));
    for long in ["48d", "5m"] {
        let refused = Setup::new().config(&format!("[ca]\nleaf_lifetime = \"{long}\"")).refused();
        assert!(refused.stderr.contains("leaf_lifetime"), "{}", refused.stderr);
    }
    "inside all dates".into()
}

async fn authority_ends() -> String {
    let (floor, cap) = (now() - Duration::days(1), now() + Duration::days(90));
    let origin = origin(floor, cap).await;
    let end = now() + Duration::hours(1);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let key = KeyPair::generate().unwrap();
    let ca = authority("A CA of one more hour", floor, end).self_signed(&key).unwrap();
    fs::write(at("ca.pem"), ca.pem()).unwrap();
    fs::write(at("ca.key"), key.serialize_pem()).unwrap();
    let import = ["ca", "import", "--cert", &at("ca.pem"), "--key", &at("ca.key"), "--ca", &at("ca")];
    let imported = portward(&import);
    // That it ends soon is a finding; it is imported all the same.
    assert!(String::from_utf8_lossy(&imported.stdout).contains("Imported"), "{imported:?}");
    let (setup, clock) = clocked();
    let proxy = setup.ca(at("ca")).origin(&origin).start().await;
    served(&proxy, &origin).await.unwrap().assert_inside(&proxy, floor, end);
    // A minute before the CA's end the leaf is a good one still, and no later.
    clock.set(Duration::minutes(59).whole_seconds());
    let last = served(&proxy, &origin).await.unwrap();
    last.assert_inside(&proxy, floor, end);
    assert_eq!(last.verified(&proxy, end - Duration::SECOND), Ok(()));
    let before = origin.seen().len();
    clock.set(Duration::minutes(61).whole_seconds());
    let after = served(&proxy, &origin).await.map(|served| (served.to, served.answer));
    assert!(after.is_err(), "a leaf of a CA that has ended: {after:?}");
    assert_eq!(origin.seen().len(), before, "nothing was passed on");
    "inside all dates, then no leaf".into()
}

async fn renewed() -> String {
    let (floor, cap) = (now() - Duration::days(1), now() + Duration::days(90));
    let origin = origin(floor, cap).await;
    let (setup, clock) = clocked();
    let proxy = setup.origin(&origin).start().await;
    let first = served(&proxy, &origin).await.unwrap();
    clock.set(Duration::hours(20).whole_seconds());
    let same = served(&proxy, &origin).await.unwrap();
    assert_eq!(same.chain[0], first.chain[0], "remembered while it is good");
    clock.set((first.to - now() - Duration::minutes(30)).whole_seconds());
    let second = served(&proxy, &origin).await.unwrap();
    assert_ne!(second.chain[0], first.chain[0]);
    assert!(second.to > first.to && second.from < first.to, "{} to {}", second.from, second.to);
    assert_eq!(second.verified(&proxy, first.to - Duration::minutes(30)), Ok(()));
    "minted again before its end".into()
}

async fn far() -> String {
    let (floor, cap) = (now() - Duration::days(1), now() + Duration::days(500));
    let origin = origin(floor, cap).await;
    let (setup, clock) = clocked();
    let proxy = setup.origin(&origin).start().await;
    let first = served(&proxy, &origin).await.unwrap();
    clock.set(Duration::days(400).whole_seconds());
    let then = now() + Duration::days(400);
    let second = served(&proxy, &origin).await.unwrap();
    assert!(second.answer.ends_with(HELLO), "{}", second.answer);
    assert_ne!(second.chain[0], first.chain[0]);
    second.assert_inside(&proxy, floor, cap.min(then + Duration::hours(25)));
    assert_eq!(second.verified(&proxy, then + Duration::minutes(1)), Ok(()));
    "a leaf of that day, chain verified".into()
}

async fn ended() -> String {
    let (floor, cap) = (now() - Duration::days(1), now() + Duration::hours(5));
    let origin = origin(floor, cap).await;
    let (setup, clock) = clocked();
    let proxy = setup.origin(&origin).start().await;
    assert!(served(&proxy, &origin).await.unwrap().answer.ends_with(HELLO));
    let before = origin.seen().len();
    // Its verification is still remembered, and its leaf is too.
    clock.set(Duration::hours(6).whole_seconds());
    let then = now() + Duration::hours(6);
    let page = served(&proxy, &origin).await.unwrap();
    assert_eq!(page.verified(&proxy, then), Ok(()));
    assert_eq!(origin.seen().len(), before, "nothing was passed on");
    let record = proxy.record("the refusal", |r| r["status"] == 502).await;
    let status = page.answer.split(' ').nth(1).unwrap_or_default();
    format!("{status} {}, a leaf of that day", record["reason"].as_str().unwrap_or_default())
}
