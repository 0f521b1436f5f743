//! The CA's certificate in the forms that clients take: never a key. Also the fingerprints by
//! which people compare it.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use rustls_pki_types::CertificateDer;

use super::store::{self, Secrecy};
use super::{Ca, CaDir, CaError, pki};

/// A form of the CA certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Every anchor, the present one first.
    Pem,
    /// The present anchor alone: DER holds one certificate.
    Der,
    /// A trust store for Java and Windows, under a password.
    Pkcs12,
    /// The system's roots and ours: for programs whose setting replaces their roots.
    Bundle,
    /// An Apple configuration profile.
    MobileConfig,
}

/// Files in the CA folder that programs are pointed at by environment variables. They hold
/// certificates alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFiles {
    /// The system's roots and ours, PEM.
    pub bundle: PathBuf,
    /// Ours alone, PEM, for programs that add to their own.
    pub anchors: PathBuf,
    /// The system's roots and ours as a Java trust store.
    pub java: PathBuf,
    /// Names the bundle for wget, which has no variable for it.
    pub wgetrc: PathBuf,
    /// The system has roots that could be read; else `bundle` and `java` hold ours alone.
    pub has_system_roots: bool,
}

/// The password of the Java trust store, which guards nothing: it is the one that Java itself
/// ships with.
pub const JAVA_PASSWORD: &str = "changeit";

/// What clients are given of a CA: certificates, and the folder for the files that hold them.
#[derive(Clone, Debug)]
pub struct PublicCa {
    dir: CaDir,
    anchors: Vec<CertificateDer<'static>>,
}

impl Ca {
    pub fn public(&self) -> PublicCa {
        PublicCa::new(self.dir().clone(), self.anchors())
    }

    /// See [`PublicCa::write_trust_files`].
    pub fn write_trust_files(&self) -> Result<TrustFiles, CaError> {
        self.public().write_trust_files()
    }

    /// See [`PublicCa::export`].
    pub fn export(&self, format: Format, password: &str) -> Result<Vec<u8>, CaError> {
        self.public().export(format, password)
    }
}

impl PublicCa {
    pub(super) fn new(dir: CaDir, anchors: Vec<CertificateDer<'static>>) -> PublicCa {
        PublicCa { dir, anchors }
    }

    /// The certificates that clients are to trust: the present one first, then roots of an overlap.
    pub fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.anchors
    }

    /// Writes the trust files, unless they are there as they should be (the folder may be
    /// read-only).
    pub fn write_trust_files(&self) -> Result<TrustFiles, CaError> {
        let dir = self.dir.path();
        let dir = std::path::absolute(dir).map_err(|e| CaError::io("find", dir, e))?;
        let at = |name: &str| dir.join(name);
        let anchors = &self.anchors;
        let system = system_roots(&dir).unwrap_or_default();
        let files = TrustFiles {
            bundle: at("bundle.pem"),
            anchors: at("anchors.pem"),
            java: at("trust.p12"),
            wgetrc: at("wgetrc"),
            has_system_roots: !system.is_empty(),
        };
        let bundle = bundle(anchors, &system);
        let _lock = self.dir.lock()?;
        replace(&files.anchors, &self.export(Format::Pem, "")?)?;
        replace(&files.wgetrc, format!("ca_certificate = {}\n", files.bundle.display()).as_bytes())?;
        // The store is salted, so that it differs each time it is made: it is renewed with the
        // bundle that it mirrors.
        if replace(&files.bundle, &bundle)? || !files.java.exists() {
            let all: Vec<_> = anchors.iter().chain(system.iter().filter(|c| !anchors.contains(c))).collect();
            replace(&files.java, &trust_store(all, JAVA_PASSWORD)?)?;
        }
        Ok(files)
    }

    /// The anchors in that form; `password` is for `Pkcs12` alone.
    pub fn export(&self, format: Format, password: &str) -> Result<Vec<u8>, CaError> {
        let anchors = &self.anchors;
        match format {
            Format::Pem => Ok(anchors.iter().map(|der| pki::cert_pem(der)).collect::<String>().into()),
            Format::Der => Ok(anchors.first().map(|der| der.to_vec()).unwrap_or_default()),
            Format::Pkcs12 => trust_store(anchors, password),
            Format::Bundle => Ok(bundle(anchors, &system_roots(self.dir.path())?)),
            Format::MobileConfig => Ok(mobile_config(anchors).into_bytes()),
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(sha256(bytes))
}

/// A certificate's SHA-256 as browsers and `openssl x509 -fingerprint` show it: `AB:CD:...`.
pub(super) fn fingerprint(der: &[u8]) -> String {
    sha256(der).map(|byte| format!("{byte:02X}")).join(":")
}

/// True when the file was not like that and now is.
fn replace(path: &Path, bytes: &[u8]) -> Result<bool, CaError> {
    if store::read(path, Secrecy::Public)?.is_some_and(|old| *old == bytes) {
        return Ok(false);
    }
    store::write(path, bytes, Secrecy::Public).map(|()| true)
}

fn trust_store<'a>(
    certs: impl IntoIterator<Item = &'a CertificateDer<'a>>,
    password: &str,
) -> Result<Vec<u8>, CaError> {
    let failed = |e: p12_keystore::error::Error| CaError::Export(e.to_string());
    let mut store = KeyStore::new();
    for (number, der) in certs.into_iter().enumerate() {
        // A system root that cannot be parsed is one that Java would not take either.
        match Certificate::from_der(der) {
            Ok(cert) => store.add_entry(&format!("portward-{number}"), KeyStoreEntry::Certificate(cert)),
            Err(error) if number == 0 => return Err(failed(error)),
            Err(_) => {}
        }
    }
    store.writer(password).write().map_err(failed)
}

/// Our anchors, then the system's roots: most settings replace a program's roots.
fn bundle(anchors: &[CertificateDer<'_>], system: &[CertificateDer<'_>]) -> Vec<u8> {
    let system = system.iter().filter(|der| !anchors.contains(der));
    anchors.iter().chain(system).map(|der| pki::cert_pem(der)).collect::<String>().into()
}

/// Where systems keep their roots, for when `SSL_CERT_FILE` names our own bundle.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// The system's roots, without what an earlier bundle of ours added to them.
fn system_roots(dir: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    let ours = std::env::var_os("SSL_CERT_FILE").is_some_and(|file| Path::new(&file).starts_with(&dir));
    let loaded = if ours {
        let file = SYSTEM_FILES.iter().map(Path::new).find(|path| path.is_file());
        rustls_native_certs::load_certs_from_paths(file, None)
    } else {
        rustls_native_certs::load_native_certs()
    };
    if loaded.certs.is_empty() {
        let why = loaded.errors.first().map_or("none found".to_string(), |e| e.to_string());
        return Err(CaError::Export(format!("the system's trusted roots cannot be read: {why}")));
    }
    Ok(loaded.certs)
}

/// A profile with one root payload per anchor. Its identifiers come from the fingerprints, so
/// that installing it again replaces it.
fn mobile_config(anchors: &[CertificateDer<'_>]) -> String {
    let mut payloads = String::new();
    let mut all = Vec::new();
    for der in anchors {
        let hash = sha256(der);
        all.extend_from_slice(&hash);
        let id = hex::encode(&hash[..8]);
        payloads.push_str(&format!(
            "    <dict>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>portward.ca.{id}</string>
      <key>PayloadUUID</key><string>{}</string>
      <key>PayloadDisplayName</key><string>Portward CA {id}</string>
      <key>PayloadCertificateFileName</key><string>portward-{id}.cer</string>
      <key>PayloadContent</key><data>{}</data>
    </dict>
",
            uuid(&hash),
            STANDARD.encode(der)
        ));
    }
    let profile = sha256(&all);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>portward.ca</string>
  <key>PayloadUUID</key><string>{}</string>
  <key>PayloadDisplayName</key><string>Portward CA</string>
  <key>PayloadDescription</key><string>Trusts the certificate authority of this Portward, which inspects TLS.</string>
  <key>PayloadContent</key>
  <array>
{payloads}  </array>
</dict>
</plist>
",
        uuid(&profile)
    )
}

/// A UUID of the custom kind (RFC 9562 version 8) from a hash.
fn uuid(hash: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode_upper(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
