//! T30 to T32 and T35: roots that must not be trusted, origins that changed, and trust stores that cannot be
//! used.

use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::signal::Signal;
use rcgen::{Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2_of_spki::spki_digest;

use super::{Case, Setup, Show, Spec, ask, trusting};
use crate::support::forge::{Ca, Made, authority, server};
use crate::support::proxy::portward;
use crate::support::until;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T30", "signed by the proxy's own CA, which the store has", "502 own_ca_loop", || {
            own_ca(true)
        }),
        Case::new("T30", "signed by the proxy's own CA, not in the store", "502 own_ca_loop", || {
            own_ca(false)
        }),
        Case::new("T31", "a root whose key the configuration distrusts", "502 distrusted_key", || async {
            let ca = Ca::root(authority("Lab"));
            let key = spki_digest(&ca.der());
            let show = Show::new(ca.sign(server(&["origin.test"])).chain(&[]), &ca);
            show.config(&format!("[origin]\ndistrusted_keys = [\"{key}\"]")).seen().await
        }),
        Case::new("T32", "the key is another one", "changed=key", || changed(false, true)),
        Case::new("T32", "the issuer is another one, then nothing", "changed=key_and_issuer", || {
            changed(true, true)
        }),
        Case::new("T32", "nothing changed", "changed=", || changed(false, false)),
    ];
    for (name, pem) in [
        ("Superfish", include_str!("../../support/roots/superfish.pem")),
        ("eDellRoot", include_str!("../../support/roots/edellroot.pem")),
        ("DSDTestProvider", include_str!("../../support/roots/dsdtestprovider.pem")),
    ] {
        cases.push(Case::new(
            "T31",
            format!("{name} in the chain and in the store"),
            "502 distrusted_key",
            move || known(pem),
        ));
    }
    cases.extend(unusable());
    cases
}

/// The real root, trusted, behind a leaf.
async fn known(pem: &str) -> String {
    let ca = Ca::root(authority("Lab"));
    let mut chain = ca.sign(server(&["origin.test"])).chain(&[]);
    chain.certs.push(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
    let mut show = Show::new(chain, &ca);
    show.roots.push_str(pem);
    show.seen().await
}

async fn own_ca(trusted: bool) -> String {
    let setup = Setup::new().public_roots();
    let dir = setup.dir().join("ca");
    let made = portward(&["ca", "init", "--ca", &dir.display().to_string()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let root_key = KeyPair::from_pem(&read("root.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("root.pem"), root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let der = server(&["origin.test"]).signed_by(&key, &issuer).unwrap().der().clone();
    let origin = Spec::chain(Made { der, key }.chain(&[])).start().await;
    let other = Ca::root(authority("Lab")).pem();
    let roots = if trusted { format!("{}{other}", read("root.pem")) } else { other };
    let proxy = trusting(setup, &roots, false).origin(&origin).start().await;
    ask(&proxy, Some(&origin), "origin.test").await.0
}

/// Two connections to one host and port, the second after the origin got another certificate.
async fn changed(issuer: bool, key: bool) -> String {
    let (root, second_root) = (Ca::root(authority("Lab")), Ca::root(authority("Second lab")));
    let first = root.sign(server(&["origin.test"]));
    let copy = KeyPair::from_pem(&first.key.serialize_pem()).unwrap();
    let by = if issuer { &second_root } else { &root };
    let second = match key {
        true => by.sign(server(&["origin.test"])),
        false => by.sign_with(server(&["origin.test"]), copy),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Spec::chain(first.chain(&[])).on(listener.try_clone().unwrap()).start().await;
    let roots = format!("{}{}", root.pem(), second_root.pem());
    let proxy = trusting(Setup::new().public_roots(), &roots, false).origin(&origin).start().await;
    let (seen, record) = ask(&proxy, None, "origin.test").await;
    assert_eq!((seen.as_str(), record["origin_leg"]["changed"].as_str()), ("200", None), "{record}");
    drop(origin);
    // The connection that is kept ends with the origin; the next request dials.
    let _origin = Spec::chain(second.chain(&[])).on(listener).start().await;
    let shown = |record: &serde_json::Value| record["origin_leg"]["certificate"]["sha256"].clone();
    let before = shown(&record);
    let mut record = record;
    // The first origin's connections end a moment after it.
    for _ in 0..100 {
        let (seen, again) = ask(&proxy, None, "origin.test").await;
        // One that ends while a request is on its way is an origin that closed.
        if seen == "502 origin_closed" {
            continue;
        }
        assert_eq!(seen, "200", "{again}");
        record = again;
        if shown(&record) != before {
            break;
        }
    }
    assert_ne!(shown(&record), before, "the second certificate was never shown");
    // It stands with the connection on which it was seen, and that may not be the one of the last request.
    let records = proxy.audit();
    let marks = records.iter().filter_map(|record| record["origin_leg"]["changed"].as_str());
    let mark = marks.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
    if !mark.is_empty() {
        proxy
            .stderr
            .line("a warning", |line| line.contains("certificate changed") && line.contains("origin.test"))
            .await;
    }
    format!("changed={mark}")
}

fn unusable() -> Vec<Case> {
    let refused = "refused to start";
    vec![
        Case::new("T35", "trust store is empty", refused, || {
            start("no PEM certificate", |dir| {
                std::fs::write(dir.join("roots.pem"), "").unwrap();
            })
        }),
        Case::new("T35", "trust store cannot be read", refused, || {
            start("roots.pem", |dir| {
                std::fs::remove_file(dir.join("roots.pem")).unwrap();
                std::fs::create_dir(dir.join("roots.pem")).unwrap();
            })
        }),
        Case::new("T35", "trust store is missing", refused, || {
            start("roots.pem", |dir| {
                std::fs::remove_file(dir.join("roots.pem")).unwrap();
            })
        }),
        Case::new("T35", "one bad certificate among good ones", refused, || {
            start("no usable certificate", |dir| {
                let good = std::fs::read_to_string(dir.join("roots.pem")).unwrap();
                let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
                std::fs::write(dir.join("roots.pem"), format!("{good}{bad}{good}")).unwrap();
            })
        }),
        Case::new("T35", "symbolic link to nothing", refused, || {
            start("roots.pem", |dir| {
                std::fs::remove_file(dir.join("roots.pem")).unwrap();
                symlink(dir.join("nowhere"), dir.join("roots.pem")).unwrap();
            })
        }),
        Case::new("T35", "symbolic link to /dev/null", refused, || {
            start("roots.pem", |dir| {
                std::fs::remove_file(dir.join("roots.pem")).unwrap();
                symlink("/dev/null", dir.join("roots.pem")).unwrap();
            })
        }),
        Case::new("T35", "every user may change it", refused, || {
            start("chmod o-w", |dir| {
                std::fs::set_permissions(dir.join("roots.pem"), PermissionsExt::from_mode(0o666)).unwrap();
            })
        }),
        Case::new("T35", "SSL_CERT_FILE is empty", refused, || async {
            let setup = trusting(Setup::new().public_roots(), "", true);
            let stderr = setup.refused().stderr;
            assert!(stderr.contains("SSL_CERT_FILE"), "{stderr}");
            "refused to start".to_owned()
        }),
        Case::new("T35", "one bad certificate in the system's store", "200", || async {
            let ca = Ca::root(authority("Lab"));
            let mut show = Show::new(ca.sign(server(&["origin.test"])).chain(&[]), &ca).public();
            show.roots.insert_str(0, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
            show.seen().await
        }),
        Case::new("T35", "emptied by a symbolic link while it runs", "502 unknown_issuer", || emptied(false)),
        Case::new("T35", "the same, for an origin that was trusted", "200", || emptied(true)),
    ]
}

async fn start(why: &str, spoil: impl FnOnce(&std::path::Path)) -> String {
    let setup = trusting(Setup::new().public_roots(), &Ca::root(authority("Lab")).pem(), false);
    spoil(setup.dir());
    let refused = setup.refused();
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    assert_ne!(refused.code, Some(0));
    "refused to start".to_owned()
}

/// The file is replaced under a running proxy: the old roots stay, and nothing else is trusted.
async fn emptied(trusted: bool) -> String {
    let (ca, other) = (Ca::root(authority("Lab")), Ca::root(authority("Other lab")));
    let signer = if trusted { &ca } else { &other };
    let origin = Spec::chain(signer.sign(server(&["origin.test"])).chain(&[])).start().await;
    let setup = trusting(Setup::new().public_roots(), &ca.pem(), false).origin(&origin);
    let file = setup.dir().join("roots.pem");
    let proxy = setup.start().await;
    std::fs::remove_file(&file).unwrap();
    symlink("/dev/null", &file).unwrap();
    // The files may not be watched yet.
    proxy.signal(Signal::SIGHUP);
    until("the reload to be refused", || {
        proxy.stderr.all().iter().any(|line| line.contains("not reloaded")).then_some(())
    })
    .await;
    ask(&proxy, None, "origin.test").await.0
}

mod sha2_of_spki {
    use rustls::pki_types::CertificateDer;

    use crate::support::forge::children;

    /// The seventh member of the signed part, in hexadecimal SHA-256.
    pub fn spki_digest(der: &CertificateDer<'_>) -> String {
        let spki = children(&children(der)[0])[6].clone();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
