//! What a CA is from its first start on: its files and who may touch them, and the leaves it mints.

mod company;
mod guard;
mod life;

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

use self::company::{Company, path_len};
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
