use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::*;
use crate::net::{Authority, Port};

fn list() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let now = OffsetDateTime::now_utc();
    let revoked = |n: u64| RevokedCertParams {
        serial_number: SerialNumber::from(n),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: now + Duration::days(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: (1..20).map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer).unwrap().der().to_vec()
}

/// The same numbers at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_thousand_malformed_lists_are_refused_or_read_and_never_a_panic() {
    let good = list();
    assert!(revocation::readable(&good));
    let mut dice = Dice(4711);
    let mut refused = 0;
    for _ in 0..1000 {
        let mut bytes = good.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] = dice.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, dice.below(256) as u8),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        refused += usize::from(!revocation::readable(&bytes));
    }
    assert!(refused > 500, "only {refused} were refused");
    for nothing in [&b""[..], b"0", b"-----BEGIN X509 CRL-----", b"\x30\x80", b"\x30\xff\xff"] {
        assert!(!revocation::readable(nothing));
    }
}

#[test]
fn a_folder_of_lists_is_read_whole_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let read = || revocation::count(&[dir.path().to_owned()]);
    assert_eq!(read(), Ok(0), "a folder that is filled later is no error");
    for (number, name) in
        ["a.crl", "B.CRL", "c.Der", "d.pem", "1a2b3c4d.r0", "1a2b3c4d.r12"].iter().enumerate()
    {
        std::fs::write(dir.path().join(name), list()).unwrap();
        assert_eq!(read(), Ok(number + 1), "{name}");
    }
    for name in ["README", "x.rar", "x.r", "x.txt"] {
        std::fs::write(dir.path().join(name), "no list").unwrap();
    }
    // As `openssl rehash` names a list that is there under its own name: it is one list.
    std::os::unix::fs::symlink("a.crl", dir.path().join("5e6f7a8b.r0")).unwrap();
    assert_eq!(read(), Ok(6));
    std::fs::write(dir.path().join("BROKEN.CRL"), "no list").unwrap();
    assert!(read().unwrap_err().contains("BROKEN.CRL"));
}

#[test]
fn the_list_of_distrusted_keys_is_read_whole() {
    let lines = include_str!("distrusted.txt")
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit()));
    let count = lines.count();
    let distrusted = Distrusted::new(&[]);
    assert_eq!((distrusted.len(), count), (11, 11));
    let more = Distrusted::new(&[KeyDigest([7; 32])]);
    assert_eq!(more.len(), 12);
    let own = Own::default();
    let refused = more.check([KeyDigest([7; 32])], &own, "it").unwrap_err();
    assert_eq!(refused.code, "distrusted_key");
    assert!(more.check([KeyDigest([8; 32])], &own, "it").is_ok());
}

#[test]
fn keys_are_written_with_colons_or_without() {
    let text = "4bb8f35ba1e126f8dde1b0c420625ed86dce61a7bddadbdea9aba578ff13145e";
    let key: KeyDigest = text.parse().unwrap();
    assert_eq!(key.to_string(), text);
    let pairs: Vec<&str> = (0..32).map(|n| &text[2 * n..2 * n + 2]).collect();
    assert_eq!(pairs.join(":").parse::<KeyDigest>(), Ok(key));
    assert!("4bb8".parse::<KeyDigest>().is_err() && "".parse::<KeyDigest>().is_err());
}

#[test]
fn a_change_is_told_once() {
    let changes = Changes::default();
    let origin = Authority::new(Host::parse("a.test").unwrap(), Port::new(443).unwrap());
    let marks = |key, issuer| Marks {
        key: KeyDigest([key; 32]),
        issuer_key: KeyDigest([issuer; 32]),
        ..Marks::default()
    };
    let seen: Vec<Option<Change>> = [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (3, 3), (3, 3)]
        .map(|(key, issuer)| changes.observe(&origin, &marks(key, issuer)))
        .to_vec();
    use Change::{Issuer, Key, KeyAndIssuer};
    assert_eq!(seen, [None, None, Some(Key), None, Some(Issuer), Some(KeyAndIssuer), None]);
    // Front ends that take turns, each with a certificate of its own, are told of once each.
    let turns = Authority::new(Host::parse("turns.test").unwrap(), Port::new(443).unwrap());
    let told = [1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5].map(|n| changes.observe(&turns, &marks(n, 1)));
    let news = [None, Some(Key), None, None, Some(Key), Some(Key), None, None, None, None, Some(Key)];
    assert_eq!(told, news);
    let other = Authority::new(Host::parse("a.test").unwrap(), Port::new(8443).unwrap());
    assert_eq!(changes.observe(&other, &marks(9, 9)), None);
}

#[test]
fn the_longest_lives_are_those_of_the_baseline_requirements() {
    let der = |from: &str, days: i64| {
        let format = time::macros::format_description!("[year]-[month]-[day]");
        let from = time::Date::parse(from, format).unwrap().midnight().assume_utc();
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = from;
        // The last second counts too.
        params.not_after = from + Duration::days(days) - Duration::seconds(1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    };
    let cases = [
        ("2019-06-01", 825),
        ("2020-09-01", 398),
        ("2026-03-14", 398),
        ("2026-03-15", 200),
        ("2027-03-14", 200),
        ("2027-03-15", 100),
        ("2029-03-14", 100),
        ("2029-03-15", 47),
    ];
    for (from, days) in cases {
        let (fits, over) = (der(from, days), der(from, days + 1));
        assert!(!profile::over_long(&profile::read(&fits).unwrap()), "{from} {days}");
        assert!(profile::over_long(&profile::read(&over).unwrap()), "{from} {days}");
    }
}
