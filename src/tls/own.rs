//! Asks a listener to prove that it is a proxy that signs with this CA, by a TLS handshake with it
//! as a TLS proxy. Blocking, for the command line; nothing is sent after the handshake.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Succeeds when the listener's leaf for `localhost`, which a proxy with this CA mints when asked,
/// leads to one of `anchors`. The stream's own time limits bound the wait.
pub fn prove_ours(stream: &mut TcpStream, anchors: &[CertificateDer<'static>]) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor.clone()).map_err(io::Error::other)?;
    }
    let config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    tls.send_close_notify();
    // The answer is there; whether the goodbye arrives changes nothing.
    let _ = tls.complete_io(stream);
    Ok(())
}
