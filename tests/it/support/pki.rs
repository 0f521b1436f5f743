//! A certificate authority for one run of the tests: a root, an intermediate, and leaves both good and bad.

use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// What a TLS server presents.
#[derive(Debug)]
pub struct Chain {
    pub certs: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    pem: String,
    key_pem: String,
    /// The OCSP response that is stapled; empty for none.
    pub ocsp: Vec<u8>,
}

impl Chain {
    /// Any certificates with the key of the first.
    pub fn from_der(certs: Vec<CertificateDer<'static>>, key: &KeyPair) -> Chain {
        let pem = certs.iter().map(|der| super::forge::pem("CERTIFICATE", der)).collect();
        Chain { certs, key: key.serialize_der(), pem, key_pem: key.serialize_pem(), ocsp: Vec::new() }
    }

    /// Of certificates made elsewhere, the leaf's first.
    pub fn of(certs: &[&rcgen::Certificate], key: &KeyPair) -> Chain {
        Chain {
            certs: certs.iter().map(|cert| cert.der().clone()).collect(),
            pem: certs.iter().map(|cert| cert.pem()).collect(),
            key: key.serialize_der(),
            key_pem: key.serialize_pem(),
            ocsp: Vec::new(),
        }
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// The chain as a PEM file (for nginx).
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

/// The CA of this run.
pub struct Lab {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a leaf, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Good,
    Expired,
    NotYetValid,
    OtherName,
    CommonNameOnly,
    SelfSigned,
    UnknownIssuer,
    IntermediateMissing,
    ClientAuthOnly,
    IsACa,
}

/// The run's authority.
pub fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::new("Portward test lab"))
}

impl Lab {
    /// An authority of its own, that nobody trusts unless told to.
    pub fn new(name: &str) -> Lab {
        let root = CertifiedIssuer::self_signed(
            authority(&format!("{name} root"), None),
            KeyPair::generate().unwrap(),
        )
        .unwrap();
        let issuing = CertifiedIssuer::signed_by(
            authority(&format!("{name} issuing"), Some(0)),
            KeyPair::generate().unwrap(),
            &root,
        )
        .unwrap();
        Lab { root, issuing }
    }

    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub fn root_der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// A leaf for `names` (DNS names or addresses), with the flaw asked for.
    pub fn leaf(&self, names: &[&str], flaw: Leaf) -> Chain {
        let key = KeyPair::generate().unwrap();
        let now = OffsetDateTime::now_utc();
        let names: Vec<String> = match flaw {
            Leaf::OtherName => vec!["elsewhere.test".into()],
            Leaf::CommonNameOnly => Vec::new(),
            _ => names.iter().map(|name| name.to_string()).collect(),
        };
        let mut params = CertificateParams::new(names.clone()).unwrap();
        let common_name = names.first().map_or("origin.test", String::as_str);
        params.distinguished_name.push(DnType::CommonName, common_name);
        (params.not_before, params.not_after) = match flaw {
            Leaf::Expired => (now - Duration::days(30), now - Duration::days(1)),
            Leaf::NotYetValid => (now + Duration::days(5), now + Duration::days(30)),
            _ => (now - Duration::hours(1), now + Duration::days(7)),
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match flaw {
            Leaf::ClientAuthOnly => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        if flaw == Leaf::IsACa {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        if flaw == Leaf::IntermediateMissing {
            params.custom_extensions.push(issuer_address("http://ca.test/issuing.crt"));
        }
        params.use_authority_key_identifier_extension = flaw != Leaf::SelfSigned;
        let stranger;
        let (cert, above) = match flaw {
            Leaf::SelfSigned => (params.self_signed(&key).unwrap(), Vec::new()),
            Leaf::UnknownIssuer => {
                stranger = Lab::new("A stranger");
                (params.signed_by(&key, &stranger.issuing).unwrap(), vec![stranger.issuing.as_ref()])
            }
            Leaf::IntermediateMissing => (params.signed_by(&key, &self.issuing).unwrap(), Vec::new()),
            _ => (params.signed_by(&key, &self.issuing).unwrap(), vec![self.issuing.as_ref()]),
        };
        let mut certs = vec![cert.der().clone()];
        let mut pem = cert.pem();
        for ca in above {
            certs.push(ca.der().clone());
            pem.push_str(&ca.pem());
        }
        Chain { certs, key: key.serialize_der(), pem, key_pem: key.serialize_pem(), ocsp: Vec::new() }
    }

    /// A good leaf with an RSA key, for peers that know no other.
    pub fn rsa(&self, names: &[&str]) -> Chain {
        static KEY: OnceLock<String> = OnceLock::new();
        // One key for all: a new one takes a second.
        let pem = KEY.get_or_init(|| KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem());
        let key = KeyPair::from_pem(pem).unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - Duration::hours(1), now + Duration::days(7));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuing).unwrap();
        let above: &rcgen::Certificate = self.issuing.as_ref();
        Chain {
            certs: vec![cert.der().clone(), above.der().clone()],
            key: key.serialize_der(),
            pem: cert.pem() + &above.pem(),
            key_pem: key.serialize_pem(),
            ocsp: Vec::new(),
        }
    }

    pub fn good(&self, names: &[&str]) -> Chain {
        self.leaf(names, Leaf::Good)
    }
}

/// Authority information access (RFC 5280 section 4.2.2.1): where the issuer's certificate can be had.
fn issuer_address(url: &str) -> CustomExtension {
    let tagged = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let method = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let access = [&method, tagged(0x86, url.as_bytes()).as_slice()].concat();
    let list = tagged(0x30, &tagged(0x30, &access));
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], list)
}

fn authority(name: &str, path_len: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(path_len.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::days(1), now + Duration::days(90));
    params
}
