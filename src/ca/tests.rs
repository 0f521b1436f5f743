use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::net::Host;

const NOW: OffsetDateTime = datetime!(2026-11-21 09:00 UTC);
const DAY: Duration = Duration::DAY;

/// A CA folder in a temporary place.
struct Folder {
    _keep: TempDir,
    dir: CaDir,
}

fn folder() -> Folder {
    let keep = tempfile::tempdir().unwrap();
    let dir = CaDir::new(keep.path().join("ca"));
    Folder { _keep: keep, dir }
}

impl Folder {
    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777
    }

    fn error(&self) -> CaError {
        self.dir.open_or_create(NOW).err().expect("the folder must be refused")
    }
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn profile(names: &[&str]) -> LeafProfile {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    LeafProfile { names, ..LeafProfile::new(&host("unused.test")) }
}

fn mint(ca: &Ca, name: &str) -> Leaf {
    ca.mint(&LeafProfile::new(&host(name)), NOW).unwrap()
}

/// As a client with that one root would: chain, dates and name.
fn accepted(leaf: &Leaf, anchor: &CertificateDer<'_>, name: &str, at: OffsetDateTime) -> Result<(), String> {
    pki::verify(&leaf.chain[0], &leaf.chain[1..], anchor, at)?;
    let name = ServerName::try_from(name.to_string()).map_err(|e| e.to_string())?;
    let cert = webpki::EndEntityCert::try_from(&leaf.chain[0]).map_err(|e| e.to_string())?;
    cert.verify_is_valid_for_subject_name(&name).map_err(|e| e.to_string())
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    let (rest, cert) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty());
    cert
}

// ---- creation --------------------------------------------------------------------------------

#[test]
fn the_first_run_makes_a_root_an_intermediate_and_nothing_others_can_read() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    assert_eq!(folder.mode("."), 0o700);
    for key in ["root.key", "intermediate.key"] {
        assert_eq!(folder.mode(key), 0o600, "{key}");
    }
    let anchors = ca.anchors();
    assert_eq!(anchors.len(), 1);
    let root = parse(&anchors[0]);
    let basic = root.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert!(root.subject().to_string().starts_with("CN=Portward CA "));
    assert_eq!(root.subject().as_raw(), root.issuer().as_raw());
    assert_eq!(root.validity().not_after.to_datetime(), NOW + DAY * 3650);
    assert!(has_key_id(&root));

    let leaf = mint(&ca, "a.test");
    assert_eq!(leaf.chain.len(), 2);
    let intermediate = parse(&leaf.chain[1]);
    let basic = intermediate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    let usage = intermediate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert_eq!(intermediate.validity().not_after.to_datetime(), NOW + DAY * 7);
    assert_eq!(intermediate.issuer().as_raw(), root.subject().as_raw());
    assert!(has_key_id(&intermediate));
    assert_ne!(intermediate.public_key().raw, root.public_key().raw);
}

fn has_key_id(cert: &X509Certificate<'_>) -> bool {
    cert.iter_extensions().any(|e| matches!(e.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(_)))
}

#[test]
fn two_installations_have_different_cas_and_a_second_start_has_the_same() {
    let (one, two) = (folder(), folder());
    let first = one.dir.open_or_create(NOW).unwrap().anchors();
    assert_ne!(first, two.dir.open_or_create(NOW).unwrap().anchors());
    assert_eq!(first, one.dir.open_or_create(NOW + DAY).unwrap().anchors());
    assert_eq!(first, one.dir.open(NOW).unwrap().anchors());
}

#[test]
fn twenty_creators_at_once_agree_on_one_ca() {
    let folder = folder();
    let gate = std::sync::Barrier::new(20);
    let anchors: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    gate.wait();
                    let ca = folder.dir.open_or_create(NOW).unwrap();
                    ca.write_trust_files().unwrap();
                    let leaf = mint(&ca, "a.test");
                    (ca.anchors(), leaf.chain[1].clone())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(anchors.windows(2).all(|pair| pair[0] == pair[1]));
    let names: Vec<_> = fs::read_dir(folder.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 9, "{names:?}");
}

#[test]
fn open_makes_nothing() {
    let folder = folder();
    assert!(matches!(folder.dir.open(NOW), Err(CaError::Missing { .. })));
    assert!(!folder.dir.path().exists());
}

#[test]
fn a_checkout_folder_with_a_loose_mode_is_restricted_on_first_use_and_refused_later() {
    let folder = folder();
    fs::create_dir(folder.dir.path()).unwrap();
    fs::write(folder.file("README.md"), "hello").unwrap();
    fs::set_permissions(folder.dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
    folder.dir.open_or_create(NOW).unwrap();
    assert_eq!(folder.mode("."), 0o700);
    fs::set_permissions(folder.dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
    let error = folder.error();
    assert_eq!(error.code(), "ca_directory_mode");
    assert!(error.fix().starts_with("chmod 700 "), "{}", error.fix());
}

// ---- a folder that is refused ----------------------------------------------------------------

#[test]
fn what_others_could_have_touched_is_refused_with_the_command_that_mends_it() {
    type Break = fn(&Folder);
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let cases: &[(&str, Break, &str)] = &[
        ("ca_mode", |f| set_mode(&f.file("root.key"), 0o640), "chmod 600 "),
        ("ca_mode", |f| set_mode(&f.file("root.key"), 0o644), "chmod 600 "),
        ("ca_mode", |f| set_mode(&f.file("root.key"), 0o602), "chmod 600 "),
        ("ca_mode", |f| set_mode(&f.file("intermediate.key"), 0o660), "chmod 600 "),
        ("ca_mode", |f| set_mode(&f.file("root.pem"), 0o664), "chmod 644 "),
        ("ca_mode", |f| set_mode(&f.file("intermediate.pem"), 0o666), "chmod 644 "),
        ("ca_directory_mode", |f| set_mode(f.dir.path(), 0o770), "chmod 700 "),
        ("ca_directory_mode", |f| set_mode(f.dir.path(), 0o1777), "chmod 700 "),
        ("ca_parent_mode", |f| set_mode(f.dir.path().parent().unwrap(), 0o777), "chmod o-w "),
        ("ca_symlink", |f| link(&f.file("root.key")), "cp --remove-destination "),
        ("ca_symlink", |f| link(&f.file("root.pem")), "cp --remove-destination "),
        ("ca_symlink", |f| link(&f.file("intermediate.key")), "cp --remove-destination "),
        ("ca_not_a_file", |f| directory(&f.file("root.key")), "mv "),
        ("ca_garbage", |f| fs::write(f.file("root.key"), "").unwrap(), "put the right "),
        ("ca_garbage", |f| fs::write(f.file("root.key"), "\x30\x03abc").unwrap(), "put the right "),
        ("ca_garbage", |f| fs::write(f.file("root.pem"), "").unwrap(), "put the right "),
        ("ca_garbage", |f| fs::write(f.file("root.pem"), b"\x30\x82\xff\xff").unwrap(), "put the right "),
        ("ca_garbage", |f| cut(&f.file("root.pem")), "put the right "),
        ("ca_garbage", |f| cut(&f.file("root.key")), "put the right "),
        ("ca_garbage", |f| fs::write(f.file("root.pem"), vec![b'x'; 2 << 20]).unwrap(), "put the right "),
        ("ca_mismatch", |f| swap_key(f), "put the right "),
        ("ca_root_cert_missing", |f| fs::remove_file(f.file("root.pem")).unwrap(), "put "),
        (
            "ca_root_cert_missing",
            |f| {
                fs::remove_file(f.file("root.pem")).unwrap();
                fs::remove_file(f.file("root.key")).unwrap();
            },
            "put ",
        ),
        (
            "ca_root_key_missing",
            |f| {
                fs::remove_file(f.file("root.key")).unwrap();
                fs::remove_file(f.file("intermediate.pem")).unwrap();
            },
            "put ",
        ),
    ];
    for (number, (code, damage, fix)) in cases.iter().enumerate() {
        let folder = folder();
        folder.dir.open_or_create(NOW).unwrap();
        damage(&folder);
        let error = folder.error();
        assert_eq!(error.code(), *code, "case {number}: {error}");
        assert!(error.fix().starts_with(fix), "case {number}: {}", error.fix());
        // A message never quotes what is in a key.
        assert!(!format!("{error} {error:?}").contains("PRIVATE"), "case {number}");
        // Refusing is all that happened: mended by hand, the CA is the one it was.
        chmod(folder.dir.path().parent().unwrap(), 0o700);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn link(path: &Path) {
    let away = path.with_extension("away");
    fs::rename(path, &away).unwrap();
    symlink(&away, path).unwrap();
}

fn directory(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    set_mode(path, 0o700);
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn swap_key(folder: &Folder) {
    let other = KeyPair::generate().unwrap();
    fs::write(folder.file("root.key"), other.serialize_pem()).unwrap();
}

#[test]
fn a_named_pipe_in_place_of_the_key_does_not_hang() {
    let folder = folder();
    folder.dir.open_or_create(NOW).unwrap();
    fs::remove_file(folder.file("root.key")).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&folder.file("root.key"), mode).unwrap();
    assert_eq!(folder.error().code(), "ca_not_a_file");
}

#[test]
fn another_owner_is_refused() {
    // Only root can give a file away; elsewhere the message alone is checked.
    let folder = folder();
    folder.dir.open_or_create(NOW).unwrap();
    let error = if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&folder.file("root.key"), Some(12345.into()), None).unwrap();
        folder.error()
    } else {
        CaError::Owner { path: "/ca/root.key".into(), owner: 12345, us: 0 }
    };
    assert_eq!(error.code(), "ca_owner");
    assert!(error.to_string().contains("12345"));
    assert!(error.fix().starts_with("sudo chown "));
}

#[test]
fn an_expired_or_future_root_is_refused_and_says_when() {
    let folder = folder();
    folder.dir.open_or_create(NOW).unwrap();
    let late = folder.dir.open(NOW + DAY * 3651).err().unwrap();
    assert_eq!(late.code(), "ca_expired");
    assert!(late.to_string().contains("2036-11-18"), "{late}");
    assert!(late.fix().starts_with("portward ca rotate --root"));
    let early = folder.dir.open(NOW - DAY).err().unwrap();
    assert_eq!(early.code(), "ca_not_yet_valid");
    // The way out that the message names works.
    let ca = folder.dir.rotate(Rotate::Root, NOW + DAY * 3651).unwrap();
    ca.mint(&profile(&["a.test"]), NOW + DAY * 3651).unwrap();
}

// ---- the leaf --------------------------------------------------------------------------------

#[test]
fn each_field_of_a_leaf_is_as_narrow_as_clients_allow() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let leaf = mint(&ca, "www.example.test");
    let (cert, issuer) = (parse(&leaf.chain[0]), parse(&leaf.chain[1]));
    assert_eq!(cert.version(), x509_parser::x509::X509Version::V3);
    assert_eq!(cert.issuer().as_raw(), issuer.subject().as_raw());
    assert_eq!(cert.subject().to_string(), "CN=www.example.test");
    assert!(cert.issuer_uid.is_none() && cert.subject_uid.is_none());
    assert_eq!(cert.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    assert_eq!(cert.signature_algorithm, cert.signature);
    assert_eq!(cert.validity().not_before.to_datetime(), NOW - Duration::HOUR);
    assert_eq!(cert.validity().not_after.to_datetime(), NOW + DAY);
    assert_eq!(cert.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&leaf.key));
    assert_ne!(cert.public_key().raw, issuer.public_key().raw);

    let mut seen: Vec<String> = cert.extensions().iter().map(|e| e.oid.to_id_string()).collect();
    seen.sort();
    // authorityKeyIdentifier, subjectKeyIdentifier, keyUsage, subjectAltName, extKeyUsage
    assert_eq!(seen, ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.35", "2.5.29.37"]);
    let usage = cert.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1, "digitalSignature alone");
    let extended = cert.extended_key_usage().unwrap().unwrap();
    assert!(!extended.critical && extended.value.server_auth);
    assert!(!extended.value.any && !extended.value.client_auth && extended.value.other.is_empty());
    let san = cert.subject_alternative_name().unwrap().unwrap();
    assert_eq!(san.value.general_names, [GeneralName::DNSName("www.example.test")]);
    assert!(!san.critical);
    assert_eq!(authority_key_id(&cert), subject_key_id(&issuer));
    assert!(subject_key_id(&cert).is_some_and(|id| id.len() == 20));
    assert_eq!(
        hex::encode(cert.raw_serial()).trim_start_matches("00"),
        leaf.serial.to_string().trim_start_matches("00")
    );
    assert_eq!((leaf.not_before, leaf.not_after), (NOW - Duration::HOUR, NOW + DAY));
}

fn subject_key_id(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn authority_key_id(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    })
}

#[test]
fn every_kind_of_name_is_minted_and_accepted_for_that_name_alone() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let anchor = ca.anchors().swap_remove(0);
    let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let cases = [
        ("a.test", "a.test", "b.test"),
        ("localhost", "localhost", "localhost.test"),
        ("with_underscore.test", "with_underscore.test", "x.test"),
        ("xn--mnchen-3ya.test", "xn--mnchen-3ya.test", "mnchen-3ya.test"),
        ("*.a.test", "b.a.test", "c.b.a.test"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("[2001:db8::1]", "2001:db8::1", "2001:db8::2"),
        (&long, &long, "a.test"),
    ];
    for (name, good, bad) in cases {
        let leaf = ca.mint(&profile(&[name]), NOW).unwrap();
        assert_eq!(accepted(&leaf, &anchor, good, NOW), Ok(()), "{name}");
        assert!(accepted(&leaf, &anchor, bad, NOW).is_err(), "{name} for {bad}");
        // A subject only where it fits (64 octets), and then a SAN that is critical.
        let cert = parse(&leaf.chain[0]);
        let san = cert.subject_alternative_name().unwrap().unwrap();
        assert_eq!(san.critical, cert.subject().iter().next().is_none(), "{name}");
        assert_eq!(cert.subject().iter().next().is_none(), name.len() > 64, "{name}");
    }
    let many = ca.mint(&profile(&["a.test", "*.b.test", "192.0.2.7"]), NOW).unwrap();
    for name in ["a.test", "x.b.test", "192.0.2.7"] {
        assert_eq!(accepted(&many, &anchor, name, NOW), Ok(()));
    }
    assert!(matches!(ca.mint(&profile(&[]), NOW), Err(CaError::NoName)));
}

#[test]
fn a_wildcard_covers_a_registrable_domain_at_most() {
    for bad in ["*", "*.", "*.test", "*.*.a.test", "a.*.test", "w*.a.test", "*.192.0.2.7", "*.[::1]", ""] {
        assert!(bad.parse::<LeafName>().is_err(), "{bad:?}");
    }
    assert_eq!("*.A.Test.".parse::<LeafName>().unwrap().to_string(), "*.a.test");
}

#[test]
fn serials_are_positive_unique_and_random_in_all_128_bits() {
    let mut seen = std::collections::HashSet::new();
    let (mut or, mut and) = ([0u8; 16], [0xffu8; 16]);
    for _ in 0..20_000 {
        let serial = leaf::Serial::random().unwrap();
        let bytes: [u8; 16] = hex::decode(serial.to_string()).unwrap().try_into().unwrap();
        bytes.iter().enumerate().for_each(|(i, b)| {
            or[i] |= b;
            and[i] &= b;
        });
        assert!(seen.insert(bytes));
    }
    assert_eq!((or, and), ([0xff; 16], [0; 16]));
    // In the certificate: at most 17 octets, the top bit clear.
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    for _ in 0..200 {
        let leaf = mint(&ca, "a.test");
        let cert = parse(&leaf.chain[0]);
        assert!(cert.raw_serial().len() <= 17 && cert.raw_serial()[0] < 0x80);
    }
}

#[test]
fn a_leaf_never_outlives_the_origin_the_issuer_or_the_day() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let capped = |cap| {
        let profile = LeafProfile { not_after_cap: Some(cap), ..profile(&["a.test"]) };
        ca.mint(&profile, NOW).map(|leaf| leaf.not_after)
    };
    assert_eq!(capped(NOW + Duration::hours(3)).unwrap(), NOW + Duration::hours(3));
    assert_eq!(capped(NOW + DAY * 90).unwrap(), NOW + DAY);
    assert!(matches!(capped(NOW - Duration::SECOND), Err(CaError::NoTimeLeft { .. })));
    assert!(matches!(capped(NOW), Err(CaError::NoTimeLeft { .. })));
    // Without the root key the intermediate cannot be renewed, and leaves end with it.
    fs::remove_file(folder.file("root.key")).unwrap();
    let at = NOW + DAY * 6 + Duration::hours(12);
    let ca = folder.dir.open(at).unwrap();
    let leaf = ca.mint(&profile(&["a.test"]), at).unwrap();
    assert_eq!(leaf.not_after, NOW + DAY * 7);
}

#[test]
fn a_leaf_lives_as_long_as_configured_and_begins_no_earlier_than_the_origins() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let lives = |lifetime| {
        let leaf = ca.mint(&LeafProfile { lifetime, ..profile(&["a.test"]) }, NOW).unwrap();
        leaf.not_after - NOW
    };
    assert_eq!(lives(Duration::minutes(10)), Duration::minutes(10));
    assert_eq!(lives(DAY * 5), DAY * 5);
    // The intermediate ends first.
    assert_eq!(lives(DAY * 400), DAY * 7);
    for (floor, expected) in
        [(NOW - DAY, NOW - Duration::HOUR), (NOW - Duration::MINUTE, NOW - Duration::MINUTE)]
    {
        let wanted = LeafProfile { not_before_floor: Some(floor), ..profile(&["a.test"]) };
        assert_eq!(ca.mint(&wanted, NOW).unwrap().not_before, expected);
    }
    let early = LeafProfile { not_before_floor: Some(NOW + Duration::HOUR), ..profile(&["a.test"]) };
    assert!(matches!(ca.mint(&early, NOW), Err(CaError::NoTimeLeft { .. })));
    // Below an imported CA of ten years nothing else ends a leaf.
    let folder = self::folder();
    let ca = Company::root(path_len::<0>).import(&folder, &[]).unwrap();
    let leaf = ca.mint(&LeafProfile { lifetime: DAY * 400, ..profile(&["a.test"]) }, NOW).unwrap();
    assert!(leaf.not_after - leaf.not_before < DAY * 47, "{} to {}", leaf.not_before, leaf.not_after);
    assert!(leaf.not_after - NOW > DAY * 46);
}

#[test]
fn an_rsa_leaf_has_the_same_profile_and_is_accepted() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let key = Some(leaf::LeafPair::rsa().unwrap());
    let leaf = ca.mint(&LeafProfile { key, ..profile(&["a.test", "*.b.test"]) }, NOW).unwrap();
    assert_eq!(accepted(&leaf, &ca.anchors()[0], "x.b.test", NOW), Ok(()));
    let cert = parse(&leaf.chain[0]);
    let x509_parser::public_key::PublicKey::RSA(key) = cert.public_key().parsed().unwrap() else {
        panic!("not an RSA key")
    };
    assert_eq!((key.key_size(), key.try_exponent().unwrap()), (2048, 65537));
    assert_eq!(cert.key_usage().unwrap().unwrap().value.flags, 1, "digitalSignature alone");
}

#[test]
fn openssl_accepts_what_we_mint() {
    let folder = folder();
    let ca = folder.dir.open_or_create(OffsetDateTime::now_utc()).unwrap();
    for (name, flag) in [("a.test", "-verify_hostname"), ("192.0.2.7", "-verify_ip")] {
        let leaf = ca.mint(&profile(&[name]), OffsetDateTime::now_utc()).unwrap();
        let write = |file: &str, ders: &[CertificateDer<'_>]| {
            let text: String = ders.iter().map(|der| pki::cert_pem(der)).collect();
            fs::write(folder.file(file), text).unwrap();
        };
        write("leaf.pem", &leaf.chain[..1]);
        write("chain.pem", &leaf.chain[1..]);
        let output = std::process::Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslserver", flag, name])
            .args(["-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem"])
            .current_dir(folder.dir.path())
            .output()
            .expect("the openssl command is needed for this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

// ---- rotation and the offline root -----------------------------------------------------------

#[test]
fn the_intermediate_is_renewed_at_half_its_life_and_old_keys_of_the_cache_are_left_behind() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let key = ca.leaf_key(&host("a.test"), Purpose::Origin);
    assert_eq!(ca.refresh(NOW + DAY * 3).unwrap(), Refreshed::Unchanged);
    assert_eq!(ca.leaf_key(&host("a.test"), Purpose::Origin), key);
    let before = mint(&ca, "a.test").chain[1].clone();
    let at = NOW + DAY * 3 + Duration::hours(12);
    assert_eq!(ca.refresh(at).unwrap(), Refreshed::Changed);
    let leaf = ca.mint(&profile(&["a.test"]), at).unwrap();
    assert_ne!(leaf.chain[1], before);
    assert_ne!(ca.leaf_key(&host("a.test"), Purpose::Origin), key);
    assert_eq!(accepted(&leaf, &ca.anchors()[0], "a.test", at), Ok(()));
    assert_eq!(ca.status(at).issuer_not_after, at + DAY * 7);
}

#[test]
fn a_clock_that_jumps_either_way_gets_a_leaf_valid_then() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    for at in [NOW + DAY * 400, NOW + DAY * 30, NOW, NOW + DAY * 3000] {
        let leaf = ca.mint(&profile(&["a.test"]), at).unwrap();
        assert_eq!(accepted(&leaf, &ca.anchors()[0], "a.test", at), Ok(()), "{at}");
    }
    // Before the root existed there is nothing valid to serve.
    assert!(matches!(ca.mint(&profile(&["a.test"]), NOW - DAY), Err(CaError::NoTimeLeft { .. })));
}

#[test]
fn without_the_root_key_the_ca_starts_warns_and_ends_with_its_intermediate() {
    let folder = folder();
    folder.dir.open_or_create(NOW).unwrap();
    let away = folder.dir.path().parent().unwrap().join("safe.key");
    fs::rename(folder.file("root.key"), &away).unwrap();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let warning = ca.warnings(NOW).swap_remove(0);
    assert_eq!(warning.code, "ca_root_key_offline");
    assert!(warning.message.contains("2026-11-28"), "{}", warning.message);
    assert_eq!(ca.status(NOW).root_key, RootKey::Absent);
    mint(&ca, "a.test");
    let ca = folder.dir.open(NOW + DAY * 6).unwrap();
    assert_eq!(ca.warnings(NOW + DAY * 6)[0].code, "ca_intermediate_expires");
    let late = folder.dir.open(NOW + DAY * 8).err().unwrap();
    assert_eq!(late.code(), "ca_root_key_missing");
    assert!(late.fix().contains("portward ca rotate"), "{}", late.fix());
    let refused = folder.dir.rotate(Rotate::Intermediate, NOW).err().unwrap();
    assert_eq!(refused.code(), "ca_root_key_missing");
    // A proxy that kept running goes on until then, and no longer.
    assert!(ca.mint(&profile(&["a.test"]), NOW + DAY * 8).is_err());
    // What the message says to do works, and the running proxy takes it up.
    fs::rename(&away, folder.file("root.key")).unwrap();
    folder.dir.rotate(Rotate::Intermediate, NOW + DAY * 8).unwrap();
    fs::rename(folder.file("root.key"), &away).unwrap();
    assert_eq!(ca.reload(NOW + DAY * 8).unwrap(), Refreshed::Changed);
    ca.mint(&profile(&["a.test"]), NOW + DAY * 8).unwrap();
}

#[test]
fn a_broken_folder_leaves_a_running_ca_as_it_was() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let chain = mint(&ca, "a.test").chain[1].clone();
    set_mode(&folder.file("root.key"), 0o644);
    assert_eq!(ca.reload(NOW).unwrap_err().code(), "ca_mode");
    assert_eq!(mint(&ca, "a.test").chain[1], chain);
    fs::remove_dir_all(folder.dir.path()).unwrap();
    assert_eq!(ca.reload(NOW).unwrap_err().code(), "ca_missing");
    assert_eq!(mint(&ca, "a.test").chain[1], chain);
    assert_eq!(ca.generation(), 0);
}

#[test]
fn a_damaged_intermediate_is_made_anew_while_the_root_key_is_here() {
    type Break = fn(&Folder);
    let cases: &[Break] = &[
        |f| fs::remove_file(f.file("intermediate.pem")).unwrap(),
        |f| fs::remove_file(f.file("intermediate.key")).unwrap(),
        |f| cut(&f.file("intermediate.key")),
        |f| fs::write(f.file("intermediate.pem"), "x").unwrap(),
        |f| fs::write(f.file("intermediate.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap(),
        // The intermediate of another installation.
        |f| {
            let other = folder();
            other.dir.open_or_create(NOW).unwrap();
            for name in ["intermediate.pem", "intermediate.key"] {
                fs::write(f.file(name), fs::read(other.file(name)).unwrap()).unwrap();
            }
        },
        // Same name, other root key: a forged issuer.
        |f| fs::write(f.file("intermediate.pem"), fs::read(f.file("root.pem")).unwrap()).unwrap(),
    ];
    for (number, damage) in cases.iter().enumerate() {
        let folder = folder();
        let anchors = folder.dir.open_or_create(NOW).unwrap().anchors();
        damage(&folder);
        let ca = folder.dir.open_or_create(NOW).unwrap();
        assert_eq!(ca.anchors(), anchors, "case {number}");
        assert_eq!(accepted(&mint(&ca, "a.test"), &anchors[0], "a.test", NOW), Ok(()), "case {number}");
    }
}

#[test]
fn a_crash_between_the_files_of_a_pair_leaves_one_whole_ca() {
    // Every state that a kill can leave between the four steps of writing root.key and root.pem.
    let new = folder();
    new.dir.open_or_create(NOW).unwrap();
    let (pem, key) = (fs::read(new.file("root.pem")).unwrap(), fs::read(new.file("root.key")).unwrap());
    for (state, old_survives) in
        [("temporary", true), ("key staged", true), ("both staged", false), ("key in place", false)]
    {
        let folder = folder();
        let old = folder.dir.open_or_create(NOW).unwrap().anchors();
        let put = |name: &str, bytes: &[u8]| {
            fs::write(folder.file(name), bytes).unwrap();
            set_mode(&folder.file(name), 0o600);
        };
        match state {
            "temporary" => put(".root.key.next.0123.tmp", &key[..20]),
            "key staged" => put("root.key.next", &key),
            "both staged" => {
                put("root.key.next", &key);
                put("root.pem.next", &pem);
            }
            _ => {
                put("root.key", &key);
                put("root.pem.next", &pem);
            }
        }
        let ca = folder.dir.open_or_create(NOW).unwrap();
        assert_eq!(ca.anchors()[0] == old[0], old_survives, "{state}");
        mint(&ca, "a.test");
        let leftovers = fs::read_dir(folder.dir.path()).unwrap().count();
        assert_eq!(leftovers, 5, "{state}");
    }
}

#[test]
fn rotating_the_root_keeps_clients_of_the_old_one_working_through_the_overlap() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let old = ca.anchors().swap_remove(0);
    let old_keys = ca.own_keys();
    folder.dir.rotate(Rotate::Root, NOW).unwrap();
    assert_eq!(ca.reload(NOW).unwrap(), Refreshed::Changed);
    let anchors = ca.anchors();
    assert_eq!(anchors.len(), 2);
    assert_ne!(anchors[0], old);
    assert_eq!(anchors[1], old);
    let leaf = mint(&ca, "a.test");
    for anchor in &anchors {
        assert_eq!(accepted(&leaf, anchor, "a.test", NOW), Ok(()));
    }
    assert!(ca.own_keys().contains(&old_keys[1]), "the old root is still ours");
    // After the overlap the old root is served no longer; the new one is.
    let late = NOW + DAY * 91;
    ca.refresh(late).unwrap();
    let leaf = ca.mint(&profile(&["a.test"]), late).unwrap();
    assert_eq!(accepted(&leaf, &anchors[0], "a.test", late), Ok(()));
    assert!(accepted(&leaf, &old, "a.test", late).is_err());
    for name in fs::read_dir(folder.dir.path()).unwrap() {
        let name = name.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".key") || folder.mode(&name) == 0o600, "{name}");
    }
    // Twice within one second: neither old root is lost.
    folder.dir.rotate(Rotate::Root, NOW).unwrap();
    assert_eq!(folder.dir.rotate(Rotate::Root, NOW).unwrap().anchors().len(), 4);
}

fn typed(text: &str) -> SecretSource {
    SecretSource::Typed(std::sync::Arc::new(text.to_owned().into()))
}

/// The same folder with that passphrase.
fn under(folder: &Folder, passphrase: &str) -> CaDir {
    folder.dir.clone().with_secrets(Secrets { passphrase: Some(typed(passphrase)), pin: None })
}

/// Every file of a folder.
fn content(folder: &Folder) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

#[test]
fn a_new_root_is_as_narrow_as_the_one_before_even_when_that_one_has_ended() {
    let narrow = NewCa { permit: vec!["corp.test".parse().unwrap()], ..NewCa::default() };
    type Break = fn(&Folder);
    let cases: [(OffsetDateTime, Break); 4] = [
        (NOW, |_| {}),
        (NOW + DAY * 3651, |_| {}),
        (NOW, |f| swap_key(f)),
        // What the root said is in the intermediate too.
        (NOW, |f| cut(&f.file("root.pem"))),
    ];
    for (number, (at, damage)) in cases.into_iter().enumerate() {
        let folder = folder();
        folder.dir.init(&narrow, NOW).unwrap();
        damage(&folder);
        let would = folder.dir.would_rotate(Rotate::Root, at).unwrap().join("\n");
        assert!(would.contains("permits corp.test"), "case {number}: {would}");
        let ca = folder.dir.rotate(Rotate::Root, at).unwrap();
        ca.mint(&profile(&["a.corp.test"]), at).unwrap();
        let refused = ca.mint(&profile(&["a.test"]), at).unwrap_err();
        assert_eq!(refused.code(), "ca_not_permitted", "case {number}");
    }
    // So is one that takes the place of a sub-CA under a narrow root.
    let folder = folder();
    let root = Company::root(corp_only);
    root.sub("Example sub", |_| {}).import(&folder, &[&root]).unwrap();
    let ca = folder.dir.rotate(Rotate::Root, NOW).unwrap();
    ca.mint(&profile(&["a.corp.test"]), NOW).unwrap();
    for outside in ["a.test", "secret.corp.test", "192.0.2.7"] {
        assert_eq!(ca.mint(&profile(&[outside]), NOW).unwrap_err().code(), "ca_not_permitted", "{outside}");
    }
}

#[test]
fn a_root_that_cannot_be_read_is_not_rotated_into_a_weaker_one() {
    type Break = fn(&Folder);
    let cases: [(&str, Option<&str>, Break); 8] = [
        ("ca_encrypted_key", None, |_| {}),
        ("ca_wrong_passphrase", Some("wrong"), |_| {}),
        ("ca_mode", Some("right"), |f| set_mode(&f.file("root.key"), 0o640)),
        ("ca_mode", Some("right"), |f| set_mode(&f.file("root.pem"), 0o664)),
        ("ca_symlink", Some("right"), |f| link(&f.file("root.key"))),
        ("ca_not_a_file", Some("right"), |f| directory(&f.file("root.key"))),
        // The root's key is offline; the intermediate's tells that there was a passphrase.
        ("ca_encrypted_key", None, |f| fs::remove_file(f.file("root.key")).unwrap()),
        ("ca_encrypted_key", None, |f| fs::write(f.file("root.pem"), "x").unwrap()),
    ];
    for (number, (code, passphrase, damage)) in cases.into_iter().enumerate() {
        let folder = folder();
        under(&folder, "right").open_or_create(NOW).unwrap();
        damage(&folder);
        let before = content(&folder);
        let dir = passphrase.map_or_else(|| folder.dir.clone(), |text| under(&folder, text));
        for at in [NOW, NOW + DAY * 3651] {
            assert_eq!(dir.would_rotate(Rotate::Root, at).unwrap_err().code(), code, "case {number} at {at}");
            assert_eq!(dir.rotate(Rotate::Root, at).err().unwrap().code(), code, "case {number} at {at}");
        }
        assert_eq!(content(&folder), before, "case {number}: something was written");
    }
    // Who has lost the passphrase moves the keys away, as the message says.
    let folder = folder();
    under(&folder, "lost").open_or_create(NOW).unwrap();
    let error = under(&folder, "guessed").rotate(Rotate::Root, NOW).err().unwrap();
    let mended = error.fix();
    assert!(mended.contains(" && portward ca rotate --root --ca ") && mended.contains(".lost"), "{mended}");
    for key in ["root.key", "intermediate.key"] {
        fs::rename(folder.file(key), folder.file(key).with_extension("lost")).unwrap();
    }
    under(&folder, "new").rotate(Rotate::Root, NOW).unwrap();
    for key in ["root.key", "intermediate.key"] {
        assert!(fs::read_to_string(folder.file(key)).unwrap().contains("ENCRYPTED"), "{key}");
    }
}

#[test]
fn an_intermediate_under_a_passphrase_is_never_replaced_by_one_without() {
    // A root key that needs no passphrase, as one in a token, and an intermediate that does.
    let folder = folder();
    folder.dir.open_or_create(NOW).unwrap();
    under(&folder, "right").rotate(Rotate::Intermediate, NOW).unwrap();
    let before = content(&folder);
    let half = NOW + DAY * 4;
    for at in [NOW, half, NOW + DAY * 30] {
        let without = &folder.dir;
        assert_eq!(without.open(at).err().unwrap().code(), "ca_encrypted_key", "{at}");
        assert_eq!(
            without.rotate(Rotate::Intermediate, at).err().unwrap().code(),
            "ca_encrypted_key",
            "{at}"
        );
        assert_eq!(
            without.would_rotate(Rotate::Intermediate, at).unwrap_err().code(),
            "ca_encrypted_key",
            "{at}"
        );
        assert_eq!(without.rotate(Rotate::Root, at).err().unwrap().code(), "ca_encrypted_key", "{at}");
        let wrong = under(&folder, "wrong").open(at).err().unwrap();
        assert_eq!(wrong.code(), "ca_wrong_passphrase", "{at}");
        assert!(wrong.fix().contains("intermediate.key.lost && portward ca rotate --ca "), "{}", wrong.fix());
    }
    assert_eq!(content(&folder), before, "something was written");
    under(&folder, "right").open(half).unwrap();
    assert!(fs::read_to_string(folder.file("intermediate.key")).unwrap().contains("ENCRYPTED"));
}

#[test]
fn an_import_takes_the_place_of_a_ca_under_another_passphrase() {
    let folder = folder();
    under(&folder, "old").open_or_create(NOW).unwrap();
    let parent = folder.dir.path().parent().unwrap().to_owned();
    let root = Company::root(|_| {});
    fs::write(parent.join("c.pem"), pki::cert_pem(&root.der)).unwrap();
    fs::write(parent.join("c.key"), root.key.serialize_pem()).unwrap();
    for passphrase in ["new", "newer"] {
        let dir = under(&folder, passphrase);
        let ca = dir.import(&parent.join("c.pem"), &given(&parent.join("c.key")), true, NOW).unwrap();
        assert_eq!(accepted(&mint(&ca, "a.test"), &root.der, "a.test", NOW), Ok(()));
        assert!(fs::read_to_string(folder.file("intermediate.key")).unwrap().contains("ENCRYPTED"));
    }
}

#[test]
fn a_passphrase_is_changed_for_all_keys_or_for_none() {
    let folder = folder();
    under(&folder, "one").open_or_create(NOW).unwrap();
    under(&folder, "one").rotate(Rotate::Root, NOW).unwrap();
    // The earlier root's key is under a passphrase that nobody gave: it is left, and named.
    let earlier = content(&folder).into_keys().find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("root-") && name.ends_with(".key")
    });
    let earlier = earlier.unwrap();
    let key = pki::Key::generate().unwrap().secret().unwrap();
    fs::write(&earlier, secret::encrypt(&key, "forgotten").unwrap().as_bytes()).unwrap();
    let would = under(&folder, "one").would_change_passphrase(Some(&typed("two"))).unwrap();
    assert!(would.iter().any(|line| line.starts_with("leave ") && line.contains("root-")), "{would:?}");
    let before = fs::read(&earlier).unwrap();
    let (_, left) = under(&folder, "one").change_passphrase(Some(typed("two")), NOW).unwrap();
    assert_eq!((left, fs::read(&earlier).unwrap()), (vec![earlier], before));
    under(&folder, "two").open(NOW).unwrap();
    // The root's own key opens with neither: nothing is written, the intermediate's neither.
    fs::write(folder.file("root.key"), secret::encrypt(&key, "forgotten").unwrap().as_bytes()).unwrap();
    let before = content(&folder);
    for new in [Some(typed("three")), None] {
        assert_eq!(
            under(&folder, "two").would_change_passphrase(new.as_ref()).unwrap_err().code(),
            "ca_wrong_passphrase"
        );
        let error = under(&folder, "two").change_passphrase(new, NOW).err().unwrap();
        assert_eq!(error.code(), "ca_wrong_passphrase");
        assert_eq!(content(&folder), before);
    }
}

#[test]
fn what_clients_are_given_needs_no_key() {
    let folder = folder();
    let anchors = under(&folder, "right").open_or_create(NOW).unwrap().anchors();
    assert_eq!(folder.dir.open(NOW).err().unwrap().code(), "ca_encrypted_key");
    let public = folder.dir.public(NOW).unwrap();
    assert_eq!(public.anchors(), anchors);
    public.write_trust_files().unwrap();
    fs::remove_file(folder.file("root.key")).unwrap();
    fs::remove_file(folder.file("intermediate.key")).unwrap();
    assert_eq!(folder.dir.public(NOW).unwrap().anchors(), anchors);
    assert_eq!(folder.dir.public(NOW + DAY * 3651).unwrap_err().code(), "ca_expired");
    assert_eq!(CaDir::new(folder.file("none")).public(NOW).unwrap_err().code(), "ca_missing");
}

#[test]
fn a_refresh_that_failed_is_not_tried_again_by_the_next_mint() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    assert!(ca.mints_in_memory(NOW));
    let due = NOW + DAY * 7 - Duration::minutes(30);
    assert!(!ca.mints_in_memory(due));
    set_mode(&folder.file("root.key"), 0o640);
    let old = ca.mint(&profile(&["a.test"]), due).unwrap().chain[1].clone();
    // Mended at once, and not looked at for a minute.
    set_mode(&folder.file("root.key"), 0o600);
    let soon = due + Duration::seconds(59);
    assert!(ca.mints_in_memory(soon));
    assert_eq!(ca.mint(&profile(&["a.test"]), soon).unwrap().chain[1], old);
    let later = due + Duration::MINUTE;
    assert!(!ca.mints_in_memory(later));
    assert_ne!(ca.mint(&profile(&["a.test"]), later).unwrap().chain[1], old);
    assert!(ca.mints_in_memory(later));
    assert_eq!(ca.generation(), 1);
}

#[test]
fn a_mint_is_logged_with_what_it_stands_for() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    mint(&ca, "before.test");
    ca.start_log().unwrap();
    ca.start_log().unwrap();
    let wanted = LeafProfile { origin: Some([7; 32]), ..profile(&["a.test", "192.0.2.7"]) };
    let leaf = ca.mint(&wanted, NOW).unwrap();
    assert_eq!(ca.lost_records(), 0);
    drop(ca);
    let (records, broken) = MintLog::tail(folder.dir.path(), 10).unwrap();
    assert_eq!((records.len(), broken), (1, 0));
    let expected = MintRecord {
        time: NOW,
        names: vec!["a.test".into(), "192.0.2.7".into()],
        serial: leaf.serial.to_string(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        sha256: sha256_hex(&leaf.chain[0]),
        origin_sha256: Some("07".repeat(32)),
    };
    assert_eq!(records[0], expected);
}

#[test]
fn a_ca_that_is_about_to_end_warns_a_month_before() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    assert_eq!(ca.warnings(NOW + DAY * 3600), []);
    let at = NOW + DAY * 3630;
    let codes: Vec<_> = ca.warnings(at).iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["ca_expires"]);
    // Leaves shorten with it, and then there are none.
    ca.refresh(NOW + DAY * 3649 + Duration::hours(20)).unwrap();
    let leaf = ca.mint(&profile(&["a.test"]), NOW + DAY * 3649 + Duration::hours(20)).unwrap();
    assert_eq!(leaf.not_after, NOW + DAY * 3650);
    assert_eq!(ca.refresh(NOW + DAY * 3651).unwrap_err().code(), "ca_expired");
    assert!(ca.mint(&profile(&["a.test"]), NOW + DAY * 3651).is_err());
}

// ---- import ----------------------------------------------------------------------------------

fn given(key: &Path) -> GivenKey {
    GivenKey::File(key.into(), None)
}

/// A company's CA made elsewhere: its certificate and key, to sign further ones.
struct Company {
    der: CertificateDer<'static>,
    key: KeyPair,
}

type Change = fn(&mut CertificateParams);

impl Company {
    fn root(change: Change) -> Company {
        let key = KeyPair::generate().unwrap();
        let der = company_params("Example root", change).self_signed(&key).unwrap().into();
        Company { der, key }
    }

    fn sub(&self, name: &str, change: Change) -> Company {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_der(&self.der, &self.key).unwrap();
        let der = company_params(name, change).signed_by(&key, &issuer).unwrap().into();
        Company { der, key }
    }

    /// Imports this CA with the chain `above` it.
    fn import(&self, folder: &Folder, above: &[&Company]) -> Result<Ca, CaError> {
        let parent = folder.dir.path().parent().unwrap();
        let (cert, key) = (parent.join("company.pem"), parent.join("company.key"));
        let text: String =
            std::iter::once(self).chain(above.iter().copied()).map(|c| pki::cert_pem(&c.der)).collect();
        fs::write(&cert, text).unwrap();
        fs::write(&key, self.key.serialize_pem()).unwrap();
        folder.dir.import(&cert, &GivenKey::File(key, None), false, NOW)
    }
}

fn company_params(name: &str, change: Change) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = NOW - DAY * 100;
    params.not_after = NOW + DAY * 1000;
    change(&mut params);
    params
}

fn path_len<const N: u8>(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(N));
}

fn corp_only(params: &mut CertificateParams) {
    let ten = CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("corp.test".into()), GeneralSubtree::IpAddress(ten)],
        excluded_subtrees: vec![GeneralSubtree::DnsName("secret.corp.test".into())],
    });
}

#[test]
fn an_imported_ca_is_served_with_its_chain_and_our_intermediate_where_there_is_room() {
    // (path length of the root, of the sub-CA, certificates served)
    let cases: &[(Change, Change, usize)] = &[
        (|_| {}, |_| {}, 3),
        (|_| {}, path_len::<1>, 3),
        (|_| {}, path_len::<0>, 2),
        (path_len::<2>, |_| {}, 3),
        (path_len::<1>, |_| {}, 2),
    ];
    for (number, (root_change, sub_change, served)) in cases.iter().enumerate() {
        for with_root in [true, false] {
            let folder = folder();
            let root = Company::root(*root_change);
            let sub = root.sub("Example sub", *sub_change);
            let above: &[&Company] = if with_root { &[&root] } else { &[] };
            let ca = sub.import(&folder, above).unwrap();
            assert_eq!(folder.mode("root.key"), 0o600);
            // Without the root in the file the room above the sub-CA is not known.
            let served = if with_root || number < 4 { *served } else { 3 };
            let leaf = mint(&ca, "a.test");
            assert_eq!(leaf.chain.len(), served, "case {number}");
            assert_eq!(leaf.chain.last(), Some(&sub.der), "case {number}");
            let anchor = if with_root { &root.der } else { &sub.der };
            assert_eq!(ca.anchors()[0], *anchor);
            assert_eq!(accepted(&leaf, anchor, "a.test", NOW), Ok(()), "case {number}");
            let again = folder.dir.open(NOW).unwrap();
            assert_eq!(mint(&again, "a.test").chain[1..], leaf.chain[1..]);
        }
    }
}

#[test]
fn an_imported_root_signs_our_intermediate() {
    let folder = folder();
    let root = Company::root(|_| {});
    let ca = root.import(&folder, &[]).unwrap();
    let leaf = mint(&ca, "a.test");
    assert_eq!(leaf.chain.len(), 2);
    assert_eq!(accepted(&leaf, &root.der, "a.test", NOW), Ok(()));
    // A second import needs to be told to replace, and then keeps the first.
    let error = Company::root(|_| {}).import(&folder, &[]).err().unwrap();
    assert_eq!(error.code(), "ca_exists");
    assert_eq!(folder.dir.open(NOW).unwrap().anchors(), std::slice::from_ref(&root.der));
    let other = folder.dir.path().parent().unwrap().join("company");
    let ca = folder
        .dir
        .import(&other.with_extension("pem"), &given(&other.with_extension("key")), true, NOW)
        .unwrap();
    assert_eq!(ca.anchors().len(), 2);
    assert_eq!(ca.anchors()[1], root.der);
}

#[test]
fn what_may_not_be_imported_is_refused_before_a_file_is_touched() {
    let root = Company::root(|_| {});
    let stranger = Company::root(|p| p.distinguished_name.push(DnType::CommonName, "Stranger"));
    let other_key =
        |company: &Company| Company { der: company.der.clone(), key: KeyPair::generate().unwrap() };
    let sub = |change: Change| root.sub("Example sub", change);
    let cases: Vec<(Company, Vec<&Company>, &str)> = vec![
        (other_key(&root), vec![], "ca_mismatch"),
        (sub(|p| p.is_ca = IsCa::NoCa), vec![&root], "ca_not_a_ca"),
        (sub(|p| p.is_ca = IsCa::ExplicitNoCa), vec![&root], "ca_not_a_ca"),
        (sub(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]), vec![&root], "ca_not_a_ca"),
        (
            sub(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            vec![&root],
            "ca_not_a_ca",
        ),
        (sub(|p| p.not_after = NOW - DAY), vec![&root], "ca_expired"),
        (sub(|p| p.not_before = NOW + DAY), vec![&root], "ca_not_yet_valid"),
        (sub(|_| {}), vec![&stranger], "ca_garbage"),
        // Signed by a key of the same name that is not the root's.
        (Company::root(|_| {}).sub("Example sub", |_| {}), vec![&root], "ca_rejected"),
    ];
    for (number, (company, above, code)) in cases.iter().enumerate() {
        let folder = folder();
        let error = company.import(&folder, above).err().unwrap_or_else(|| panic!("case {number}"));
        assert_eq!(error.code(), *code, "case {number}: {error}");
        assert!(!error.fix().is_empty());
        assert!(!folder.dir.path().exists(), "case {number}");
    }
    let no_room = Company::root(path_len::<0>);
    let sub = no_room.sub("Example sub", |_| {});
    assert_eq!(sub.import(&folder(), &[&no_room]).err().unwrap().code(), "ca_rejected");
}

#[test]
fn no_leaf_is_minted_outside_the_name_constraints_of_any_ca_above() {
    for (root_change, sub_change) in [(corp_only as Change, (|_| {}) as Change), (|_| {}, corp_only)] {
        let folder = folder();
        let root = Company::root(root_change);
        let ca = root.sub("Example sub", sub_change).import(&folder, &[&root]).unwrap();
        for good in ["corp.test", "a.corp.test", "10.1.2.3", "*.x.corp.test"] {
            let leaf = ca.mint(&profile(&[good]), NOW).unwrap();
            let name = good.replace('*', "any");
            assert_eq!(accepted(&leaf, &root.der, &name, NOW), Ok(()), "{good}");
            assert!(parse(&leaf.chain[0]).subject().iter().next().is_none());
        }
        for bad in [
            "a.test",
            "corp.test.evil.test",
            "192.0.2.7",
            "secret.corp.test",
            "*.corp.test",
            "a.secret.corp.test",
        ] {
            let error = ca.mint(&profile(&[bad]), NOW).err().unwrap();
            assert_eq!(error.code(), "ca_not_permitted", "{bad}");
            assert!(error.to_string().contains(bad), "{error}");
            // One bad name spoils the leaf.
            // Beside the name that the client asked for it is left out.
            let leaf = ca.mint(&profile(&["a.corp.test", bad]), NOW).unwrap();
            assert_eq!(leaf.names, ["a.corp.test".parse().unwrap()], "{bad}");
        }
    }
}

#[test]
fn a_constraint_on_directory_names_is_refused_because_clients_disagree_on_it() {
    let root = Company::root(|p| {
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Example");
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DirectoryName(name)],
            excluded_subtrees: vec![],
        });
    });
    let error = root.import(&folder(), &[]).err().unwrap();
    assert_eq!(error.code(), "ca_garbage");
    assert!(error.to_string().contains("directory names"), "{error}");
}

#[test]
fn a_ca_that_must_sign_every_leaf_itself_needs_its_key() {
    let folder = folder();
    let ca = Company::root(path_len::<0>).import(&folder, &[]).unwrap();
    assert_eq!(mint(&ca, "a.test").chain.len(), 1);
    assert_eq!(ca.status(NOW).rotates_at, None);
    fs::remove_file(folder.file("root.key")).unwrap();
    assert_eq!(folder.error().code(), "ca_root_key_missing");
}

/// Runs openssl, which these tests need for what rcgen cannot make.
fn openssl(dir: &Path, arguments: &str) {
    let output = std::process::Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("the openssl command is needed for this test");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_ca_whose_name_repeats_an_attribute_signs_under_exactly_that_name() {
    // As directory services write it: CN=Issuing, DC=corp, DC=example.
    let place = tempfile::tempdir().unwrap();
    let subjects = ["/DC=example/DC=corp/CN=Issuing", "/C=DE/O=Example+OU=IT/CN=Issuing", "/CN=Issuing"];
    for (number, subject) in subjects.into_iter().enumerate() {
        for (kind, options) in [
            ("ec", "-newkey ec -pkeyopt ec_paramgen_curve:P-384"),
            ("rsa", "-newkey rsa:2048"),
            ("ed", "-newkey ed25519"),
        ] {
            for (room, constraint) in [("direct", "CA:TRUE,pathlen:0"), ("intermediate", "CA:TRUE")] {
                let what = format!("{subject} {kind} {room}");
                openssl(
                    place.path(),
                    &format!(
                        "req -x509 {options} -nodes -keyout k.pem -out c.pem -days 100 -multivalue-rdn -subj {subject} \
                         -addext basicConstraints=critical,{constraint} -addext keyUsage=critical,keyCertSign"
                    ),
                );
                let now = OffsetDateTime::now_utc();
                let dir = CaDir::new(place.path().join(format!("{number}{kind}{room}")));
                let ca = dir
                    .import(&place.path().join("c.pem"), &given(&place.path().join("k.pem")), false, now)
                    .unwrap();
                let leaf = ca.mint(&profile(&["a.test"]), now).unwrap();
                let anchor = ca.anchors().swap_remove(0);
                assert_eq!(accepted(&leaf, &anchor, "a.test", now), Ok(()), "{what}");
                let top = parse(leaf.chain.last().unwrap());
                assert_eq!(top.issuer().as_raw(), parse(&anchor).subject().as_raw(), "{what}");
                fs::write(place.path().join("leaf.pem"), pki::cert_pem(&leaf.chain[0])).unwrap();
                let rest: String = leaf.chain[1..].iter().map(|der| pki::cert_pem(der)).collect();
                fs::write(place.path().join("rest.pem"), rest + &pki::cert_pem(&anchor)).unwrap();
                openssl(place.path(), "verify -purpose sslserver -CAfile c.pem -untrusted rest.pem leaf.pem");
            }
        }
    }
}

#[test]
fn keys_are_taken_in_every_usual_encoding_and_encrypted_ones_with_advice() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for options in ["-newkey ec -pkeyopt ec_paramgen_curve:P-256", "-newkey rsa:2048"] {
        openssl(
            place.path(),
            &format!("req -x509 {options} -nodes -keyout k.pem -out c.pem -days 9 -subj /CN=X"),
        );
        openssl(place.path(), "pkey -in k.pem -traditional -out old.pem");
        openssl(place.path(), "pkey -in k.pem -outform DER -out k.der");
        openssl(place.path(), "x509 -in c.pem -outform DER -out c.der");
        openssl(place.path(), "pkey -in k.pem -aes256 -passout pass:x -out locked.pem");
        openssl(place.path(), "pkey -in k.pem -traditional -aes256 -passout pass:x -out locked-old.pem");
        let now = OffsetDateTime::now_utc();
        for (number, (cert, key)) in
            [("c.pem", "k.pem"), ("c.pem", "old.pem"), ("c.der", "k.der")].into_iter().enumerate()
        {
            let dir = CaDir::new(at(&format!("{number}-{}", options.len())));
            dir.import(&at(cert), &given(&at(key)), false, now).unwrap();
            dir.open(now).unwrap().mint(&profile(&["a.test"]), now).unwrap();
        }
        let refused =
            |key: &GivenKey| CaDir::new(at("none")).import(&at("c.pem"), key, false, now).err().unwrap();
        assert_eq!(refused(&given(&at("locked.pem"))).code(), "ca_encrypted_key");
        let old = refused(&given(&at("locked-old.pem")));
        assert_eq!(old.code(), "ca_old_encryption");
        assert!(old.fix().starts_with("openssl pkcs8 -topk8 "));
        // With its passphrase what openssl has encrypted is taken, and kept as it is asked for.
        let wrong = GivenKey::File(at("locked.pem"), Some(typed("y")));
        assert_eq!(refused(&wrong).code(), "ca_wrong_passphrase");
        let dir = CaDir::new(at(&format!("locked-{}", options.len())))
            .with_secrets(Secrets { passphrase: Some(typed("mine")), pin: None });
        let key = GivenKey::File(at("locked.pem"), Some(typed("x")));
        dir.import(&at("c.pem"), &key, false, now).unwrap();
        let kept = fs::read_to_string(dir.path().join("root.key")).unwrap();
        assert!(kept.contains("BEGIN ENCRYPTED PRIVATE KEY"), "kept in plain text");
        openssl(dir.path(), "pkey -in root.key -passin pass:mine -noout");
        assert_eq!(CaDir::new(dir.path()).open(now).err().unwrap().code(), "ca_encrypted_key");
    }
}

// ---- export ----------------------------------------------------------------------------------

#[test]
fn every_export_holds_the_anchor_and_never_a_key() {
    let folder = folder();
    let ca = folder.dir.open_or_create(NOW).unwrap();
    let root = ca.anchors().swap_remove(0);
    let pem = String::from_utf8(ca.export(Format::Pem, "").unwrap()).unwrap();
    assert_eq!(pem, fs::read_to_string(folder.file("root.pem")).unwrap());
    assert_eq!(ca.export(Format::Der, "").unwrap(), root.to_vec());
    let p12 = ca.export(Format::Pkcs12, "changeit").unwrap();
    let store = p12_keystore::KeyStore::from_pkcs12(&p12, "changeit", Default::default()).unwrap();
    let entries: Vec<_> = store.entries().collect();
    assert_eq!(entries.len(), 1);
    assert!(matches!(entries[0].1, p12_keystore::KeyStoreEntry::Certificate(c) if c.as_der() == &root[..]));
    assert!(p12_keystore::KeyStore::from_pkcs12(&p12, "wrong", Default::default()).is_err());
    let profile = String::from_utf8(ca.export(Format::MobileConfig, "").unwrap()).unwrap();
    assert_eq!(profile.as_bytes(), ca.export(Format::MobileConfig, "").unwrap());
    let data = profile.split("<data>").nth(1).unwrap().split("</data>").next().unwrap();
    use base64::Engine;
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(data).unwrap(), root.to_vec());
    let mut reader = quick_xml::Reader::from_str(&profile);
    while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    for text in [&pem, &profile] {
        assert!(!text.contains("PRIVATE"));
    }
}
