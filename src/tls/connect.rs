//! The origin's leg: TLS as a client, verified at least as strictly as a browser would, and a
//! refusal that says what was wrong with which certificate.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream as OriginStream;

use crate::net::Alpn;
use crate::policy::Permit;

use super::client_certificate::{ClientAuth, ClientCertificates};
use super::verify::{
    Changes, Judged, OwnCa, RootsError, Settings, Verifier, Watch, certificate_code, server_name,
};
use super::{KeyLog, Negotiated};

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

/// TLS towards origins under one verification policy.
pub struct OriginTls {
    base: ClientConfig,
    verifier: ArcSwap<Verifier>,
    own: OwnCa,
    /// What origins showed the last time.
    pub changes: Changes,
    client_certificates: ClientCertificates,
}

/// A verified connection, and what is known of it.
pub struct Connected<T> {
    pub stream: OriginStream<T>,
    pub negotiated: Negotiated,
    pub judged: Judged,
    pub client_auth: ClientAuth,
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
    /// It wants a certificate from its client, and gets none through us.
    #[error("the origin asks for a client certificate{0}")]
    ClientCertificate(&'static str),
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
            Refusal::ClientCertificate(_) => "client_cert_required",
            Refusal::Alert(_) => "tls_alert",
            Refusal::Closed => "origin_closed",
            Refusal::Garbage(_) => "tls_failed",
            Refusal::Io(_) => "origin_closed",
        }
    }
}

impl OriginTls {
    /// Reads the trust store and the revocation lists. `own` tells the keys of our own CA, which never
    /// stand behind an origin.
    pub fn new(settings: &Settings, own: OwnCa) -> Result<OriginTls, RootsError> {
        let verifier = Arc::new(Verifier::new(settings, own.clone())?);
        let mut base = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| RootsError::Config(error.to_string()))?
            .dangerous()
            // Replaced for every handshake by one that remembers what it refused.
            .with_custom_certificate_verifier(Arc::new(Watch::new(verifier.clone())))
            .with_no_client_auth();
        // rustls keys sessions by name alone, not by port, verification policy and ALPN; until a
        // session can be bound to all of them none is resumed (nginx CVE-2025-23419 class).
        base.resumption = rustls::client::Resumption::disabled();
        Ok(OriginTls {
            base,
            verifier: ArcSwap::new(verifier),
            own,
            changes: Changes::default(),
            client_certificates: ClientCertificates::default(),
        })
    }

    /// Takes up other settings, and files that changed; on an error everything stays as it was.
    pub fn reload(&self, settings: &Settings) -> Result<(), RootsError> {
        self.verifier.store(Arc::new(Verifier::new(settings, self.own.clone())?));
        Ok(())
    }

    /// What judges origins at this moment.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.verifier.load_full()
    }

    /// Shows these to origins that ask.
    pub fn with_client_certificates(mut self, certificates: ClientCertificates) -> OriginTls {
        self.client_certificates = certificates;
        self
    }

    /// Writes the secrets of every session down.
    pub fn with_key_log(mut self, log: Arc<KeyLog>) -> OriginTls {
        self.base.key_log = log;
        self
    }

    /// Handshakes over a connected stream with the origin of this permit. The caller bounds the time.
    pub async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: T,
        permit: &Permit,
        offer: Offer,
    ) -> Result<Connected<T>, Refusal> {
        let name = server_name(permit.server_name())?;
        let watch = Arc::new(Watch::new(self.verifier.load_full()));
        let asked = self.client_certificates.answer(permit);
        let mut config = self.base.clone();
        config.alpn_protocols = offer.protocols();
        config.dangerous().set_certificate_verifier(watch.clone());
        config.client_auth_cert_resolver = asked.clone();
        match TlsConnector::from(Arc::new(config)).connect(name, io).await {
            Ok(stream) => {
                // No session is resumed, so that every handshake is judged; one that was not is not used.
                let judged = watch.take_verdict().unwrap_or_else(|| {
                    Err(Refusal::Garbage("the handshake ended without a certificate".to_owned()))
                })?;
                let negotiated = Negotiated::of(stream.get_ref().1);
                Ok(Connected { stream, negotiated, judged, client_auth: asked.outcome() })
            }
            Err(error) => {
                let refused = watch.take_verdict().and_then(Result::err);
                Err(refused.unwrap_or_else(|| classify(error, asked.outcome())))
            }
        }
    }
}

fn classify(error: io::Error, client: ClientAuth) -> Refusal {
    use rustls::{AlertDescription as Alert, Error as Tls};
    let insists = " and ended the handshake because it got none";
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        // RFC 8446 section 6.2 has an alert for it; before TLS 1.3 any other did as well.
        Some(Tls::AlertReceived(Alert::CertificateRequired)) => Refusal::ClientCertificate(insists),
        Some(Tls::AlertReceived(_)) if client == ClientAuth::NoneGiven => Refusal::ClientCertificate(insists),
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

/// What a server of TLS 1.2 signs begins with both randoms, 32 bytes each. The end of its own must
/// not say that it knows a later version than was agreed on (RFC 8446 section 4.1.3); rustls looks
/// for the sentinel of TLS 1.3 alone.
pub(super) fn not_downgraded(signed: &[u8]) -> Result<(), rustls::Error> {
    const SENTINELS: [&[u8; 8]; 2] = [b"DOWNGRD\x01", b"DOWNGRD\x00"];
    match signed.get(56..64) {
        Some(end) if SENTINELS.iter().any(|sentinel| end == *sentinel) => {
            Err(rustls::PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported.into())
        }
        _ => Ok(()),
    }
}
