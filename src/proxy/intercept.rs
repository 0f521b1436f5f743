//! Inside an accepted tunnel: sniff, policy on the ClientHello, the origin's certificate, a leaf,
//! the client's TLS, and then HTTP. The origin is verified before anything is minted for its name
//! (an origin verified a short while ago is remembered); an origin that is refused gets the client
//! a page that says why, over a leaf made for that page alone.

use std::sync::Arc;

use moka::sync::Cache;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::exchange::{Inside, Leg, Way};
use super::finish::{self, Ending};
use super::respond::Problem;
use super::{Client, Gateway, exchange, tunnel};
use crate::audit::record::TlsFacts;
use crate::audit::{Kind, Stage};
use crate::ca::{Ca, CaError, LeafCache, LeafProfile, Minted, Purpose};
use crate::message::reason::Code;
use crate::message::target::Scheme;
use crate::metrics::Metrics;
use crate::net::hello::Sni;
use crate::net::{Alpn, Authority, Host, Limits};
use crate::origin::{Idle, OriginError, PoolKey};
use crate::policy::{Answer, Denial, Opaque, OriginError as OriginErrorMode, Permit, VerificationId};
use crate::tls::accept::{LeafConfigs, LeafError, handshake_failure};
use crate::tls::connect::Offer;
use crate::tls::sniff::Sniff;
use crate::tls::verify::CertificateInfo;
use crate::tls::{BoxIo, Greeting, LeafConfig, Negotiated, Rewind};

/// Leaves for hosts, and which origins were verified lately.
pub struct Leaves {
    ca: Arc<Ca>,
    configs: LeafConfigs,
    cache: LeafCache<LeafConfig>,
    verified: Cache<Verified, Arc<CertificateInfo>>,
    own_host: Host,
    metrics: Arc<Metrics>,
}

/// What a verification was good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Verified {
    name: Host,
    dial: Authority,
    by: VerificationId,
}

impl Verified {
    fn of(permit: &Permit) -> Verified {
        Verified {
            name: permit.server_name().clone(),
            dial: permit.dial().clone(),
            by: permit.verification(),
        }
    }
}

/// No leaf for a host.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

impl MintError {
    fn problem(&self) -> Problem {
        let code = match self {
            MintError::Ca(error) => error.code(),
            MintError::Leaf(_) => "leaf",
        };
        Problem::Mint { code, sentence: self.to_string() }
    }
}

impl Leaves {
    /// `own_host` names the proxy to clients that speak TLS to it without saying a name.
    pub fn new(
        ca: Arc<Ca>,
        own_host: Host,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Leaves, LeafError> {
        Ok(Leaves {
            ca,
            configs: LeafConfigs::new()?,
            cache: LeafCache::new(limits.leaf_cache),
            verified: Cache::builder()
                .max_capacity(limits.leaf_cache)
                .time_to_live(limits.verified_time)
                .build(),
            own_host,
            metrics,
        })
    }

    pub fn own_host(&self) -> Host {
        self.own_host.clone()
    }

    pub async fn for_proxy(&self, host: &Host) -> Result<LeafConfig, Arc<MintError>> {
        self.leaf(host, Purpose::Proxy, None).await
    }

    async fn leaf(
        &self,
        host: &Host,
        purpose: Purpose,
        origin: Option<&CertificateInfo>,
    ) -> Result<LeafConfig, Arc<MintError>> {
        let now = OffsetDateTime::now_utc();
        let cap = origin.and_then(|info| OffsetDateTime::from_unix_timestamp(info.not_after).ok());
        let key = self.ca.leaf_key(host, purpose);
        if let Some(found) = self.cache.get(&key, now, cap) {
            self.metrics.mint_hits.increment();
            return Ok(found);
        }
        let mint = async {
            self.metrics.mints.increment();
            let mut profile = LeafProfile::new(host);
            profile.not_after_cap = cap;
            profile.origin = origin.and_then(|info| {
                let mut digest = [0u8; 32];
                hex::decode_to_slice(&info.fingerprint, &mut digest).ok()?;
                Some(digest)
            });
            let leaf = self.ca.mint(&profile, now)?;
            let config = self.configs.build(leaf.chain.clone(), leaf.key.clone_key())?;
            Ok(Minted::new(config, &leaf, now))
        };
        self.cache.get_or_mint(&key, now, cap, mint).await
    }

    /// Renews what signs leaves, when it is time.
    pub async fn refresh(&self) {
        let ca = self.ca.clone();
        let renewed = tokio::task::spawn_blocking(move || ca.refresh(OffsetDateTime::now_utc())).await;
        if let Ok(Err(error)) = renewed {
            tracing::warn!(code = error.code(), %error, fix = error.fix(), "the CA was not renewed");
        }
    }
}

/// Why a tunnel to a named host need not be opened at all: there would be no leaf for it. Port 80 is
/// for tunnels in plain text, which need none.
pub fn unmintable(gateway: &Gateway, permit: &Permit) -> Option<Problem> {
    let target = permit.target();
    if target.port == crate::net::Port::HTTP {
        return None;
    }
    let ca = &gateway.leaves.ca;
    if let Some(error) = ca.ended(OffsetDateTime::now_utc()) {
        return Some(MintError::Ca(error).problem());
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
    let constraint = gateway.leaves.ca.outside(&host.clone().into())?;
    Some(gateway.live.load().policy.outside_ca(permit.clone(), host, constraint))
}

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
        Answer::Inspect(permit) => match outside(&gateway, &permit, sni.as_ref()) {
            None => {
                let verified = verify(&gateway, &permit, offer).await;
                (permit, verified)
            }
            Some(Answer::Tunnel(permit, reason)) => {
                let io = greeting.into_untouched();
                return relay_untouched(gateway.clone(), client.clone(), permit, &reason, io).await;
            }
            Some(Answer::Deny(denial)) => (permit, Err(Problem::Denied(denial))),
            Some(Answer::Inspect(permit)) => (permit, Err(Problem::Denied(Denial::NotHttp))),
        },
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
    let refused = |problem: &Problem| {
        let mut ending = Ending::begin(&gateway, &client, Kind::Connect);
        ending.note(|record| {
            record.target = Some(permit.target().clone());
            record.sni = sni.clone();
        });
        ending.stage(Stage::Dial);
        ending.problem(problem);
    };
    if let Err(problem) = &verified
        && snapshot.policy.fail().origin_error == OriginErrorMode::Refuse
    {
        refused(problem);
        greeting.refuse().await;
        return;
    }
    // The leaf carries the name that the client expects: its SNI, where policy lets that differ from
    // the target too.
    let name = sni.clone().unwrap_or_else(|| permit.server_name().clone());
    let leaf = match &verified {
        Ok((info, _)) => gateway.leaves.leaf(&name, Purpose::Origin, Some(info)).await,
        Err(_) => gateway.leaves.leaf(&name, Purpose::ErrorPage, None).await,
    };
    let leaf = match leaf {
        Ok(leaf) => leaf,
        // Without a leaf there is no page: the alert says no, and the record why.
        Err(error) => {
            refused(verified.as_ref().err().unwrap_or(&error.problem()));
            greeting.refuse().await;
            return;
        }
    };
    let (stream, negotiated) = match timeout(limit, greeting.accept(&leaf)).await {
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
    if let Some(known) = leaves.verified.get(&key) {
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
    leaves.verified.insert(key, info.clone());
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
