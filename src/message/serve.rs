//! The client's leg of HTTP: hyper's settings as a server, and a stream wrapper that gives the
//! waits a bound that hyper has no knob for, and words to the refusals that hyper writes alone.
//!
//! hyper answers a malformed head itself, with an empty body, before any of our code runs. The
//! wrapper recognises such an answer (nothing of ours lacks Via or Portward-Receipt), puts the
//! explained page in its place, and tells the observer, so that it is audited like any other.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Streamed;
use super::flood::{Inbound, Objection};
use super::follow::{Fault, Follower, Verdict};
use super::frames::Written;
use super::linger::Linger;
use super::stall::{Sent, Streams};
use super::target_line::TargetLine;
use crate::net::{Alpn, Limits};

/// Where connections run: counted, so that a drain can wait for them, and cut off together, so
/// that what is left when its time is over is dropped and thereby written to the audit log.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cutoff: CancellationToken,
}

impl Tasks {
    pub fn spawn(&self, flow: impl Future<Output = ()> + Send + 'static) {
        let cutoff = self.cutoff.clone();
        self.tracker.spawn(async move {
            cutoff.run_until_cancelled(flow).await;
        });
    }

    /// The same on another runtime. It answers with none when it was cut off.
    pub fn spawn_on<T: Send + 'static>(
        &self,
        flow: impl Future<Output = T> + Send + 'static,
        runtime: &Handle,
    ) -> JoinHandle<Option<T>> {
        let cutoff = self.cutoff.clone();
        self.tracker.spawn_on(async move { cutoff.run_until_cancelled(flow).await }, runtime)
    }

    /// Resolves when every task has ended.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    pub fn cut_off(&self) {
        self.cutoff.cancel();
    }

    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Serves one client connection to its end. When `shutdown` resolves, the exchange under way is
/// finished and no further one begun (GOAWAY on HTTP/2).
///
/// hyper's settings stand here; a number that differs from hyper's default comes from [`Limits`].
pub async fn serve<T, S>(
    io: Guarded<T>,
    limits: &Limits,
    tasks: &Tasks,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Streamed>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut shutdown = pin!(shutdown);
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            tokio::select! {
                outcome = connection.as_mut() => return outcome,
                () = shutdown.as_mut() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }};
    }
    match io.protocol {
        Alpn::Http11 => drive!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                // The bounds on waiting are `Guarded`'s.
                .header_read_timeout(None)
                .preserve_header_case(true)
                .half_close(true)
                .auto_date_header(false)
                .max_headers(limits.head_fields)
                .max_header_size(limits.head_bytes)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades()
        ),
        Alpn::H2 => drive!(
            http2::Builder::new(Streams(tasks.clone()))
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .max_concurrent_streams(limits.h2_streams)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .initial_stream_window_size(256 * 1024)
                .initial_connection_window_size(1024 * 1024)
                .max_send_buf_size(256 * 1024)
                // Streams that the client makes us reset (CVE-2025-8671).
                .max_local_error_reset_streams(Some(256))
                .keep_alive_interval(Some(Duration::from_secs(30)))
                .keep_alive_timeout(limits.write_stall)
                .serve_connection(TokioIo::new(io), watched(service, limits.write_stall))
        ),
    }
}

/// The same service, whose answers tell how their sending goes.
fn watched<S>(
    service: S,
    stall: Duration,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Sent>,
    Error = S::Error,
    Future = impl Future<Output = Result<Response<Sent>, S::Error>> + Send + 'static,
> + Send
where
    S: Service<Request<Incoming>, Response = Response<Streamed>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    service_fn(move |request| {
        let answer = service.call(request);
        async move { Ok(answer.await?.map(|body| Sent::new(body, stall))) }
    })
}

/// What a connection is doing, told by the flow to the wrapper around its stream.
#[derive(Default)]
pub struct Pulse {
    /// Exchanges begun and not ended.
    open: AtomicU32,
    /// Exchanges ended; a change re-arms the idle timer.
    done: AtomicU64,
    heads: Mutex<Heads>,
    /// The connection is no longer HTTP: a tunnel or an upgrade has bounds of its own.
    detached: AtomicBool,
}

/// The heads of an HTTP/1.1 connection, as their bytes say.
#[derive(Default)]
struct Heads {
    /// False for HTTP/2, whose requests have no raw form.
    followed: bool,
    /// Whole, and not yet an exchange: hyper serves them in this order.
    ready: VecDeque<Verdict>,
    /// The exchange's that is open.
    fault: Option<Fault>,
    fragment: Option<String>,
    is_bare: bool,
}

impl Pulse {
    /// An exchange begins; it ends when the answer is dropped.
    pub fn begin(self: &Arc<Pulse>) -> Beat {
        self.open.fetch_add(1, Ordering::Relaxed);
        Beat(self.clone())
    }

    /// The connection leaves HTTP: from here on the wrapper only passes bytes.
    pub fn detach(&self) {
        self.detached.store(true, Ordering::Relaxed);
    }

    /// hyper has read a request: what its bytes said of it holds from now on.
    pub fn request(&self, method: &Method, uri: &Uri) {
        let Ok(mut heads) = self.heads.lock() else { return };
        if !heads.followed {
            return;
        }
        let verdict = heads.ready.pop_front().filter(|verdict| verdict.is_of(method, uri));
        heads.fault = verdict.as_ref().map_or(Some(Fault::Unforeseen), |verdict| verdict.fault);
        heads.is_bare = verdict.as_ref().is_some_and(|verdict| verdict.is_bare);
        heads.fragment = verdict.and_then(|verdict| verdict.fragment);
    }

    /// Why the open request must not be served, although hyper would. It follows Transfer-Encoding
    /// where there is a Content-Length too, as RFC 9112 section 6.1 allows, and shows no trace of the
    /// latter; but a client that sends both is attempting to smuggle.
    pub fn fault(&self) -> Option<Fault> {
        self.heads.lock().map_or(Some(Fault::Unforeseen), |heads| heads.fault)
    }

    /// The fragment of the open request's target, with its `#`. A target must not have one (RFC 9112
    /// section 3.2), and hyper leaves it out of what goes to the origin; rules are shown what came.
    pub fn take_fragment(&self) -> Option<String> {
        self.heads.lock().ok()?.fragment.take()
    }

    /// The open request's target has no path at all.
    pub fn is_bare(&self) -> bool {
        self.heads.lock().is_ok_and(|heads| heads.is_bare)
    }

    fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Relaxed)
    }
}

/// One open exchange.
pub struct Beat(Arc<Pulse>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was refused before any exchange began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// hyper refused the head with this status.
    Head(u16),
    /// The head was not whole in time.
    HeaderTimeout,
    /// More HTTP/2 frames that carry nothing than any client needs.
    Flood,
    /// An HTTP/2 frame that breaks the protocol, and how.
    Frame(&'static str),
}

/// Which budget of a waiting connection ran out.
enum Expired {
    Head,
    Idle,
}

/// Writes the answer to a refusal: a whole HTTP/1.1 message with `Connection: close`. It is shown
/// the head as far as it came.
pub type OnRejected = Box<dyn Fn(Rejected, &[u8]) -> Bytes + Send>;

/// A client's stream under its time budgets.
pub struct Guarded<T> {
    inner: T,
    pulse: Arc<Pulse>,
    protocol: Alpn,
    header_time: Duration,
    keep_alive: Duration,
    write_stall: Duration,
    /// First byte of a head that is not yet an exchange.
    head_since: Option<Instant>,
    follower: Follower,
    target_line: TargetLine,
    /// Mended bytes for which the reader had no room.
    rest: Bytes,
    idle_since: Instant,
    seen_done: u64,
    timer: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    on_rejected: OnRejected,
    /// What HTTP/2 frames have to be like.
    inbound: Option<Inbound>,
    written: Written,
    /// Our own words on their way, in place of what hyper wrote.
    instead: Option<Bytes>,
    linger: Option<Linger>,
}

impl<T> Guarded<T> {
    pub fn new(
        inner: T,
        pulse: Arc<Pulse>,
        protocol: Alpn,
        limits: &Limits,
        on_rejected: OnRejected,
    ) -> Self {
        if let Ok(mut heads) = pulse.heads.lock() {
            heads.followed = protocol == Alpn::Http11;
        }
        Guarded {
            inner,
            pulse,
            protocol,
            header_time: limits.header_time,
            keep_alive: limits.keep_alive_idle,
            write_stall: limits.write_stall,
            head_since: None,
            follower: Follower::default(),
            target_line: TargetLine::default(),
            rest: Bytes::new(),
            idle_since: Instant::now(),
            seen_done: 0,
            timer: None,
            stalled: None,
            on_rejected,
            inbound: (protocol == Alpn::H2).then(|| Inbound::new(limits, Instant::now())),
            written: Written::default(),
            instead: None,
            linger: None,
        }
    }

    fn idle(&mut self) -> bool {
        if self.pulse.open.load(Ordering::Relaxed) > 0 {
            self.head_since = None;
            return false;
        }
        let done = self.pulse.done.load(Ordering::Relaxed);
        if done != self.seen_done {
            self.seen_done = done;
            self.idle_since = Instant::now();
            self.head_since = None;
        }
        true
    }

    /// Reads along, for what hyper does not show.
    fn follow(&mut self, fresh: &mut [u8]) {
        if let Ok(mut heads) = self.pulse.heads.lock() {
            self.follower.follow(fresh, &mut heads.ready);
        }
    }

    /// The head that hyper refuses, where that is not one of several.
    fn refused_head(&self) -> &[u8] {
        let waiting = self.pulse.heads.lock().map_or(0, |heads| heads.ready.len());
        if waiting == usize::from(self.follower.is_whole()) { self.follower.head() } else { &[] }
    }

    /// Polls the timer while nothing arrives; `Some` when a budget ran out.
    fn expired(&mut self, cx: &mut Context<'_>) -> Option<Expired> {
        if self.pulse.is_detached() || !self.idle() {
            // Tunnels and bodies have budgets of their own.
            return None;
        }
        loop {
            let (due, head) = match self.head_since {
                Some(since) => (since + self.header_time, true),
                None => (self.idle_since + self.keep_alive, false),
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            if due <= Instant::now() {
                return Some(if head { Expired::Head } else { Expired::Idle });
            }
            timer.as_mut().reset(due);
        }
    }
}

/// An answer of hyper's own: a 4xx head that carries none of the fields that every answer of ours
/// and every forwarded answer has.
fn is_unexplained(bytes: &[u8]) -> Option<u16> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 4").or_else(|| bytes.strip_prefix(b"HTTP/1.0 4"))?;
    let digits = rest.get(..2)?;
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let head = bytes.get(..512).unwrap_or(bytes).to_ascii_lowercase();
    let ours =
        memmem::find(&head, b"\r\nvia:").is_some() || memmem::find(&head, b"\r\nportward-receipt:").is_some();
    (!ours && memmem::find(&head, b"\r\ncontent-length: 0\r\n").is_some()).then_some(400 + status)
}

impl<T: AsyncWrite + Unpin> Guarded<T> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = &mut self.instead {
            if bytes.is_empty() {
                self.instead = None;
                break;
            }
            match ready!(Pin::new(&mut self.inner).poll_write(cx, bytes)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => bytes.advance(written),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a connection whose client's frames are not to be taken, with a word when one fits in.
    fn objects(&mut self, cx: &mut Context<'_>, objection: Objection) -> Poll<io::Result<()>> {
        let (rejected, what) = match objection {
            Objection::Flood => (Rejected::Flood, "a flood of HTTP/2 frames"),
            Objection::Broken(violation) => (Rejected::Frame(violation.why), violation.why),
        };
        if let Some(inbound) = self.inbound.take() {
            // The record is all that is wanted: there is no answer to a frame.
            (self.on_rejected)(rejected, &[]);
            if self.written.is_between_frames() {
                let _ = Pin::new(&mut self.inner).poll_write(cx, &inbound.goodbye(objection));
                let _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, what)))
    }

    /// A write that makes no progress ends the connection after `write_stall`.
    fn bound<R>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() || self.pulse.is_detached() {
            self.stalled = None;
            return outcome;
        }
        let stall = self.write_stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Puts the explained answer in the place of hyper's bare one.
    fn explains(&mut self, first: &[u8]) -> bool {
        let unexplained = self.protocol == Alpn::Http11
            && first.starts_with(b"HTTP/1.")
            && !self.pulse.is_detached()
            && self.pulse.open.load(Ordering::Relaxed) == 0;
        if let Some(status) = unexplained.then(|| is_unexplained(first)).flatten() {
            self.instead = Some((self.on_rejected)(Rejected::Head(status), self.refused_head()));
            return true;
        }
        false
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let piece = this.rest.split_to(this.rest.len().min(buf.remaining()));
            buf.put_slice(&piece);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if outcome.is_ready() {
            if let Some(inbound) = &mut this.inbound
                && let Err(objection) = inbound.sees(&buf.filled()[before..], Instant::now())
            {
                buf.set_filled(before);
                return this.objects(cx, objection);
            }
            let http1 = this.protocol == Alpn::Http11 && !this.pulse.is_detached();
            let fresh = &mut buf.filled_mut()[before..];
            if !fresh.is_empty() && http1 {
                this.follow(fresh);
            }
            if !fresh.is_empty() && http1 && this.idle() {
                if this.head_since.is_none() {
                    this.head_since = Some(Instant::now());
                    this.target_line = TargetLine::default();
                }
                let mended = this.target_line.mend(fresh);
                if let Some(mended) = mended {
                    buf.set_filled(before);
                    let room = buf.remaining().min(mended.len());
                    buf.put_slice(&mended[..room]);
                    this.rest = Bytes::from(mended).split_off(room);
                }
            }
            return outcome;
        }
        let Some(expired) = this.expired(cx) else { return Poll::Pending };
        if let Expired::Head = expired {
            let answer = (this.on_rejected)(Rejected::HeaderTimeout, &[]);
            // One attempt: a peer that stalls does not get to hold us longer.
            let _ = Pin::new(&mut this.inner).poll_write(cx, &answer);
            let _ = Pin::new(&mut this.inner).poll_flush(cx);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        if this.explains(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if let (Some(inbound), Poll::Ready(Ok(n))) = (&mut this.inbound, &outcome) {
            inbound.answered(this.written.wrote(&buf[..*n]));
        }
        this.bound(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        if bufs.first().is_some_and(|first| this.explains(first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        if let (Some(inbound), Poll::Ready(Ok(n))) = (&mut this.inbound, &outcome) {
            let mut left = *n;
            for buf in bufs {
                let part = left.min(buf.len());
                inbound.answered(this.written.wrote(&buf[..part]));
                left -= part;
            }
        }
        this.bound(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.bound(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(this.poll_instead(cx))?;
            let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.bound(cx, outcome))?;
            if this.protocol != Alpn::Http11 || this.pulse.is_detached() || !this.follower.is_amid() {
                return Poll::Ready(Ok(()));
            }
        }
        this.linger.get_or_insert_with(Linger::begin).poll(cx, &mut this.inner).map(Ok)
    }
}
