//! T34: a corpus of paths of our own, in the classes of x509-limbo, whose data file no package registry carries.
//! Each verdict is that of RFC 5280, RFC 9525 or the baseline requirements, whatever webpki says; the samples go
//! straight to the verifier that the proxy uses.

use std::sync::Arc;

use portward::net::Host;
use portward::tls::verify::{Own, RevocationMode, Settings, Verifier};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, ExtendedKeyUsagePurpose as Eku,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose as Ku, NameConstraints, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::Case;
use crate::support::forge::{Ca, Made, authority, children, dns, extension, server, tlv};

/// Fewer than this were lost, not judged.
const LEAST: usize = 90;

pub fn cases() -> Vec<Case> {
    vec![Case::new(
        "T34",
        "90 paths and more, own corpus (x509-limbo's classes)",
        "every verdict as stated",
        || async {
            let samples = samples();
            assert!(samples.len() >= LEAST, "only {} samples", samples.len());
            let wrong: Vec<String> = samples.into_iter().filter_map(judge).collect();
            if wrong.is_empty() { "every verdict as stated".to_owned() } else { wrong.join("; ") }
        },
    )]
}

struct Sample {
    what: &'static str,
    accept: bool,
    roots: Vec<String>,
    chain: Vec<CertificateDer<'static>>,
    host: &'static str,
    crl: Option<Vec<u8>>,
    revocation: RevocationMode,
}

impl Sample {
    fn host(mut self, host: &'static str) -> Sample {
        self.host = host;
        self
    }

    fn crl(mut self, list: Vec<u8>, revocation: RevocationMode) -> Sample {
        (self.crl, self.revocation) = (Some(list), revocation);
        self
    }
}

fn sample(what: &'static str, accept: bool, root: &Ca, chain: Vec<CertificateDer<'static>>) -> Sample {
    let roots = vec![root.pem()];
    Sample { what, accept, roots, chain, host: "origin.test", crl: None, revocation: RevocationMode::Off }
}

/// What is wrong with the verifier's verdict, if anything is.
fn judge(sample: Sample) -> Option<String> {
    let dir = TempDir::with_prefix("portward-corpus-").unwrap();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        dir.path().join(name)
    };
    let settings = Settings {
        ca_file: Some(put("roots.pem", sample.roots.concat().as_bytes())),
        crls: sample.crl.iter().map(|list| put("a.crl", list)).collect(),
        revocation: sample.revocation,
        ..Settings::default()
    };
    let verifier = Verifier::new(&settings, Arc::new(Own::default)).unwrap();
    let host = Host::parse(sample.host).unwrap();
    let verdict = verifier.judge(&sample.chain, &[], &host, UnixTime::now());
    match (sample.accept, verdict) {
        (true, Err(refusal)) => Some(format!("{}: refused, {refusal}", sample.what)),
        (false, Ok(_)) => Some(format!("{}: accepted", sample.what)),
        _ => None,
    }
}

fn samples() -> Vec<Sample> {
    let mut all = names();
    all.extend(dates());
    all.extend(authorities());
    all.extend(usages());
    all.extend(name_constraints());
    all.extend(shapes());
    all.extend(paths());
    all.extend(lists());
    all
}

/// A leaf under a root.
fn leaf(what: &'static str, accept: bool, change: impl FnOnce(&mut CertificateParams)) -> Sample {
    let root = Ca::root(authority("Root"));
    let mut params = server(&["origin.test"]);
    change(&mut params);
    let made = root.sign(params);
    sample(what, accept, &root, vec![made.der])
}

/// A leaf under an intermediate, which is changed.
fn issuing(what: &'static str, accept: bool, change: impl FnOnce(&mut CertificateParams)) -> Sample {
    under(what, accept, change, server(&["origin.test"]))
}

fn under(
    what: &'static str,
    accept: bool,
    change: impl FnOnce(&mut CertificateParams),
    params: CertificateParams,
) -> Sample {
    let root = Ca::root(authority("Root"));
    let mut above = authority("Issuing");
    change(&mut above);
    let issuing = root.below(above);
    let made = issuing.sign(params);
    sample(what, accept, &root, vec![made.der, issuing.der()])
}

fn names() -> Vec<Sample> {
    let named = |what, accept, host, name: &str| {
        let san = dns(name);
        leaf(what, accept, |params| params.subject_alt_names = vec![san]).host(host)
    };
    let addressed = |what, accept, host, ip: &str| {
        let san = SanType::IpAddress(ip.parse().unwrap());
        leaf(what, accept, |params| params.subject_alt_names = vec![san]).host(host)
    };
    vec![
        named("exact name", true, "origin.test", "origin.test"),
        named("name in upper case", true, "origin.test", "ORIGIN.Test"),
        named("another name", false, "origin.test", "elsewhere.test"),
        named("a name above", false, "www.origin.test", "origin.test"),
        named("a name below", false, "origin.test", "www.origin.test"),
        named("a name that ends alike", false, "origin.test", "myorigin.test"),
        named("wildcard", true, "www.origin.test", "*.origin.test"),
        named("wildcard over two labels", false, "a.b.origin.test", "*.origin.test"),
        named("wildcard over no label", false, "origin.test", "*.origin.test"),
        named("wildcard alone", false, "origin.test", "*"),
        named("two wildcards", false, "a.b.origin.test", "*.*.origin.test"),
        named("wildcard in the middle", false, "a.b.origin.test", "a.*.origin.test"),
        named("wildcard as a part of a label", false, "www.origin.test", "w*.origin.test"),
        named("wildcard behind a part", false, "www.origin.test", "*w.origin.test"),
        named("A-label", true, "xn--bcher-kva.test", "xn--bcher-kva.test"),
        named("wildcard for an A-label", true, "xn--bcher-kva.origin.test", "*.origin.test"),
        named("wildcard within an A-label", false, "xn--bcher-kva.test", "xn--*.test"),
        named("empty name", false, "origin.test", ""),
        named("NUL in the name", false, "origin.test", "origin.test\0.evil.test"),
        named("space in the name", false, "origin.test", "origin.test "),
        named("address as a dNSName", false, "192.0.2.7", "192.0.2.7"),
        named("IPv6 address as a dNSName", false, "[2001:db8::7]", "2001:db8::7"),
        addressed("IPv4 address", true, "192.0.2.7", "192.0.2.7"),
        addressed("another IPv4 address", false, "192.0.2.7", "192.0.2.8"),
        addressed("IPv6 address", true, "[2001:db8::7]", "2001:db8::7"),
        addressed("mapped address", false, "192.0.2.7", "::ffff:192.0.2.7"),
        addressed("address for a name", false, "origin.test", "192.0.2.7"),
        leaf("common name alone", false, |params| params.subject_alt_names.clear()),
        leaf("empty subject", true, |params| params.distinguished_name = DistinguishedName::new()),
        leaf("URI alone", false, |params| {
            params.subject_alt_names = vec![SanType::URI("https://origin.test/".try_into().unwrap())];
        }),
        leaf("mail address alone", false, |params| {
            params.subject_alt_names = vec![SanType::Rfc822Name("a@origin.test".try_into().unwrap())];
        }),
    ]
}

fn dates() -> Vec<Sample> {
    let now = OffsetDateTime::now_utc();
    let old = move |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (now - Duration::days(30), now - Duration::days(1));
    };
    let young = move |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (now + Duration::days(1), now + Duration::days(30));
    };
    let rooted = |what, change: &dyn Fn(&mut CertificateParams)| {
        let mut params = authority("Root");
        change(&mut params);
        let root = Ca::root(params);
        sample(what, false, &root, vec![root.sign(server(&["origin.test"])).der])
    };
    vec![
        leaf("expired leaf", false, old),
        leaf("leaf of tomorrow", false, young),
        leaf("leaf that ends before it begins", false, move |params| {
            (params.not_before, params.not_after) = (now + Duration::days(1), now - Duration::days(1));
        }),
        issuing("expired intermediate", false, old),
        issuing("intermediate of tomorrow", false, young),
        rooted("expired root", &old),
        rooted("root of tomorrow", &young),
        leaf("leaf that outlives its root", true, move |params| params.not_after = now + Duration::days(800)),
        leaf("leaf until 2055 (GeneralizedTime)", true, |params| {
            params.not_after = OffsetDateTime::from_unix_timestamp(2_700_000_000).unwrap();
        }),
    ]
}

fn authorities() -> Vec<Sample> {
    let limit = |length| {
        move |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length))
    };
    let two = |what, accept, upper: u8, lower: Option<u8>| {
        let root = Ca::root(authority("Root"));
        let mut params = authority("Upper");
        limit(upper)(&mut params);
        let upper = root.below(params);
        let mut params = authority("Lower");
        if let Some(lower) = lower {
            limit(lower)(&mut params);
        }
        let lower = upper.below(params);
        let made = lower.sign(server(&["origin.test"]));
        sample(what, accept, &root, vec![made.der, lower.der(), upper.der()])
    };
    vec![
        issuing("intermediate", true, |_| {}),
        issuing("intermediate with CA:FALSE", false, |params| params.is_ca = IsCa::ExplicitNoCa),
        issuing("intermediate without basic constraints", false, |params| params.is_ca = IsCa::NoCa),
        issuing("path length 0", true, limit(0)),
        two("path length 0 above a sub-CA", false, 0, None),
        two("path length 1 above a sub-CA", true, 1, None),
        two("path length 1 above path length 0", true, 1, Some(0)),
        leaf("leaf with CA:TRUE", false, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        leaf("leaf with CA:FALSE", true, |params| params.is_ca = IsCa::ExplicitNoCa),
    ]
}

fn usages() -> Vec<Sample> {
    let ku =
        |usages: &'static [Ku]| move |params: &mut CertificateParams| params.key_usages = usages.to_vec();
    let eku = |usages: &'static [Eku]| {
        move |params: &mut CertificateParams| params.extended_key_usages = usages.to_vec()
    };
    vec![
        leaf("no key usage", true, ku(&[])),
        leaf("digitalSignature and keyEncipherment", true, ku(&[Ku::DigitalSignature, Ku::KeyEncipherment])),
        leaf("keyEncipherment alone", false, ku(&[Ku::KeyEncipherment])),
        leaf("keyCertSign alone", false, ku(&[Ku::KeyCertSign])),
        issuing("issuer without a key usage", true, ku(&[])),
        issuing("issuer without keyCertSign", false, ku(&[Ku::DigitalSignature])),
        issuing("issuer with cRLSign alone", false, ku(&[Ku::CrlSign])),
        leaf("serverAuth and clientAuth", true, eku(&[Eku::ServerAuth, Eku::ClientAuth])),
        leaf("clientAuth alone", false, eku(&[Eku::ClientAuth])),
        leaf("emailProtection alone", false, eku(&[Eku::EmailProtection])),
        leaf("any purpose alone", false, eku(&[Eku::Any])),
        leaf("no extended key usage, private root", true, eku(&[])),
        issuing("issuer for serverAuth", true, eku(&[Eku::ServerAuth])),
        issuing("issuer for clientAuth alone", false, eku(&[Eku::ClientAuth])),
    ]
}

fn name_constraints() -> Vec<Sample> {
    let tree = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let net = |ip: [u8; 4], bits| GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(ip, bits));
    let made =
        |what, accept, permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>, san: SanType, host| {
            let mut params = server(&[]);
            params.subject_alt_names = vec![san];
            let change = move |above: &mut CertificateParams| {
                above.name_constraints =
                    Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
            };
            under(what, accept, change, params).host(host)
        };
    let ip = |text: &str| SanType::IpAddress(text.parse().unwrap());
    let rooted = |what, accept, permitted: &str| {
        let mut params = authority("Root");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![tree(permitted)],
            excluded_subtrees: Vec::new(),
        });
        let root = Ca::root(params);
        sample(what, accept, &root, vec![root.sign(server(&["origin.test"])).der])
    };
    vec![
        made("permitted name", true, vec![tree("origin.test")], vec![], dns("origin.test"), "origin.test"),
        made(
            "below a permitted name",
            true,
            vec![tree("origin.test")],
            vec![],
            dns("www.origin.test"),
            "www.origin.test",
        ),
        made("not permitted", false, vec![tree("allowed.test")], vec![], dns("origin.test"), "origin.test"),
        made(
            "ends like a permitted name",
            false,
            vec![tree("origin.test")],
            vec![],
            dns("myorigin.test"),
            "myorigin.test",
        ),
        made("excluded", false, vec![], vec![tree("origin.test")], dns("origin.test"), "origin.test"),
        made(
            "below an excluded name",
            false,
            vec![],
            vec![tree("origin.test")],
            dns("www.origin.test"),
            "www.origin.test",
        ),
        made("not excluded", true, vec![], vec![tree("other.test")], dns("origin.test"), "origin.test"),
        made(
            "permitted and excluded",
            false,
            vec![tree("test")],
            vec![tree("origin.test")],
            dns("origin.test"),
            "origin.test",
        ),
        made(
            "wildcard inside",
            true,
            vec![tree("origin.test")],
            vec![],
            dns("*.origin.test"),
            "www.origin.test",
        ),
        made(
            "wildcard that straddles",
            false,
            vec![tree("a.origin.test")],
            vec![],
            dns("*.origin.test"),
            "a.origin.test",
        ),
        made(
            "wildcard over an excluded name",
            false,
            vec![],
            vec![tree("a.origin.test")],
            dns("*.origin.test"),
            "b.origin.test",
        ),
        made("permitted address", true, vec![net([192, 0, 2, 0], 24)], vec![], ip("192.0.2.7"), "192.0.2.7"),
        made(
            "address not permitted",
            false,
            vec![net([192, 0, 2, 0], 24)],
            vec![],
            ip("198.51.100.7"),
            "198.51.100.7",
        ),
        made("excluded address", false, vec![], vec![net([192, 0, 2, 0], 24)], ip("192.0.2.7"), "192.0.2.7"),
        rooted("the root's own constraint is met", true, "origin.test"),
        rooted("the root's own constraint is not met", false, "allowed.test"),
    ]
}

fn shapes() -> Vec<Sample> {
    let edited = |what, accept, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let root = Ca::root(authority("Root"));
        let made = root.edit(root.sign(server(&["origin.test"])), change);
        sample(what, accept, &root, vec![made.der])
    };
    let spoilt = |what, change: &dyn Fn(&mut Vec<u8>)| {
        let root = Ca::root(authority("Root"));
        let mut der = root.sign(server(&["origin.test"])).der.to_vec();
        change(&mut der);
        sample(what, false, &root, vec![der.into()])
    };
    let serial = |value: &'static [u8]| move |tbs: &mut Vec<Vec<u8>>| tbs[1] = tlv(0x02, value);
    let more = |tbs: &mut Vec<Vec<u8>>, add: &[Vec<u8>]| {
        let wrapped = tbs.pop().unwrap();
        let list = [children(&children(&wrapped)[0]).concat(), add.concat()].concat();
        tbs.push(tlv(0xa3, &tlv(0x30, &list)));
    };
    let odd = tlv(0x30, &[tlv(0x06, &[0x2b, 6, 1, 4, 1, 9, 9]), tlv(0x04, &[5, 0])].concat());
    let unknown = |critical| {
        move |params: &mut CertificateParams| {
            params.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 55555, 1], critical, &[5, 0]));
        }
    };
    vec![
        edited("serial number of 20 octets", true, &serial(&[0x11; 20])),
        edited("serial number of 21 octets", false, &serial(&[0x11; 21])),
        edited("serial number zero", false, &serial(&[0])),
        edited("negative serial number", false, &serial(&[0xff, 0])),
        edited("version 1", false, &|tbs| {
            tbs.remove(0);
            tbs.pop();
        }),
        edited("version 2", false, &|tbs| tbs[0] = vec![0xa0, 3, 2, 1, 1]),
        edited("one unknown extension", true, &|tbs| more(tbs, std::slice::from_ref(&odd))),
        edited("an unknown extension twice", false, &|tbs| more(tbs, &[odd.clone(), odd.clone()])),
        edited("inner and outer algorithm differ", false, &|tbs| {
            tbs[2] = tlv(0x30, &tlv(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]));
        }),
        spoilt("signature flipped", &|der| *der.last_mut().unwrap() ^= 1),
        spoilt("bytes behind the end", &|der| der.push(0)),
        spoilt("cut off", &|der| der.truncate(der.len() - 1)),
        leaf("unknown critical extension", false, unknown(true)),
        leaf("unknown extension", true, unknown(false)),
        issuing("unknown critical extension above", false, unknown(true)),
        issuing("unknown extension above", true, unknown(false)),
    ]
}

fn paths() -> Vec<Sample> {
    let (root, other) = (Ca::root(authority("Root")), Ca::root(authority("Root")));
    let upper = root.below(authority("Upper"));
    let lower = upper.below(authority("Lower"));
    let made = |ca: &Ca| ca.sign(server(&["origin.test"])).der;
    let low = made(&lower);
    let stranger = Ca::root(authority("Stranger"));
    let own = {
        let key = KeyPair::generate().unwrap();
        server(&["origin.test"]).self_signed(&key).unwrap().der().clone()
    };
    let below_leaf = {
        // Signed with the key of a leaf.
        let Made { der, key } = root.sign(server(&["issuer.test"]));
        let mut params = server(&["issuer.test"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        vec![made(&Ca::root_with(params, key)), der]
    };
    let (crossed, old) = {
        let key = KeyPair::generate().unwrap();
        let copy = KeyPair::from_pem(&key.serialize_pem()).unwrap();
        let mut expired = authority("Crossed");
        expired.not_after = OffsetDateTime::now_utc() - Duration::hours(1);
        (root.below_with(authority("Crossed"), key), root.below_with(expired, copy))
    };
    let crossed_leaf = made(&crossed);
    let mut two = sample("two roots of one name", true, &other, vec![made(&root)]);
    two.roots.push(root.pem());
    vec![
        sample("leaf under the root", true, &root, vec![made(&root)]),
        sample("two intermediates", true, &root, vec![low.clone(), lower.der(), upper.der()]),
        sample("wrong order", true, &root, vec![low.clone(), upper.der(), lower.der()]),
        sample("the root sent along", true, &root, vec![low.clone(), lower.der(), upper.der(), root.der()]),
        sample(
            "strangers in between",
            true,
            &root,
            vec![low.clone(), stranger.der(), lower.der(), upper.der()],
        ),
        sample("an intermediate missing", false, &root, vec![low.clone(), lower.der()]),
        sample("unknown root", false, &root, vec![made(&stranger)]),
        sample("unknown root sent along", false, &root, vec![made(&stranger), stranger.der()]),
        sample("right name, wrong key", false, &root, vec![made(&other)]),
        two,
        sample("self-signed leaf", false, &root, vec![own]),
        sample("issued by a leaf", false, &root, below_leaf),
        sample(
            "good cross-certificate behind an expired one",
            true,
            &root,
            vec![crossed_leaf.clone(), old.der(), crossed.der()],
        ),
        sample("expired cross-certificate alone", false, &root, vec![crossed_leaf, old.der()]),
    ]
}

fn lists() -> Vec<Sample> {
    use RevocationMode::{Hard, Off, Soft};
    let listed = |what, accept, list: &dyn Fn(&Ca, &Ca) -> Vec<u8>, mode| {
        let root = Ca::root(authority("Root"));
        let mut params = authority("Issuing");
        params.serial_number = Some(SerialNumber::from(77));
        let issuing = root.below(params);
        let mut params = server(&["origin.test"]);
        params.serial_number = Some(SerialNumber::from(4711));
        let chain = vec![issuing.sign(params).der, issuing.der()];
        sample(what, accept, &root, chain).crl(list(&root, &issuing), mode)
    };
    vec![
        listed("revoked leaf", false, &|_, issuing| issuing.crl(&[4711], -1, 7), Soft),
        listed("revoked leaf, not looked at", true, &|_, issuing| issuing.crl(&[4711], -1, 7), Off),
        listed("revoked intermediate", false, &|root, _| root.crl(&[77], -1, 7), Soft),
        listed("another serial number", true, &|_, issuing| issuing.crl(&[4712], -1, 7), Hard),
        listed("expired list, hard", false, &|_, issuing| issuing.crl(&[], -9, -1), Hard),
        listed("expired list, soft", true, &|_, issuing| issuing.crl(&[], -9, -1), Soft),
        listed("list of tomorrow, hard", false, &|_, issuing| issuing.crl(&[], 1, 9), Hard),
        listed("list of the root alone, hard", false, &|root, _| root.crl(&[], -1, 7), Hard),
        listed("forged list", true, &|_, _| Ca::root(authority("Issuing")).crl(&[4711], -1, 7), Soft),
        listed("forged list, hard", false, &|_, _| Ca::root(authority("Issuing")).crl(&[], -1, 7), Hard),
    ]
}
