//! Moves cleared messages: to an origin over a pooled or fresh connection, and back to the client
//! as a stream. Takes [`Cleared`] messages only, so nothing passes that rules did not see or
//! policy did not wave through.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::exchange::Way;
use super::finish::Ending;
use super::respond::Problem;
use super::{Gateway, asked};
use crate::audit::{Stage, Verdict};
use crate::inspect::{Cleared, Stop};
use crate::message::body::{BodyError, Streamed};
use crate::message::deadline::Deadline;
use crate::message::grpc::Grpc;
use crate::message::hop::{self, Asked};
use crate::message::reason::Code;
use crate::message::send::{Fate, SendError, Sender};
use crate::message::serve::Beat;
use crate::message::target::{Scheme, Target};
use crate::net::{Alpn, Authority};
use crate::origin::{Idle, Lease, PoolKey};
use crate::policy::Permit;
use crate::tls::connect::Offer;

/// A connection whose last answer has just been read may need a moment until it is free again.
const SETTLE: Duration = Duration::from_millis(250);

/// A cleared request on its way out, whose head fits the origin's leg.
pub struct Outbound {
    request: Request<Streamed>,
    authority: Uri,
}

impl Outbound {
    /// Takes out the offer of WebSocket extensions, and tells what it was.
    pub fn without_extensions(&mut self) -> Option<String> {
        let headers = self.request.headers_mut();
        let offer = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let offer: Vec<_> =
            offer.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        (!offer.is_empty()).then(|| offer.join(", "))
    }

    /// Takes out what asks for a piece of a file; false when nothing did.
    pub fn without_range(&mut self) -> bool {
        let headers = self.request.headers_mut();
        headers.remove(header::IF_RANGE);
        headers.remove(header::RANGE).is_some()
    }
}

/// Makes a cleared request fit the origin's leg: hop-by-hop fields out, Via in, Host and target in
/// agreement.
pub fn outbound(
    gateway: &Gateway,
    cleared: Cleared<Request<Streamed>>,
    target: &Target,
    authority: &Authority,
    version: Version,
) -> (Outbound, Asked) {
    let mut request = cleared.into_inner();
    let method = request.method().clone();
    let headers = request.headers_mut();
    let asked = hop::strip_request(&method, version, headers);
    gateway.via.add(version, headers);
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let field = authority.host_field(target.scheme.default_port());
    // What the client wrote stays as it wrote it, unless its target said otherwise.
    if target.authority.is_some() && request.uri().authority().is_some()
        || !request.headers().contains_key(HOST)
    {
        let value = HeaderValue::try_from(&field).unwrap_or(HeaderValue::from_static(""));
        request.headers_mut().insert(HOST, value);
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target.path.clone());
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    let authority = Uri::builder()
        .scheme(target.scheme.name())
        .authority(field)
        .path_and_query(target.path.clone())
        .build()
        .unwrap_or_default();
    (Outbound { request, authority }, asked)
}

/// RFC 9113 section 8.2.3: crumbs are one field again before they leave HTTP/2.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// A response head, and what brings its connection back to the pool.
pub struct Sent {
    pub response: Response<Incoming>,
    pub back: Back,
}

/// Where a connection returns to when its exchange has ended well.
pub struct Back {
    way: Arc<Way>,
    key: PoolKey,
    lease: Lease,
    progress: Progress,
    spoilt: bool,
}

impl Back {
    /// The connection is not to be used again.
    pub fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// After an answer that came before the request was whole, the connection is of no further use
    /// (RFC 9112 section 9.3).
    fn give(self) {
        if self.progress.is_done() && !self.spoilt {
            self.way.keep.put(Idle::after(self.key, self.lease), &self.way.gateway.pool);
        }
    }
}

/// Sends a request and waits for the head of its response. A pooled connection that turns out to be closed is replaced.
/// A request that nobody acted on, or that may be acted on twice without harm, is sent once more where its connection
/// ended without an answer; no other is sent twice.
pub async fn send(
    way: &Arc<Way>,
    permit: &Permit,
    scheme: Scheme,
    version: Version,
    asked: Asked,
    outbound: Outbound,
    ending: &mut Ending,
) -> Result<Sent, Problem> {
    let gateway = &way.gateway;
    let h2_wanted = version == Version::HTTP_2 && !asked.websocket && scheme == Scheme::Https;
    let offer = if h2_wanted { Offer::H2ThenHttp11 } else { Offer::Http11Only };
    let key = PoolKey::new(permit, scheme, offer);
    let Outbound { request, authority } = outbound;
    let mut lease = lease(way, permit, scheme, offer, &key, ending).await?;
    let mut spare = Spare::of(&request, &lease);
    let (mut request, mut progress) = watched(request);
    let mut resent = "";
    loop {
        ending.origin(&lease.facts, lease.served, resent);
        ending.stage(Stage::Send);
        match lease.sender.protocol() {
            Alpn::H2 if asked.websocket => return Err(Problem::NoUpgrade),
            Alpn::H2 => {
                *request.uri_mut() = authority.clone();
                request.headers_mut().remove(HOST);
            }
            Alpn::Http11 => as_http1(&mut request),
        }
        match answer(gateway, &mut lease.sender, request, &progress, ending).await? {
            Ok(response) => {
                let back = Back { way: way.clone(), key, lease, progress, spoilt: false };
                return Ok(Sent { response, back });
            }
            Err(SendError::Unsent(again)) if lease.kept => {
                request = *again;
                lease = self::lease(way, permit, scheme, offer, &key, ending).await?;
            }
            Err(SendError::Unsent(_)) => {
                return Err(asked::unanswered(permit, &lease.facts, lease.served, Problem::Unsent));
            }
            Err(SendError::Interim) => return Err(Problem::Interim),
            Err(SendError::Failed(error)) => {
                if let Some(broke) = progress.broke() {
                    return Err(Problem::Request(Stop::Body(broke)));
                }
                let fate = lease.sender.fate(&error);
                let Some((again, why)) = spare.take().and_then(|spare| spare.after(fate, lease.served))
                else {
                    let problem = Problem::Exchange(error);
                    return Err(asked::unanswered(permit, &lease.facts, lease.served, problem));
                };
                tracing::debug!(%error, why, "a request is sent once more");
                (request, progress) = watched(again);
                resent = why;
                lease = fresh(gateway, permit, scheme, offer, ending).await?;
            }
        }
    }
}

/// After a connection that spoke HTTP/2 there may be one that does not.
fn as_http1(request: &mut Request<Streamed>) {
    let uri = request.uri();
    let Some(host) = uri.authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok()) else {
        return;
    };
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// A copy of a request, for when its connection ends without an answer.
struct Spare(Box<Request<Streamed>>);

impl Spare {
    /// A body that is longer is not kept for a second time.
    const MOST: usize = 64 * 1024;

    /// `None` where it would not be sent again whatever became of it.
    fn of(request: &Request<Streamed>, lease: &Lease) -> Option<Spare> {
        let h2 = lease.sender.protocol() == Alpn::H2;
        let may_be = h2 || lease.served && request.method().is_idempotent();
        if !may_be {
            return None;
        }
        let body = request.body().again(Spare::MOST)?;
        let mut again = Request::new(body);
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        *again.extensions_mut() = request.extensions().clone();
        Some(Spare(Box::new(again)))
    }

    /// The request, if it may be sent again, and why. RFC 9110 section 9.2.2: what has effects may not, unless it is
    /// known that it had none; and RFC 9112 section 9.3.1 speaks of connections that were kept open.
    fn after(self, fate: Fate, served: bool) -> Option<(Request<Streamed>, &'static str)> {
        match fate {
            Fate::Unprocessed => Some((*self.0, "unprocessed")),
            Fate::Closed if served && self.0.method().is_idempotent() => Some((*self.0, "closed")),
            Fate::Closed | Fate::Unknown => None,
        }
    }
}

/// Waits for the head of the response. The clock runs from the last byte of the request's body.
async fn answer(
    gateway: &Gateway,
    sender: &mut Sender,
    request: Request<Streamed>,
    progress: &Progress,
    ending: &mut Ending,
) -> Result<Result<Response<Incoming>, SendError>, Problem> {
    let limit = gateway.limits.first_byte_time;
    let mut sending = std::pin::pin!(sender.send(request));
    let mut before = progress.bytes();
    let mut due = Instant::now() + limit;
    let mut deadline = Deadline::default();
    let outcome = loop {
        let answered = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => deadline.poll(cx, due).map(|()| None),
        });
        if let Some(outcome) = answered.await {
            break outcome;
        }
        let now = progress.bytes();
        if now == before {
            return Err(Problem::FirstByte { limit });
        }
        before = now;
        due = Instant::now() + limit;
    };
    ending.note(|record| record.bytes_from_client = progress.bytes());
    Ok(outcome)
}

async fn lease(
    way: &Way,
    permit: &Permit,
    scheme: Scheme,
    offer: Offer,
    key: &PoolKey,
    ending: &mut Ending,
) -> Result<Lease, Problem> {
    let gateway = &way.gateway;
    while let Some(mut lease) = way.keep.take(key, &gateway.pool).or_else(|| gateway.pool.take(key)) {
        if lease.sender.is_ready() || matches!(timeout(SETTLE, lease.sender.ready()).await, Ok(Ok(()))) {
            gateway.metrics.pool_hits.increment();
            return Ok(lease);
        }
    }
    fresh(gateway, permit, scheme, offer, ending).await
}

/// A connection that nothing went over yet.
async fn fresh(
    gateway: &Gateway,
    permit: &Permit,
    scheme: Scheme,
    offer: Offer,
    ending: &mut Ending,
) -> Result<Lease, Problem> {
    gateway.metrics.pool_misses.increment();
    ending.stage(Stage::Dial);
    // On the heap, because it is large and rare: every exchange's state would be as large.
    Box::pin(dial(gateway, permit, scheme, offer)).await
}

async fn dial(gateway: &Gateway, permit: &Permit, scheme: Scheme, offer: Offer) -> Result<Lease, Problem> {
    let (sender, facts) = match scheme {
        Scheme::Http => gateway.dialer.start_plain(permit).await?,
        Scheme::Https => {
            let secured = gateway.dialer.secure(permit, offer).await?;
            asked::judge(gateway, permit, &secured.facts)?;
            gateway.dialer.start(permit, secured).await?
        }
    };
    let mut lease = Lease::fresh(sender, facts);
    match lease.sender.ready().await {
        Ok(()) => Ok(lease),
        Err(error) => Err(asked::unanswered(permit, &lease.facts, false, Problem::Exchange(error))),
    }
}

/// How much of a request's body has been passed on.
#[derive(Clone, Default)]
struct Progress(Option<Arc<Moved>>);

#[derive(Default)]
struct Moved {
    bytes: AtomicU64,
    done: AtomicBool,
    /// Why the body broke off on its way.
    broke: Mutex<Option<BodyError>>,
}

impl Moved {
    /// Remembers the cause; who sends the body on is only told that it broke off.
    fn note(&self, error: BodyError) -> BodyError {
        if let Ok(mut broke) = self.broke.lock() {
            *broke = Some(error);
        }
        BodyError::Stopped
    }
}

impl Progress {
    fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |moved| moved.bytes.load(Ordering::Relaxed))
    }

    fn broke(&self) -> Option<BodyError> {
        self.0.as_ref()?.broke.lock().ok()?.take()
    }

    fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|moved| moved.done.load(Ordering::Relaxed))
    }
}

/// Lets the body tell its progress.
fn watched(request: Request<Streamed>) -> (Request<Streamed>, Progress) {
    if request.body().is_end_stream() {
        return (request, Progress::default());
    }
    let moved = Arc::new(Moved::default());
    let counted = moved.clone();
    let request = request.map(|inner| {
        let counted = Counted { inner, moved: counted };
        Streamed::held(Default::default(), None, Some(Box::new(counted)))
    });
    (request, Progress(Some(moved)))
}

struct Counted {
    inner: Streamed,
    moved: Arc<Moved>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.moved.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        let frame = frame.map(|frame| frame.map_err(|error| this.moved.note(error)));
        if frame.is_none() || this.inner.is_end_stream() {
            this.moved.done.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The answer to a WebSocket upgrade, which keeps the fields of the connection itself.
pub fn switching(gateway: &Gateway, response: &Response<Incoming>) -> Response<Streamed> {
    let mut answer = Response::new(Streamed::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = response.headers().clone();
    hop::strip_response(answer.headers_mut());
    gateway.via.add(response.version(), answer.headers_mut());
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer
}

/// A cleared response that fits the client's leg.
pub struct Delivery {
    response: Response<Streamed>,
    back: Back,
}

/// Makes a cleared response fit the client's leg.
pub fn inbound(
    gateway: &Gateway,
    cleared: Cleared<Response<Streamed>>,
    origin: Version,
    client: Version,
    back: Back,
) -> Delivery {
    let mut response = cleared.into_inner();
    hop::strip_response(response.headers_mut());
    hop::date(response.headers_mut(), std::time::SystemTime::now());
    gateway.via.add(origin, response.headers_mut());
    *response.version_mut() = client;
    Delivery { response, back }
}

impl Delivery {
    /// The response whose body, when it ends or is dropped, ends the exchange.
    pub fn response(self, mut ending: Ending) -> Response<Streamed> {
        let status = self.response.status().as_u16();
        ending.note(|record| record.status = Some(status));
        let back = self.back;
        let call = Grpc::of(self.response.headers());
        self.response.map(|inner| {
            let (ending, back) = (Some(ending), Some(back));
            let delivered = Delivered { inner, ending, back, moved: 0, broke: None, call, over: false };
            Streamed::held(Default::default(), None, Some(Box::new(delivered)))
        })
    }
}

/// A response's body on its way to the client.
struct Delivered {
    inner: Streamed,
    ending: Option<Ending>,
    back: Option<Back>,
    moved: u64,
    broke: Option<BodyError>,
    /// The client reads gRPC.
    call: Option<Grpc>,
    /// The call was ended by us: nothing more follows.
    over: bool,
}

impl Delivered {
    /// Why the body broke off. The origin's half of a call breaks when ours stopped the client's.
    fn cause(&self, error: BodyError) -> BodyError {
        self.back.as_ref().and_then(|back| back.progress.broke()).unwrap_or(error)
    }

    /// How the client is told that its call was stopped.
    fn farewell(&mut self) -> Option<Frame<Bytes>> {
        if !matches!(self.broke, Some(BodyError::Stopped | BodyError::Refused(_))) {
            return None;
        }
        let (call, ending) = (self.call?, self.ending.as_ref()?);
        let why = format!("the proxy did not pass on a message (Portward, receipt {})", ending.id());
        self.over = true;
        Some(call.farewell(&why))
    }

    fn end(&mut self, complete: bool) {
        let Some(mut ending) = self.ending.take() else { return };
        let moved = self.moved;
        ending.note(|record| record.bytes_to_client = moved);
        match self.broke.take() {
            Some(BodyError::Stalled(limit)) => {
                ending.broke(Code::OriginStalled, format!("the origin sent nothing for {limit:?}"));
            }
            Some(BodyError::Stopped) => match ending.stopped() {
                Some((from, problem)) => {
                    ending.problem(&problem);
                    let from = from.name();
                    ending.note(|record| {
                        let why = &record.sentence;
                        record.sentence =
                            format!("a message from the {from} was not passed on: {why}").into();
                    });
                }
                None => ending.note(|record| {
                    record.verdict = Verdict::Blocked;
                    record.reason = Code::Blocked.as_str().into();
                    record.sentence = "a rule stopped the rest of the response".into();
                }),
            },
            Some(BodyError::Refused(refusal)) => ending.refused(*refusal),
            Some(BodyError::Peer(error)) => ending.broke(Code::OriginClosed, error.to_string()),
            // Pages of our own alone end so.
            Some(error @ BodyError::Malformed(_)) => ending.broke(Code::Malformed, error.to_string()),
            None if complete => ending.passed(Verdict::Passed),
            None => ending.broke(Code::ClientGone, "the client left before the response was complete".into()),
        }
        if complete && let Some(back) = self.back.take() {
            back.give();
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        let complete = self.broke.is_none() && self.inner.is_end_stream();
        self.end(complete);
    }
}

impl Body for Delivered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.over {
            this.end(false);
            return Poll::Ready(None);
        }
        match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.moved += data.len() as u64;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.broke = Some(this.cause(error));
                Poll::Ready(Some(this.farewell().ok_or(BodyError::Stopped)))
            }
            None => {
                this.end(true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Ties an exchange's beat to the end of its answer.
pub fn with_beat(response: Response<Streamed>, beat: Beat) -> Response<Streamed> {
    response.map(|body| body.until_dropped(Box::new(beat)))
}
