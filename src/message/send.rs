//! The origin's leg of HTTP: hyper's settings as a client, and one sender over both versions.

use std::error::Error as _;

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Streamed;
use super::interim::{self, Counted, Heads};
use crate::net::{Alpn, Limits};

/// The sending half of an origin connection. Its other half runs as a task that ends with it.
pub enum Sender {
    H1(http1::SendRequest<Streamed>),
    H2(http2::SendRequest<Streamed>, Heads),
}

/// The origin did not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent: the request is whole and may go elsewhere.
    #[error("the connection was closed before the request was sent")]
    Unsent(Box<Request<Streamed>>),
    #[error("{0}")]
    Failed(#[from] hyper::Error),
    #[error("the origin sent more than {} interim answers", interim::LIMIT)]
    Interim,
}

impl Sender {
    /// Starts HTTP on a connected stream.
    pub async fn open<T>(io: T, protocol: Alpn, limits: &Limits) -> hyper::Result<Sender>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match protocol {
            Alpn::Http11 => {
                let (sender, connection) = http1::Builder::new()
                    .preserve_header_case(true)
                    .max_headers(limits.head_fields.max(256))
                    .max_header_size(limits.head_bytes * 2)
                    .handshake(TokioIo::new(io))
                    .await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.with_upgrades().await {
                        tracing::debug!(%error, "origin connection ended");
                    }
                });
                Ok(Sender::H1(sender))
            }
            Alpn::H2 => {
                let heads = Heads::new();
                let io = TokioIo::new(Counted::new(io, heads.clone()));
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .initial_stream_window_size(256 * 1024)
                    .initial_connection_window_size(1024 * 1024)
                    .max_send_buf_size(256 * 1024)
                    .max_header_list_size(u32::try_from(limits.head_bytes * 2).unwrap_or(u32::MAX))
                    .handshake(io)
                    .await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "origin connection ended");
                    }
                });
                Ok(Sender::H2(sender, heads))
            }
        }
    }

    pub fn protocol(&self) -> Alpn {
        match self {
            Sender::H1(_) => Alpn::Http11,
            Sender::H2(..) => Alpn::H2,
        }
    }

    /// A second handle on the same connection, which only HTTP/2 can share.
    pub fn share(&self) -> Option<Sender> {
        match self {
            Sender::H1(_) => None,
            Sender::H2(sender, heads) => Some(Sender::H2(sender.clone(), heads.clone())),
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Sender::H1(sender) => sender.is_closed(),
            Sender::H2(sender, _) => sender.is_closed(),
        }
    }

    /// True when a request can be taken at once.
    pub fn is_ready(&self) -> bool {
        match self {
            Sender::H1(sender) => sender.is_ready(),
            Sender::H2(sender, _) => sender.is_ready(),
        }
    }

    /// Waits until a request can be taken; an error means the connection is gone.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Sender::H1(sender) => sender.ready().await,
            Sender::H2(sender, _) => sender.ready().await,
        }
    }

    /// Sends one request and waits for the response head.
    pub async fn send(&mut self, mut request: Request<Streamed>) -> Result<Response<Incoming>, SendError> {
        match self {
            Sender::H1(sender) => {
                *request.version_mut() = Version::HTTP_11;
                let too_many = interim::too_many(&mut request);
                tokio::select! {
                    answer = sender.try_send_request(request) => answer.map_err(recover),
                    () = too_many => Err(SendError::Interim),
                }
            }
            Sender::H2(sender, heads) => {
                *request.version_mut() = Version::HTTP_2;
                heads.asked();
                let answer = sender.try_send_request(request).await.map_err(recover);
                answer.map_err(|error| match error {
                    SendError::Failed(_) if heads.are_over() => SendError::Interim,
                    other => other,
                })
            }
        }
    }
}

fn recover(mut error: hyper::client::conn::TrySendError<Request<Streamed>>) -> SendError {
    match error.take_message() {
        Some(request) => SendError::Unsent(Box::new(request)),
        None => SendError::Failed(error.into_error()),
    }
}

/// True for an error that says the peer broke HTTP, in either version: not one that it told us of, and not an end.
pub fn broke_http(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_parse() || cause.is_some_and(h2::Error::is_library)
}

/// The bytes of a reply on an HTTP/1.1 connection that is closed after it, for answers written
/// without hyper.
pub fn wire(status: u16, reason: &str, fields: &[(&'static str, String)], body: &[u8]) -> Bytes {
    let mut out = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
    for (name, value) in fields {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    Bytes::from(out)
}
