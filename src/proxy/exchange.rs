//! One request and its response: policy, rules, the origin, rules again. Each step either goes on
//! or ends in a [`Problem`], which is answered in one place.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONNECTION, EXPECT, SEC_WEBSOCKET_EXTENSIONS};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;

use super::finish::Ending;
use super::relay::{self, Delivery};
use super::respond::{Explained, Problem};
use super::upgrade::Talk;
use super::witness::Witness;
use super::{Client, Gateway, Snapshot, connect, upgrade};
use crate::audit::record::{Inspection, TlsFacts};
use crate::audit::{Kind, Stage, Verdict};
use crate::auth::Identity;
use crate::inspect::{self, Aim, Case, CaseTerms, Conversation, Scanning, Seen, Streaming};
use crate::message::body::Streamed;
use crate::message::follow::Fault;
use crate::message::hop;
use crate::message::raw::RawHead;
use crate::message::reason::Code;
use crate::message::reply::{self, About, Block, Format, Reply, Side};
use crate::message::send::wire;
use crate::message::serve::{self, Guarded, Pulse, Rejected};
use crate::message::target::{self, Scheme, Target};
use crate::net::{Alpn, Authority, Host, Port};
use crate::origin::{Idle, Keep};
use crate::policy::{FailModes, Permit, RequestAnswer};
use crate::scan::{Direction, Scanner};
use crate::tls::BoxIo;
use crate::waf::input::ConnectionFacts;
use crate::waf::report::Disruption;

/// What all exchanges of one client connection have in common.
pub struct Way {
    pub gateway: Arc<Gateway>,
    pub client: Client,
    leg: Leg,
    pub pulse: Arc<Pulse>,
    /// The origin connection that this client connection keeps.
    pub keep: Keep,
}

/// What the exchanges come through.
#[derive(Clone)]
pub enum Leg {
    /// Requests in absolute form to us as a proxy.
    Proxy,
    /// A tunnel that we look into.
    Tunnel(Arc<Inside>),
}

/// What is known of a tunnel that we look into.
pub struct Inside {
    pub permit: Permit,
    pub scheme: Scheme,
    pub sni: Option<Host>,
    pub tls: Option<TlsFacts>,
    /// The origin was refused when the tunnel was made (by policy, if so marked): every request is
    /// told so.
    pub refused: Option<(bool, Explained)>,
    /// The client behind a TLS handshake, until it is known to trust our certificate.
    pub witness: Option<Witness>,
}

impl Leg {
    /// A tunnel that carries plain HTTP.
    pub fn plain(permit: Permit) -> Leg {
        Leg::Tunnel(Arc::new(Inside {
            permit,
            scheme: Scheme::Http,
            sni: None,
            tls: None,
            refused: None,
            witness: None,
        }))
    }
}

impl Way {
    pub fn new(gateway: Arc<Gateway>, client: Client, leg: Leg) -> Arc<Way> {
        Way::with(gateway, client, leg, None)
    }

    /// With an origin connection that waits for the first request.
    pub fn with(gateway: Arc<Gateway>, client: Client, leg: Leg, idle: Option<Idle>) -> Arc<Way> {
        Arc::new(Way { gateway, client, leg, pulse: Arc::default(), keep: Keep::holding(idle) })
    }

    /// The same for a client that said who it is.
    pub fn identified(&self, identity: Identity) -> Way {
        let client = Client { identity: Some(identity), ..self.client.clone() };
        Way {
            gateway: self.gateway.clone(),
            client,
            leg: self.leg.clone(),
            pulse: self.pulse.clone(),
            keep: Keep::default(),
        }
    }
}

impl Way {
    /// Asks the rules about a request that goes nowhere, for the record.
    fn refused(&self, snapshot: &Snapshot, ending: &mut Ending, show: impl FnOnce(&Case, Scheme)) {
        if snapshot.engine.is_empty() {
            return;
        }
        let (scheme, ip, port) = match &self.leg {
            Leg::Proxy => (Scheme::Http, None, Port::HTTP),
            Leg::Tunnel(inside) => {
                (inside.scheme, inside.permit.dial().host.ip(), inside.permit.target().port)
            }
        };
        show(&open_case(self, snapshot, ip, port, ending), scheme);
        let inspection = Inspection::partial("the request was refused by its head");
        ending.note(|record| record.request_inspection = Some(inspection));
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.keep.release(&self.gateway.pool);
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a rule closed the connection")]
pub struct Dropped;

/// Serves HTTP on a client connection until it ends or the process drains.
pub async fn serve(way: Arc<Way>, io: BoxIo, protocol: Alpn) {
    let gateway = way.gateway.clone();
    let explain = way.clone();
    let on_rejected = Box::new(move |rejected, head: &[u8]| reject(&explain, rejected, head));
    let guarded = Guarded::new(io, way.pulse.clone(), protocol, &gateway.limits, on_rejected);
    let service = service_fn(move |request: Request<Incoming>| {
        let way = way.clone();
        async move {
            let beat = way.pulse.begin();
            way.pulse.request(request.method(), request.uri());
            let faulty = way.pulse.fault().is_some();
            let response = match way.leg {
                // On the heap: it is larger than what goes on inside tunnels, and rarer.
                Leg::Proxy => Box::pin(connect::proxied(&way, request)).await,
                Leg::Tunnel(_) => exchange(&way, request).await,
            };
            response.map(|mut response| {
                if faulty {
                    // Whatever is answered: where the next request begins is anybody's guess.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                relay::with_beat(response, beat)
            })
        }
    });
    let serving =
        serve::serve(guarded, &gateway.limits, &gateway.tasks, service, gateway.draining.cancelled());
    if let Err(error) = serving.await {
        tracing::debug!(%error, "client connection ended");
    }
}

/// Words and a record for what hyper refuses before an exchange begins.
fn reject(way: &Arc<Way>, rejected: Rejected, head: &[u8]) -> bytes::Bytes {
    let (status, code) = match rejected {
        Rejected::HeaderTimeout => (408, Code::HeaderTimeout),
        Rejected::Flood => (429, Code::FrameFlood),
        Rejected::Frame(_) => (400, Code::Malformed),
        Rejected::Head(414) => (414, Code::UriTooLong),
        Rejected::Head(431) => (431, Code::HeadTooLarge),
        Rejected::Head(status) => (status, Code::Malformed),
    };
    let mut ending = Ending::begin(&way.gateway, &way.client, Kind::Exchange);
    ending.stage(Stage::Request);
    let sentence = if let Rejected::Frame(why) = rejected { why } else { code.explanation().sentence };
    ending.broke(code, sentence.to_owned());
    ending.note(|record| record.status = Some(status));
    if let Some(head) = RawHead::read(head) {
        ending.note(|record| {
            record.method = shown(head.method, 32).into();
            record.url = shown(head.target, 8 * 1024);
        });
        if code == Code::Malformed && head.has_clear_fields {
            way.refused(&way.gateway.live.load_full(), &mut ending, |case, scheme| {
                inspect::refused_raw(case, scheme, &head);
            });
        }
    }
    let about = About { format: Format::Text, receipt: ending.id(), host: None };
    let reply = reply::error(&about, status, code, "");
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    wire(status, reason, &reply.fields, &reply.body)
}

/// What may not even be text.
fn shown(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
}

/// Runs one exchange to the head of its response.
pub async fn exchange(way: &Arc<Way>, request: Request<Incoming>) -> Result<Response<Streamed>, Dropped> {
    way.gateway.metrics.exchanges.increment();
    let snapshot = way.gateway.live.load_full();
    let mut ending = Ending::begin(&way.gateway, &way.client, Kind::Exchange);
    let format = Format::of(request.headers());
    let (method, version) = (request.method().clone(), request.version());
    ending.note(|record| {
        record.stage = Stage::Request;
        record.method = method_text(&method);
        record.client_leg.protocol = protocol(version).into();
        if let Leg::Tunnel(inside) = &way.leg {
            record.target = Some(inside.permit.target().clone());
            record.sni = inside.sni.clone();
            record.client_leg.tls = inside.tls.clone();
            if let Some(witness) = &inside.witness {
                witness.request();
                record.client_leg.ja4 = witness.ja4.clone();
                record.client_leg.ech = witness.ech;
            }
        }
    });
    let host = std::sync::OnceLock::new();
    match run(way, &snapshot, request, &mut ending, &host).await {
        Ok(Outcome::Deliver(delivery)) => Ok(delivery.response(ending)),
        Ok(Outcome::Own(reply)) => {
            ending.note(|record| {
                record.status = Some(reply.status);
                record.bytes_to_client = reply.body.len() as u64;
            });
            ending.passed(Verdict::Passed);
            let mut response = response(reply);
            way.gateway.via.add(version, response.headers_mut());
            Ok(response)
        }
        Ok(Outcome::Upgrade { response, client, origin, talk }) => {
            ending.note(|record| record.status = Some(101));
            way.pulse.detach();
            upgrade::join(&way.gateway, client, origin, talk.map(|talk| *talk), ending);
            Ok(response)
        }
        Err(problem) => {
            let host: Option<&Host> = host.get();
            // What a message that was stopped did to the exchange is no cause of its own.
            let problem = ending.stopped().map_or(problem, |(_, stopped)| stopped);
            let host = host.map(Host::to_string);
            say(&problem, format, host.as_deref(), method == "HEAD", version, ending)
        }
    }
}

enum Outcome {
    Deliver(Delivery),
    /// We are whom the request is for.
    Own(Reply),
    Upgrade {
        response: Response<Streamed>,
        client: hyper::upgrade::OnUpgrade,
        origin: hyper::upgrade::OnUpgrade,
        /// Its messages go through the rules, if there are any.
        talk: Option<Box<Talk>>,
    },
}

async fn run(
    way: &Arc<Way>,
    snapshot: &Arc<Snapshot>,
    mut request: Request<Incoming>,
    ending: &mut Ending,
    known_host: &std::sync::OnceLock<Host>,
) -> Result<Outcome, Problem> {
    let gateway = &way.gateway;
    if !gateway.audit.accepting() {
        return Err(Problem::AuditUnavailable);
    }
    // Where it goes, and whether it may.
    let admitted = admit(way, snapshot, &request, ending, known_host).inspect_err(|problem| {
        if let Problem::Target(_)
        | Problem::Ambiguous
        | Problem::TransferCoding
        | Problem::WhiteSpace
        | Problem::Expectation(_)
        | Problem::Denied(_) = problem
        {
            ending.note(|record| {
                if record.url.is_empty() {
                    record.url = request.uri().to_string();
                }
            });
            way.refused(snapshot, ending, |case, scheme| inspect::refused(case, scheme, &request));
        }
    });
    let (target, authority, permit) = admitted?;
    let scheme = target.scheme;

    // What the rules say of it.
    let case = if snapshot.engine.is_empty() {
        Case::without_rules()
    } else {
        open_case(way, snapshot, permit.dial().host.ip(), authority.port, ending)
    };
    let client_version = request.version();
    let on_client = hop::asks_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let last_hop = hop::is_last(request.method(), request.headers());
    let last_hop = last_hop.map(|last| last.reply(&target.path, request.headers()));
    ending.stage(Stage::RequestBody);
    let mut path = Cow::Borrowed(target.path.as_str());
    if let Some(fragment) = way.pulse.take_fragment() {
        path.to_mut().push_str(&fragment);
    }
    let opening = (!snapshot.engine.is_empty()).then(|| Opening {
        method: request.method().clone(),
        version: client_version,
        path: path.clone().into_owned(),
        headers: request.headers().clone(),
    });
    let ip = permit.dial().host.ip();
    let aim = Aim { scheme, authority: &authority, path: &path };
    let fail = snapshot.policy.fail();
    let scan = snapshot.scanner.as_ref().map(|scanner| (scanner, scanned_as(&request, &aim)));
    let streaming = |ending: &mut Ending, opening: Option<Opening>| {
        let conversation =
            opening.unwrap_or_default().conversation(way, snapshot, scheme, &authority, ip, ending);
        let (note, tell) = (ending.messages(), ending.tell());
        Streaming { conversation: Arc::new(conversation), note, tell }
    };
    let hear = || streaming(ending, opening.clone());
    let inspected = inspect::request(&case, aim, request, &gateway.limits, fail, hear).await;
    let (cleared, seen) = inspected.map_err(Problem::Request)?;
    ending.note(|record| record.request_inspection = Some(inspection(seen)));
    if let Some(reply) = last_hop {
        return Ok(Outcome::Own(reply));
    }
    let cleared = match scanning(way, &scan, fail, Direction::Upload, ending) {
        Some(scanning) => inspect::scan_request(scanning, cleared).await.map_err(Problem::Request)?,
        None => cleared,
    };

    // To the origin.
    ending.stage(Stage::Send);
    let (mut cleared, asked) = relay::outbound(gateway, cleared, &target, &authority, client_version);
    if snapshot.scanner.as_ref().is_some_and(|scanner| scanner.wants_whole()) && cleared.without_range() {
        ending.note(|record| record.range_removed = true);
    }
    let talk = opening.as_ref().filter(|_| asked.websocket).map(|opening| {
        let opening = opening.clone();
        let conversation = opening.conversation(way, snapshot, scheme, &authority, ip, ending);
        let dropped = cleared.without_extensions();
        Box::new(Talk { conversation, fail: *fail, dropped })
    });
    let sent = relay::send(way, &permit, scheme, client_version, asked, cleared, ending).await?;
    let (mut response, mut back) = (sent.response, sent.back);
    if asked.websocket {
        // Whatever the answer, the two ends may disagree on where it ends (CVE-2026-2833).
        back.spoil();
    }

    // Back to the client.
    ending.stage(Stage::Response);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = on_client.filter(|_| asked.websocket) else { return Err(Problem::NoUpgrade) };
        if talk.is_some() && response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            // RFC 6455 section 4.1: an extension that was not offered; its frames cannot be read.
            return Err(Problem::NoUpgrade);
        }
        let origin = hyper::upgrade::on(&mut response);
        let response = relay::switching(gateway, &response);
        return Ok(Outcome::Upgrade { response, client, origin, talk });
    }
    if !hop::is_framed_plainly(response.headers()) {
        return Err(Problem::OriginCoding);
    }
    let origin_version = response.version();
    let hear = || streaming(ending, opening);
    let inspected = inspect::response(&case, response, &gateway.limits, fail, hear).await;
    let (cleared, seen) = inspected.map_err(Problem::Response)?;
    ending.note(|record| {
        record.response_inspection = Some(inspection(seen));
        record.origin_leg.protocol = protocol(origin_version).into();
        record.stage = Stage::ResponseBody;
    });
    let cleared = match scanning(way, &scan, fail, Direction::Download, ending) {
        Some(scanning) => inspect::scan_response(scanning, cleared).await.map_err(Problem::Response)?,
        None => cleared,
    };
    ending.stage(Stage::Relay);
    Ok(Outcome::Deliver(relay::inbound(gateway, cleared, origin_version, client_version, back)))
}

/// The malware scanner, where one looks at this direction.
fn scanning<'a>(
    way: &'a Way,
    scan: &'a Option<(&'a Arc<Scanner>, inspect::Asked)>,
    fail: &'a FailModes,
    direction: Direction,
    ending: &mut Ending,
) -> Option<Scanning<'a>> {
    let (scanner, asked) = scan.as_ref().filter(|(scanner, _)| scanner.covers(direction))?;
    let (client, limits) = (way.client.addr.ip(), &way.gateway.limits);
    Some(Scanning { client, asked, scanner, limits, fail, note: ending.scan(direction) })
}

/// What a scanner is told of a request; queries carry secrets and are none of its business.
fn scanned_as(request: &Request<Incoming>, aim: &Aim<'_>) -> inspect::Asked {
    let host = aim.authority.host_field(aim.scheme.default_port());
    let path = aim.path.split(['?', '#']).next().unwrap_or_default();
    let url = format!("{}://{host}{path}", aim.scheme.name());
    inspect::Asked { method: request.method().clone(), url }
}

/// Target, loop, policy and length: everything before the rules.
fn admit(
    way: &Way,
    snapshot: &Snapshot,
    request: &Request<Incoming>,
    ending: &mut Ending,
    known_host: &std::sync::OnceLock<Host>,
) -> Result<(Target, Authority, Permit), Problem> {
    let (method, uri, headers, version) =
        (request.method(), request.uri(), request.headers(), request.version());
    let mut target = match &way.leg {
        Leg::Proxy => target::proxy_form(method, uri, headers, version)?,
        Leg::Tunnel(inside) => target::origin_form(method, uri, headers, version, inside.scheme)?,
    };
    if way.pulse.is_bare() && method == Method::OPTIONS {
        // RFC 9112 section 3.2.4: the server as a whole.
        target.path = PathAndQuery::from_static("*");
    }
    let authority = match (&target.authority, &way.leg) {
        (Some(authority), _) => authority.clone(),
        (None, Leg::Tunnel(inside)) => {
            Authority::new(inside.permit.server_name().clone(), inside.permit.target().port)
        }
        (None, Leg::Proxy) => return Err(target::TargetError::NoHost.into()),
    };
    let _ = known_host.set(authority.host.clone());
    let path = target.path.as_str();
    ending.note(|record| {
        let host = authority.host_field(target.scheme.default_port());
        record.url = format!("{}://{host}{path}", target.scheme.name());
        if record.target.is_none() {
            record.target = Some(authority.clone());
        }
    });
    check_framing(way)?;
    if let Leg::Tunnel(inside) = &way.leg
        && let Some((denied, explained)) = &inside.refused
    {
        return Err(Problem::Refused { denied: *denied, explained: explained.clone() });
    }
    if way.gateway.via.loops(headers) {
        return Err(Problem::Loop);
    }
    let limit = way.gateway.limits.uri_bytes;
    if path.len() > limit {
        return Err(Problem::UriTooLong { limit });
    }
    check_head(way, headers)?;
    if version == Version::HTTP_2 {
        check_values(headers)?;
    }
    let answer = match &way.leg {
        Leg::Proxy if target.scheme == Scheme::Https => {
            return Err(Problem::NeedsConnect);
        }
        Leg::Proxy => snapshot.policy.forward(&way.client.facts(), &authority),
        Leg::Tunnel(inside) => snapshot.policy.request(&inside.permit, &authority),
    };
    match answer {
        RequestAnswer::Proceed(permit) => Ok((target, authority, permit)),
        RequestAnswer::Deny(denial) => Err(denial.into()),
    }
}

/// What the bytes of a request say against it, although hyper would serve it.
pub fn check_framing(way: &Way) -> Result<(), Problem> {
    match way.pulse.fault() {
        None => Ok(()),
        Some(Fault::Coding) => Err(Problem::TransferCoding),
        Some(Fault::TwoLengths | Fault::Unforeseen) => Err(Problem::Ambiguous),
    }
}

/// Bounds that hyper has not for both versions: it counts fields of HTTP/1.1 alone, and bytes
/// only as its buffer grows.
fn check_head(way: &Way, headers: &HeaderMap) -> Result<(), Problem> {
    let limits = &way.gateway.limits;
    if headers.len() > limits.head_fields {
        return Err(Problem::TooManyFields { limit: limits.head_fields });
    }
    // RFC 9113 section 6.5.2 counts 32 more for each field; the four here are `: ` and the line's end.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.head_bytes {
        return Err(Problem::HeadTooLong { limit: limits.head_bytes });
    }
    // RFC 9110 section 10.1.1 knows one expectation.
    match headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Problem::Expectation(value.to_str().unwrap_or("not even text").to_owned()))
        }
        _ => Ok(()),
    }
}

/// RFC 9113 section 8.2.1: white space around a value is malformed, for readers of HTTP/1.1 take it away.
fn check_values(headers: &HeaderMap) -> Result<(), Problem> {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut values = headers.values().map(HeaderValue::as_bytes);
    match values.any(|value| is_white(value.first()) || is_white(value.last())) {
        true => Err(Problem::WhiteSpace),
        false => Ok(()),
    }
}

fn open_case(
    way: &Way,
    snapshot: &Snapshot,
    server_ip: Option<std::net::IpAddr>,
    server_port: Port,
    ending: &mut Ending,
) -> Case {
    let case = begin(way, snapshot, server_ip, server_port, ending.began(), &ending.id().to_string());
    ending.case(case.clone());
    ending.note(|record| record.rules = snapshot.fingerprint.clone());
    case
}

fn begin(
    way: &Way,
    snapshot: &Snapshot,
    server_ip: Option<std::net::IpAddr>,
    server_port: Port,
    began: SystemTime,
    unique_id: &str,
) -> Case {
    let now = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let sni = match &way.leg {
        Leg::Tunnel(inside) => inside.sni.as_ref().and_then(Host::name),
        Leg::Proxy => None,
    };
    let transaction = snapshot.engine.begin(&ConnectionFacts {
        client_ip: way.client.addr.ip(),
        client_port: way.client.addr.port(),
        server_ip,
        server_port: server_port.get(),
        sni,
        identity: way.client.identity.as_ref().map(Identity::name),
        unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        unique_id,
    });
    let terms = CaseTerms {
        on_error: snapshot.policy.fail().engine_error,
        time: way.gateway.limits.rules_time,
        metrics: way.gateway.metrics.clone(),
    };
    Case::open(transaction, terms)
}

/// The head of a request, as far as the messages behind it need it.
#[derive(Clone, Default)]
struct Opening {
    method: Method,
    version: Version,
    path: String,
    headers: HeaderMap,
}

impl Opening {
    fn conversation(
        self,
        way: &Arc<Way>,
        snapshot: &Arc<Snapshot>,
        scheme: Scheme,
        authority: &Authority,
        ip: Option<std::net::IpAddr>,
        ending: &Ending,
    ) -> Conversation {
        let Opening { method, version, path, headers } = self;
        let begin = beginning(way, snapshot, ip, authority.port, ending);
        Conversation { begin, scheme, authority: authority.clone(), method, version, path, headers }
    }
}

/// Begins the transactions of an exchange's messages, for as long as it lasts.
fn beginning(
    way: &Arc<Way>,
    snapshot: &Arc<Snapshot>,
    server_ip: Option<std::net::IpAddr>,
    server_port: Port,
    ending: &Ending,
) -> Box<dyn Fn() -> Case + Send + Sync> {
    let (way, snapshot, id) = (way.clone(), snapshot.clone(), ending.id().to_string());
    Box::new(move || begin(&way, &snapshot, server_ip, server_port, SystemTime::now(), &id))
}

/// Answers a problem for a request whose exchange was not begun.
pub fn answer(
    problem: &Problem,
    request: &Request<Incoming>,
    mut ending: Ending,
) -> Result<Response<Streamed>, Dropped> {
    ending.note(|record| {
        record.method = method_text(request.method());
        record.client_leg.protocol = protocol(request.version()).into();
        if request.method() != http::Method::CONNECT {
            record.url = request.uri().to_string();
        }
    });
    let host = request.uri().host().map(str::to_owned);
    say(problem, Format::of(request.headers()), host.as_deref(), false, request.version(), ending)
}

/// The page for a problem, and the record of it.
fn say(
    problem: &Problem,
    format: Format,
    host: Option<&str>,
    head_only: bool,
    version: Version,
    mut ending: Ending,
) -> Result<Response<Streamed>, Dropped> {
    ending.problem(problem);
    let explained = problem.explain();
    let about = About { format, receipt: ending.id(), host };
    let reply = match problem.interruption() {
        Some(why) => match &why.action {
            Disruption::Drop => return Err(Dropped),
            Disruption::Redirect { status, location } => reply::redirect(&about, *status, location),
            Disruption::Deny { status } => {
                let side =
                    if matches!(problem, Problem::Response(_)) { Side::Response } else { Side::Request };
                let page = Block {
                    status: *status,
                    code: explained.code,
                    side,
                    message: &why.reason,
                    rule: Some(why.rule),
                };
                reply::block(&about, &page)
            }
        },
        None if explained.code == Code::AuthRequired => reply::authenticate(&about, "Portward"),
        None => reply::error(&about, explained.status, explained.code, &explained.sentence),
    };
    ending.note(|record| {
        record.status = Some(reply.status);
        record.bytes_to_client = if head_only { 0 } else { reply.body.len() as u64 };
    });
    let mut response = if version == Version::HTTP_2 && problem.is_malformed() {
        let page = Streamed::then_reset(reply.body.clone());
        response(reply).map(|_| page)
    } else {
        response(reply)
    };
    if let Problem::Target(_) = problem {
        // Two readers would not agree on whom it is for.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn response(reply: Reply) -> Response<Streamed> {
    let mut response = Response::new(Streamed::whole(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields: &mut HeaderMap = response.headers_mut();
    for (name, value) in reply.fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            fields.append(name, value);
        }
    }
    response
}

fn inspection(seen: Seen) -> Inspection {
    match seen {
        Seen::Whole => Inspection::WHOLE,
        Seen::Partial(why) => Inspection::partial(why),
        Seen::Nothing(why) => Inspection::none(why),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/1.0",
    }
}

fn method_text(method: &http::Method) -> std::borrow::Cow<'static, str> {
    match method.as_str() {
        "GET" => "GET".into(),
        "POST" => "POST".into(),
        "HEAD" => "HEAD".into(),
        "CONNECT" => "CONNECT".into(),
        other => other.to_owned().into(),
    }
}
