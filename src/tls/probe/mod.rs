//! Looking at a server without trusting it: what it shows in a handshake, and what it says to a
//! ClientHello of old. For diagnosis alone: nothing is ever sent over such a connection, and whether an
//! origin is good is asked of [`super::OriginTls`] and of nobody here.

pub mod chain;
pub mod legacy;
mod roots;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsConnector;

use super::Negotiated;
use crate::net::{Alpn, Host};
pub use chain::Chain;
pub use roots::{Roots, TrustedBy, TrustedRoot, system_store};

/// What a server showed, as far as it came.
#[derive(Debug, Default)]
pub struct Shown {
    /// As sent, the server's own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// The stapled OCSP response; empty when there was none.
    pub ocsp: Vec<u8>,
    /// Set when the handshake came to its end.
    pub negotiated: Option<Negotiated>,
    /// Why it did not.
    pub failure: Option<Failure>,
    /// The server's first bytes, whatever they were.
    pub first: Vec<u8>,
    /// The server asked for a client's certificate.
    pub wants_certificate: bool,
}

/// Why a handshake that refuses nothing did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No version or suite in common with ours.
    Legacy(String),
    /// None of the protocols offered.
    Protocol,
    /// The server ended it by this alert.
    Alert(String),
    /// The server went away without a word of TLS.
    Closed,
    /// Not TLS, or broken.
    Garbage(String),
    Io(String),
}

/// Handshakes and takes whatever is shown; the connection is closed then. The caller bounds the time.
pub async fn look<T: AsyncRead + AsyncWrite + Unpin>(io: T, host: &Host, offer: &[Alpn]) -> Shown {
    let seen = Arc::new(Onlooker::default());
    let Ok(name) = super::verify::server_name(host) else {
        return failed(Failure::Garbage("no ClientHello can carry this name".to_owned()));
    };
    let config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let mut config = match config {
        Ok(config) => {
            let config = config.dangerous().with_custom_certificate_verifier(seen.clone());
            config.with_client_cert_resolver(seen.clone())
        }
        Err(error) => return failed(Failure::Garbage(error.to_string())),
    };
    config.alpn_protocols = offer.iter().map(|alpn| alpn.wire().to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    let mut first = Vec::new();
    let tee = Tee { io, first: &mut first };
    let (negotiated, failure) = match TlsConnector::from(Arc::new(config)).connect(name, tee).await {
        Ok(mut stream) => {
            let negotiated = Negotiated::of(stream.get_ref().1);
            // A polite end; what the server makes of it no longer matters.
            let _ = stream.shutdown().await;
            (Some(negotiated), None)
        }
        Err(error) => (None, Some(failure(&error))),
    };
    let notes = seen.0.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default();
    let Notes { chain, ocsp, wants_certificate } = notes;
    Shown { chain, ocsp, negotiated, failure, first, wants_certificate }
}

fn failed(failure: Failure) -> Shown {
    Shown { failure: Some(failure), ..Shown::default() }
}

fn failure(error: &io::Error) -> Failure {
    use rustls::{AlertDescription as Alert, Error as Tls};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::AlertReceived(Alert::NoApplicationProtocol)) => Failure::Protocol,
        Some(Tls::AlertReceived(
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity,
        ))
        | Some(Tls::PeerIncompatible(_)) => Failure::Legacy(error.to_string()),
        Some(Tls::AlertReceived(alert)) => Failure::Alert(alert.as_str().unwrap_or("unknown").to_owned()),
        Some(other) => Failure::Garbage(other.to_string()),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            Failure::Closed
        }
        None => Failure::Io(error.to_string()),
    }
}

/// Remembers what it is shown, and judges nothing.
#[derive(Debug, Default)]
struct Onlooker(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    chain: Vec<Vec<u8>>,
    ocsp: Vec<u8>,
    wants_certificate: bool,
}

impl ResolvesClientCert for Onlooker {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if let Ok(mut notes) = self.0.lock() {
            notes.wants_certificate = true;
        }
        None
    }

    /// Otherwise nobody would tell us that one was asked for.
    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut notes) = self.0.lock() {
            notes.chain = std::iter::once(leaf).chain(intermediates).map(|der| der.to_vec()).collect();
            notes.ocsp = ocsp.to_vec();
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Bytes of the server that are kept.
const FIRST: usize = 512;

/// A stream that keeps the first bytes it reads.
struct Tee<'a, T> {
    io: T,
    first: &'a mut Vec<u8>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Tee<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.io).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        let room = FIRST.saturating_sub(self.first.len()).min(new.len());
        self.first.extend_from_slice(&new[..room]);
        done
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tee<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
