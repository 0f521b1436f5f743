//! Real origins on loopback that record everything they saw: a hyper server (HTTP/1.1 and HTTP/2, TLS or plain)
//! with routes for every shape of answer, and raw ones that play a script of bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::pki::{self, Chain};
use super::{Http, Tls};

pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A byte stream of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Bytes of a request body that are kept; all of them are counted.
const KEPT: usize = 256 * 1024;

/// One request, as the origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
    /// The body's first bytes.
    pub body: Vec<u8>,
    pub body_len: u64,
    /// The body ended as its framing says; `false` while it is open or when it broke off.
    pub complete: bool,
    pub trailers: Option<HeaderMap>,
    /// Whether every byte was that of `pattern`.
    pub patterned: bool,
    /// Number of the connection it came on, from 1.
    pub connection: usize,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub tls: Option<String>,
}

#[derive(Debug, Default)]
struct Record {
    connections: usize,
    handshakes: usize,
    requests: Vec<Seen>,
}

/// How an origin is to be.
pub struct Spec {
    chain: Option<Chain>,
    http: Vec<Http>,
    tls: Vec<Tls>,
    listener: Option<std::net::TcpListener>,
}

impl Spec {
    /// TLS with a good certificate of this run's authority, HTTP/2 and HTTP/1.1, TLS 1.3 and 1.2.
    pub fn tls(names: &[&str]) -> Spec {
        Spec::chain(pki::lab().good(names))
    }

    pub fn chain(chain: Chain) -> Spec {
        Spec {
            chain: Some(chain),
            http: vec![Http::H2, Http::H1],
            tls: vec![Tls::V13, Tls::V12],
            listener: None,
        }
    }

    pub fn plain() -> Spec {
        Spec { chain: None, http: vec![Http::H1], tls: Vec::new(), listener: None }
    }

    /// Offers these protocols by ALPN and no other; none at all answers without ALPN, as HTTP/1.1.
    pub fn http(mut self, http: &[Http]) -> Spec {
        self.http = http.to_vec();
        self
    }

    pub fn versions(mut self, tls: &[Tls]) -> Spec {
        self.tls = tls.to_vec();
        self
    }

    /// Serves on a listener made elsewhere, in another network namespace for one.
    pub fn on(mut self, listener: std::net::TcpListener) -> Spec {
        self.listener = Some(listener);
        self
    }

    pub async fn start(self) -> Origin {
        let record = Arc::new(Mutex::new(Record::default()));
        let gate = Arc::new(Semaphore::new(0));
        let listener = listen(self.listener).await;
        let addr = listener.local_addr().unwrap();
        let tls = self.chain.map(|chain| server_config(&chain, &self.http, &self.tls));
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&record), Arc::clone(&gate)));
        Origin { addr, record, gate, task }
    }
}

/// A running origin; it ends when dropped.
pub struct Origin {
    pub addr: SocketAddr,
    record: Arc<Mutex<Record>>,
    gate: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Every request so far, whole or not.
    pub fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().requests.clone()
    }

    /// The one request there must be.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "the origin saw {seen:#?}");
        seen.remove(0)
    }

    pub fn connections(&self) -> usize {
        self.record.lock().unwrap().connections
    }

    /// TLS handshakes that were completed.
    pub fn handshakes(&self) -> usize {
        self.record.lock().unwrap().handshakes
    }

    /// Lets one held answer go on: the next event of a stream, the answer of `/held`.
    pub fn release(&self) {
        self.gate.add_permits(1);
    }
}

async fn listen(given: Option<std::net::TcpListener>) -> TcpListener {
    match given {
        Some(listener) => {
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        }
        None => TcpListener::bind("127.0.0.1:0").await.unwrap(),
    }
}

pub fn server_config(chain: &Chain, http: &[Http], tls: &[Tls]) -> Arc<ServerConfig> {
    let versions: Vec<_> = tls.iter().map(|v| v.version()).collect();
    // Not `with_single_cert`, which would look at certificates that are bad on purpose.
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&chain.key()).unwrap();
    let mut certified = CertifiedKey::new(chain.certs.clone(), key);
    certified.ocsp = (!chain.ocsp.is_empty()).then(|| chain.ocsp.clone());
    let mut config = ServerConfig::builder_with_protocol_versions(&versions)
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = http.iter().map(|http| http.alpn().as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    record: Arc<Mutex<Record>>,
    gate: Arc<Semaphore>,
) {
    // Connections end with the origin.
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        let connection = {
            let mut record = record.lock().unwrap();
            record.connections += 1;
            record.connections
        };
        let (tls, record, gate) = (tls.clone(), Arc::clone(&record), Arc::clone(&gate));
        open.spawn(async move {
            let Some(config) = tls else {
                return serve(socket, Leg { connection, ..Leg::default() }, record, gate).await;
            };
            // A proxy that does not like the certificate says so in its own record.
            if let Ok(stream) = TlsAcceptor::from(config).accept(socket).await {
                record.lock().unwrap().handshakes += 1;
                let session = stream.get_ref().1;
                let leg = Leg {
                    connection,
                    sni: session.server_name().map(String::from),
                    alpn: session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
                    tls: session.protocol_version().map(|version| format!("{version:?}")),
                };
                serve(stream, leg, record, gate).await;
            }
        });
    }
}

#[derive(Clone, Debug, Default)]
struct Leg {
    connection: usize,
    sni: Option<String>,
    alpn: Option<String>,
    tls: Option<String>,
}

async fn serve(stream: impl Stream + 'static, leg: Leg, record: Arc<Mutex<Record>>, gate: Arc<Semaphore>) {
    let h2 = leg.alpn.as_deref() == Some("h2");
    let service =
        service_fn(move |request| answer(request, leg.clone(), Arc::clone(&record), Arc::clone(&gate)));
    let io = TokioIo::new(stream);
    // An error here is the proxy ending a connection: what it left behind is in the record.
    if h2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(64 * 1024)
            .serve_connection(io, service)
            .await;
    } else {
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades().await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    leg: Leg,
    record: Arc<Mutex<Record>>,
    gate: Arc<Semaphore>,
) -> Result<Response<Body>, std::io::Error> {
    let number = {
        let mut record = record.lock().unwrap();
        record.requests.push(Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            version: request.version(),
            headers: request.headers().clone(),
            body: Vec::new(),
            body_len: 0,
            complete: false,
            trailers: None,
            patterned: true,
            connection: leg.connection,
            sni: leg.sni,
            alpn: leg.alpn,
            tls: leg.tls,
        });
        record.requests.len() - 1
    };
    let path = request.uri().path().to_string();
    if path == "/ws" {
        return Ok(websocket(&mut request));
    }
    if path == "/refuse" {
        // Answered before any of the body was read: a client that waits for 100 gets this instead.
        return Ok(response(StatusCode::EXPECTATION_FAILED, "text/plain", "not this body\n"));
    }
    if path.starts_with("/duplex") {
        return Ok(duplex(request, number, record));
    }
    let content_type = request.headers().get(http::header::CONTENT_TYPE).cloned();
    let coding = request.headers().get("x-answer-coding").cloned();
    read(request.into_body(), number, &record).await?;
    if path == "/held" {
        gate.acquire().await.unwrap().forget();
    }
    Ok(match path.split('/').nth(1).unwrap_or_default() {
        "bytes" => download(path[7..].parse().unwrap()),
        "sse" => events(gate),
        "echo" => {
            let body = record.lock().unwrap().requests[number].body.clone();
            let mut out = response(StatusCode::OK, "application/octet-stream", body);
            out.headers_mut().extend(content_type.map(|value| (http::header::CONTENT_TYPE, value)));
            out.headers_mut().extend(coding.map(|value| (http::header::CONTENT_ENCODING, value)));
            out
        }
        "status" => response(StatusCode::from_bytes(&path.as_bytes()[8..]).unwrap(), "text/plain", ""),
        "gzip" => coded("gzip", gzip(PAGE.as_bytes())),
        "deflate" => coded("deflate", deflate(PAGE.as_bytes())),
        "zstd" => coded("zstd", zstd::encode_all(PAGE.as_bytes(), 3).unwrap()),
        "plain" => response(StatusCode::OK, "text/html", PAGE),
        "leak" => response(StatusCode::OK, "text/html", LEAK),
        "leak-gzip" => coded("gzip", gzip(LEAK.as_bytes())),
        "trailers" => trailers(),
        "chunks" => chunks(gate),
        "alt-svc" => {
            let mut out = response(StatusCode::OK, "text/plain", "alternatives\n");
            out.headers_mut().insert(
                http::header::ALT_SVC,
                HeaderValue::from_static("h3=\":443\"; ma=86400, h2=\":443\""),
            );
            out
        }
        _ => response(StatusCode::OK, "text/plain", HELLO),
    })
}

/// The answer to a path that has no route of its own.
pub const HELLO: &str = "hello from the origin\n";
/// A page, long enough for a coding to be worth it.
pub const PAGE: &str = "<!doctype html><title>origin</title><p>An innocent page of an honest origin, an innocent page of an \
                        honest origin, an innocent page of an honest origin.</p>\n";
/// A page no origin should send: a database's error with its statement.
pub const LEAK: &str = "<html><body>You have an error in your SQL syntax; check the manual that corresponds to your MySQL \
                        server version for the right syntax to use near ''1'' at line 1</body></html>\n";
/// The two events of `/sse`.
pub const EVENTS: [&str; 2] = ["data: first\n\n", "data: second\n\n"];

async fn read(mut body: Incoming, number: usize, record: &Mutex<Record>) -> Result<(), std::io::Error> {
    let mut at = 0u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        let mut record = record.lock().unwrap();
        let seen = &mut record.requests[number];
        match frame.into_data() {
            Ok(data) => {
                seen.patterned &= is_pattern(&data, at);
                at += data.len() as u64;
                seen.body_len = at;
                let room = KEPT - seen.body.len().min(KEPT);
                seen.body.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => seen.trailers = frame.into_trailers().ok(),
        }
    }
    record.lock().unwrap().requests[number].complete = true;
    Ok(())
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut out = Response::new(full(body));
    *out.status_mut() = status;
    out.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    out
}

fn coded(coding: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut out = response(StatusCode::OK, "text/html", body);
    out.headers_mut().insert(http::header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    out
}

fn websocket(request: &mut Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
        let (mut echo, mut part) = (super::websocket::Echo::default(), vec![0; 16 * 1024]);
        while let Ok(n @ 1..) = read.read(&mut part).await {
            if write.write_all(&echo.push(&part[..n])).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    let mut out = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    // The answer to the key that RFC 6455 section 1.3 takes as its example, which the tests send.
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        out.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    out
}

fn trailers() -> Response<Body> {
    let frames = [
        Frame::data(Bytes::from_static(b"body, then ")),
        Frame::data(Bytes::from_static(b"trailers\n")),
        Frame::trailers(HeaderMap::from_iter([(
            HeaderName::from_static("x-checksum"),
            HeaderValue::from_static("42"),
        )])),
    ];
    let mut out = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames.map(Ok)))));
    out.headers_mut().insert(http::header::TRAILER, HeaderValue::from_static("x-checksum"));
    out
}

/// Sends every piece of the request's body back as it comes, then the trailers of a call that went well.
fn duplex(request: Request<Incoming>, number: usize, record: Arc<Mutex<Record>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let parts = stream::unfold(Some(body), move |body| {
        let record = Arc::clone(&record);
        async move {
            let mut body = body?;
            let Some(frame) = body.frame().await else {
                record.lock().unwrap().requests[number].complete = true;
                let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
                return Some((Ok(Frame::trailers(HeaderMap::from_iter([status]))), None));
            };
            let data =
                frame.map_err(std::io::Error::other).map(|frame| frame.into_data().unwrap_or_default());
            if let Ok(data) = &data {
                let seen = &mut record.lock().unwrap().requests[number];
                seen.body_len += data.len() as u64;
                let room = KEPT - seen.body.len().min(KEPT);
                seen.body.extend_from_slice(&data[..data.len().min(room)]);
            }
            Some((data.map(Frame::data), Some(body)))
        }
    });
    let mut out = Response::new(BodyExt::boxed_unsync(StreamBody::new(Box::pin(parts))));
    for name in ["content-type", "grpc-encoding"] {
        out.headers_mut()
            .extend(head.headers.get(name).map(|value| (HeaderName::from_static(name), value.clone())));
    }
    out
}

/// `data: first`, then silence until released, then `data: second`.
fn events(gate: Arc<Semaphore>) -> Response<Body> {
    let mut out = Response::new(gated(gate, EVENTS.map(|event| event.as_bytes().to_vec())));
    out.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    out
}

/// A text that pauses in the middle until released: small parts, not declared as events.
fn chunks(gate: Arc<Semaphore>) -> Response<Body> {
    let mut out = Response::new(gated(gate, ["one\n", "two\n"].map(|part| part.as_bytes().to_vec())));
    out.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    out
}

fn gated(gate: Arc<Semaphore>, parts: [Vec<u8>; 2]) -> Body {
    let parts = stream::unfold((0, parts, gate), |(n, parts, gate)| async move {
        let part = parts.get(n)?.clone();
        if n > 0 {
            gate.acquire().await.unwrap().forget();
        }
        Some((Ok(Frame::data(Bytes::from(part))), (n + 1, parts, gate)))
    });
    BodyExt::boxed_unsync(StreamBody::new(Box::pin(parts)))
}

fn download(len: u64) -> Response<Body> {
    let mut out = Response::new(patterned(len));
    out.headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    out.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(len));
    out
}

/// `len` bytes of the pattern, made as they are asked for.
pub fn patterned(len: u64) -> Body {
    let parts = stream::unfold(0u64, move |at| async move {
        let size = (len - at).min(64 * 1024);
        (size > 0).then(|| (Ok(Frame::data(pattern(at, size as usize))), at + size))
    });
    BodyExt::boxed_unsync(StreamBody::new(Box::pin(parts)))
}

/// Bytes at a place of the pattern: a prime period, so that a lost, doubled or moved piece shows.
const PERIOD: usize = 65_521;

fn pattern_bytes() -> &'static Bytes {
    static BYTES: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let one: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect();
        // Three periods: a slice of up to two from any place in the first.
        Bytes::from([one.as_slice(), &one, &one].concat())
    })
}

pub fn pattern(at: u64, len: usize) -> Bytes {
    assert!(len <= 2 * PERIOD);
    let start = (at % PERIOD as u64) as usize;
    pattern_bytes().slice(start..start + len)
}

pub fn is_pattern(bytes: &[u8], at: u64) -> bool {
    let mut at = at;
    bytes.chunks(2 * PERIOD).all(|part| {
        let same = pattern(at, part.len()) == part;
        at += part.len() as u64;
        same
    })
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// An origin that plays a script on each connection instead of speaking HTTP.
pub struct Raw {
    pub addr: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection of a raw origin: what is read from it is recorded.
pub struct Wire {
    stream: Box<dyn Stream>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    index: usize,
}

impl Wire {
    /// Reads until the request's head is whole; `None` when the proxy closed first.
    pub async fn head(&mut self) -> Option<String> {
        let mut all = Vec::new();
        while !all.windows(4).any(|end| end == b"\r\n\r\n") {
            all.extend(self.read().await?);
        }
        Some(String::from_utf8_lossy(&all).into_owned())
    }

    pub async fn read(&mut self) -> Option<Vec<u8>> {
        let mut part = vec![0; 16 * 1024];
        let n = self.stream.read(&mut part).await.ok().filter(|&n| n > 0)?;
        part.truncate(n);
        self.received.lock().unwrap()[self.index].extend_from_slice(&part);
        Some(part)
    }

    /// Reads until there are so many bytes, which are all that come; `None` when the proxy closed first.
    pub async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.read().await?);
        }
        assert_eq!(all.len(), count, "more came than is waited for");
        Some(all)
    }

    /// Reads one record of TLS, a ClientHello for one; `None` when the proxy closed first.
    pub async fn tls_record(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        // Its header's last two bytes say how much follows (RFC 8446 section 5.1).
        while all.len() < 5 || all.len() < 5 + usize::from(u16::from_be_bytes([all[3], all[4]])) {
            all.extend(self.read().await?);
        }
        Some(all)
    }

    /// Writes; `false` when the proxy is gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Reads until the proxy closes.
    pub async fn drained(&mut self) {
        while self.read().await.is_some() {}
    }

    pub async fn shutdown(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}

impl Raw {
    /// Plain TCP.
    pub async fn plain<F, R>(script: F) -> Raw
    where
        F: Fn(Wire, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Raw::start(None, None, script).await
    }

    /// Plain TCP on a listener made elsewhere.
    pub async fn plain_on<F, R>(listener: std::net::TcpListener, script: F) -> Raw
    where
        F: Fn(Wire, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Raw::start(Some(listener), None, script).await
    }

    /// TLS with a good certificate for `name`, HTTP/1.1 by ALPN.
    pub async fn tls<F, R>(name: &str, script: F) -> Raw
    where
        F: Fn(Wire, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Raw::tls_for(Http::H1, name, script).await
    }

    /// The same for either version.
    pub async fn tls_for<F, R>(http: Http, name: &str, script: F) -> Raw
    where
        F: Fn(Wire, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let config = server_config(&pki::lab().good(&[name]), &[http], &[Tls::V13, Tls::V12]);
        Raw::start(None, Some(config), script).await
    }

    async fn start<F, R>(on: Option<std::net::TcpListener>, tls: Option<Arc<ServerConfig>>, script: F) -> Raw
    where
        F: Fn(Wire, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = listen(on).await;
        let addr = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&received);
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else { return };
                let _ = socket.set_nodelay(true);
                let index = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let (tls, received, script) = (tls.clone(), Arc::clone(&all), Arc::clone(&script));
                open.spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(socket),
                        Some(config) => match TlsAcceptor::from(config).accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    script(Wire { stream, received, index }, index).await;
                });
            }
        });
        Raw { addr, received, task }
    }

    pub fn connections(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Every byte received, by connection (above TLS).
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap().clone()
    }
}
