//! An origin of rustls whose TLS is set up by the case, and that remembers every handshake.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::pki::{self, Chain};
use crate::support::{Tls, until};

/// One handshake as the origin had it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shake {
    pub kind: Option<rustls::HandshakeKind>,
    pub sni: Option<String>,
    /// DER of the certificate that the other end showed.
    pub client: Option<Vec<u8>>,
    /// Requests that came over it.
    pub requests: usize,
}

pub struct Server {
    pub addr: SocketAddr,
    shakes: Arc<Mutex<Vec<Shake>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether the origin asks its clients for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Nothing,
    Asks,
    Insists,
}

/// A configuration with a good chain for `names`.
pub fn config(chain: &Chain, versions: &[Tls], wants: Wants) -> ServerConfig {
    let versions: Vec<_> = versions.iter().map(|v| v.version()).collect();
    let builder = ServerConfig::builder_with_protocol_versions(&versions);
    let builder = match wants {
        Wants::Nothing => builder.with_no_client_auth(),
        Wants::Asks | Wants::Insists => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pki::lab().root_der()).unwrap();
            let verifier = WebPkiClientVerifier::builder(roots.into());
            let verifier = if wants == Wants::Asks { verifier.allow_unauthenticated() } else { verifier }
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain.certs.clone(), chain.key()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

impl Server {
    /// Answers every request with `ok`; with `close`, each is the connection's last.
    pub async fn start(config: ServerConfig, close: bool) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shakes = Arc::new(Mutex::new(Vec::new()));
        let (all, acceptor) = (shakes.clone(), TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (all, acceptor) = (all.clone(), acceptor.clone());
                open.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else { return };
                    let session = stream.get_ref().1;
                    let shake = Shake {
                        kind: session.handshake_kind(),
                        sni: session.server_name().map(str::to_owned),
                        client: session.peer_certificates().map(|chain| chain[0].to_vec()),
                        requests: 0,
                    };
                    let at = {
                        let mut all: std::sync::MutexGuard<'_, Vec<Shake>> = all.lock().unwrap();
                        all.push(shake);
                        all.len() - 1
                    };
                    let mut head = Vec::new();
                    loop {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        head.clear();
                        all.lock().unwrap()[at].requests += 1;
                        let last = if close { "connection: close\r\n" } else { "" };
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{last}\r\nok\n");
                        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err()
                        {
                            return;
                        }
                        if close {
                            let _ = stream.shutdown().await;
                            return;
                        }
                    }
                });
            }
        });
        Server { addr, shakes, task }
    }

    pub fn shakes(&self) -> Vec<Shake> {
        self.shakes.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.shakes().iter().map(|shake| shake.requests).sum()
    }

    /// Waits for so many handshakes.
    pub async fn shaken(&self, count: usize) -> Vec<Shake> {
        until("the origin's handshakes", || Some(self.shakes()).filter(|shakes| shakes.len() >= count)).await
    }
}
