//! Whether an origin's certificate is acceptable: webpki's verdict and what we ask beyond it, with a
//! refusal that says what was wrong with which certificate.

mod roots;
mod words;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use roots::RootsError;
pub use words::certificate_code;

use super::Refusal;
use words::{issuer_problem, sentence};

/// An origin's certificate that was looked at, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    pub subject: String,
    pub issuer: String,
    pub not_after: i64,
    /// SHA-256 of the DER.
    pub fingerprint: String,
}

/// One verification policy: roots, and what is asked beyond a chain to one of them.
#[derive(Debug)]
pub struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Subject names (DER) of our own CA: a chain that names one as issuer is a loop.
    own_names: Vec<Vec<u8>>,
}

impl Verifier {
    /// `extra` is a PEM file of roots trusted besides the system's; `own` are the certificates
    /// of our own CA, which are never trusted as an origin's issuer.
    pub fn new(extra: Option<&Path>, own: &[CertificateDer<'_>]) -> Result<Verifier, RootsError> {
        let own_names: Vec<Vec<u8>> = own.iter().filter_map(|der| subject_of(der)).collect();
        let roots = Arc::new(roots::load(extra, &own_names)?);
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, super::provider())
            .build()
            .map_err(|error| RootsError::Config(error.to_string()))?;
        Ok(Verifier { webpki, own_names })
    }
}

/// A verdict on one handshake, with the refused certificate remembered in words.
#[derive(Debug)]
pub(super) struct Watch {
    verifier: Arc<Verifier>,
    refused: Mutex<Option<Refusal>>,
}

impl Watch {
    pub(super) fn new(verifier: Arc<Verifier>) -> Watch {
        Watch { verifier, refused: Mutex::new(None) }
    }

    /// What was refused in the handshake, if something was.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refused.lock().ok().and_then(|mut slot| slot.take())
    }

    fn refuse(&self, code: &'static str, problem: String, error: rustls::Error) -> rustls::Error {
        if let Ok(mut slot) = self.refused.lock() {
            *slot = Some(Refusal::Certificate { code, problem });
        }
        error
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = || match describe(leaf) {
            Some(info) => format!("the certificate of {} (issued by {})", info.subject, info.issuer),
            None => "the certificate".to_owned(),
        };
        if std::iter::once(leaf)
            .chain(intermediates)
            .any(|der| issuer_of(der).is_some_and(|issuer| self.verifier.own_names.contains(&issuer)))
        {
            return Err(self.refuse(
                "own_ca_loop",
                format!("{} was issued by this proxy's own CA: the origin is behind this proxy, or its key leaked", seen()),
                CertificateError::UnknownIssuer.into(),
            ));
        }
        self.verifier.webpki.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| {
            let rustls::Error::InvalidCertificate(why) = &error else { return error };
            let code = match certificate_code(why) {
                "unknown_issuer" => issuer_problem(leaf, intermediates),
                code => code,
            };
            let problem = sentence(code, &seen(), &name.to_str(), describe(leaf).as_ref(), why);
            self.refuse(code, problem, error)
        })
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(leaf, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        super::connect::not_downgraded(message)?;
        self.verifier.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.webpki.supported_verify_schemes()
    }
}

/// A certificate in words; none when it cannot be read.
pub fn describe(der: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let name = |x: &x509_parser::x509::X509Name<'_>| {
        x.iter_common_name()
            .next()
            .and_then(|cn| cn.as_str().ok())
            .map(str::to_owned)
            .unwrap_or_else(|| x.to_string())
    };
    let mut subject = name(cert.subject());
    if subject.is_empty() {
        subject = match cert.subject_alternative_name() {
            Ok(Some(san)) => san.value.general_names.first().map(|n| n.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
    }
    let digest = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(der));
    Some(CertificateInfo {
        subject,
        issuer: name(cert.issuer()),
        not_after: cert.validity().not_after.timestamp(),
        fingerprint: digest.map(|d| hex::encode(d.as_ref())).unwrap_or_default(),
    })
}

fn subject_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert.subject().as_raw().to_vec())
}

fn issuer_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert.issuer().as_raw().to_vec())
}
