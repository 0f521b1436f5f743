//! The origin's leg of HTTP: hyper's settings as a client, and one sender over both versions.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::Streamed;
use super::interim::{self, Counted, Heads};
use crate::net::{Alpn, Limits};

/// The sending half of an origin connection. Its other half runs as a task that ends with it.
pub enum Sender {
    H1(http1::SendRequest<Streamed>, Came),
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

/// How sure it is that nobody acted on a request that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The origin said that it did not look at it: it refused the stream, or left it out when it closed
    /// (RFC 9113 section 8.7).
    Unprocessed,
    /// The connection ended before a byte of an answer.
    Closed,
    /// An answer had begun, or it was not the connection's end.
    Unknown,
}

impl Sender {
    /// Starts HTTP on a connected stream.
    pub async fn open<T>(io: T, protocol: Alpn, limits: &Limits) -> hyper::Result<Sender>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match protocol {
            Alpn::Http11 => {
                let came = Came::default();
                let io = Watched { io, came: came.clone() };
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
                Ok(Sender::H1(sender, came))
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
            Sender::H1(..) => Alpn::Http11,
            Sender::H2(..) => Alpn::H2,
        }
    }

    /// A second handle on the same connection, which only HTTP/2 can share.
    pub fn share(&self) -> Option<Sender> {
        match self {
            Sender::H1(..) => None,
            Sender::H2(sender, heads) => Some(Sender::H2(sender.clone(), heads.clone())),
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Sender::H1(sender, _) => sender.is_closed(),
            Sender::H2(sender, _) => sender.is_closed(),
        }
    }

    /// True when a request can be taken at once.
    pub fn is_ready(&self) -> bool {
        match self {
            Sender::H1(sender, _) => sender.is_ready(),
            Sender::H2(sender, _) => sender.is_ready(),
        }
    }

    /// Waits until a request can be taken; an error means the connection is gone.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Sender::H1(sender, _) => sender.ready().await,
            Sender::H2(sender, _) => sender.ready().await,
        }
    }

    /// Sends one request and waits for the response head.
    pub async fn send(&mut self, mut request: Request<Streamed>) -> Result<Response<Incoming>, SendError> {
        match self {
            Sender::H1(sender, came) => {
                came.0.store(false, Ordering::Relaxed);
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

impl Sender {
    /// What became of the request that this sender sent last, and that ended in this error.
    pub fn fate(&self, error: &hyper::Error) -> Fate {
        if error.is_user() || error.is_parse() || error.is_body_write_aborted() || error.is_timeout() {
            return Fate::Unknown;
        }
        let cause = error.source();
        match self {
            Sender::H1(_, came) if came.0.load(Ordering::Relaxed) => Fate::Unknown,
            Sender::H1(..) => Fate::Closed,
            // As hyper tells of one that ended, or broke.
            Sender::H2(..) if cause.is_some_and(|cause| cause.is::<io::Error>()) => Fate::Closed,
            Sender::H2(..) => match cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) {
                // The library ends so only the streams that the GOAWAY leaves out.
                Some(error) if error.is_remote() && error.is_go_away() => Fate::Unprocessed,
                Some(error) if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) => {
                    Fate::Unprocessed
                }
                _ => Fate::Unknown,
            },
        }
    }
}

/// Whether something came since a request was sent.
#[derive(Clone, Default)]
pub struct Came(Arc<AtomicBool>);

/// An HTTP/1.1 connection that tells so.
struct Watched<T> {
    io: T,
    came: Came,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.came.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
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
