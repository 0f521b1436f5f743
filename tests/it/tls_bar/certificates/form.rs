//! T02, T03, T05 to T08, T17 to T28: dates, chains, purposes, constraints, and the form of certificates.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose as Eku, GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints,
};
use time::{Duration, OffsetDateTime};

use super::{Case, Show};
use crate::support::forge::{Ca, Made, authority, children, dns, extension, server, tlv};
use crate::support::pki::{self, Leaf};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T02", "leaf ended a day ago", "502 cert_expired", || lab(Leaf::Expired)),
        Case::new("T03", "leaf begins in five days", "502 cert_not_yet_valid", || lab(Leaf::NotYetValid)),
        Case::new("T05", "self-signed leaf", "502 self_signed", || lab(Leaf::SelfSigned)),
        Case::new("T06", "root not in the store", "502 unknown_issuer", || lab(Leaf::UnknownIssuer)),
        Case::new("T07", "intermediate not sent", "502 chain_incomplete", || lab(Leaf::IntermediateMissing)),
        Case::new("T08", "chain reversed, five strangers in it", "200", shuffled),
    ];
    cases.extend(purposes());
    cases.extend(constraints());
    cases.extend(shapes());
    cases.extend(long());
    cases
}

async fn lab(flaw: Leaf) -> String {
    let chain = pki::lab().leaf(&["origin.test"], flaw);
    let root = pki::lab().root_pem();
    let mut show = Show::new(chain, &Ca::root(authority("unused")));
    show.roots = root;
    show.seen().await
}

async fn shuffled() -> String {
    let root = Ca::root(authority("Lab"));
    let (upper, lower) = (root.below(authority("Upper")), None::<Ca>);
    let lower = lower.unwrap_or_else(|| upper.below(authority("Lower")));
    let mut chain = lower.sign(server(&["origin.test"])).chain(&[]);
    for n in 0..5 {
        chain.certs.push(Ca::root(authority(&format!("Stranger {n}"))).der());
    }
    chain.certs.extend([root.der(), upper.der(), lower.der()]);
    Show::new(chain, &root).seen().await
}

/// A leaf under a root, changed before it is signed.
fn leaf(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Show {
    let ca = Ca::root(authority("Lab"));
    let mut params = server(&["origin.test"]);
    change(&mut params);
    Show::new(ca.sign(params).chain(&[]), &ca)
}

fn with_eku(eku: Eku) -> Show {
    leaf(|params| params.extended_key_usages = vec![eku])
}

fn purposes() -> Vec<Case> {
    let refused = "502 wrong_purpose";
    vec![
        Case::new("T17", "extended key usage clientAuth alone", refused, || with_eku(Eku::ClientAuth).seen()),
        Case::new("T17", "extended key usage codeSigning alone", refused, || {
            with_eku(Eku::CodeSigning).seen()
        }),
        Case::new("T17", "extended key usage any alone", refused, || with_eku(Eku::Any).seen()),
        Case::new("T18", "no extended key usage, public root", refused, || without_eku().public().seen()),
        Case::new("T18", "no extended key usage, private root", "200", || without_eku().seen()),
        Case::new("T18", "no extended key usage, server_auth = \"always\"", refused, || {
            without_eku().config("[origin]\nserver_auth = \"always\"").seen()
        }),
        Case::new("T19", "key usage keyCertSign alone", refused, || {
            leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]).seen()
        }),
        Case::new("T19", "key usage keyEncipherment alone", refused, || {
            leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]).seen()
        }),
        Case::new("T20", "leaf with CA:TRUE", "502 bad_certificate", || {
            leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).seen()
        }),
        Case::new("T21", "intermediate with CA:FALSE", "502 bad_certificate", || {
            below(|params| params.is_ca = IsCa::ExplicitNoCa)
        }),
        Case::new("T21", "intermediate without keyCertSign", refused, || {
            below(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature])
        }),
    ]
}

fn without_eku() -> Show {
    leaf(|params| params.extended_key_usages.clear())
}

/// A good leaf under an intermediate that was changed.
async fn below(change: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
    let root = Ca::root(authority("Lab"));
    let mut params = authority("Issuing");
    change(&mut params);
    let issuing = root.below(params);
    let chain = issuing.sign(server(&["origin.test"])).chain(&[&issuing]);
    Show::new(chain, &root).seen().await
}

fn constraints() -> Vec<Case> {
    let unknown = |params: &mut rcgen::CertificateParams| {
        params.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 55555, 1], true, &[0x05, 0]));
    };
    vec![
        Case::new("T22", "path length 0 exceeded by a sub-CA", "502 bad_certificate", || async {
            let root = Ca::root(authority("Lab"));
            let mut params = authority("Upper");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let upper = root.below(params);
            let lower = upper.below(authority("Lower"));
            let chain = lower.sign(server(&["origin.test"])).chain(&[&lower, &upper]);
            Show::new(chain, &root).seen().await
        }),
        Case::new("T23", "name constraints permit another domain", "502 bad_certificate", || {
            constrained(&["origin.test"], "origin.test")
        }),
        Case::new("T23", "a wildcard that straddles the constraint", "502 bad_certificate", || {
            constrained(&["*.test"], "origin.test")
        }),
        Case::new("T24", "expired intermediate", "502 cert_expired", || {
            below(|params| params.not_after = OffsetDateTime::now_utc() - Duration::hours(1))
        }),
        Case::new("T24", "expired root in the store", "502 cert_expired", || old_root().seen()),
        Case::new("T24", "expired public root", "502 cert_expired", || old_root().public().seen()),
        Case::new("T25", "unknown critical extension in the leaf", "502 bad_certificate", move || {
            leaf(unknown).seen()
        }),
        Case::new(
            "T25",
            "unknown critical extension in the intermediate",
            "502 bad_certificate",
            move || below(unknown),
        ),
    ]
}

async fn constrained(names: &[&'static str], host: &'static str) -> String {
    let root = Ca::root(authority("Lab"));
    let mut params = authority("Constrained");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("allowed.test".into())],
        excluded_subtrees: Vec::new(),
    });
    let issuing = root.below(params);
    Show::new(issuing.sign(server(names)).chain(&[&issuing]), &root).host(host).seen().await
}

fn old_root() -> Show {
    let mut params = authority("Old");
    params.not_before = OffsetDateTime::now_utc() - Duration::days(900);
    params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
    let root = Ca::root(params);
    Show::new(root.sign(server(&["origin.test"])).chain(&[]), &root)
}

/// A leaf whose signed part was edited and signed again.
async fn edited(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> String {
    let ca = Ca::root(authority("Lab"));
    let made = ca.edit(ca.sign(server(&["origin.test"])), change);
    Show::new(made.chain(&[]), &ca).seen().await
}

/// A leaf whose bytes were changed and not signed again.
async fn spoilt(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let ca = Ca::root(authority("Lab"));
    let Made { der, key } = ca.sign(server(&["origin.test"]));
    let mut bytes = der.to_vec();
    change(&mut bytes);
    Show::new(Made { der: bytes.into(), key }.chain(&[]), &ca).seen().await
}

fn shapes() -> Vec<Case> {
    let bad = "502 bad_certificate";
    let serial = |value: &'static [u8]| move || edited(move |tbs| tbs[1] = tlv(0x02, value));
    vec![
        Case::new("T26", "last bit of the signature flipped", "502 bad_signature", || {
            spoilt(|der| *der.last_mut().unwrap() ^= 1)
        }),
        Case::new("T26", "a byte of the signed part flipped", "502 bad_signature", || {
            spoilt(|der| {
                // The last digit of the year in notBefore: still a certificate, and a younger one.
                let at = der.windows(2).position(|pair| pair == [0x17, 0x0d]).unwrap() + 3;
                der[at] -= 1;
            })
        }),
        Case::new("T28", "version 1", bad, || {
            edited(|tbs| {
                tbs.remove(0);
                tbs.pop();
            })
        }),
        Case::new("T28", "negative serial number", bad, serial(&[0x80, 1])),
        Case::new("T28", "serial number zero", bad, serial(&[0])),
        Case::new("T28", "serial number of 21 octets", bad, serial(&[0x11; 21])),
        Case::new("T28", "an extension twice", bad, || {
            edited(|tbs| {
                let wrapped = tbs.pop().unwrap();
                let mut list = children(&children(&wrapped)[0]);
                let again =
                    list.iter().find(|one| one.windows(3).any(|oid| oid == [0x55, 0x1d, 0x11])).unwrap();
                list.push(again.clone());
                tbs.push(tlv(0xa3, &tlv(0x30, &list.concat())));
            })
        }),
        Case::new("T28", "an extension that nobody knows twice", bad, || {
            edited(|tbs| {
                let wrapped = tbs.pop().unwrap();
                let mut list = children(&children(&wrapped)[0]);
                let unknown = tlv(0x30, &[tlv(0x06, &[0x2b, 6, 1, 4, 1, 9, 9]), tlv(0x04, &[5, 0])].concat());
                list.extend([unknown.clone(), unknown]);
                tbs.push(tlv(0xa3, &tlv(0x30, &list.concat())));
            })
        }),
        Case::new("T28", "bytes behind the end", bad, || spoilt(|der| der.extend([5, 0]))),
    ]
}

fn long() -> Vec<Case> {
    let ten_years = || {
        leaf(|params| {
            params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
            params.not_after = OffsetDateTime::now_utc() + Duration::days(3650);
            params.subject_alt_names = vec![dns("origin.test")];
        })
    };
    vec![
        Case::new("T27", "ten years under a public root", "200 warnings=over_long", move || {
            ten_years().public().marked("warnings")
        }),
        Case::new(
            "T27",
            "ten years under a public root, over_long = \"refuse\"",
            "502 over_long",
            move || ten_years().public().config("[origin]\nover_long = \"refuse\"").seen(),
        ),
        Case::new("T27", "ten years under a private root", "200", move || ten_years().marked("warnings")),
    ]
}
