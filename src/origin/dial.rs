//! A permit to a connected stream. Takes a [`Permit`] and nothing else as leave: the address that
//! policy checked is the address that is dialled.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::resolve::{self, ResolveError, Resolver};
use crate::audit::record::{CertificateFacts, OriginMarks};
use crate::message::send::Sender;
use crate::net::{Alpn, Authority, Limits, OriginAddr};
use crate::policy::{Denial, DialPermit, Permit};
use crate::tls::connect::{Connected, Offer, OriginStream};
use crate::tls::verify::{CertificateInfo, Change, Judged, Marks};
use crate::tls::{ClientAuth, Negotiated, OriginTls, Refusal};

/// RFC 8305 section 5: the delay before the next address is tried beside the last.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Why there is no connection to an origin.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// None of the name's addresses may be dialled.
    #[error(transparent)]
    Denied(#[from] Denial),
    #[error("{origin} refused the connection")]
    Refused { origin: Authority },
    #[error("{origin} did not accept the connection within {limit:?}")]
    ConnectTimeout { origin: Authority, limit: Duration },
    #[error("{origin} cannot be reached: {source}")]
    Unreachable { origin: Authority, source: io::Error },
    #[error("{origin} was refused: {refusal}")]
    Tls { origin: Authority, refusal: Refusal },
    #[error("{origin} did not finish the TLS handshake within {limit:?}")]
    TlsTimeout { origin: Authority, limit: Duration },
    #[error("{origin} did not speak HTTP: {source}")]
    Http { origin: Authority, source: hyper::Error },
}

impl OriginError {
    pub fn code(&self) -> &'static str {
        match self {
            OriginError::Resolve(error) => error.code(),
            OriginError::Denied(denial) => denial.code(),
            OriginError::Refused { .. } => "origin_refused",
            OriginError::ConnectTimeout { .. } | OriginError::TlsTimeout { .. } => "origin_timeout",
            OriginError::Unreachable { .. } => "origin_unreachable",
            OriginError::Tls { refusal, .. } => refusal.code(),
            OriginError::Http { .. } => "origin_garbage",
        }
    }
}

/// What is known of an origin connection, for the audit record.
#[derive(Clone, Debug)]
pub struct OriginFacts {
    pub addr: OriginAddr,
    pub tls: Option<Negotiated>,
    pub certificate: Option<CertificateInfo>,
    /// The certificate as every record of the connection shows it.
    pub shown: Option<Arc<CertificateFacts>>,
    /// What its verification found out besides.
    pub marks: OriginMarks,
    pub client_auth: ClientAuth,
}

impl OriginFacts {
    /// A connection without TLS, or one that is not ours to look into.
    pub fn plain(addr: OriginAddr) -> OriginFacts {
        OriginFacts {
            addr,
            tls: None,
            certificate: None,
            shown: None,
            marks: OriginMarks::default(),
            client_auth: ClientAuth::NotAsked,
        }
    }
}

/// A verified TLS connection on which nothing has been sent.
pub struct Secured {
    pub stream: OriginStream<TcpStream>,
    pub facts: OriginFacts,
}

/// Everything needed to reach origins.
pub struct Dialer {
    pub resolver: Resolver,
    pub tls: Arc<OriginTls>,
    pub limits: Limits,
}

impl Dialer {
    /// Connects to the permit's origin, trying its addresses as RFC 8305 has it.
    pub async fn connect(&self, permit: &Permit) -> Result<(TcpStream, OriginAddr), OriginError> {
        let origin = permit.dial();
        let answer = match permit.leads() {
            Some(leads) => {
                resolve::Answer { addrs: leads.addresses.iter().copied().collect(), dial_port: leads.port }
            }
            None => self.resolver.resolve(origin).await?,
        };
        let mut allowed: Vec<DialPermit> = Vec::with_capacity(answer.addrs.len());
        let mut denied = None;
        for ip in answer.addrs {
            match permit.check_address(ip) {
                Ok(dial) => allowed.push(dial),
                Err(denial) => denied = Some(denial),
            }
        }
        if let (true, Some(denial)) = (allowed.is_empty(), denied) {
            return Err(denial.into());
        }
        let limit = self.limits.connect_time;
        let attempts = race(allowed, answer.dial_port.map(|port| port.get()));
        match timeout(limit, attempts).await {
            Ok(Ok((stream, addr))) => {
                // A request is written whole; waiting to fill segments only adds delay.
                let _ = stream.set_nodelay(true);
                Ok((stream, addr))
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(OriginError::Refused { origin: origin.clone() })
            }
            Ok(Err(source)) => Err(OriginError::Unreachable { origin: origin.clone(), source }),
            Err(_) => Err(OriginError::ConnectTimeout { origin: origin.clone(), limit }),
        }
    }

    /// Connects and verifies. An origin that refuses http/1.1 is asked once more for h2.
    pub async fn secure(&self, permit: &Permit, offer: Offer) -> Result<Secured, OriginError> {
        match self.secure_once(permit, offer).await {
            Err(OriginError::Tls { refusal: Refusal::NoCommonProtocol, .. })
                if offer == Offer::Http11Only =>
            {
                self.secure_once(permit, Offer::H2Only).await
            }
            outcome => outcome,
        }
    }

    async fn secure_once(&self, permit: &Permit, offer: Offer) -> Result<Secured, OriginError> {
        let (stream, addr) = self.connect(permit).await?;
        let origin = || Authority::new(permit.server_name().clone(), permit.dial().port);
        let limit = self.limits.origin_handshake_time;
        let connected = timeout(limit, self.tls.connect(stream, permit, offer))
            .await
            .map_err(|_| OriginError::TlsTimeout { origin: origin(), limit })?
            .map_err(|refusal| OriginError::Tls { origin: origin(), refusal })?;
        let Connected { stream, negotiated, judged, client_auth } = connected;
        let Judged { certificate, marks } = judged;
        let shown = Some(Arc::new(CertificateFacts {
            sha256: certificate.fingerprint.clone(),
            issuer: certificate.issuer.clone(),
        }));
        let marks = self.marks(&origin(), &marks);
        let certificate = Some(certificate);
        let tls = Some(negotiated);
        Ok(Secured { stream, facts: OriginFacts { addr, tls, certificate, shown, marks, client_auth } })
    }

    /// What is remarkable of an origin's certificate, as audit records have it.
    fn marks(&self, origin: &Authority, marks: &Marks) -> OriginMarks {
        OriginMarks {
            revocation: marks.revocation.code().into(),
            changed: self.tls.changes.observe(origin, marks).map_or("", Change::code).into(),
            warnings: match marks.warnings.as_slice() {
                [] => "".into(),
                [one] => (*one).into(),
                more => more.join(",").into(),
            },
        }
    }

    /// Starts HTTP on a verified connection.
    pub async fn start(
        &self,
        permit: &Permit,
        secured: Secured,
    ) -> Result<(Sender, OriginFacts), OriginError> {
        let h2 = secured.facts.tls.as_ref().and_then(|tls| tls.alpn.as_deref()) == Some("h2");
        let protocol = if h2 { Alpn::H2 } else { Alpn::Http11 };
        let sender = Sender::open(secured.stream, protocol, &self.limits)
            .await
            .map_err(|source| OriginError::Http { origin: permit.dial().clone(), source })?;
        Ok((sender, secured.facts))
    }

    /// Connects to a plain HTTP origin.
    pub async fn start_plain(&self, permit: &Permit) -> Result<(Sender, OriginFacts), OriginError> {
        let (stream, addr) = self.connect(permit).await?;
        let sender = Sender::open(stream, Alpn::Http11, &self.limits)
            .await
            .map_err(|source| OriginError::Http { origin: permit.dial().clone(), source })?;
        Ok((sender, OriginFacts::plain(addr)))
    }
}

/// Tries each address in turn, the next one beside the last after a short delay or at once when
/// the last failed; the first connection wins, the last error is told.
async fn race(addrs: Vec<DialPermit>, dial_port: Option<u16>) -> io::Result<(TcpStream, OriginAddr)> {
    let mut rest = addrs.into_iter().map(|permit| {
        let addr = permit.addr();
        match dial_port {
            Some(port) => OriginAddr::new(std::net::SocketAddr::new(addr.ip(), port)),
            None => addr,
        }
    });
    let attempt = |addr: OriginAddr| async move {
        TcpStream::connect(addr.socket()).await.map(|stream| (stream, addr))
    };
    let nothing = || io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address to try");
    let first = rest.next().ok_or_else(nothing)?;
    let Some(second) = rest.next() else { return attempt(first).await };
    let mut running = JoinSet::new();
    running.spawn(attempt(first));
    let mut waiting = Some(second);
    let mut last = None;
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(won))) => return Ok(won),
                Some(Ok(Err(error))) => last = Some(error),
                Some(Err(_)) => {}
                None if waiting.is_none() => return Err(last.unwrap_or_else(nothing)),
                None => {}
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.is_some() && !running.is_empty() => {}
        }
        if let Some(addr) = waiting.take() {
            running.spawn(attempt(addr));
            waiting = rest.next();
        }
    }
}
