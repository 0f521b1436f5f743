//! Inside an accepted tunnel: sniff, policy on the ClientHello, the origin's certificate, a leaf,
//! the client's TLS, and then HTTP. The origin is verified before anything is minted for its name
//! (an origin verified a short while ago is remembered); an origin that is refused gets the client
//! a page that says why, over a leaf made for that page alone.

use std::sync::Arc;

use tokio::time::timeout;

use super::exchange::{Inside, Leg, Way};
use super::finish::{self, Ending};
use super::leaves::{For, Verified};
use super::respond::Problem;
use super::tunnel::{Handover, Judged};
use super::witness::{Ear, Left, Witness};
use super::{Client, Gateway, Snapshot, asked, exchange, tunnel};
use crate::audit::record::{Protection, TlsFacts};
use crate::audit::{Kind, Stage};
use crate::message::reason::Code;
use crate::message::target::Scheme;
use crate::net::{Alpn, Hello, Host};
use crate::origin::dial::OriginFacts;
use crate::origin::{Idle, OriginError, PoolKey};
use crate::policy::distrust::Ending as Farewell;
use crate::policy::{Answer, Denial, Leads, Opaque, OriginError as OriginErrorMode, Permit, Reason};
use crate::tls::accept::{GreetingError, HandshakeEnd, handshake_failure};
use crate::tls::connect::Offer;
use crate::tls::grade::{Grade, Strength};
use crate::tls::sniff::Sniff;
use crate::tls::verify::{CertificateInfo, Revocation};
use crate::tls::{BoxIo, Greeting, Negotiated, Rewind};

/// Why a tunnel to a named host need not be opened at all: there would be no leaf for it. Port 80 is
/// for tunnels in plain text, which need none.
pub fn unmintable(gateway: &Gateway, permit: &Permit) -> Option<Problem> {
    let target = permit.target();
    // Where a name leads may put it on the bypass list, and that is asked with the ClientHello.
    if target.port == crate::net::Port::HTTP || gateway.live.load().policy.asks_where(permit) {
        return None;
    }
    if let Some(problem) = gateway.leaves.ended() {
        return Some(problem);
    }
    // An address may go by a name that is permitted, which the ClientHello will tell.
    if target.host.ip().is_some() {
        return None;
    }
    match outside(gateway, permit, None) {
        Some(Answer::Deny(denial)) => Some(Problem::Denied(denial)),
        _ => None,
    }
}

/// What becomes of a host for which our CA may not issue; none when it may.
fn outside(gateway: &Gateway, permit: &Permit, sni: Option<&Host>) -> Option<Answer> {
    let host = sni.unwrap_or(permit.server_name());
    let constraint = gateway.leaves.outside(host)?;
    Some(gateway.live.load().policy.outside_ca(permit.clone(), host, constraint))
}

/// Looks into a tunnel that is to be inspected, and serves it.
pub async fn intercept(gateway: Arc<Gateway>, client: Client, permit: Permit, io: BoxIo) {
    let target = permit.target().clone();
    let again = look(gateway.clone(), client.clone(), permit, io).await;
    // Its client was silent for long enough to be relayed, and began then.
    if let Some(Handover { permit, io }) = again
        && look(gateway.clone(), client.clone(), permit, io).await.is_some()
    {
        // It began, and did not go on: that is not to be had without end.
        finish::denied(&gateway, &client, &target, &Denial::Silent);
    }
}

/// A tunnel that was relayed at first comes back when it is to be inspected after all.
async fn look(gateway: Arc<Gateway>, client: Client, permit: Permit, io: BoxIo) -> Option<Handover> {
    let mut io = Rewind::new(io);
    let sniffed = timeout(gateway.limits.tunnel_first_byte, io.sniff(gateway.limits.classify_bytes)).await;
    match sniffed {
        Ok(Ok(Sniff::Tls)) => intercept_tls(gateway, client, permit, io).await,
        Ok(Ok(Sniff::Http)) => {
            let leg = Leg::plain(permit);
            exchange::serve(Way::new(gateway, client, leg), Box::new(io), Alpn::Http11).await;
        }
        // Opened and not used: browsers do that to be quicker later.
        Ok(Ok(Sniff::NeedMore)) | Ok(Err(_)) => {}
        Ok(Ok(Sniff::Socks5 | Sniff::Other)) => {
            return opaque(gateway, client, permit, io, Opaque::NotHttp).await;
        }
        Err(_) => return opaque(gateway, client, permit, io, Opaque::Silent).await,
    }
    None
}

/// Bytes that we cannot read: policy says what becomes of them.
async fn opaque(
    gateway: Arc<Gateway>,
    client: Client,
    permit: Permit,
    io: Rewind<BoxIo>,
    what: Opaque,
) -> Option<Handover> {
    let target = permit.target().clone();
    let answer = gateway.live.load().policy.opaque(permit, what);
    match answer {
        Answer::Tunnel(permit, reason) => {
            let judged = match what {
                Opaque::NotHttp => Judged::NoTls,
                // It may still begin something that can be read.
                Opaque::Silent => Judged::Not(permit.clone(), reason.clone()),
            };
            return relay_untouched(gateway, client, permit, &reason, io, judged).await;
        }
        Answer::Deny(denial) => finish::denied(&gateway, &client, &target, &denial),
        // Nothing in it can be inspected, so this answer has nobody to act on it.
        Answer::Inspect(_) => finish::denied(&gateway, &client, &target, &Denial::NotHttp),
    }
    None
}

async fn relay_untouched(
    gateway: Arc<Gateway>,
    client: Client,
    permit: Permit,
    reason: &Reason,
    io: Rewind<BoxIo>,
    judged: Judged,
) -> Option<Handover> {
    let mut ending = finish::tunnel(&gateway, &client, &permit, reason);
    match tunnel::dial(&gateway, &permit, &mut ending).await {
        Ok(origin) => tunnel::relay(&gateway, Box::new(io), origin, ending, judged).await,
        Err(problem) => {
            ending.fail(&problem);
            None
        }
    }
}

/// What a tunnel became when its ClientHello was judged and, if it is to be inspected, answered.
enum Opened {
    Serve(Ready),
    Relay { permit: Permit, reason: Reason, io: Rewind<BoxIo>, judged: Judged },
}

/// A client whose handshake is done.
struct Ready {
    stream: BoxIo,
    protocol: Alpn,
    way: Arc<Way>,
    inside: Arc<Inside>,
    left: Left,
}

async fn intercept_tls(gateway: Arc<Gateway>, client: Client, permit: Permit, io: Rewind<BoxIo>) {
    let opening = Box::pin(open(gateway.clone(), client.clone(), permit, io));
    match client.in_turns(&gateway, opening).await {
        Some(Opened::Serve(Ready { stream, protocol, way, inside, left })) => {
            exchange::serve(way, stream, protocol).await;
            if let Some(witness) = &inside.witness {
                witness.over(left.get().copied());
            }
        }
        Some(Opened::Relay { permit, reason, io, judged }) => {
            // What was judged is not handed over.
            drop(Box::pin(relay_untouched(gateway, client, permit, &reason, io, judged)).await);
        }
        None => {}
    }
}

/// From the ClientHello to the end of the handshake. Whatever ends sooner has its record then, and nothing is left.
async fn open(gateway: Arc<Gateway>, client: Client, permit: Permit, io: Rewind<BoxIo>) -> Option<Opened> {
    let limit = gateway.limits.handshake_time;
    let begin = |hello: Option<&Hello>| {
        let mut ending = Ending::begin(&gateway, &client, Kind::Connect);
        ending.note(|record| {
            record.target = Some(permit.target().clone());
            if let Some(hello) = hello {
                record.sni = hello.sni.name().cloned();
                record.client_leg.ja4 = hello.ja4.clone();
                record.client_leg.ech = hello.ech;
            }
        });
        ending.stage(Stage::Intercept);
        ending
    };
    let broke = |mut ending: Ending, problem: String| {
        gateway.metrics.client_tls_failed.increment();
        ending.broke(Code::ClientTls, problem);
        None
    };
    let greeting = match timeout(limit, Greeting::read(io)).await {
        Ok(Ok(greeting)) => greeting,
        Ok(Err(GreetingError::Name(hello))) => {
            begin(Some(&hello)).fail(&Problem::Denied(Denial::SniInvalid));
            return None;
        }
        Ok(Err(error)) => return broke(begin(None), error.to_string()),
        Err(_) => return broke(begin(None), format!("the ClientHello was not whole within {limit:?}")),
    };
    let snapshot = gateway.live.load_full();
    let hello = greeting.hello.clone();
    // An address in it is the target's own and says nothing.
    let sni = hello.sni.name().filter(|host| host.ip().is_none()).cloned();
    let offer = if greeting.hello.offers(Alpn::H2) { Offer::H2ThenHttp11 } else { Offer::Http11Only };
    let judged = by_address(&gateway, &snapshot, snapshot.policy.hello(permit.clone(), &hello)).await;
    let answer = match judged {
        Answer::Inspect(permit) if gateway.asked.lately(&permit) => {
            snapshot.policy.asks_for_certificate(permit)
        }
        Answer::Inspect(permit) => {
            outside(&gateway, &permit, sni.as_ref()).unwrap_or(Answer::Inspect(permit))
        }
        answer => answer,
    };
    let (permit, verified) = match answer {
        Answer::Inspect(permit) => {
            let verified = verify(&gateway, &permit, offer).await;
            (permit, verified)
        }
        Answer::Tunnel(permit, reason) => {
            let judged = Judged::Hello(hello, permit.server_name().clone());
            return Some(Opened::Relay { permit, reason, io: greeting.into_untouched(), judged });
        }
        // Nothing is minted for a name that is none.
        Answer::Deny(denial @ Denial::SniInvalid) => {
            begin(Some(&hello)).fail(&Problem::Denied(denial));
            greeting.refuse().await;
            return None;
        }
        Answer::Deny(denial) => (permit.clone(), Err(Problem::Denied(denial))),
    };
    // A client that speaks no HTTP cannot be shown a page.
    let speechless = matches!(&verified, Err(Problem::Denied(Denial::AlpnNotHttp)));
    let refused = |problem: &Problem| {
        let mut ending = begin(Some(&hello));
        ending.stage(Stage::Dial);
        ending.problem(problem);
    };
    if let Err(problem) = &verified
        && (speechless || snapshot.policy.fail().origin_error == OriginErrorMode::Refuse)
    {
        refused(problem);
        greeting.refuse().await;
        return None;
    }
    // The leaf carries the name that the client expects: its SNI, where policy lets that differ from
    // the target too.
    let name = sni.clone().unwrap_or_else(|| permit.server_name().clone());
    let what = match &verified {
        Ok((info, _)) => For::Origin(info),
        Err(_) => For::ErrorPage,
    };
    let leaf = match gateway.leaves.leaf(&name, what, greeting.key_type()).await {
        Ok(leaf) => leaf,
        // Without a leaf there is no page: the alert says no, and the record why.
        Err(error) => {
            refused(verified.as_ref().err().unwrap_or(&error.problem()));
            greeting.refuse().await;
            return None;
        }
    };
    let witness = Witness::new(gateway.clients.clone(), client.addr.ip(), &hello, name);
    let (stream, negotiated) = match timeout(limit, greeting.accept(&leaf)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            let mut ending = begin(Some(&hello));
            let farewell = match HandshakeEnd::of(&error) {
                HandshakeEnd::CertificateRefused(alert) => Some(Farewell::Certain(alert)),
                HandshakeEnd::BrokenOff => Some(Farewell::Probable),
                HandshakeEnd::Other => None,
            };
            if let Some(farewell) = &farewell {
                witness.saw(farewell);
                ending.note(|record| record.client_leg.distrust = farewell.name().into());
            }
            let problem = format!("the client ended the TLS handshake: {}", handshake_failure(&error));
            return broke(ending, problem);
        }
        Err(_) => {
            return broke(begin(Some(&hello)), format!("the TLS handshake was not done within {limit:?}"));
        }
    };
    let protocol = if negotiated.alpn.as_deref() == Some("h2") { Alpn::H2 } else { Alpn::Http11 };
    let (idle, refused) = match verified {
        Ok((_, idle)) => (idle, None),
        Err(problem) => (None, Some((problem.is_denial(), problem.explain()))),
    };
    let tls = Some(facts(&negotiated));
    let inside =
        Arc::new(Inside { permit, scheme: Scheme::Https, sni, tls, refused, witness: Some(witness) });
    let (stream, left) = Ear::new(stream);
    let way = Way::with(gateway.clone(), client.clone(), Leg::Tunnel(inside.clone()), idle);
    Some(Opened::Serve(Ready { stream: Box::new(stream), protocol, way, inside, left }))
}

/// Bypass rules may name networks: then it matters where the name of an inspected connection leads.
async fn by_address(gateway: &Gateway, snapshot: &Snapshot, answer: Answer) -> Answer {
    match answer {
        Answer::Inspect(permit) if snapshot.policy.asks_where(&permit) => {
            // A name that leads nowhere is told by whoever dials.
            let found = gateway.dialer.resolver.resolve(permit.dial()).await.ok();
            let leads = found.map(|found| Leads { addresses: found.addrs.to_vec(), port: found.dial_port });
            match leads.and_then(|leads| snapshot.policy.leads_to(&permit, leads)) {
                Some((permit, reason)) => Answer::Tunnel(permit, reason),
                None => Answer::Inspect(permit),
            }
        }
        other => other,
    }
}

/// The origin's certificate, from memory or from the origin itself, with the connection that was
/// made for it.
async fn verify(
    gateway: &Gateway,
    permit: &Permit,
    offer: Offer,
) -> Result<(Arc<CertificateInfo>, Option<Idle>), Problem> {
    let leaves = &gateway.leaves;
    let key = Verified::of(permit);
    if let Some(known) = leaves.verified(&key) {
        return Ok((known, None));
    }
    let secured = gateway.dialer.secure(permit, offer).await?;
    asked::judge(gateway, permit, &secured.facts)?;
    let info = secured.facts.certificate.clone().ok_or_else(|| {
        Problem::Origin(OriginError::Tls {
            origin: permit.dial().clone(),
            refusal: crate::tls::Refusal::Garbage("it showed no readable certificate".to_owned()),
        })
    })?;
    let info = Arc::new(info);
    let (sender, facts) = gateway.dialer.start(permit, secured).await?;
    let idle = Idle::fresh(PoolKey::new(permit, Scheme::Https, offer), sender, facts);
    leaves.remember(key, info.clone());
    Ok((info, Some(idle)))
}

/// What both legs together are worth, as the audit record has it.
pub fn protection(client: &TlsFacts, origin: &OriginFacts) -> Option<Protection> {
    let client = Strength::named(&client.version, &client.suite, &client.group);
    let verified = origin.certificate.is_some();
    let revocation = [Revocation::Good, Revocation::NotChecked]
        .into_iter()
        .find(|known| origin.marks.revocation == known.code())
        .unwrap_or(Revocation::Unknown);
    let grade = Grade::new(client, Strength::of(origin.tls.as_ref()?), verified, revocation);
    Some(Protection {
        grade: grade.letter().into(),
        client_leg: grade.compared().as_str().into(),
        missing: grade.missing().map(Into::into).collect(),
    })
}

/// A handshake's outcome as the audit record has it.
pub fn facts(negotiated: &Negotiated) -> TlsFacts {
    TlsFacts {
        version: negotiated.version.into(),
        suite: negotiated.suite.into(),
        group: negotiated.group.into(),
        alpn: match negotiated.alpn.as_deref() {
            None => "".into(),
            Some("h2") => "h2".into(),
            Some("http/1.1") => "http/1.1".into(),
            Some(other) => other.to_owned().into(),
        },
        resumed: negotiated.resumed,
    }
}
