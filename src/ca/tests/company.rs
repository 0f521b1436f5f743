//! CAs that were made elsewhere and imported; keys in every encoding; exports.

use super::guard::typed;
use super::*;

pub(super) fn given(key: &Path) -> GivenKey {
    GivenKey::File(key.into(), None)
}

/// A company's CA made elsewhere: its certificate and key, to sign further ones.
pub(super) struct Company {
    pub(super) der: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

type Change = fn(&mut CertificateParams);

impl Company {
    pub(super) fn root(change: Change) -> Company {
        let key = KeyPair::generate().unwrap();
        let der = company_params("Example root", change).self_signed(&key).unwrap().into();
        Company { der, key }
    }

    pub(super) fn sub(&self, name: &str, change: Change) -> Company {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_der(&self.der, &self.key).unwrap();
        let der = company_params(name, change).signed_by(&key, &issuer).unwrap().into();
        Company { der, key }
    }

    /// Imports this CA with the chain `above` it.
    pub(super) fn import(&self, folder: &Folder, above: &[&Company]) -> Result<Ca, CaError> {
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

pub(super) fn path_len<const N: u8>(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(N));
}

pub(super) fn corp_only(params: &mut CertificateParams) {
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
