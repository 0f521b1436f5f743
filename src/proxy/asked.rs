//! Origins that ask for a client certificate that we have not: policy says whether they are told so,
//! refused, or left to the client for a while. A client's own key is never asked for.

use moka::sync::Cache;

use super::Gateway;
use super::respond::Problem;
use crate::net::{Authority, Host, Limits};
use crate::origin::OriginError;
use crate::origin::dial::OriginFacts;
use crate::policy::{ClientCertificate, Permit};
use crate::tls::{ClientAuth, Refusal};

/// The origins that asked lately, when policy is to relay them: bounded in number and in time.
pub struct Asked(Cache<(Host, Authority), ()>);

impl Asked {
    pub fn new(limits: &Limits) -> Asked {
        Asked(Cache::builder().max_capacity(limits.leaf_cache).time_to_live(limits.verified_time).build())
    }

    /// Whether the origin of this permit asked lately.
    pub fn lately(&self, permit: &Permit) -> bool {
        self.0.contains_key(&key(permit))
    }

    /// A changed policy begins with what it sees itself.
    pub fn forget(&self) {
        self.0.invalidate_all();
    }
}

fn key(permit: &Permit) -> (Host, Authority) {
    (permit.server_name().clone(), permit.dial().clone())
}

fn refusal(permit: &Permit, how: &'static str) -> Problem {
    Problem::Origin(OriginError::Tls {
        origin: Authority::new(permit.server_name().clone(), permit.dial().port),
        refusal: Refusal::ClientCertificate(how),
    })
}

/// Judges a connection on which nothing was sent yet.
pub fn judge(gateway: &Gateway, permit: &Permit, facts: &OriginFacts) -> Result<(), Problem> {
    if facts.client_auth != ClientAuth::NoneGiven {
        return Ok(());
    }
    match gateway.live.load().policy.fail().client_certificate {
        ClientCertificate::Empty => Ok(()),
        ClientCertificate::Block => Err(refusal(permit, ", and policy refuses origins that do")),
        ClientCertificate::Tunnel => {
            gateway.asked.0.insert(key(permit), ());
            tracing::info!(origin = %permit.dial(), "it asks for a client certificate; it is relayed unread for a while");
            Err(refusal(permit, ": from now on its connections are relayed unread for a while, so try again"))
        }
    }
}

/// A connection ended without an answer to its first request: an origin that was given an empty
/// list says so only then in TLS 1.3, and often only by closing.
pub fn unanswered(permit: &Permit, facts: &OriginFacts, served: bool, otherwise: Problem) -> Problem {
    let ended = match &otherwise {
        Problem::Unsent => true,
        Problem::Exchange(error) => !error.is_user() && !error.is_parse() && !error.is_body_write_aborted(),
        _ => false,
    };
    if ended && !served && facts.client_auth == ClientAuth::NoneGiven {
        refusal(permit, " and closed the connection because it got none")
    } else {
        otherwise
    }
}
