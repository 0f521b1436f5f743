//! The client's leg: reads a ClientHello without answering it, then either hands the bytes back
//! untouched (tunnel) or ends the TLS here with a leaf.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::net::hello::Sni;
use crate::net::{Alpn, Hello, KeyType};

use super::hello::{Look, hear};
use super::{BoxIo, Negotiated, Rewind};

/// A leaf ready to serve.
#[derive(Clone)]
pub struct LeafConfig {
    config: Arc<ServerConfig>,
}

impl LeafConfig {
    /// What rustls serves it with, for who measures handshakes without a connection.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
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
        key: impl Into<ServerKey>,
    ) -> Result<LeafConfig, LeafError> {
        if chain.is_empty() {
            return Err(rustls::Error::NoCertificatesPresented.into());
        }
        let key: Arc<dyn SigningKey> = match key.into() {
            ServerKey::Ecdsa(key) if key.algorithm() == &ECDSA_P256_SHA256_ASN1_SIGNING => {
                Arc::new(LeafKey(key))
            }
            ServerKey::Ecdsa(_) => {
                return Err(rustls::Error::General("its key is not for ECDSA with P-256".to_owned()).into());
            }
            ServerKey::Rsa(key) => Arc::new(RsaLeafKey(key)),
        };
        let certified = CertifiedKey::new(chain, key);
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        Ok(LeafConfig { config: Arc::new(config) })
    }
}

/// A leaf's key pair.
pub enum ServerKey {
    Ecdsa(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl From<Arc<EcdsaKeyPair>> for ServerKey {
    fn from(key: Arc<EcdsaKeyPair>) -> ServerKey {
        ServerKey::Ecdsa(key)
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

/// The same with RSA. TLS 1.3 takes the PSS schemes alone, which rustls sees to.
#[derive(Debug)]
struct RsaLeafKey(Arc<RsaKeyPair>);

/// In the order of our liking.
static RSA_SCHEMES: [(SignatureScheme, &dyn RsaEncoding); 6] = [
    (SignatureScheme::RSA_PSS_SHA256, &RSA_PSS_SHA256),
    (SignatureScheme::RSA_PSS_SHA384, &RSA_PSS_SHA384),
    (SignatureScheme::RSA_PSS_SHA512, &RSA_PSS_SHA512),
    (SignatureScheme::RSA_PKCS1_SHA256, &RSA_PKCS1_SHA256),
    (SignatureScheme::RSA_PKCS1_SHA384, &RSA_PKCS1_SHA384),
    (SignatureScheme::RSA_PKCS1_SHA512, &RSA_PKCS1_SHA512),
];

impl SigningKey for RsaLeafKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, encoding) = RSA_SCHEMES.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(RsaSigner { key: self.0.clone(), scheme: *scheme, encoding: *encoding }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

struct RsaSigner {
    key: Arc<RsaKeyPair>,
    scheme: SignatureScheme,
    encoding: &'static dyn RsaEncoding,
}

impl std::fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaSigner").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Signer for RsaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let failed = |_| rustls::Error::General("the leaf's key could not sign".to_owned());
        self.key.sign(self.encoding, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// The type of key that a client with this ClientHello can verify: ECDSA with P-256 unless it
/// cannot, and RSA only if it can. A client that can neither gets ECDSA, and an alert.
fn key_type(
    schemes: &[SignatureScheme],
    suites: &[rustls::CipherSuite],
    groups: Option<&[rustls::NamedGroup]>,
) -> KeyType {
    let ours = super::provider();
    let offered = || ours.cipher_suites.iter().filter(|suite| suites.contains(&suite.suite()));
    // In TLS 1.3 the suite says nothing of the key; in TLS 1.2 it names its type, and the groups
    // are those of keys as well (RFC 8422 section 5.1.1).
    let tls13 = offered().any(|suite| suite.tls13().is_some());
    let usable = |key| tls13 || offered().any(|suite| suite.usable_for_signature_algorithm(key));
    let p256 = tls13 || groups.is_none_or(|groups| groups.contains(&rustls::NamedGroup::secp256r1));
    let ecdsa = p256
        && schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
        && usable(SignatureAlgorithm::ECDSA);
    let rsa =
        RSA_SCHEMES.iter().any(|(scheme, _)| schemes.contains(scheme)) && usable(SignatureAlgorithm::RSA);
    if rsa && !ecdsa { KeyType::Rsa } else { KeyType::Ecdsa }
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
    #[error("the server name in the ClientHello is not one DNS name")]
    Name(Hello),
}

impl Greeting {
    /// Reads one ClientHello. The caller bounds the time; `hear` and rustls bound the bytes. A server name
    /// that is none is answered with an alert here, so that nothing is minted for it.
    pub async fn read(mut io: Rewind<BoxIo>) -> Result<Greeting, GreetingError> {
        let failed = |error: io::Error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                GreetingError::Closed
            } else {
                GreetingError::Malformed(error)
            }
        };
        io.record();
        let hello = match hear(&mut io).await.map_err(failed)? {
            Look::Hello(hello) => hello,
            Look::NeedMore => return Err(GreetingError::Closed),
            Look::Malformed(why) => {
                alert(&mut io, DECODE_ERROR).await;
                return Err(GreetingError::Malformed(io::Error::other(why)));
            }
        };
        if hello.sni == Sni::Invalid {
            alert(&mut io, ILLEGAL_PARAMETER).await;
            return Err(GreetingError::Name(hello));
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(failed)?;
        Ok(Greeting { hello, start })
    }

    /// The type of the leaf's key that this client needs.
    pub fn key_type(&self) -> KeyType {
        let hello = self.start.client_hello();
        key_type(hello.signature_schemes(), hello.cipher_suites(), hello.named_groups())
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
        let mut io = self.start.io;
        alert(&mut io, ACCESS_DENIED).await;
    }

    /// The stream as if nothing had been read.
    pub fn into_untouched(self) -> Rewind<BoxIo> {
        let mut io = self.start.io;
        io.rewind();
        io
    }
}

// RFC 8446 section 6.2.
const ILLEGAL_PARAMETER: u8 = 47;
pub const ACCESS_DENIED: u8 = 49;
pub const DECODE_ERROR: u8 = 50;

/// Ends a handshake that was not answered yet with a fatal alert. The client is told if it still listens; there
/// is nothing else to do when it does not.
///
/// What it has still on the way is read and dropped for a moment: to close a socket with unread bytes resets the
/// connection, and a reset overtakes the alert (as HTTP's lingering close, RFC 9112 section 9.6).
pub async fn alert<T: AsyncRead + AsyncWrite + Unpin>(io: &mut T, description: u8) {
    let _ = io.write_all(&[21, 3, 3, 0, 2, 2, description]).await;
    let _ = io.shutdown().await;
    let (mut rest, mut nowhere) = (io.take(LINGER_BYTES), tokio::io::sink());
    let _ = tokio::time::timeout(LINGER_TIME, tokio::io::copy(&mut rest, &mut nowhere)).await;
}

/// A client that has read an alert closes; one that does not is not waited for.
const LINGER_TIME: Duration = Duration::from_millis(250);
const LINGER_BYTES: u64 = 64 * 1024;

/// How a client ended a handshake that we had answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// By an alert that speaks of our certificate, named here: it does not trust it.
    CertificateRefused(&'static str),
    /// It closed or reset the connection without a word.
    BrokenOff,
    /// By something that says nothing about our certificate.
    Other,
}

impl HandshakeEnd {
    pub fn of(error: &io::Error) -> HandshakeEnd {
        use rustls::AlertDescription as Alert;
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => match *alert {
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA => {
                    HandshakeEnd::CertificateRefused(alert.as_str().unwrap_or("certificate"))
                }
                _ => HandshakeEnd::Other,
            },
            Some(_) => HandshakeEnd::Other,
            None if matches!(
                error.kind(),
                UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
            ) =>
            {
                HandshakeEnd::BrokenOff
            }
            None => HandshakeEnd::Other,
        }
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
    fn an_rsa_leaf_serves_both_versions() {
        let configs = LeafConfigs::new().unwrap();
        let pair = Arc::new(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap());
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&*pair).unwrap();
        let signer = rcgen::KeyPair::try_from(der.as_ref()).unwrap();
        let params = rcgen::CertificateParams::new(["leaf.test".to_owned()]).unwrap();
        let cert: CertificateDer<'static> = params.self_signed(&signer).unwrap().into();
        let config = configs.build(vec![cert.clone()], ServerKey::Rsa(pair)).unwrap();
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let (server, client) = handshake(&config, &cert, version);
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert_eq!(client.peer_certificates(), Some(&[cert.clone()][..]));
        }
    }

    #[test]
    fn rsa_is_for_clients_that_can_verify_nothing_else() {
        use rustls::CipherSuite as Suite;
        use rustls::NamedGroup as Group;
        let (ecdsa, pss) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256);
        let (p384, sha1) = (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::RSA_PKCS1_SHA1);
        let tls13 = Suite::TLS13_AES_128_GCM_SHA256;
        let ec12 = Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        let rsa12 = Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let legacy = Suite::TLS_RSA_WITH_AES_128_CBC_SHA;
        type Case<'a> = (&'a [SignatureScheme], &'a [Suite], Option<&'a [Group]>, KeyType);
        let cases: &[Case<'_>] = &[
            (&[ecdsa, pss], &[tls13], None, KeyType::Ecdsa),
            (&[pss, ecdsa], &[tls13, rsa12], None, KeyType::Ecdsa),
            (&[pss], &[tls13], None, KeyType::Rsa),
            (&[p384, pss], &[tls13], None, KeyType::Rsa),
            (&[ecdsa, pss], &[rsa12], None, KeyType::Rsa),
            (&[ecdsa, pss], &[ec12, rsa12], None, KeyType::Ecdsa),
            (&[ecdsa, pss], &[ec12, rsa12], Some(&[Group::secp384r1]), KeyType::Rsa),
            (&[ecdsa, pss], &[ec12, rsa12], Some(&[Group::X25519, Group::secp256r1]), KeyType::Ecdsa),
            (&[ecdsa, pss], &[tls13], Some(&[Group::X25519]), KeyType::Ecdsa),
            (&[pss], &[ec12], None, KeyType::Ecdsa),
            (&[sha1], &[rsa12], None, KeyType::Ecdsa),
            (&[ecdsa, pss], &[legacy], None, KeyType::Ecdsa),
            (&[], &[], None, KeyType::Ecdsa),
        ];
        for (number, (schemes, suites, groups, expected)) in cases.iter().enumerate() {
            assert_eq!(key_type(schemes, suites, *groups), *expected, "case {number}");
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
