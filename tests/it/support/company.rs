//! A company's own certificate authority: a root that the clients have, and a sub-CA under it that is given to
//! Portward; each with the flaw that a test wants.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::proxy::portward;

pub type Change = fn(&mut CertificateParams);

/// The root, and the files of a sub-CA.
pub struct Company {
    root: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Company {
    /// A sub-CA as `change` makes it, under a root that allows everything.
    pub fn new(change: Change) -> Company {
        Company::under(|_| {}, change)
    }

    pub fn under(root: Change, sub: Change) -> Company {
        let root =
            CertifiedIssuer::self_signed(params("Company root", root), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = params("Company sub-CA", sub).signed_by(&key, &root).unwrap();
        let dir = TempDir::with_prefix("portward-company-").unwrap();
        fs::write(dir.path().join("sub.pem"), cert.pem() + &root.pem()).unwrap();
        fs::write(dir.path().join("sub.key"), key.serialize_pem()).unwrap();
        fs::write(dir.path().join("root.pem"), root.pem()).unwrap();
        fs::set_permissions(dir.path().join("sub.key"), fs::Permissions::from_mode(0o600)).unwrap();
        Company { root, dir }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// `portward ca import` of the sub-CA into a folder.
    pub fn import(&self, into: &Path) -> std::process::Output {
        let (cert, key) = (self.file("sub.pem"), self.file("sub.key"));
        let words = [into, cert.as_path(), key.as_path()].map(|path| path.to_str().unwrap());
        portward(&["ca", "import", "--ca", words[0], "--cert", words[1], "--key", words[2]])
    }

    /// The folder of an import that must succeed.
    pub fn imported(&self) -> PathBuf {
        let into = self.file("ca");
        let done = self.import(&into);
        assert!(matches!(done.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&done.stderr));
        into
    }
}

fn params(name: &str, change: Change) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (now - Duration::days(400), now + Duration::days(800));
    change(&mut params);
    params
}

/// Permits corp.test alone.
pub fn corp_only(params: &mut CertificateParams) {
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("corp.test".into())],
        excluded_subtrees: Vec::new(),
    });
}
