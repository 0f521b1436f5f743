//! A CA that gets older: renewal, rotation, crashes, the log, warnings.

use super::guard::under;
use super::*;

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
