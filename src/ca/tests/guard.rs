//! What a change of the CA must not make weaker: name constraints and passphrases.

use super::company::{Company, corp_only, given, path_len};
use super::*;

pub(super) fn typed(text: &str) -> SecretSource {
    SecretSource::Typed(std::sync::Arc::new(text.to_owned().into()))
}

/// The same folder with that passphrase.
pub(super) fn under(folder: &Folder, passphrase: &str) -> CaDir {
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
    // A key that is cut still says that it was under a passphrase.
    let broken = folder();
    under(&broken, "right").open_or_create(NOW).unwrap();
    for key in ["root.key", "intermediate.key"] {
        cut(&broken.file(key));
    }
    assert_eq!(broken.dir.rotate(Rotate::Root, NOW).err().unwrap().code(), "ca_encrypted_key");
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
fn a_root_whose_names_nobody_can_tell_any_more_is_not_rotated_into_one_for_all_names() {
    let narrow = NewCa { permit: vec!["corp.test".parse().unwrap()], ..NewCa::default() };
    let made = folder();
    made.dir.init(&narrow, NOW).unwrap();
    fs::remove_file(made.file("intermediate.pem")).unwrap();
    // A sub-CA that signs its leaves itself.
    let imported = folder();
    let root = Company::root(corp_only);
    root.sub("Example sub", path_len::<0>).import(&imported, &[&root]).unwrap();
    for folder in [made, imported] {
        cut(&folder.file("root.pem"));
        let before = content(&folder);
        assert_eq!(folder.dir.would_rotate(Rotate::Root, NOW).unwrap_err().code(), "ca_constraints_lost");
        let error = folder.dir.rotate(Rotate::Root, NOW).err().unwrap();
        assert_eq!(error.code(), "ca_constraints_lost");
        assert!(error.fix().contains("--permit"), "{}", error.fix());
        assert_eq!(content(&folder), before);
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
