//! The two far ends the bench brings along: a TLS origin and a blind CONNECT relay, the floor any
//! proxy pays. Each runs as its own process, so that it can be pinned and its CPU time read, and
//! ends when its standard input does. The origin answers from prepared bytes; it is no server for
//! anything else.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::machine::Cores;
use crate::spin;
use crate::wire::{self, Buffered, Framing};

/// Bytes of the small document and of the large one.
pub const SMALL: usize = 1024;
pub const LARGE: usize = 10 * 1000 * 1000;

/// What the origin serves with: made by the bench before it starts.
pub struct Identity<'a> {
    pub chain: &'a Path,
    pub key: &'a Path,
}

/// Serves HTTP/1.1 on the first address and HTTP/2 (or 1.1, by ALPN) on the second, with a
/// thread on each of the cores for both.
pub fn origin(h1: SocketAddr, h2: SocketAddr, identity: Identity<'_>, cores: Cores) -> Result<()> {
    let documents = Arc::new(Documents::new());
    let h1 = (h1, TlsAcceptor::from(Arc::new(tls(&identity, &[b"http/1.1"])?)));
    let h2 = (h2, TlsAcceptor::from(Arc::new(tls(&identity, &[b"h2", b"http/1.1"])?)));
    for index in 0..cores.count().max(1) {
        // Each thread has listeners of its own, and the kernel shares the connections out.
        let listen = |address: SocketAddr| -> Result<std::net::TcpListener> {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into()).with_context(|| format!("origin on {address}"))?;
            socket.listen(1024)?;
            Ok(socket.into())
        };
        let ends = [(listen(h1.0)?, h1.1.clone()), (listen(h2.0)?, h2.1.clone())];
        let (documents, cores) = (Arc::clone(&documents), cores.clone());
        thread::spawn(move || {
            spin::block_on(&cores, index, async move {
                let [h1, h2] = ends;
                tokio::join!(accept(h1.0, h1.1, Arc::clone(&documents)), accept(h2.0, h2.1, documents))
            })
        });
    }
    until_stdin_ends();
    Ok(())
}

async fn accept(listener: std::net::TcpListener, tls: TlsAcceptor, documents: Arc<Documents>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that fails is its client's to report.
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&documents)));
    }
}

/// TLS 1.3 and 1.2 with X25519 and AES-128-GCM preferred, full handshakes only.
fn tls(identity: &Identity<'_>, protocols: &[&[u8]]) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(identity.chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(identity.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(lean_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    config.ignore_client_order = true;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// One key exchange and one cipher first, so that every candidate does the same work.
pub fn lean_provider() -> rustls::crypto::CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    provider
        .cipher_suites
        .sort_by_key(|s| !matches!(s.suite(), rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
    provider
}

struct Documents {
    small_html: Vec<u8>,
    small_binary: Vec<u8>,
    stored: Vec<u8>,
    large: Vec<u8>,
}

impl Documents {
    fn new() -> Documents {
        let small = prose(SMALL);
        Documents {
            small_html: answer("text/html; charset=utf-8", &small),
            small_binary: answer("application/octet-stream", &small),
            stored: answer("text/plain", b"stored\n"),
            large: prose(LARGE),
        }
    }
}

/// A page of plain prose, the same bytes every time.
fn prose(len: usize) -> Vec<u8> {
    let line =
        b"<p>The harbour opens at six; boats bring in bread, letters and the day's first visitors.</p>\n";
    line.iter().copied().cycle().take(len).collect()
}

fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut out = answer_head(content_type, body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

fn answer_head(content_type: &str, len: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\
         Date: Sat, 01 Nov 2025 12:00:00 GMT\r\nServer: bench\r\nCache-Control: no-cache\r\n\r\n"
    )
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, documents: Arc<Documents>) -> Result<()> {
    stream.set_nodelay(true)?;
    spin::busy();
    let tls = acceptor.accept(stream).await?;
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        return serve_h2(Buffered::new(tls)).await;
    }
    let mut client = Buffered::new(tls);
    while let Some(head) = client.head().await? {
        let line = &client.bytes()[..head.len];
        let target = line.split(|b| *b == b' ').nth(1).context("no target")?;
        let path = target.split(|b| *b == b'?').next().unwrap_or_default();
        let large = match path {
            b"/large" => Some("application/octet-stream"),
            b"/large.html" => Some("text/html; charset=utf-8"),
            _ => None,
        };
        let small = match path {
            b"/small.html" => &documents.small_html,
            b"/small" => &documents.small_binary,
            b"/store" => &documents.stored,
            _ if large.is_some() => &documents.stored,
            _ => bail!("no such document"),
        };
        client.consume(head.len);
        client.body(head.body, |_| true).await?;
        match large {
            None => client.send(small).await?,
            Some(content_type) => {
                client.stream.write_all(answer_head(content_type, LARGE).as_bytes()).await?;
                client.send(&documents.large).await?;
            }
        }
    }
    Ok(client.stream.shutdown().await?)
}

/// Every HTTP/2 request is answered with the small HTML document: the request is not decoded, so
/// this end costs next to nothing.
async fn serve_h2<S: AsyncRead + AsyncWrite + Unpin>(mut client: Buffered<S>) -> Result<()> {
    client.need(wire::PREFACE.len()).await?;
    ensure!(client.bytes().starts_with(wire::PREFACE), "no preface");
    client.consume(wire::PREFACE.len());
    let body = prose(SMALL);
    let mut block = vec![0x88];
    wire::put_field(&mut block, 31, "text/html; charset=utf-8");
    wire::put_field(&mut block, 28, "1024");
    let mut out = Vec::new();
    // MAX_CONCURRENT_STREAMS 250.
    wire::put_frame(&mut out, wire::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 250]);
    let mut window: i64 = 65_535;
    let mut waiting = VecDeque::new();
    loop {
        // Answer once what has arrived is read: one write for a batch of requests.
        if client.bytes().len() < 9 {
            while window >= SMALL as i64
                && let Some(stream) = waiting.pop_front()
            {
                window -= SMALL as i64;
                wire::put_frame(&mut out, wire::HEADERS, wire::END_HEADERS, stream, &block);
                wire::put_frame(&mut out, wire::DATA, wire::END_STREAM, stream, &body);
            }
            if !out.is_empty() {
                client.send(&out).await?;
                out.clear();
            }
        }
        let Some(frame) = client.frame().await? else {
            return Ok(());
        };
        let payload = &client.bytes()[..frame.len];
        match frame.kind {
            wire::HEADERS => {
                ensure!(frame.flags & wire::END_HEADERS != 0, "this origin takes no continuation");
                ensure!(frame.flags & wire::END_STREAM != 0, "this origin takes no body over HTTP/2");
                waiting.push_back(frame.stream);
            }
            wire::SETTINGS if frame.flags & wire::ACK == 0 => {
                wire::put_frame(&mut out, wire::SETTINGS, wire::ACK, 0, &[]);
            }
            wire::PING if frame.flags & wire::ACK == 0 => {
                wire::put_frame(&mut out, wire::PING, wire::ACK, 0, payload);
            }
            wire::WINDOW_UPDATE if frame.stream == 0 => {
                window += i64::from(u32::from_be_bytes(payload.try_into().context("window update")?));
            }
            wire::GOAWAY => return Ok(()),
            _ => {}
        }
        client.consume(frame.len);
    }
}

/// A CONNECT proxy that copies bytes and looks at none: whatever host is asked for, port 8443
/// goes to the HTTP/2 origin and any other to the HTTP/1.1 one.
pub fn relay(listen: SocketAddr, h1: SocketAddr, h2: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await?;
        tokio::spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(relay_one(client, h1, h2));
                }
            }
        });
        tokio::task::spawn_blocking(until_stdin_ends).await?;
        Ok(())
    })
}

async fn relay_one(mut client: TcpStream, h1: SocketAddr, h2: SocketAddr) -> Result<()> {
    client.set_nodelay(true)?;
    let mut buf = vec![0; 2048];
    let mut len = 0;
    let head = loop {
        let n = client.read(&mut buf[len..]).await?;
        ensure!(n > 0, "closed inside CONNECT");
        len += n;
        if let Some(head) = wire::head(&buf[..len])? {
            break head;
        }
    };
    ensure!(matches!(head.body, Framing::Length(0)) && head.len == len, "more than a CONNECT");
    let line = buf[..len].split(|b| *b == b'\r').next().unwrap_or_default();
    let to = if line.ends_with(b":8443 HTTP/1.1") { h2 } else { h1 };
    let mut origin = TcpStream::connect(to).await?;
    origin.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut origin).await?;
    Ok(())
}

fn until_stdin_ends() {
    let mut sink = [0; 64];
    while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
}
