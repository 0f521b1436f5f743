//! What becomes of a client after it was shown a certificate of ours: whether it asks for something, and how it
//! leaves when it does not. It only looks; what is seen is counted in `distrust`.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::distrust::Clients;
use crate::net::{Hello, Host};
use crate::policy::distrust::Ending as Farewell;
use crate::tls::accept::HandshakeEnd;

/// A client that was shown a certificate of ours.
pub struct Witness {
    clients: Arc<Clients>,
    client: IpAddr,
    pub ja4: Option<Arc<str>>,
    pub ech: bool,
    host: Host,
    asked: AtomicBool,
}

impl Witness {
    pub fn new(clients: Arc<Clients>, client: IpAddr, hello: &Hello, host: Host) -> Witness {
        let (ja4, ech) = (hello.ja4.clone(), hello.ech);
        Witness { clients, client, ja4, ech, host, asked: AtomicBool::new(false) }
    }

    pub fn saw(&self, farewell: &Farewell) {
        self.clients.saw(self.client, self.ja4.as_ref(), &self.host, farewell);
    }

    /// A request came: whoever asks trusts the certificate.
    pub fn request(&self) {
        if !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed) {
            self.saw(&Farewell::Trusted);
        }
    }

    /// The connection is over; `left` is how the client left, if it was the client that did.
    pub fn over(&self, left: Option<HandshakeEnd>) {
        match left {
            _ if self.asked.load(Ordering::Relaxed) => {}
            // GnuTLS and some others look at the certificate when the handshake is done.
            Some(HandshakeEnd::CertificateRefused(alert)) => self.saw(&Farewell::Certain(alert)),
            Some(_) => self.saw(&Farewell::Silent),
            None => {}
        }
    }
}

/// The client's TLS stream, with an ear for how the client leaves.
pub struct Ear<T> {
    inner: T,
    left: Left,
}

/// How the client left, once it was the client that did.
pub type Left = Arc<OnceLock<HandshakeEnd>>;

impl<T: AsyncRead + Unpin> AsyncRead for Ear<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let read = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        match &read {
            Err(error) => {
                let _ = this.left.set(HandshakeEnd::of(error));
            }
            Ok(()) if room && buf.filled().len() == before => drop(this.left.set(HandshakeEnd::BrokenOff)),
            Ok(()) => {}
        }
        Poll::Ready(read)
    }
}

impl<T> Ear<T> {
    pub fn new(inner: T) -> (Ear<T>, Left) {
        let left = Left::default();
        (Ear { inner, left: left.clone() }, left)
    }

    /// A server that speaks first, as HTTP/2 does, may learn by a write that the client is gone.
    fn heard<R>(&self, written: Poll<std::io::Result<R>>) -> Poll<std::io::Result<R>> {
        if let Poll::Ready(Err(error)) = &written {
            let _ = self.left.set(HandshakeEnd::of(error));
        }
        written
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ear<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.heard(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.heard(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.heard(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
