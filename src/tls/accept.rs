//! The client's leg: reads a ClientHello without answering it, then either hands the bytes back
//! untouched (tunnel) or ends the TLS here with a leaf.

use std::io;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
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

/// What all leaves share, the ticket key among it, which rustls rotates every six hours.
pub struct LeafConfigs {
    /// Complete but for the leaf, because making one from nothing allocates a session table.
    base: ServerConfig,
}

impl LeafConfigs {
    pub fn new() -> Result<LeafConfigs, LeafError> {
        let mut base = ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        base.alpn_protocols = vec![Alpn::H2.wire().to_vec(), Alpn::Http11.wire().to_vec()];
        base.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        // Resumption goes through tickets alone: no per-leaf session table to bound.
        base.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        base.send_tls13_tickets = 1;
        base.max_early_data_size = 0;
        // All suites are good; that the choice is ours is what scanners look for.
        base.ignore_client_order = true;
        Ok(LeafConfigs { base })
    }

    /// Leaves made from now on write their sessions' secrets down.
    pub fn log_keys(&mut self, log: Arc<super::KeyLog>) {
        self.base.key_log = log;
    }

    /// The TLS server configuration for one leaf: h2 before http/1.1, tickets, no early data.
    pub fn build(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<EcdsaKeyPair>,
    ) -> Result<LeafConfig, LeafError> {
        if chain.is_empty() {
            return Err(rustls::Error::NoCertificatesPresented.into());
        }
        if key.algorithm() != &ECDSA_P256_SHA256_ASN1_SIGNING {
            return Err(rustls::Error::General("its key is not for ECDSA with P-256".to_owned()).into());
        }
        let certified = CertifiedKey::new(chain, Arc::new(LeafKey(key)));
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        Ok(LeafConfig { config: Arc::new(config) })
    }
}

/// A leaf's key as rustls asks for it. It was made in this process and is taken as it is; rustls'
/// own would read it from PKCS #8 and check it against its public key, twice.
#[derive(Debug)]
struct LeafKey(Arc<EcdsaKeyPair>);

impl SigningKey for LeafKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(LeafKey(self.0.clone())) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for LeafKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        let failed = |_| rustls::Error::General("the leaf's key could not sign".to_owned());
        Ok(signature.map_err(failed)?.as_ref().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    /// A certificate that signs itself, and its key.
    fn leaf() -> (CertificateDer<'static>, Arc<EcdsaKeyPair>) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let signer = rcgen::KeyPair::try_from(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
        let params = rcgen::CertificateParams::new(["leaf.test".to_owned()]).unwrap();
        (params.self_signed(&signer).unwrap().into(), Arc::new(pair))
    }

    /// Both ends in memory, until neither has anything to say.
    fn handshake(
        server: &LeafConfig,
        root: &CertificateDer<'static>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> (ServerConnection, ClientConnection) {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let name = ServerName::try_from("leaf.test").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(server.config.clone()).unwrap();
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        (server, client)
    }

    #[test]
    fn clients_verify_each_leaf_by_its_own_key_in_both_versions() {
        let configs = LeafConfigs::new().unwrap();
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            for _ in 0..2 {
                let (cert, key) = leaf();
                let config = configs.build(vec![cert.clone()], key).unwrap();
                let (server, client) = handshake(&config, &cert, version);
                assert!(!client.is_handshaking() && !server.is_handshaking());
                assert_eq!(client.peer_certificates(), Some(&[cert][..]));
                assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
                assert_eq!(client.protocol_version(), Some(version.version));
            }
        }
    }

    #[test]
    fn a_leaf_without_a_chain_or_with_a_key_of_another_curve_is_an_error() {
        let configs = LeafConfigs::new().unwrap();
        let (cert, key) = leaf();
        assert!(configs.build(Vec::new(), key).is_err());
        let other = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        assert!(configs.build(vec![cert], Arc::new(other)).is_err());
    }
}
