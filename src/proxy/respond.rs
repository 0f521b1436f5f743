//! The one table: what went wrong, and the status, stable code and words that the client and the
//! audit record get for it. Adding a variant makes the match fail to compile until it is decided.

use std::sync::Arc;
use std::time::Duration;

use crate::inspect::Stop;
use crate::message::body::BodyError;
use crate::message::reason::Code;
use crate::message::send;
use crate::message::target::TargetError;
use crate::origin::OriginError;
use crate::policy::Denial;
use crate::waf::report::{Disruption, Interruption};

/// Everything that keeps an exchange or a tunnel from going its way.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{0}")]
    ConnectTarget(String),
    #[error("https goes through this proxy by CONNECT")]
    NeedsConnect,
    #[error(transparent)]
    Denied(#[from] Denial),
    #[error("the proxy asks for a user name and password")]
    AuthRequired,
    #[error("the request has been through this proxy already")]
    Loop,
    #[error("the request target is longer than {limit} bytes")]
    UriTooLong { limit: usize },
    #[error("the request expects something that is not known here: {0}")]
    Expectation(String),
    #[error("the request's head is longer than {limit} bytes")]
    HeadTooLong { limit: usize },
    #[error("the request gives its length in two ways, which readers understand differently")]
    Ambiguous,
    #[error("the request's body has a transfer coding that is not known here; chunked is")]
    TransferCoding,
    #[error("a field's value begins or ends with white space, which HTTP/2 does not allow")]
    WhiteSpace,
    #[error("the request has more than {limit} header fields")]
    TooManyFields { limit: usize },
    #[error("the audit log cannot take a record now")]
    AuditUnavailable,
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Decided when the tunnel was made, told again for each request in it.
    #[error("{}", explained.sentence)]
    Refused { denied: bool, explained: Explained },
    #[error("the origin did not begin its answer within {limit:?}")]
    FirstByte { limit: Duration },
    #[error("the origin closed the connection or broke HTTP: {0}")]
    Exchange(hyper::Error),
    #[error("the request was stopped: {0}")]
    Request(Stop),
    #[error("the response was stopped: {0}")]
    Response(Stop),
    #[error("the leaf for this host cannot be minted: {sentence}")]
    Mint { code: &'static str, sentence: String },
    #[error("the origin cannot be asked to change protocols")]
    NoUpgrade,
    #[error("the origin's answer has a transfer coding that nobody asked for")]
    OriginCoding,
    #[error("the origin sent interim answers without end")]
    Interim,
    #[error("the origin closed a fresh connection before the request was sent")]
    Unsent,
}

/// A problem as it is told.
#[derive(Clone, Debug)]
pub struct Explained {
    pub status: u16,
    pub code: Code,
    pub sentence: String,
    /// The policy rule that decided, by its name.
    pub rule: Option<Arc<str>>,
}

impl Problem {
    /// The rule engine's own decision, which has a page of its own.
    pub fn interruption(&self) -> Option<&Interruption> {
        match self {
            Problem::Request(Stop::Rule(why)) | Problem::Response(Stop::Rule(why)) => Some(why),
            _ => None,
        }
    }

    /// The request is malformed in the sense of RFC 9113 section 8.1.1.
    pub fn is_malformed(&self) -> bool {
        match self {
            Problem::Target(target) => target.is_malformed(),
            Problem::WhiteSpace | Problem::ConnectTarget(_) => true,
            _ => false,
        }
    }

    /// Policy's doing, not an error.
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Problem::Denied(_)
                | Problem::AuthRequired
                | Problem::Loop
                | Problem::Origin(OriginError::Denied(_))
                | Problem::Refused { denied: true, .. }
        )
    }

    /// Status, code and sentence.
    pub fn explain(&self) -> Explained {
        let (status, code) = self.status();
        let rule = match self {
            Problem::Denied(denial) | Problem::Origin(OriginError::Denied(denial)) => denial.rule().cloned(),
            Problem::Refused { explained, .. } => explained.rule.clone(),
            _ => None,
        };
        Explained { status, code, sentence: self.to_string(), rule }
    }

    fn status(&self) -> (u16, Code) {
        match self {
            Problem::Target(_) | Problem::ConnectTarget(_) | Problem::NeedsConnect => (400, Code::Malformed),
            Problem::Denied(denial) => self::denial(denial),
            Problem::AuthRequired => (407, Code::AuthRequired),
            Problem::Loop => (508, Code::Loop),
            Problem::UriTooLong { .. } => (414, Code::UriTooLong),
            Problem::Expectation(_) => (417, Code::UnsupportedExpectation),
            Problem::Ambiguous | Problem::WhiteSpace => (400, Code::Malformed),
            // RFC 9112 section 6.1.
            Problem::TransferCoding => (501, Code::Malformed),
            Problem::TooManyFields { .. } | Problem::HeadTooLong { .. } => (431, Code::HeadTooLarge),
            Problem::AuditUnavailable => (503, Code::AuditUnavailable),
            Problem::Origin(error) => origin(error),
            Problem::Refused { explained, .. } => (explained.status, explained.code),
            Problem::FirstByte { .. } => (504, Code::OriginTimeout),
            Problem::Exchange(error) => exchange(error),
            Problem::Request(stop) => request(stop),
            Problem::Response(stop) => response(stop),
            Problem::Mint { code, .. } => match *code {
                "ca_expired" | "ca_root_key_missing" => (502, Code::CaExpired),
                "ca_not_permitted" => (403, Code::CaConstraints),
                _ => (502, Code::Internal),
            },
            Problem::NoUpgrade | Problem::OriginCoding | Problem::Interim => (502, Code::OriginGarbage),
            Problem::Unsent => (502, Code::OriginClosed),
        }
    }
}

/// Policy's denials.
pub fn denial(denial: &Denial) -> (u16, Code) {
    match denial {
        Denial::ClientNotAllowed { .. } => (403, Code::ClientNetwork),
        Denial::HostDenied { .. } | Denial::HostNotAllowed { .. } => (403, Code::HostDenied),
        Denial::PortDenied { .. } => (403, Code::Port),
        Denial::AddressDenied { .. } | Denial::LocalName { .. } => (403, Code::PrivateAddress),
        Denial::OwnListener { .. } => (508, Code::OwnListener),
        // RFC 9110 section 15.5.20: an honest client tries again on a connection of its own.
        Denial::SniMismatch { .. } | Denial::HostMismatch { .. } => (421, Code::Misdirected),
        Denial::OutsideCa { .. } => (403, Code::CaConstraints),
        Denial::SniInvalid => (400, Code::ClientTls),
        Denial::TunnelName { .. } => (502, Code::NameMismatch),
        Denial::AlpnNotHttp | Denial::NotHttp | Denial::SpokeFirst => (403, Code::NotHttp),
        Denial::Silent => (408, Code::Silent),
    }
}

fn origin(error: &OriginError) -> (u16, Code) {
    let code = |name: &str| name.parse().unwrap_or(Code::TlsFailed);
    match error {
        OriginError::Denied(denial) => self::denial(denial),
        OriginError::Resolve(error) => match error.code() {
            "dns_nxdomain" => (502, Code::DnsNxdomain),
            _ => (504, Code::DnsTimeout),
        },
        OriginError::Refused { .. } => (502, Code::OriginRefused),
        OriginError::Unreachable { .. } => (502, Code::OriginUnreachable),
        OriginError::ConnectTimeout { .. } | OriginError::TlsTimeout { .. } => (504, Code::OriginTimeout),
        OriginError::Tls { refusal, .. } => (502, code(refusal.code())),
        OriginError::Http { .. } => (502, Code::OriginGarbage),
    }
}

fn exchange(error: &hyper::Error) -> (u16, Code) {
    if error.is_user() || error.is_body_write_aborted() {
        // The client's body broke off while it was passed on.
        (400, Code::ClientGone)
    } else if send::broke_http(error) {
        (502, Code::OriginGarbage)
    } else {
        (502, Code::OriginClosed)
    }
}

fn request(stop: &Stop) -> (u16, Code) {
    match stop {
        Stop::Rule(why) => rule(why),
        Stop::Oversize { .. } => (413, Code::BodyTooLarge),
        Stop::Undecodable(_) => (415, Code::Uninspectable),
        Stop::Unparsable(_) => (400, Code::Uninspectable),
        Stop::Body(BodyError::Stalled(_)) => (408, Code::BodyTimeout),
        Stop::Body(BodyError::Stopped) => (403, Code::Blocked),
        Stop::Body(error) if error.is_malformed() => (400, Code::Malformed),
        Stop::Body(BodyError::Refused(refusal)) => (refused(refusal.code, 413), refusal.code),
        Stop::Body(_) => (400, Code::ClientGone),
        Stop::Engine => (500, Code::Internal),
        Stop::OutOfTime => (500, Code::RulesOutOfTime),
    }
}

fn response(stop: &Stop) -> (u16, Code) {
    match stop {
        Stop::Rule(why) => rule(why),
        Stop::Oversize { .. } | Stop::Undecodable(_) | Stop::Unparsable(_) => (502, Code::Uninspectable),
        Stop::Body(BodyError::Stalled(_)) => (504, Code::OriginStalled),
        Stop::Body(BodyError::Refused(refusal)) => (refused(refusal.code, 502), refusal.code),
        Stop::Body(_) => (502, Code::OriginClosed),
        Stop::Engine => (500, Code::Internal),
        Stop::OutOfTime => (500, Code::RulesOutOfTime),
    }
}

/// A check that is no rule: the malware scanner. `odd` is for a body that cannot be scanned as it is.
fn refused(code: Code, odd: u16) -> u16 {
    match code {
        Code::ScanUnavailable => 503,
        Code::ScanTooLarge | Code::Uninspectable => odd,
        Code::ScanPartial => 502,
        _ => 403,
    }
}

fn rule(why: &Interruption) -> (u16, Code) {
    match &why.action {
        Disruption::Deny { status } if why.by_score => (*status, Code::Score),
        Disruption::Deny { status } => (*status, Code::Blocked),
        Disruption::Redirect { status, .. } => (*status, Code::RuleRedirect),
        Disruption::Drop => (403, Code::RuleDrop),
    }
}
