//! An origin with content of its own: files by path, and a git repository served by git itself. It records every
//! request that arrived.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::origin::server_config;
use super::{Http, Tls, pki};

/// What the origin has.
#[derive(Default)]
pub struct Content {
    files: HashMap<String, (&'static str, Vec<u8>)>,
    /// Bare repositories, served below `/git/`.
    repositories: Option<PathBuf>,
}

impl Content {
    pub fn file(mut self, path: &str, content_type: &'static str, bytes: impl Into<Vec<u8>>) -> Content {
        self.files.insert(path.into(), (content_type, bytes.into()));
        self
    }

    pub fn repositories(mut self, dir: impl Into<PathBuf>) -> Content {
        self.repositories = Some(dir.into());
        self
    }

    /// Serves it as `https://origin.test`, HTTP/2 and HTTP/1.1.
    pub async fn start(self) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tls = server_config(&pki::lab().good(&["origin.test"]), &[Http::H2, Http::H1], &Tls::BOTH);
        let seen: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let (content, record) = (Arc::new(self), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, content, record) = (Arc::clone(&tls), Arc::clone(&content), Arc::clone(&record));
                open.spawn(async move {
                    let Ok(stream) = TlsAcceptor::from(tls).accept(socket).await else { return };
                    let service = service_fn(move |request| {
                        let (content, record) = (Arc::clone(&content), Arc::clone(&record));
                        async move { Ok::<_, Infallible>(content.answer(request, &record).await) }
                    });
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = TokioIo::new(stream);
                    // A proxy that ends a connection has said why in its own record.
                    if h2 {
                        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = http.serve_connection(io, service).await;
                    } else {
                        let _ =
                            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                    }
                });
            }
        });
        Site { addr, seen, task }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        record: &Mutex<Vec<Arrived>>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_string();
        let query = head.uri.query().unwrap_or_default().to_string();
        record.lock().unwrap().push(Arrived { path: path.clone(), headers: head.headers.clone() });
        if let (Some(dir), Some(inside)) = (&self.repositories, path.strip_prefix("/git")) {
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return backend(dir, head.method.as_str(), inside, &query, &head.headers, &body).await;
        }
        let mut response = Response::new(Full::default());
        match self.files.get(&path) {
            Some((content_type, bytes)) => {
                response.headers_mut().insert("content-type", content_type.parse().unwrap());
                *response.body_mut() = bytes.clone().into();
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }
}

/// git's own server, by CGI (RFC 3875).
async fn backend(
    dir: &std::path::Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Full<Bytes>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.unwrap();
    let _ = writing.await;
    let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("git http-backend said {:?}", String::from_utf8_lossy(&output.stdout));
    });
    let mut response = Response::new(Full::from(output.stdout[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output.stdout[..end]).lines() {
        let (name, value) = line.split_once(':').unwrap();
        match name.to_ascii_lowercase().as_str() {
            "status" => {
                *response.status_mut() = StatusCode::from_bytes(&value.trim().as_bytes()[..3]).unwrap();
            }
            name => {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                response.headers_mut().insert(name, value.trim().parse().unwrap());
            }
        }
    }
    response
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
}

/// The running origin; it ends when dropped.
pub struct Site {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Arrived>>>,
    task: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    pub fn seen(&self) -> Vec<Arrived> {
        self.seen.lock().unwrap().clone()
    }

    pub fn saw(&self, path: &str) -> bool {
        self.seen().iter().any(|arrived| arrived.path == path)
    }

    /// Forgets what it saw, and says how many requests that was.
    pub fn forget(&self) -> usize {
        std::mem::take(&mut *self.seen.lock().unwrap()).len()
    }
}
