//! Opaque bytes both ways, exact, with a bound on silence. A ClientHello in them is judged before the origin has it,
//! and the certificate that an origin shows is compared with the name in it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Gateway;
use super::finish::{self, Ending};
use super::respond::Problem;
use super::watch::{Gate, Judge, Shut, Window};
use crate::audit::Stage;
use crate::audit::record::CertificateFacts;
use crate::message::reason::Code;
use crate::net::{Hello, Host, Limits};
use crate::origin::dial::OriginFacts;
use crate::policy::{Denial, Permit, Reason};
use crate::tls::accept::{ACCESS_DENIED, DECODE_ERROR, alert};
use crate::tls::{BoxIo, Rewind};

/// Per direction; larger ones do not move bytes faster on loopback or a gigabit line.
const BUFFER: usize = 32 * 1024;

/// Connects to a tunnel's origin, so that the client hears of a failure before its 200.
pub async fn dial(gateway: &Gateway, permit: &Permit, ending: &mut Ending) -> Result<TcpStream, Problem> {
    let (stream, addr) = gateway.dialer.connect(permit).await?;
    ending.origin(&OriginFacts::plain(addr), false, "");
    Ok(stream)
}

/// What is known of a tunnel's first bytes.
pub enum Judged {
    /// Nothing: they are still to come, and a ClientHello in them is to be judged.
    Not(Permit, Reason),
    /// A ClientHello that policy lets go by, and the name that goes with it.
    Hello(Hello, Host),
    /// They are no TLS.
    NoTls,
}

/// A tunnel whose names want it to be inspected after all.
pub struct Handover {
    pub permit: Permit,
    /// As if nothing had been read from it.
    pub io: BoxIo,
}

/// Relays until either end closes, and writes the record.
#[must_use]
pub async fn relay(
    gateway: &Gateway,
    client: BoxIo,
    origin: TcpStream,
    mut ending: Ending,
    judged: Judged,
) -> Option<Handover> {
    gateway.metrics.tunnels.increment();
    ending.stage(Stage::Tunnel);
    let mut reason = String::new();
    ending.note(|record| reason = record.reason.to_string());
    let policy = gateway.live.load_full();
    let mut gate = match judged {
        Judged::Not(permit, reason) => {
            let judge = Judge { policy: policy.clone(), permit, reason };
            Gate::new(client, judge, gateway.limits.handshake_time)
        }
        Judged::Hello(hello, name) => Gate::judged(client, Some((&hello, &name))),
        Judged::NoTls => Gate::judged(client, None),
    };
    let mut window = Window::new(origin, gate.expected(), policy);
    let ended = pipe(&mut gate, &mut window, &gateway.limits, &mut ending).await;
    seen(&gate, &window, &mut ending);
    let denial = match (gate.shut().cloned(), window.closed()) {
        (Some(Shut::Denied(denial)), _) => denial,
        (Some(Shut::Inspect(permit)), _) => {
            let mut told = 0;
            ending.note(|record| told = record.bytes_to_client);
            if told == 0 {
                ending.forget();
                let (io, held) = gate.into_parts();
                return Some(Handover { permit, io: Box::new(Rewind::with_prefix(io, held)) });
            }
            // The client cannot be given another origin now.
            Denial::SpokeFirst
        }
        (Some(Shut::Malformed(why)), _) => {
            ending.broke(Code::ClientTls, why.to_owned());
            refuse(gateway, &mut gate, DECODE_ERROR).await;
            return None;
        }
        (Some(Shut::Slow(limit)), _) => {
            ending.broke(Code::ClientTls, format!("the ClientHello was not whole within {limit:?}"));
            return None;
        }
        (None, Some(denial)) => denial.clone(),
        (None, None) => {
            ending.passed(finish::tunnel_verdict(&reason));
            // Why it was opaque stays the reason; how it ended is told beside it.
            if let Some(how) = ended.in_words() {
                ending.note(|record| record.sentence = format!("{}; {how}", record.sentence).into());
            }
            return None;
        }
    };
    ending.problem(&Problem::Denied(denial));
    refuse(gateway, &mut gate, ACCESS_DENIED).await;
    None
}

/// Tells the client by an alert. One that does not read is not waited for.
async fn refuse(gateway: &Gateway, gate: &mut Gate<BoxIo>, description: u8) {
    let _ = tokio::time::timeout(gateway.limits.classify_time, alert(gate, description)).await;
}

/// What the ends of a tunnel showed, into its record.
fn seen<A, B>(gate: &Gate<A>, window: &Window<B>, ending: &mut Ending) {
    ending.note(|record| {
        if let Some(hello) = gate.hello() {
            record.sni = hello.sni.name().cloned();
            record.client_leg.ja4 = hello.ja4.clone();
            record.client_leg.ech = hello.ech;
        }
        let check = window.check();
        record.origin_leg.name_check = check.name().into();
        if let Some(sha256) = check.fingerprint() {
            let facts = CertificateFacts { sha256: sha256.to_owned(), ..CertificateFacts::default() };
            record.origin_leg.certificate = Some(Arc::new(facts));
        }
    });
}

/// How a relay ended.
pub enum Ended {
    /// Both ends closed, one after the other.
    Closed,
    /// One end reset the connection, and the other was closed with it.
    Reset(std::io::Error),
    /// Nothing moved for this long.
    Silent(Duration),
}

impl Ended {
    /// What there is to say of it.
    pub fn in_words(&self) -> Option<String> {
        match self {
            Ended::Closed => None,
            Ended::Reset(error) => Some(format!("one end broke off: {error}")),
            Ended::Silent(idle) => Some(format!("closed after {idle:?} of silence")),
        }
    }
}

/// Copies both ways; a peer's reset ends both sides.
pub async fn pipe<A, B>(client: A, origin: B, limits: &Limits, ending: &mut Ending) -> Ended
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Arc::new(Moved::default());
    let mut client = Metered { inner: client, moved: moved.clone() };
    let mut origin = origin;
    let idle = limits.tunnel_idle;
    let copy = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut origin, BUFFER, BUFFER);
    let outcome = tokio::select! {
        copied = copy => match copied {
            Ok(_) => Ended::Closed,
            Err(error) => Ended::Reset(error),
        },
        () = silence(&moved, idle) => Ended::Silent(idle),
    };
    ending.note(|record| {
        record.bytes_from_client = moved.from_client.load(Ordering::Relaxed);
        record.bytes_to_client = moved.to_client.load(Ordering::Relaxed);
    });
    outcome
}

/// Resolves when nothing moved for `idle`, at most twice that after the last byte.
pub(super) async fn silence(moved: &Moved, idle: Duration) {
    let total = || moved.from_client.load(Ordering::Relaxed) + moved.to_client.load(Ordering::Relaxed);
    let mut before = total();
    loop {
        tokio::time::sleep(idle).await;
        let now = total();
        if now == before {
            return;
        }
        before = now;
    }
}

#[derive(Default)]
pub(super) struct Moved {
    pub from_client: AtomicU64,
    pub to_client: AtomicU64,
}

/// Counts what the client sends and gets.
struct Metered<T> {
    inner: T,
    moved: Arc<Moved>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.moved.from_client.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.moved.to_client.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
