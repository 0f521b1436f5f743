//! Certificates and keys as the CA needs them: parsed once into what is asked of them, and a
//! signer whose issuer name is, byte for byte, the subject of its certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, DistinguishedName, Issuer, KeyIdMethod, KeyPair, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use super::CaError;
use super::constraint::Constraints;
use super::secret::{self, SecretSource, Secrets};
use super::token::{TokenKey, TokenUri};

/// A CA certificate, taken apart.
#[derive(Clone, Debug)]
pub(super) struct CaCert {
    pub der: CertificateDer<'static>,
    /// Subject and issuer as they stand in the certificate (DER), to compare and to copy.
    pub subject: Vec<u8>,
    pub issuer: Vec<u8>,
    /// The subject as people read it.
    pub name: String,
    pub spki: Vec<u8>,
    pub key_id: Option<Vec<u8>>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub path_len: Option<u32>,
    pub constraints: Constraints,
}

impl CaCert {
    /// Parses a certificate that is to issue certificates of TLS servers.
    pub fn parse(der: CertificateDer<'static>, path: &Path) -> Result<CaCert, CaError> {
        let garbage = |what: String| CaError::Garbage { path: path.into(), what };
        let not_a_ca = |why| CaError::NotACa { path: path.into(), why };
        let (rest, x509) = X509Certificate::from_der(&der)
            .map_err(|e| garbage(format!("it holds something that is not a certificate ({e})")))?;
        if !rest.is_empty() {
            return Err(garbage("a certificate in it is followed by stray bytes".into()));
        }
        let malformed = |e| garbage(format!("a certificate in it has a malformed extension ({e})"));
        let path_len = match x509.basic_constraints().map_err(malformed)? {
            Some(basic) if basic.value.ca => basic.value.path_len_constraint,
            Some(_) => return Err(not_a_ca("its basicConstraints say CA:FALSE")),
            None => return Err(not_a_ca("it has no basicConstraints")),
        };
        if let Some(usage) = x509.key_usage().map_err(malformed)?
            && !usage.value.key_cert_sign()
        {
            return Err(not_a_ca("its keyUsage lacks keyCertSign"));
        }
        if let Some(usage) = x509.extended_key_usage().map_err(malformed)?
            && !usage.value.server_auth
            && !usage.value.any
        {
            return Err(not_a_ca("its extendedKeyUsage lacks serverAuth"));
        }
        let constraints = match x509.name_constraints().map_err(malformed)? {
            Some(extension) => Constraints::from_extension(extension.value)
                .map_err(|what| garbage(format!("its nameConstraints {what}")))?,
            None => Constraints::default(),
        };
        let key_id = x509.iter_extensions().find_map(|e| match e.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(CaCert {
            subject: x509.subject().as_raw().to_vec(),
            issuer: x509.issuer().as_raw().to_vec(),
            name: x509.subject().to_string(),
            spki: x509.public_key().raw.to_vec(),
            key_id,
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            path_len,
            constraints,
            der: der.clone(),
        })
    }

    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    pub fn check_dates(&self, path: &Path, now: OffsetDateTime) -> Result<(), CaError> {
        if now < self.not_before {
            return Err(CaError::NotYetValid { path: path.into(), from: self.not_before, now });
        }
        if now > self.not_after {
            return Err(CaError::Expired { path: path.into(), at: self.not_after });
        }
        Ok(())
    }
}

/// A private key's bytes, wiped when dropped.
pub(super) type Secret = Zeroizing<PrivateKeyDer<'static>>;

/// A key that signs; what it holds in memory of ours is wiped when the last holder drops it.
#[derive(Clone)]
pub(super) struct Key(Arc<Held>);

enum Held {
    Here(KeyPair),
    Token(TokenKey),
}

impl Key {
    /// A fresh P-256 key.
    pub fn generate() -> Result<Key, CaError> {
        Ok(Key(Arc::new(Held::Here(KeyPair::generate()?))))
    }

    pub fn from_der(key: &PrivateKeyDer<'_>, path: &Path) -> Result<Key, CaError> {
        let pair = KeyPair::try_from(key).map_err(|_| CaError::Garbage {
            path: path.into(),
            what: "its key is not RSA, ECDSA P-256, P-384 or P-521, or Ed25519".into(),
        })?;
        Ok(Key(Arc::new(Held::Here(pair))))
    }

    pub fn from_token(key: TokenKey) -> Key {
        Key(Arc::new(Held::Token(key)))
    }

    /// What a key file holds: the key, or the address of one in a token.
    pub fn from_file(bytes: &[u8], path: &Path, secrets: &Secrets) -> Result<Key, CaError> {
        match token_address(bytes, path)? {
            Some(uri) => {
                let pin = uri.pin(secrets.pin.as_ref());
                Ok(Key::from_token(TokenKey::open(&uri, pin)?))
            }
            None => Key::from_der(&*parse_key(bytes, path, secrets.passphrase.as_ref())?, path),
        }
    }

    /// The private key as it was read, unless it is in a token.
    pub fn secret(&self) -> Option<Secret> {
        match &*self.0 {
            Held::Here(pair) => {
                PrivateKeyDer::try_from(pair.serialized_der()).ok().map(|key| Zeroizing::new(key.clone_key()))
            }
            Held::Token(_) => None,
        }
    }

    /// The private key in PKCS #8 (RFC 5958): the older encodings are what its innermost string holds.
    pub fn pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.secret()?;
        if let PrivateKeyDer::Pkcs8(key) = &*secret {
            return Some(Zeroizing::new(key.secret_pkcs8_der().to_vec()));
        }
        let spki = self.subject_public_key_info();
        let algorithm = element(&spki).and_then(|(content, _)| element_whole(&spki[content.start..]))?;
        let inner = Zeroizing::new(tlv(0x04, &[secret.secret_der()]));
        Some(Zeroizing::new(tlv(0x30, &[&[0x02, 1, 0], algorithm, &inner])))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Held::Here(pair) = self {
            pair.zeroize();
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match &*self.0 {
            Held::Here(pair) => pair.der_bytes(),
            Held::Token(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match &*self.0 {
            Held::Here(pair) => pair.algorithm(),
            Held::Token(key) => key.algorithm(),
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match &*self.0 {
            Held::Here(pair) => pair.sign(message),
            Held::Token(key) => key.sign(message),
        }
    }
}

/// True for a key file that names a key in a token.
pub(super) fn is_token_address(bytes: &[u8]) -> bool {
    bytes.starts_with(b"pkcs11:")
}

/// The address of a key in a token, if that is what a key file holds.
pub(super) fn token_address(bytes: &[u8], path: &Path) -> Result<Option<TokenUri>, CaError> {
    if !is_token_address(bytes) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(bytes);
    let garbage = |e| CaError::Garbage { path: path.into(), what: format!("as a PKCS #11 address {e}") };
    text.parse().map(Some).map_err(garbage)
}

/// All certificates of a PEM text, or the one of a DER file, in file order.
pub(super) fn parse_certs(bytes: &[u8], path: &Path) -> Result<Vec<CaCert>, CaError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CaCert::parse(CertificateDer::from(bytes.to_vec()), path)?]);
    }
    let mut certs = Vec::new();
    for der in CertificateDer::pem_slice_iter(bytes) {
        let der = der
            .map_err(|e| CaError::Garbage { path: path.into(), what: format!("its PEM is broken ({e})") })?;
        certs.push(CaCert::parse(der.into_owned(), path)?);
    }
    if certs.is_empty() {
        return Err(CaError::Garbage { path: path.into(), what: "it holds no certificate".into() });
    }
    Ok(certs)
}

/// Every certificate of a PEM text as DER, unread; what is broken in it is passed over.
pub fn pem_certificates(text: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = memchr::memmem::find_iter(text, b"-----BEGIN CERTIFICATE-----").collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let parts = starts.iter().zip(ends).map(|(&start, end)| &text[start..end]);
    parts.filter_map(|part| CertificateDer::from_pem_slice(part).ok()).map(|der| der.to_vec()).collect()
}

/// The private key of a PEM text or DER file, in any of the three usual encodings, or encrypted PKCS #8.
pub(super) fn parse_key(
    bytes: &[u8],
    path: &Path,
    passphrase: Option<&SecretSource>,
) -> Result<Secret, CaError> {
    let garbage = |what: &str| CaError::Garbage { path: path.into(), what: what.into() };
    let locked = |der: &[u8]| match passphrase {
        Some(passphrase) => secret::decrypt(der, passphrase, path),
        None => Err(CaError::EncryptedKey { path: path.into() }),
    };
    if bytes.first() == Some(&0x30) {
        if secret::is_encrypted(bytes) {
            return locked(bytes);
        }
        return PrivateKeyDer::try_from(bytes)
            .map(|key| Zeroizing::new(key.clone_key()))
            .map_err(|_| garbage("it is DER, but not a private key"));
    }
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") {
        let text = std::str::from_utf8(bytes).map_err(|_| garbage("it is not text"))?;
        let start = text.find("-----BEGIN ENCRYPTED").unwrap_or_default();
        let (_, document) =
            pkcs8::Document::from_pem(&text[start..]).map_err(|_| garbage("its PEM is broken"))?;
        return locked(document.as_bytes());
    }
    // The older encryption, in a header of PEM (RFC 1421): its key is one MD5 away from the passphrase.
    if has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(CaError::OldEncryption { path: path.into() });
    }
    PrivateKeyDer::from_pem_slice(bytes).map(Zeroizing::new).map_err(|_| garbage("it holds no private key"))
}

/// A key in PEM under the label of its encoding.
pub(super) fn key_pem(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Zeroizing::new(pem(label, key.secret_der()))
}

pub(super) fn cert_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// RFC 7468: base 64 in lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = String::with_capacity(text.len() * 66 / 64 + 2 * label.len() + 40);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in text.as_bytes().chunks(64) {
        // Base 64 is ASCII, so that every chunk is text.
        out.extend(line.iter().map(|&b| char::from(b)));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// A certificate with its key, ready to sign.
pub(super) struct Signer {
    pub cert: CaCert,
    issuer: Issuer<'static, Key>,
    /// rcgen keeps one value per attribute type, so that it cannot write a name such as
    /// `DC=corp, DC=example`; then the name is put right after it and signed again.
    exact_name: bool,
}

impl Signer {
    /// Pairs a certificate with its key; each path is for the message.
    pub fn new(cert: CaCert, key: Key, cert_path: &Path, key_path: &Path) -> Result<Signer, CaError> {
        if key.subject_public_key_info() != cert.spki {
            return Err(CaError::Mismatch { key: key_path.into(), cert: cert_path.into() });
        }
        let issuer = match Issuer::from_ca_cert_der(&cert.der, key.clone()) {
            Ok(issuer) => issuer,
            Err(_) => {
                let mut params = CertificateParams::default();
                params.distinguished_name = DistinguishedName::new();
                if let Some(id) = &cert.key_id {
                    params.key_identifier_method = KeyIdMethod::PreSpecified(id.clone());
                }
                Issuer::new(params, key)
            }
        };
        let mut signer = Signer { cert, issuer, exact_name: true };
        let trial = CertificateParams::default().signed_by(signer.issuer.key(), &signer.issuer)?;
        signer.exact_name = X509Certificate::from_der(trial.der())
            .is_ok_and(|(_, trial)| trial.issuer().as_raw() == signer.cert.subject);
        Ok(signer)
    }

    /// Signs a certificate for that public key.
    pub fn issue(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CaError> {
        let der = CertificateDer::from(params.signed_by(key, &self.issuer)?);
        if self.exact_name { Ok(der) } else { self.with_exact_name(&der) }
    }

    /// The same certificate with our subject as it really is in place of the issuer.
    fn with_exact_name(&self, der: &CertificateDer<'_>) -> Result<CertificateDer<'static>, CaError> {
        let broken = || CaError::Crypto(rcgen::Error::CouldNotParseCertificate);
        let (_, x509) = X509Certificate::from_der(der).map_err(|_| broken())?;
        let old = x509.issuer().as_raw();
        let body = element(der).and_then(|(body, _)| element_whole(&der[body.start..])).ok_or_else(broken)?;
        let (content, _) = element(body).ok_or_else(broken)?;
        let at = old.as_ptr() as usize - body.as_ptr() as usize;
        let head = body.get(content.start..at).ok_or_else(broken)?;
        let tail = body.get(at + old.len()..).ok_or_else(broken)?;
        let signed = tlv(0x30, &[head, &self.cert.subject, tail]);
        let algorithm = element_whole(&der[body.as_ptr() as usize - der.as_ptr() as usize + body.len()..])
            .ok_or_else(broken)?;
        self.certify(&signed, algorithm)
    }

    pub fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.issuer.key().algorithm()
    }

    /// Signing asks a token.
    pub fn in_token(&self) -> bool {
        matches!(*self.issuer.key().0, Held::Token(_))
    }

    /// Signs a certificate whose body was written with `algorithm` and our subject in it.
    pub fn certify(&self, body: &[u8], algorithm: &[u8]) -> Result<CertificateDer<'static>, CaError> {
        let signature = self.issuer.key().sign(body)?;
        let signature = tlv(0x03, &[&[0], &signature]);
        Ok(CertificateDer::from(tlv(0x30, &[body, algorithm, &signature])))
    }
}

/// The content range of the first DER element, and where the element ends.
fn element(der: &[u8]) -> Option<(std::ops::Range<usize>, usize)> {
    let first = usize::from(*der.get(1)?);
    let (start, length) = if first < 0x80 {
        (2, first)
    } else {
        let count = first & 0x7f;
        let bytes = der.get(2..2 + count).filter(|_| count <= 4)?;
        (2 + count, bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b)))
    };
    let end = start.checked_add(length).filter(|&end| end <= der.len())?;
    Some((start..end, end))
}

fn element_whole(der: &[u8]) -> Option<&[u8]> {
    element(der).map(|(_, end)| &der[..end])
}

/// One DER element of these parts.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // With room for all of it no reallocation leaves a copy of a key behind.
    let mut out = Vec::with_capacity(length + 2 + size_of::<usize>());
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|&&b| b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Checks with webpki, as a client would, that `leaf` chains to `anchor` at `now`.
pub(super) fn verify(
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    now: OffsetDateTime,
) -> Result<(), String> {
    let anchor = webpki::anchor_from_trusted_cert(anchor).map_err(|e| e.to_string())?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|e| e.to_string())?;
    let seconds = u64::try_from(now.unix_timestamp()).map_err(|e| e.to_string())?;
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        chain,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .map(|_| ())
    .map_err(|e| e.to_string())
}
