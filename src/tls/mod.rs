//! Every use of rustls: the first bytes of a connection, the TLS we speak as server to clients
//! and as client to origins, and the one place that chooses versions and key exchanges.
//!
//! Both legs speak TLS 1.3 and 1.2 with AEAD suites only, X25519MLKEM768 first.

pub mod accept;
pub mod client_certificate;
pub mod connect;
pub mod flight;
pub mod grade;
pub mod hello;
mod ja4;
pub mod key_log;
pub mod own;
mod private;
pub mod probe;
pub mod rewind;
pub mod sniff;
pub mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use serde::Serialize;

pub use accept::{Greeting, LeafConfig};
pub use client_certificate::{ClientAuth, ClientCertificates};
pub use connect::{OriginTls, Refusal};
pub use key_log::KeyLog;
pub use rewind::Rewind;

/// A byte stream whose concrete type no longer matters.
pub trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

/// A boxed stream: one monomorphisation of the flow for every entry.
pub type BoxIo = Box<dyn Io>;

/// The crypto provider of both legs.
pub fn provider() -> Arc<CryptoProvider> {
    use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group};
    use std::sync::OnceLock;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let mut provider = aws_lc_rs::default_provider();
            provider.kx_groups =
                vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
            // The order of browsers, for both legs: AES-128-GCM first, which no known attack comes near and which
            // costs the least where processors have instructions for it, and nearly all have.
            provider.cipher_suites = vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ];
            Arc::new(provider)
        })
        .clone()
}

/// What was negotiated on one leg, for the audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Negotiated {
    pub version: &'static str,
    pub suite: &'static str,
    pub group: &'static str,
    pub alpn: Option<String>,
    pub resumed: bool,
}

impl Negotiated {
    fn of(connection: &rustls::CommonState) -> Negotiated {
        use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
        Negotiated {
            version: match connection.protocol_version() {
                Some(TLSv1_3) => "TLSv1.3",
                Some(TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            suite: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            group: connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .unwrap_or("unknown"),
            alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }
}
