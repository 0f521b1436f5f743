//! Eyes on a tunnel that is not decrypted. The client's first bytes wait until they are judged, so that a denied
//! name never reaches the origin; the origin's first flight is looked at while it passes. Neither changes a byte.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::net::{Hello, Host};
use crate::policy::{Answer, Denial, Permit, Policy, Reason};
use crate::tls::flight::{self, Flight, FlightReader};
use crate::tls::hello::{HelloReader, Look};

/// What the two ends of one tunnel tell each other: the name that the origin's certificate has to be for.
/// Set when the client turned out to speak TLS.
pub type Expected = Arc<OnceLock<Host>>;

/// What is asked about a ClientHello.
pub struct Judge {
    pub policy: Arc<super::Snapshot>,
    pub permit: Permit,
    pub reason: Reason,
}

impl Judge {
    fn policy(&self) -> &Policy {
        &self.policy.policy
    }
}

/// Why a gate stays shut.
#[derive(Clone, Debug)]
pub enum Shut {
    Denied(Denial),
    /// The names of the tunnel want it to be inspected.
    Inspect(Permit),
    /// A ClientHello was begun and not finished in time.
    Slow(Duration),
    /// It begins like TLS, and is no ClientHello.
    Malformed(&'static str),
}

enum Stage {
    /// The first bytes, until they are a ClientHello or something else.
    Looking {
        reader: HelloReader,
        timer: Option<Pin<Box<Sleep>>>,
    },
    /// Judged: what was held, from `given` on, and then everything.
    Open {
        given: usize,
    },
    Shut(Shut),
}

/// The client's end.
pub struct Gate<T> {
    inner: T,
    held: Vec<u8>,
    stage: Stage,
    judge: Option<Judge>,
    expected: Expected,
    time: Duration,
    hello: Option<Hello>,
    /// The client has bytes of the origin.
    spoken: bool,
}

impl<T> Gate<T> {
    pub fn new(inner: T, judge: Judge, time: Duration) -> Gate<T> {
        Gate {
            inner,
            held: Vec::new(),
            stage: Stage::Looking { reader: HelloReader::default(), timer: None },
            judge: Some(judge),
            expected: Expected::default(),
            time,
            hello: None,
            spoken: false,
        }
    }

    /// A client whose first bytes were judged already; with a ClientHello and the name that goes with it, if
    /// they were one.
    pub fn judged(inner: T, hello: Option<(&Hello, &Host)>) -> Gate<T> {
        let expected = Expected::default();
        if let Some((_, name)) = hello {
            let _ = expected.set(name.clone());
        }
        Gate {
            inner,
            held: Vec::new(),
            stage: Stage::Open { given: 0 },
            judge: None,
            expected,
            time: Duration::ZERO,
            hello: hello.map(|(hello, _)| hello.clone()),
            spoken: false,
        }
    }

    pub fn expected(&self) -> Expected {
        self.expected.clone()
    }

    /// The ClientHello, when there was one.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Why nothing of the client reached the origin, when nothing did.
    pub fn shut(&self) -> Option<&Shut> {
        match &self.stage {
            Stage::Shut(why) => Some(why),
            _ => None,
        }
    }

    /// The stream and what was held of it.
    pub fn into_parts(self) -> (T, Vec<u8>) {
        (self.inner, self.held)
    }

    /// Looks at what is held, until it is decided.
    fn decide(&mut self) {
        let Stage::Looking { reader, .. } = &mut self.stage else { return };
        if let Some(judge) =
            self.judge.as_ref().filter(|judge| judge.reason == Reason::Silent && !self.spoken)
        {
            self.stage = Stage::Shut(Shut::Inspect(judge.policy().began(&judge.permit)));
            return;
        }
        // ContentType handshake, legacy_record_version 3.x; whatever else it is, it is no ClientHello.
        if !matches!(self.held[..], [] | [22] | [22, 3, ..]) {
            self.stage = Stage::Open { given: 0 };
            return;
        }
        let hello = match reader.look(&self.held) {
            Look::NeedMore => return,
            Look::Malformed(why) => {
                self.stage = Stage::Shut(Shut::Malformed(why));
                return;
            }
            Look::Hello(hello) => hello,
        };
        let Some(judge) = &self.judge else { return };
        self.stage = match judge.policy().tunnelled(&judge.permit, &judge.reason, &hello) {
            Answer::Tunnel(permit, _) => {
                let _ = self.expected.set(permit.server_name().clone());
                Stage::Open { given: 0 }
            }
            Answer::Inspect(permit) => Stage::Shut(Shut::Inspect(permit)),
            Answer::Deny(denial) => Stage::Shut(Shut::Denied(denial)),
        };
        self.hello = Some(hello);
    }
}

/// What the relay is told when a tunnel is not to go on; the gate or the window knows why.
fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "policy ends this tunnel")
}

impl<T: AsyncRead + Unpin> AsyncRead for Gate<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Shut(_) => return Poll::Ready(Err(ended())),
                Stage::Open { given } if *given < this.held.len() => {
                    let rest = &this.held[*given..];
                    let take = rest.len().min(buf.remaining());
                    buf.put_slice(&rest[..take]);
                    *given += take;
                    if *given == this.held.len() {
                        this.held = Vec::new();
                        *given = 0;
                    }
                    return Poll::Ready(Ok(()));
                }
                Stage::Open { .. } => return Pin::new(&mut this.inner).poll_read(cx, buf),
                Stage::Looking { timer, .. } => {
                    let mut chunk = [0; 4096];
                    let mut chunk = ReadBuf::new(&mut chunk);
                    match Pin::new(&mut this.inner).poll_read(cx, &mut chunk) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => {
                            // The wait for a first byte is the tunnel's; from then on it is the handshake's.
                            if !this.held.is_empty() {
                                let time = this.time;
                                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
                                ready!(timer.as_mut().poll(cx));
                                this.stage = Stage::Shut(Shut::Slow(time));
                                continue;
                            }
                            return Poll::Pending;
                        }
                    }
                    if chunk.filled().is_empty() {
                        // What is held begins a ClientHello that nobody judged, and no more will come.
                        this.stage = match this.held.is_empty() {
                            true => Stage::Open { given: 0 },
                            false => Stage::Shut(Shut::Malformed("the ClientHello ends in the middle")),
                        };
                        continue;
                    }
                    this.held.extend_from_slice(chunk.filled());
                    this.decide();
                }
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gate<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.spoken |= written > 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// What an origin's certificate says about the name that the client asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameCheck {
    /// The client spoke no TLS, or the origin said nothing.
    #[default]
    Unasked,
    /// No certificate was shown.
    None,
    /// TLS 1.3: it is encrypted.
    Hidden,
    /// SHA-256 of the leaf.
    Match(String),
    Mismatch(String),
}

impl NameCheck {
    /// As audit records spell it.
    pub fn name(&self) -> &'static str {
        match self {
            NameCheck::Unasked => "",
            NameCheck::None => "none",
            NameCheck::Hidden => "hidden",
            NameCheck::Match(_) => "match",
            NameCheck::Mismatch(_) => "mismatch",
        }
    }

    pub fn fingerprint(&self) -> Option<&str> {
        match self {
            NameCheck::Match(sha256) | NameCheck::Mismatch(sha256) => Some(sha256),
            _ => None,
        }
    }
}

/// The origin's end.
pub struct Window<T> {
    inner: T,
    expected: Expected,
    /// Until the first flight is decided.
    reader: Option<FlightReader>,
    check: NameCheck,
    policy: Arc<super::Snapshot>,
    closed: Option<Denial>,
}

impl<T> Window<T> {
    pub fn new(inner: T, expected: Expected, policy: Arc<super::Snapshot>) -> Window<T> {
        let reader = Some(FlightReader::default());
        Window { inner, expected, reader, check: NameCheck::Unasked, policy, closed: None }
    }

    pub fn check(&self) -> &NameCheck {
        &self.check
    }

    /// Why the tunnel was closed, when it was closed here.
    pub fn closed(&self) -> Option<&Denial> {
        self.closed.as_ref()
    }

    /// False when these bytes must not be passed on.
    fn look(&mut self, bytes: &[u8]) -> bool {
        let (Some(reader), Some(name)) = (&mut self.reader, self.expected.get()) else { return true };
        let flight = if bytes.is_empty() { Some(Flight::Nothing) } else { reader.look(bytes) };
        let Some(flight) = flight else { return true };
        self.reader = None;
        self.check = match flight {
            Flight::Hidden => NameCheck::Hidden,
            Flight::Nothing => NameCheck::None,
            Flight::Leaf(leaf) if flight::is_for(&leaf, name) => NameCheck::Match(flight::fingerprint(&leaf)),
            Flight::Leaf(leaf) => {
                self.closed = self.policy.policy.tunnel_name_mismatch(name).err();
                NameCheck::Mismatch(flight::fingerprint(&leaf))
            }
        };
        self.closed.is_none()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Window<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closed.is_some() {
            return Poll::Ready(Err(ended()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if this.reader.is_some() && !this.look(&buf.filled()[before..]) {
            buf.set_filled(before);
            return Poll::Ready(Err(ended()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Window<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
