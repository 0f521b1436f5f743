//! The client's leg: reads a ClientHello without answering it, then either hands the bytes back
//! untouched (tunnel) or ends the TLS here with a leaf.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::net::hello::Sni;
use crate::net::{Alpn, Hello, Host};

use super::{BoxIo, Negotiated, Rewind};

/// A leaf ready to serve.
#[derive(Clone)]
pub struct LeafConfig {
    config: Arc<ServerConfig>,
}

/// The leaf's key or chain cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the minted leaf cannot be served: {0}")]
pub struct LeafError(#[from] rustls::Error);

/// What all leaves share: the ticket key, rotated by rustls every six hours.
pub struct LeafConfigs {
    ticketer: Arc<dyn rustls::server::ProducesTickets>,
}

impl LeafConfigs {
    pub fn new() -> Result<LeafConfigs, LeafError> {
        Ok(LeafConfigs { ticketer: rustls::crypto::aws_lc_rs::Ticketer::new()? })
    }

    /// The TLS server configuration for one leaf: h2 before http/1.1, tickets, no early data.
    pub fn build(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<LeafConfig, LeafError> {
        let provider = super::provider();
        let key = CertifiedKey::from_der(chain, key, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![Alpn::H2.wire().to_vec(), Alpn::Http11.wire().to_vec()];
        config.ticketer = self.ticketer.clone();
        // Resumption goes through tickets alone: no per-leaf session table to bound.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(LeafConfig { config: Arc::new(config) })
    }
}

/// A client whose ClientHello was read and not answered.
pub struct Greeting {
    start: StartHandshake<Rewind<BoxIo>>,
    pub hello: Hello,
}

/// The client's bytes were not a ClientHello we can read, or it went away.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    #[error("the client's ClientHello is malformed: {0}")]
    Malformed(#[source] io::Error),
    #[error("the client closed the connection before its ClientHello was whole")]
    Closed,
}

impl Greeting {
    /// Reads one ClientHello. The caller bounds the time; rustls bounds the bytes.
    pub async fn read(mut io: Rewind<BoxIo>) -> Result<Greeting, GreetingError> {
        io.record();
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                GreetingError::Closed
            } else {
                GreetingError::Malformed(error)
            }
        })?;
        let hello = start.client_hello();
        let sni = match hello.server_name() {
            None => Sni::Absent,
            Some(name) => match Host::parse(name) {
                Ok(host @ Host::Name(_)) => Sni::Name(host),
                _ => Sni::Invalid,
            },
        };
        let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
        Ok(Greeting { hello: Hello { sni, alpn }, start })
    }

    /// Answers the ClientHello with this leaf.
    pub async fn accept(mut self, leaf: &LeafConfig) -> io::Result<(TlsStream<Rewind<BoxIo>>, Negotiated)> {
        self.start.io.forget();
        let stream = self.start.into_stream(leaf.config.clone()).await?;
        let negotiated = Negotiated::of(stream.get_ref().1);
        Ok((stream, negotiated))
    }

    /// Ends the handshake with a fatal access_denied alert (RFC 8446 section 6).
    pub async fn refuse(self) {
        use tokio::io::AsyncWriteExt;
        let mut io = self.start.io;
        // The client is told if it still listens; there is nothing else to do when it does not.
        let _ = io.write_all(&[21, 3, 3, 0, 2, 2, 49]).await;
        let _ = io.shutdown().await;
    }

    /// The stream as if nothing had been read.
    pub fn into_untouched(self) -> Rewind<BoxIo> {
        let mut io = self.start.io;
        io.rewind();
        io
    }
}

/// How a client ended a handshake, as stable text: `alert:UnknownCA` is certain, `closed` is not.
pub fn handshake_failure(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("alert:{}", alert.as_str().unwrap_or("unknown"))
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "closed".to_owned(),
        None => error.kind().to_string(),
    }
}
