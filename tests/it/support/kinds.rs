//! One origin for each kind of name that a certificate can have, behind one proxy, and what clients are shown for it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Entry};
use super::origin::{Origin, Spec, Stream};
use super::proxy::{Proxy, Setup};
use super::within;

/// An origin, and the name by which it is asked for.
pub struct Site {
    /// As in a certificate: addresses without brackets.
    pub name: String,
    /// Host and port of a CONNECT.
    pub authority: String,
    /// Where a client asks: `https://...`, without a path.
    pub url: String,
    pub origin: Origin,
}

impl Site {
    pub fn is_address(&self) -> bool {
        self.name.parse::<std::net::IpAddr>().is_ok()
    }
}

pub struct Sites {
    pub proxy: Proxy,
    pub all: Vec<Site>,
}

/// 253 octets, the longest that DNS has.
pub fn longest() -> String {
    let label = |letter: &str, times| letter.repeat(times);
    [label("a", 63), label("b", 63), label("c", 63), label("d", 56), "test".into()].join(".")
}

impl Sites {
    /// A name, a name under a wildcard, an IDN, the longest name there is, and an address of each kind.
    pub async fn start(setup: Setup) -> Sites {
        let names = [
            ("plain.test".to_owned(), "plain.test".to_owned()),
            ("one.wild.test".to_owned(), "*.wild.test".to_owned()),
            ("xn--mnchen-3ya.test".to_owned(), "xn--mnchen-3ya.test".to_owned()),
            (longest(), longest()),
        ];
        let mut setup = setup.args(["--allow-private", "::1/128"]);
        let mut all = Vec::new();
        for (name, certified) in names {
            let origin = Spec::tls(&[&certified]).start().await;
            setup = setup.route(&name, 443, origin.addr);
            let (authority, url) = (format!("{name}:443"), format!("https://{name}"));
            all.push(Site { name, authority, url, origin });
        }
        let mut ports = "[policy.ports]\n".to_owned();
        for name in ["127.0.0.1", "::1"] {
            let any = SocketAddr::new(name.parse().unwrap(), 0);
            let listener = std::net::TcpListener::bind(any).unwrap();
            let origin = Spec::tls(&[name]).on(listener).start().await;
            ports.push_str(&format!("{} = \"inspect\"\n", origin.addr.port()));
            let (authority, url) = (origin.addr.to_string(), format!("https://{}", origin.addr));
            all.push(Site { name: name.into(), authority, url, origin });
        }
        Sites { proxy: setup.config(&ports).start().await, all }
    }

    /// The sites whose origins saw no request for this path.
    pub fn unseen(&self, path: &str) -> Vec<&str> {
        let saw = |site: &&Site| site.origin.seen().iter().any(|seen| seen.target.ends_with(path));
        self.all.iter().filter(|site| !saw(site)).map(|site| site.name.as_str()).collect()
    }

    /// The chain that the proxy shows for a site, as a PEM file in the proxy's folder.
    pub async fn chain_file(&self, site: &Site) -> (Vec<CertificateDer<'static>>, PathBuf) {
        let chain = shown(&self.proxy, &site.name, site.origin.addr).await.expect("a chain");
        let path = self.proxy.dir().join(format!("chain-{}.pem", site.origin.addr.port()));
        fs::write(&path, pem(&chain)).unwrap();
        (chain, path)
    }
}

pub fn pem(chain: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let text = |der: &CertificateDer<'_>| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    chain.iter().map(text).collect()
}

/// The chain that the proxy shows for a name, or for an address at that port.
pub async fn shown(proxy: &Proxy, name: &str, addr: SocketAddr) -> io::Result<Vec<CertificateDer<'static>>> {
    let stream = unverified(proxy, name, addr).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap().to_vec())
}

/// TLS inside a tunnel whatever the certificate is worth: the client's own clock and roots have no say.
pub async fn unverified(
    proxy: &Proxy,
    name: &str,
    addr: SocketAddr,
) -> io::Result<TlsStream<Box<dyn Stream>>> {
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let (host, port) = match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(ip)) => (format!("[{ip}]"), addr.port()),
        Ok(ip) => (ip.to_string(), addr.port()),
        Err(_) => (name.to_owned(), 443),
    };
    let tunnel = Client::new(Entry::HttpProxy, proxy).tunnel(&host, port).await;
    let tunnel = tunnel.map_err(|refused| io::Error::other(format!("{refused:?}")))?;
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anything));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(server, tunnel)).await
}

/// Takes every certificate, to look at it afterwards.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]
    }
}
