//! Opaque bytes both ways, exact, with a bound on silence.

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
use crate::audit::Stage;
use crate::message::reason::Code;
use crate::net::Limits;
use crate::origin::dial::OriginFacts;
use crate::policy::Permit;

/// Per direction; larger ones do not move bytes faster on loopback or a gigabit line.
const BUFFER: usize = 32 * 1024;

/// Connects to a tunnel's origin, so that the client hears of a failure before its 200.
pub async fn dial(gateway: &Gateway, permit: &Permit, ending: &mut Ending) -> Result<TcpStream, Problem> {
    let (stream, addr) = gateway.dialer.connect(permit).await?;
    ending.origin(&OriginFacts::plain(addr), false);
    Ok(stream)
}

/// Relays until either end closes, and writes the record.
pub async fn relay<T>(gateway: &Gateway, client: T, origin: TcpStream, mut ending: Ending)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    gateway.metrics.tunnels.increment();
    ending.stage(Stage::Tunnel);
    let mut reason = String::new();
    ending.note(|record| reason = record.reason.to_string());
    let outcome = pipe(client, origin, &gateway.limits, &mut ending).await;
    ending.passed(finish::tunnel_verdict(&reason));
    if let Some(idle) = outcome {
        ending.note(|record| {
            record.sentence = format!("{}; closed after {idle:?} of silence", record.sentence).into();
        });
    }
}

/// Copies both ways. `Some` when silence ended it; a peer's reset ends both sides.
pub async fn pipe<A, B>(client: A, origin: B, limits: &Limits, ending: &mut Ending) -> Option<Duration>
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
        copied = copy => {
            if let Err(error) = copied {
                ending.broke(Code::OriginClosed, error.to_string());
            }
            None
        }
        () = silence(&moved, idle) => Some(idle),
    };
    ending.note(|record| {
        record.bytes_from_client = moved.from_client.load(Ordering::Relaxed);
        record.bytes_to_client = moved.to_client.load(Ordering::Relaxed);
    });
    outcome
}

/// Resolves when nothing moved for `idle`.
async fn silence(moved: &Moved, idle: Duration) {
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
struct Moved {
    from_client: AtomicU64,
    to_client: AtomicU64,
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
