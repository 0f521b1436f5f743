//! Inside an accepted tunnel: sniff, policy on the ClientHello, the origin's certificate, a leaf,
//! the client's TLS, and then HTTP. The origin is verified before anything is minted for its name
//! (an origin verified a short while ago is remembered); an origin that is refused gets the client
//! a page that says why, over a leaf made for that page alone.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::exchange::{Inside, Leg, Way};
use super::finish::{self, Ending};
use super::leaves::{For, Verified};
use super::respond::Problem;
use super::tunnel::Judged;
use super::{Client, Gateway, asked, exchange, tunnel};
use crate::audit::record::{Protection, TlsFacts};
use crate::audit::{Kind, Stage};
use crate::message::reason::Code;
use crate::message::target::Scheme;
use crate::net::{Alpn, Hello, Host};
use crate::origin::dial::OriginFacts;
use crate::origin::{Idle, OriginError, PoolKey};
use crate::policy::distrust::Ending as Farewell;
use crate::policy::{Answer, Denial, Opaque, OriginError as OriginErrorMode, Permit};
use crate::tls::accept::{GreetingError, HandshakeEnd, handshake_failure};
use crate::tls::connect::Offer;
use crate::tls::grade::{Grade, Strength};
use crate::tls::sniff::Sniff;
use crate::tls::verify::{CertificateInfo, Revocation};
use crate::tls::{BoxIo, Greeting, Negotiated, Rewind};

/// Looks into a tunnel that is to be inspected, and serves it.
pub async fn intercept(gateway: Arc<Gateway>, client: Client, permit: Permit, io: BoxIo) {
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
        Ok(Ok(Sniff::Socks5 | Sniff::Other)) => opaque(gateway, client, permit, io, Opaque::NotHttp).await,
        Err(_) => opaque(gateway, client, permit, io, Opaque::Silent).await,
    }
}

/// Bytes that we cannot read: policy says what becomes of them.
async fn opaque(gateway: Arc<Gateway>, client: Client, permit: Permit, io: Rewind<BoxIo>, what: Opaque) {
    let target = permit.target().clone();
    let answer = gateway.live.load().policy.opaque(permit, what);
    match answer {
        Answer::Tunnel(permit, reason) => {
            let judged = match what {
                Opaque::NotHttp => Judged::NoTls,
                // It may still begin a handshake, when it begins.
                Opaque::Silent => Judged::Not(permit.clone(), reason.clone()),
            };
            relay_untouched(gateway, client, permit, &reason, io, judged).await;
        }
        Answer::Deny(denial) => finish::denied(&gateway, &client, &target, &denial),
        // Nothing in it can be inspected, so this answer has nobody to act on it.
        Answer::Inspect(_) => finish::denied(&gateway, &client, &target, &Denial::NotHttp),
    }
}

async fn relay_untouched(
    gateway: Arc<Gateway>,
    client: Client,
    permit: Permit,
    reason: &crate::policy::Reason,
    io: Rewind<BoxIo>,
    judged: Judged,
) {
    let mut ending = finish::tunnel(&gateway, &client, &permit, reason);
    match tunnel::dial(&gateway, &permit, &mut ending).await {
        // Only bypassed tunnels are handed over, and those were judged.
        Ok(origin) => drop(tunnel::relay(&gateway, Box::new(io), origin, ending, judged).await),
        Err(problem) => ending.fail(&problem),
    }
}

/// A client that was shown a certificate of ours.
pub struct Witness {
    gateway: Arc<Gateway>,
    client: IpAddr,
    pub ja4: Option<Arc<str>>,
    pub ech: bool,
    host: Host,
    asked: AtomicBool,
}

impl Witness {
    fn saw(&self, farewell: &Farewell) {
        self.gateway.clients.saw(self.client, self.ja4.as_ref(), &self.host, farewell);
    }

    /// A request came: whoever asks trusts the certificate.
    pub fn request(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.saw(&Farewell::Trusted);
        }
    }

    /// The connection is over; `left` is how the client left, if it was the client that did.
    fn over(&self, left: Option<HandshakeEnd>) {
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
struct Ear<T> {
    inner: T,
    left: Arc<OnceLock<HandshakeEnd>>,
}

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
            Err(error) => drop(this.left.set(HandshakeEnd::of(error))),
            Ok(()) if room && buf.filled().len() == before => drop(this.left.set(HandshakeEnd::BrokenOff)),
            Ok(()) => {}
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ear<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

async fn intercept_tls(gateway: Arc<Gateway>, client: Client, permit: Permit, io: Rewind<BoxIo>) {
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
    };
    let greeting = match timeout(limit, Greeting::read(io)).await {
        Ok(Ok(greeting)) => greeting,
        Ok(Err(GreetingError::Name(hello))) => {
            return begin(Some(&hello)).fail(&Problem::Denied(Denial::SniInvalid));
        }
        Ok(Err(error)) => return broke(begin(None), error.to_string()),
        Err(_) => return broke(begin(None), format!("the ClientHello was not whole within {limit:?}")),
    };
    let snapshot = gateway.live.load_full();
    let hello = greeting.hello.clone();
    // An address in it is the target's own and says nothing.
    let sni = hello.sni.name().filter(|host| host.ip().is_none()).cloned();
    let offer = if greeting.hello.offers(Alpn::H2) { Offer::H2ThenHttp11 } else { Offer::Http11Only };
    let answer = match snapshot.policy.hello(permit.clone(), &hello) {
        Answer::Inspect(permit) if gateway.asked.lately(&permit) => {
            snapshot.policy.asks_for_certificate(permit)
        }
        answer => answer,
    };
    let (permit, verified) = match answer {
        Answer::Inspect(permit) => {
            let verified = client.in_turns(verify(&gateway, &permit, offer)).await;
            (permit, verified)
        }
        Answer::Tunnel(permit, reason) => {
            let (gateway, client) = (gateway.clone(), client.clone());
            let judged = Judged::Hello(hello, permit.server_name().clone());
            return relay_untouched(gateway, client, permit, &reason, greeting.into_untouched(), judged)
                .await;
        }
        // Nothing is minted for a name that is none.
        Answer::Deny(denial @ Denial::SniInvalid) => {
            begin(Some(&hello)).fail(&Problem::Denied(denial));
            return greeting.refuse().await;
        }
        Answer::Deny(denial) => (permit.clone(), Err(Problem::Denied(denial))),
    };
    // A client that speaks no HTTP cannot be shown a page.
    let speechless = matches!(&verified, Err(Problem::Denied(Denial::AlpnNotHttp)));
    if verified.is_err() && (speechless || snapshot.policy.fail().origin_error == OriginErrorMode::Refuse) {
        let mut ending = begin(Some(&hello));
        ending.stage(Stage::Dial);
        if let Err(problem) = &verified {
            ending.problem(problem);
        }
        greeting.refuse().await;
        return;
    }
    // The leaf carries the name that the client expects: its SNI, where policy lets that differ from
    // the target too.
    let name = sni.clone().unwrap_or_else(|| permit.server_name().clone());
    let what = match &verified {
        Ok((info, _)) => For::Origin(info),
        Err(_) => For::ErrorPage,
    };
    let leaf = gateway.leaves.leaf(&name, what, greeting.key_type());
    let leaf = match client.in_turns(leaf).await {
        Ok(leaf) => leaf,
        Err(error) => return broke(begin(Some(&hello)), Problem::Mint(error.to_string()).to_string()),
    };
    let witness = Witness {
        gateway: gateway.clone(),
        client: client.addr.ip(),
        ja4: hello.ja4.clone(),
        ech: hello.ech,
        host: name,
        asked: AtomicBool::new(false),
    };
    let (stream, negotiated) = match timeout(limit, client.in_turns(greeting.accept(&leaf))).await {
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
    let left = Arc::default();
    let stream = Ear { inner: stream, left: Arc::clone(&left) };
    let way = Way::with(gateway.clone(), client.clone(), Leg::Tunnel(inside.clone()), idle);
    exchange::serve(way, Box::new(stream), protocol).await;
    if let Some(witness) = &inside.witness {
        witness.over(left.get().copied());
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
