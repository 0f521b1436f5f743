//! The origin's leg: TLS as a client, verified at least as strictly as a browser would, and a
//! refusal that says what was wrong with which certificate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream as OriginStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::net::{Alpn, Host};

use super::Negotiated;

/// The protocols we offer to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// The client speaks h2: h2, then http/1.1.
    H2ThenHttp11,
    /// The client speaks http/1.1 only, or an Upgrade is asked for.
    Http11Only,
    /// After an origin refused http/1.1.
    H2Only,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        let list: &[Alpn] = match self {
            Offer::H2ThenHttp11 => &[Alpn::H2, Alpn::Http11],
            Offer::Http11Only => &[Alpn::Http11],
            Offer::H2Only => &[Alpn::H2],
        };
        list.iter().map(|alpn| alpn.wire().to_vec()).collect()
    }
}

/// Why there are no roots to verify origins with.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the origin CA file {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the origin CA file {path} holds no usable certificate: {problem}")]
    Bad { path: PathBuf, problem: String },
    #[error(
        "there is no root certificate to verify origins with: install ca-certificates or give --origin-ca FILE"
    )]
    Empty,
    #[error("the TLS client cannot be configured: {0}")]
    Config(String),
}

/// TLS towards origins under one verification policy.
pub struct OriginTls {
    base: ClientConfig,
    verifier: Arc<WebPkiServerVerifier>,
    /// Subject names (DER) of our own CA: a chain that names one as issuer is a loop.
    own_names: Vec<Vec<u8>>,
}

/// An origin's certificate that was looked at, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    pub subject: String,
    pub issuer: String,
    pub not_after: i64,
    /// SHA-256 of the DER.
    pub fingerprint: String,
}

/// Why an origin was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The certificate is not acceptable. `code` is stable, `problem` is a sentence.
    #[error("{problem}")]
    Certificate { code: &'static str, problem: String },
    #[error("the origin speaks no TLS version or cipher suite that is safe to use: {0}")]
    LegacyTls(String),
    #[error("the origin refuses every protocol we offer (ALPN)")]
    NoCommonProtocol,
    #[error("the origin ended the TLS handshake with the alert {0}")]
    Alert(String),
    #[error("the origin closed the connection in the TLS handshake")]
    Closed,
    #[error("the origin does not speak TLS as it should: {0}")]
    Garbage(String),
    #[error("the connection broke in the TLS handshake: {0}")]
    Io(#[source] io::Error),
}

impl Refusal {
    /// The stable name for audit records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Certificate { code, .. } => code,
            Refusal::LegacyTls(_) => "legacy_tls",
            Refusal::NoCommonProtocol => "no_common_protocol",
            Refusal::Alert(_) => "tls_alert",
            Refusal::Closed => "origin_closed",
            Refusal::Garbage(_) => "tls_failed",
            Refusal::Io(_) => "origin_closed",
        }
    }
}

impl OriginTls {
    /// `extra` is a PEM file of roots trusted besides the system's; `own` are the certificates
    /// of our own CA, which are never trusted as an origin's issuer.
    pub fn new(extra: Option<&Path>, own: &[CertificateDer<'_>]) -> Result<OriginTls, RootsError> {
        let mut roots = RootCertStore::empty();
        let own_names: Vec<Vec<u8>> = own.iter().filter_map(|der| subject_of(der)).collect();
        let add = |roots: &mut RootCertStore, der: CertificateDer<'static>| {
            let ours = subject_of(&der).is_some_and(|name| own_names.contains(&name));
            if ours { Ok(()) } else { roots.add(der) }
        };
        let native = rustls_native_certs::load_native_certs();
        for der in native.certs {
            // One root that webpki cannot read must not take the others with it.
            let _ = add(&mut roots, der);
        }
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(path) = extra {
            let bad = |problem: String| RootsError::Bad { path: path.to_owned(), problem };
            let text = std::fs::read(path)
                .map_err(|source| RootsError::Unreadable { path: path.to_owned(), source })?;
            let mut count = 0;
            for der in CertificateDer::pem_slice_iter(&text) {
                let der = der.map_err(|error| bad(error.to_string()))?;
                add(&mut roots, der).map_err(|error| bad(error.to_string()))?;
                count += 1;
            }
            if count == 0 {
                return Err(bad("no PEM certificate in it".to_owned()));
            }
        }
        if roots.is_empty() {
            return Err(RootsError::Empty);
        }
        let config = |error: &dyn std::fmt::Display| RootsError::Config(error.to_string());
        let roots = Arc::new(roots);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), super::provider())
            .build()
            .map_err(|error| config(&error))?;
        let mut base = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| config(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // rustls keys sessions by name alone, not by port, verification policy and ALPN; until a
        // session can be bound to all of them none is resumed (nginx CVE-2025-23419 class).
        base.resumption = rustls::client::Resumption::disabled();
        Ok(OriginTls { base, verifier, own_names })
    }

    /// Handshakes over a connected stream as a client of `host`. The caller bounds the time.
    pub async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: T,
        host: &Host,
        offer: Offer,
    ) -> Result<(OriginStream<T>, Negotiated, Option<CertificateInfo>), Refusal> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| Refusal::Certificate {
                code: "name_mismatch",
                problem: format!("no certificate can be valid for the name {name}"),
            })?,
            Host::Ip(ip) => ServerName::from(*ip),
        };
        let watch = Arc::new(Watch {
            inner: self.verifier.clone(),
            own_names: self.own_names.clone(),
            refused: Mutex::new(None),
        });
        let mut config = self.base.clone();
        config.alpn_protocols = offer.protocols();
        config.dangerous().set_certificate_verifier(watch.clone());
        match TlsConnector::from(Arc::new(config)).connect(name, io).await {
            Ok(stream) => {
                let connection = stream.get_ref().1;
                let info = connection.peer_certificates().and_then(|chain| chain.first()).and_then(describe);
                let negotiated = Negotiated::of(connection);
                Ok((stream, negotiated, info))
            }
            Err(error) => {
                let refused = watch.refused.lock().ok().and_then(|mut slot| slot.take());
                Err(refused.unwrap_or_else(|| classify(error)))
            }
        }
    }
}

fn classify(error: io::Error) -> Refusal {
    use rustls::{AlertDescription as Alert, Error as Tls};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::AlertReceived(Alert::NoApplicationProtocol)) => Refusal::NoCommonProtocol,
        Some(Tls::AlertReceived(
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity,
        )) => Refusal::LegacyTls(error.to_string()),
        Some(Tls::AlertReceived(alert)) => Refusal::Alert(alert.as_str().unwrap_or("unknown").to_owned()),
        Some(Tls::PeerIncompatible(_)) => Refusal::LegacyTls(error.to_string()),
        Some(Tls::InvalidCertificate(why)) => {
            Refusal::Certificate { code: certificate_code(why), problem: why.to_string() }
        }
        Some(other) => Refusal::Garbage(other.to_string()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Refusal::Closed,
        None => Refusal::Io(error),
    }
}

/// webpki's verdict, with the refused certificate remembered in words.
#[derive(Debug)]
struct Watch {
    inner: Arc<WebPkiServerVerifier>,
    own_names: Vec<Vec<u8>>,
    refused: Mutex<Option<Refusal>>,
}

impl Watch {
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
            .any(|der| issuer_of(der).is_some_and(|issuer| self.own_names.contains(&issuer)))
        {
            return Err(self.refuse(
                "own_ca_loop",
                format!("{} was issued by this proxy's own CA: the origin is behind this proxy, or its key leaked", seen()),
                CertificateError::UnknownIssuer.into(),
            ));
        }
        self.inner.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| {
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
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn certificate_code(why: &CertificateError) -> &'static str {
    use CertificateError as E;
    match why {
        E::Expired | E::ExpiredContext { .. } => "cert_expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "cert_not_yet_valid",
        E::NotValidForName | E::NotValidForNameContext { .. } => "name_mismatch",
        E::UnknownIssuer => "unknown_issuer",
        E::Revoked => "revoked",
        E::BadSignature => "bad_signature",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong_purpose",
        _ => "bad_certificate",
    }
}

/// Tells the three reasons why no trusted issuer was found apart: the leaf signed itself; the
/// server sent no intermediate although the leaf says where its issuer can be had; or the
/// issuer is simply not trusted.
fn issuer_problem(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> &'static str {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return "unknown_issuer" };
    if cert.subject().as_raw() == cert.issuer().as_raw() {
        return "self_signed";
    }
    let issuer_sent = intermediates
        .iter()
        .any(|der| subject_of(der).is_some_and(|subject| subject == cert.issuer().as_raw()));
    let names_issuer = cert.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(),
            x509_parser::extensions::ParsedExtension::AuthorityInfoAccess(aia)
                if aia.accessdescs.iter().any(|d| d.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"))
    });
    if !issuer_sent && names_issuer { "chain_incomplete" } else { "unknown_issuer" }
}

fn sentence(
    code: &str,
    seen: &str,
    name: &str,
    info: Option<&CertificateInfo>,
    why: &CertificateError,
) -> String {
    match code {
        "cert_expired" => match info.and_then(|info| date(info.not_after)) {
            Some(date) => format!("{seen} expired, or one above it: it was valid until {date}"),
            None => format!("{seen} expired, or one above it"),
        },
        "cert_not_yet_valid" => format!("{seen} is not valid yet"),
        "name_mismatch" => format!("{seen} is not valid for {name}"),
        "self_signed" => format!("{seen} is self-signed and not trusted"),
        "unknown_issuer" => format!("{seen} leads to no trusted root"),
        "chain_incomplete" => format!("{seen} came without the intermediate certificate that issued it"),
        "revoked" => format!("{seen} was revoked"),
        "wrong_purpose" => format!("{seen} is not meant for servers"),
        "bad_signature" => format!("{seen} has a signature that does not verify"),
        _ => format!("{seen} is not acceptable: {why}"),
    }
}

fn date(unix: i64) -> Option<String> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time::OffsetDateTime::from_unix_timestamp(unix).ok()?.format(&format).ok()
}

fn describe(der: &CertificateDer<'_>) -> Option<CertificateInfo> {
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
