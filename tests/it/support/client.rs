//! Clients that reach an origin through the proxy, by every entry, in HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::netns::{self, NetLab};
use super::origin::{Body, Stream};
use super::proxy::Proxy;
use super::split::{Cut, Split};
use super::{Http, Tls, within};

/// How a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    HttpProxy,
    HttpsProxy,
    Socks5,
    Transparent,
}

impl Entry {
    /// The entries that need no network of their own.
    pub const EXPLICIT: [Entry; 3] = [Entry::HttpProxy, Entry::HttpsProxy, Entry::Socks5];
}

/// Why no tunnel came about.
#[derive(Debug)]
pub enum NoTunnel {
    /// The proxy answered CONNECT with something else than 200.
    Http { status: StatusCode, head: String, body: String },
    /// The proxy refused by SOCKS's reply code.
    Socks(u8),
    /// The connection ended.
    Io(std::io::Error),
}

impl NoTunnel {
    pub fn status(&self) -> u16 {
        match self {
            NoTunnel::Http { status, .. } => status.as_u16(),
            NoTunnel::Io(error) => panic!("no HTTP answer: {error}"),
            other => panic!("no HTTP answer: {other:?}"),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            NoTunnel::Http { body, .. } => body,
            other => panic!("no HTTP answer: {other:?}"),
        }
    }
}

impl From<std::io::Error> for NoTunnel {
    fn from(error: std::io::Error) -> NoTunnel {
        NoTunnel::Io(error)
    }
}

/// A client's settings.
#[derive(Clone)]
pub struct Client {
    pub entry: Entry,
    proxy: SocketAddr,
    roots: Arc<RootCertStore>,
    tls: Vec<Tls>,
    user: Option<(String, String)>,
    cut: Option<Cut>,
    net: Option<Arc<NetLab>>,
    ech: bool,
    careless: bool,
    from: Option<IpAddr>,
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One HTTP connection to an origin's name.
pub enum Connection {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    pub fn new(entry: Entry, proxy: &Proxy) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(proxy.ca());
        Client {
            entry,
            proxy: proxy.addr(),
            roots: Arc::new(roots),
            tls: vec![Tls::V13, Tls::V12],
            user: None,
            cut: None,
            net: None,
            ech: false,
            careless: false,
            from: None,
        }
    }

    /// Comes from another address of this machine: another client, to the proxy.
    pub fn from(mut self, ip: IpAddr) -> Client {
        self.from = Some(ip);
        self
    }

    /// Sends an encrypted ClientHello that nobody can read, as browsers do; TLS 1.3 alone.
    pub fn ech_grease(mut self) -> Client {
        self.ech = true;
        self
    }

    /// Takes any certificate for any name, so that a test sees what another client would refuse.
    pub fn careless(mut self) -> Client {
        self.careless = true;
        self
    }

    /// A client of the lab's client namespace, that knows nothing of the proxy.
    pub fn redirected(proxy: &Proxy, net: &Arc<NetLab>) -> Client {
        Client { net: Some(Arc::clone(net)), ..Client::new(Entry::Transparent, proxy) }
    }

    pub fn versions(mut self, tls: &[Tls]) -> Client {
        self.tls = tls.to_vec();
        self
    }

    pub fn user(mut self, name: &str, password: &str) -> Client {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Cuts the bytes written inside the tunnel (or, by redirection, on the connection).
    pub fn cut(mut self, cut: Cut) -> Client {
        self.cut = Some(cut);
        self
    }

    pub fn trusting(mut self, roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Client {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        self.roots = Arc::new(store);
        self
    }

    fn tls_config(&self, http: &[Http]) -> Arc<ClientConfig> {
        let versions: Vec<_> = self.tls.iter().map(|tls| tls.version()).collect();
        let mut config = if self.ech {
            use rustls::crypto::hpke::Hpke;
            let suite = rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
            let (key, _) = suite.generate_key_pair().unwrap();
            let grease = rustls::client::EchMode::Grease(rustls::client::EchGreaseConfig::new(suite, key));
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_ech(grease)
                .unwrap()
        } else {
            ClientConfig::builder_with_protocol_versions(&versions)
        }
        .with_root_certificates(Arc::clone(&self.roots))
        .with_no_client_auth();
        if self.careless {
            config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate));
        }
        config.alpn_protocols = http.iter().map(|http| http.alpn().as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A connection to the proxy's own port, after TLS to it when the entry has that.
    pub async fn dial(&self) -> std::io::Result<Box<dyn Stream>> {
        match self.entry {
            Entry::HttpsProxy => self.dial_tls(Http::H1).await,
            _ => Ok(Box::new(self.socket().await?)),
        }
    }

    async fn socket(&self) -> std::io::Result<TcpStream> {
        let socket = match self.from {
            None => TcpStream::connect(self.proxy).await?,
            Some(ip) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(ip, 0))?;
                socket.connect(self.proxy).await?
            }
        };
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// TLS with the proxy itself, for HTTP of this version.
    pub async fn dial_tls(&self, http: Http) -> std::io::Result<Box<dyn Stream>> {
        let socket = self.socket().await?;
        // No name: the proxy is known by its address.
        let name = ServerName::from(self.proxy.ip());
        Ok(Box::new(TlsConnector::from(self.tls_config(&[http])).connect(name, socket).await?))
    }

    /// A stream that the client takes for one to `host:port`.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, NoTunnel> {
        let stream = within("a tunnel", self.open(host, port)).await?;
        Ok(match self.cut {
            Some(cut) => Box::new(Split::new(stream, cut)),
            None => stream,
        })
    }

    async fn open(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, NoTunnel> {
        if self.entry == Entry::Transparent {
            let net = self.net.as_ref().expect("redirected clients have a network");
            let socket = net.connect(SocketAddr::new(netns::ORIGIN.parse().unwrap(), port))?;
            socket.set_nonblocking(true)?;
            let socket = TcpStream::from_std(socket)?;
            socket.set_nodelay(true)?;
            return Ok(Box::new(socket));
        }
        let mut stream = self.dial().await?;
        match self.entry {
            Entry::Socks5 => self.socks(&mut stream, host, port).await?,
            _ => self.connect_method(&mut stream, host, port).await?,
        }
        Ok(stream)
    }

    /// The value of Proxy-Authorization.
    pub fn credentials(&self) -> Option<String> {
        let (name, password) = self.user.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
    }

    async fn connect_method(
        &self,
        stream: &mut Box<dyn Stream>,
        host: &str,
        port: u16,
    ) -> Result<(), NoTunnel> {
        let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(credentials) = self.credentials() {
            head.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        let head = read_head(stream).await?;
        let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        if status == 200 {
            return Ok(());
        }
        // A refusal has a length or ends with the connection.
        let mut body = Vec::new();
        let declared = field(&head, "content-length").and_then(|value| value.parse::<u64>().ok());
        let _ = stream.take(declared.unwrap_or(1 << 20)).read_to_end(&mut body).await;
        Err(NoTunnel::Http {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT),
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// RFC 1928, with RFC 1929 when there is a user.
    async fn socks(&self, stream: &mut Box<dyn Stream>, host: &str, port: u16) -> Result<(), NoTunnel> {
        let method = if self.user.is_some() { 2 } else { 0 };
        stream.write_all(&[5, 1, method]).await?;
        stream.flush().await?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await?;
        if chosen != [5, method] {
            return Err(NoTunnel::Socks(chosen[1]));
        }
        if let Some((name, password)) = &self.user {
            let mut message = vec![1, name.len() as u8];
            message.extend(name.as_bytes());
            message.push(password.len() as u8);
            message.extend(password.as_bytes());
            stream.write_all(&message).await?;
            stream.flush().await?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await?;
            if verdict[1] != 0 {
                return Err(NoTunnel::Socks(verdict[1]));
            }
        }
        let mut request = vec![5, 1, 0, 3, host.len() as u8];
        request.extend(host.as_bytes());
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        if reply[1] != 0 {
            return Err(NoTunnel::Socks(reply[1]));
        }
        let rest = match reply[3] {
            1 => 4 + 2,
            4 => 16 + 2,
            3 => usize::from(stream.read_u8().await?) + 2,
            other => panic!("SOCKS address type {other}"),
        };
        stream.read_exact(&mut vec![0; rest]).await?;
        Ok(())
    }

    /// TLS with `host` inside a tunnel to it.
    pub async fn tls(
        &self,
        host: &str,
        port: u16,
        http: &[Http],
    ) -> Result<TlsStream<Box<dyn Stream>>, NoTunnel> {
        let tunnel = self.tunnel(host, port).await?;
        self.tls_over(tunnel, host, http).await
    }

    /// TLS with `host` over a stream that may lead elsewhere.
    pub async fn tls_over(
        &self,
        tunnel: Box<dyn Stream>,
        host: &str,
        http: &[Http],
    ) -> Result<TlsStream<Box<dyn Stream>>, NoTunnel> {
        let name = ServerName::try_from(host.to_string()).unwrap();
        Ok(within("TLS inside the tunnel", TlsConnector::from(self.tls_config(http)).connect(name, tunnel))
            .await?)
    }

    /// An HTTP connection over TLS to port 443.
    pub async fn https(&self, host: &str, http: Http) -> Result<Connection, NoTunnel> {
        self.https_on(host, 443, http).await
    }

    pub async fn https_on(&self, host: &str, port: u16, http: Http) -> Result<Connection, NoTunnel> {
        let stream = self.tls(host, port, &[http]).await?;
        let agreed =
            stream.get_ref().1.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        assert_eq!(agreed.as_deref(), Some(http.alpn()), "the client offered one protocol");
        Ok(Connection::over(stream, http).await)
    }

    /// One request over a connection of its own.
    pub async fn send(&self, http: Http, host: &str, request: Request<Body>) -> Answer {
        match self.https(host, http).await {
            Ok(mut connection) => connection.send(request).await,
            Err(error) => panic!("{:?}, {http:?}: no tunnel to {host}: {error:?}", self.entry),
        }
    }

    pub async fn get(&self, http: Http, url: &str) -> Answer {
        let host = url.parse::<http::Uri>().unwrap().host().unwrap().to_string();
        self.send(http, &host, get(url)).await
    }
}

/// Signatures are right, and whose they are is nobody's business.
#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A GET of an absolute URL.
pub fn get(url: &str) -> Request<Body> {
    request("GET", url, &[], Bytes::new())
}

/// A request for an absolute URL, with a length when it has a body.
pub fn request(method: &str, url: &str, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

impl Connection {
    pub async fn over(stream: impl Stream + 'static, http: Http) -> Connection {
        let io = TokioIo::new(stream);
        match http {
            Http::H1 => {
                let (send, driver) = http1::handshake(io).await.unwrap();
                tokio::spawn(driver.with_upgrades());
                Connection::H1(send)
            }
            Http::H2 => {
                let (send, driver) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(driver);
                Connection::H2(send)
            }
        }
    }

    /// Sends and returns the response's head with its body still open.
    pub async fn start(&mut self, request: Request<Body>) -> hyper::Result<http::Response<Incoming>> {
        let request = match self {
            Connection::H1(_) => origin_form(request),
            Connection::H2(_) => request,
        };
        within("a response", async {
            match self {
                Connection::H1(send) => {
                    send.ready().await?;
                    send.send_request(request).await
                }
                Connection::H2(send) => {
                    send.ready().await?;
                    send.send_request(request).await
                }
            }
        })
        .await
    }

    /// Like `try_send` without its time limit, for a body that takes long to send.
    pub async fn send_slowly(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        let response = match self {
            Connection::H1(send) => send.send_request(origin_form(request)).await?,
            Connection::H2(send) => send.send_request(request).await?,
        };
        whole(response).await
    }

    pub async fn send(&mut self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        match self.try_send(request).await {
            Ok(answer) => answer,
            Err(error) => panic!("{asked}: {error}: {:?}", std::error::Error::source(&error)),
        }
    }

    pub async fn try_send(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        whole(self.start(request).await?).await
    }
}

/// A response read to its end.
pub async fn whole(response: http::Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = within("a response's body", body.collect()).await?;
    let trailers = body.trailers().cloned();
    Ok(Answer {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    })
}

/// HTTP/1.1 to an origin names the host in a field and only the path in the target.
fn origin_form(request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    if let Some(authority) = head.uri.authority().cloned() {
        if !head.headers.contains_key(http::header::HOST) {
            head.headers.insert(http::header::HOST, authority.as_str().parse().unwrap());
        }
        head.uri = head.uri.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap();
    }
    Request::from_parts(head, body)
}

/// Before an answer is waited for: TLS keeps what its socket would not take at once, or what the task's share of
/// the runtime was used up for, and tries again when it is flushed. A peer that has left is for the reader to see.
pub async fn flushed(stream: &mut (impl Stream + ?Sized)) {
    let _ = stream.flush().await;
}

/// Reads up to and with the empty line.
pub async fn read_head(stream: &mut (impl Stream + ?Sized)) -> std::io::Result<String> {
    flushed(stream).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 64 * 1024 {
            return Err(std::io::Error::other("a head of more than 64 KiB"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A field's value in a head, by its lower-case name.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Everything until the other end closes, whether well or by reset.
pub async fn rest(stream: &mut (impl Stream + ?Sized)) -> Vec<u8> {
    within("the end of a stream", async {
        flushed(stream).await;
        let mut all = Vec::new();
        let mut part = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..n]);
        }
        all
    })
    .await
}
