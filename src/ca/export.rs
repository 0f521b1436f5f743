//! The CA's certificate in the forms that clients take: never a key. Also the fingerprints by
//! which people compare it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use rustls_pki_types::CertificateDer;

use super::{Ca, CaError, pki};

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

impl Ca {
    /// The anchors in that form; `password` is for `Pkcs12` alone.
    pub fn export(&self, format: Format, password: &str) -> Result<Vec<u8>, CaError> {
        let anchors = self.anchors();
        match format {
            Format::Pem => Ok(anchors.iter().map(|der| pki::cert_pem(der)).collect::<String>().into()),
            Format::Der => Ok(anchors.first().map(|der| der.to_vec()).unwrap_or_default()),
            Format::Pkcs12 => trust_store(&anchors, password),
            Format::Bundle => bundle(&anchors),
            Format::MobileConfig => Ok(mobile_config(&anchors).into_bytes()),
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

fn trust_store(anchors: &[CertificateDer<'_>], password: &str) -> Result<Vec<u8>, CaError> {
    let failed = |e: p12_keystore::error::Error| CaError::Export(e.to_string());
    let mut store = KeyStore::new();
    for (number, der) in anchors.iter().enumerate() {
        let alias = if number == 0 { "portward".to_string() } else { format!("portward-previous-{number}") };
        store.add_entry(&alias, KeyStoreEntry::Certificate(Certificate::from_der(der).map_err(failed)?));
    }
    store.writer(password).write().map_err(failed)
}

/// Our anchors first, then the system's roots; without those programs would trust nothing else.
fn bundle(anchors: &[CertificateDer<'_>]) -> Result<Vec<u8>, CaError> {
    let system = rustls_native_certs::load_native_certs();
    if system.certs.is_empty() {
        let why = system.errors.first().map_or("none found".to_string(), |e| e.to_string());
        return Err(CaError::Export(format!("the system's trusted roots cannot be read ({why})")));
    }
    let mut out = String::new();
    for der in anchors {
        out.push_str(&pki::cert_pem(der));
    }
    for der in system.certs.iter().filter(|der| !anchors.contains(der)) {
        out.push_str(&pki::cert_pem(der));
    }
    Ok(out.into_bytes())
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
