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
use super::{Client, Gateway, exchange, tunnel};
use crate::audit::record::TlsFacts;
use crate::audit::{Kind, Stage};
use crate::message::reason::Code;
use crate::message::target::Scheme;
use crate::net::Alpn;
use crate::net::hello::Sni;
use crate::origin::{Idle, OriginError, PoolKey};
use crate::policy::{Answer, Denial, Opaque, OriginError as OriginErrorMode, Permit};
use crate::tls::accept::handshake_failure;
use crate::tls::connect::Offer;
use crate::tls::sniff::Sniff;
use crate::tls::verify::CertificateInfo;
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
        Answer::Tunnel(permit, reason) => relay_untouched(gateway, client, permit, &reason, io).await,
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
) {
    let mut ending = finish::tunnel(&gateway, &client, &permit, reason);
    match tunnel::dial(&gateway, &permit, &mut ending).await {
        Ok(origin) => tunnel::relay(&gateway, io, origin, ending).await,
        Err(problem) => ending.fail(&problem),
    }
}

async fn intercept_tls(gateway: Arc<Gateway>, client: Client, permit: Permit, io: Rewind<BoxIo>) {
    let limit = gateway.limits.handshake_time;
    let failed = |problem: String| {
        gateway.metrics.client_tls_failed.increment();
        let mut ending = Ending::begin(&gateway, &client, Kind::Connect);
        ending.note(|record| record.target = Some(permit.target().clone()));
        ending.stage(Stage::Intercept);
        ending.broke(Code::ClientTls, problem);
    };
    let greeting = match timeout(limit, Greeting::read(io)).await {
        Ok(Ok(greeting)) => greeting,
        Ok(Err(error)) => return failed(error.to_string()),
        Err(_) => return failed(format!("the ClientHello was not whole within {limit:?}")),
    };
    let snapshot = gateway.live.load_full();
    let sni = match &greeting.hello.sni {
        Sni::Name(host) => Some(host.clone()),
        Sni::Absent | Sni::Invalid => None,
    };
    let offer = if greeting.hello.offers(Alpn::H2) { Offer::H2ThenHttp11 } else { Offer::Http11Only };
    let (permit, verified) = match snapshot.policy.hello(permit.clone(), &greeting.hello) {
        Answer::Inspect(permit) => {
            let verified = client.in_turns(verify(&gateway, &permit, offer)).await;
            (permit, verified)
        }
        Answer::Tunnel(permit, reason) => {
            return relay_untouched(
                gateway.clone(),
                client.clone(),
                permit,
                &reason,
                greeting.into_untouched(),
            )
            .await;
        }
        Answer::Deny(denial) => (permit.clone(), Err(Problem::Denied(denial))),
    };
    if verified.is_err() && snapshot.policy.fail().origin_error == OriginErrorMode::Refuse {
        let mut ending = Ending::begin(&gateway, &client, Kind::Connect);
        ending.note(|record| {
            record.target = Some(permit.target().clone());
            record.sni = sni;
        });
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
        Err(error) => return failed(Problem::Mint(error.to_string()).to_string()),
    };
    let (stream, negotiated) = match timeout(limit, client.in_turns(greeting.accept(&leaf))).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            return failed(format!("the client ended the TLS handshake: {}", handshake_failure(&error)));
        }
        Err(_) => return failed(format!("the TLS handshake was not done within {limit:?}")),
    };
    let protocol = if negotiated.alpn.as_deref() == Some("h2") { Alpn::H2 } else { Alpn::Http11 };
    let (idle, refused) = match verified {
        Ok((_, idle)) => (idle, None),
        Err(problem) => (None, Some((problem.is_denial(), problem.explain()))),
    };
    let inside = Inside { permit, scheme: Scheme::Https, sni, tls: Some(facts(&negotiated)), refused };
    let leg = Leg::Tunnel(Arc::new(inside));
    let way = Way::with(gateway.clone(), client.clone(), leg, idle);
    exchange::serve(way, Box::new(stream), protocol).await;
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
