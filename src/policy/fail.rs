//! What happens when something cannot be done as it should: every fail mode of the program,
//! as data. The code that meets the situation looks its outcome up here and nowhere else.

use serde::{Deserialize, Serialize};

/// The outcomes, one per situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailModes {
    /// A request body longer than `limits.request_window`. Default `partial`: the window is
    /// inspected and the rest streams through, because uploads of any size are legitimate;
    /// the audit record says that the inspection was partial.
    pub oversize_request_body: Oversize,
    /// A response body longer than `limits.response_window`. Default `partial`: downloads of
    /// any size are legitimate, and what leaks shows at the start of a page.
    pub oversize_response_body: Oversize,
    /// A body with a content coding that we do not know. Default `pass`: the bytes are
    /// inspected as they stand and marked undecoded for rules and audit. Most applications
    /// ignore the label on requests, and real clients send private ones (object stores do).
    pub unknown_coding: Undecoded,
    /// A request body that claims a coding we know and breaks its rules, or expands beyond
    /// the limits. Default `deny`: no honest client sends one, and attacks hide in them.
    pub undecodable_request: Undecoded,
    /// The same in a response. Default `pass`: what could be decoded is inspected, and the
    /// client sees the origin's bytes as they are; truncated and oddly labelled responses
    /// are common, and very compressible ones are honest.
    pub undecodable_response: Undecoded,
    /// A request body that is not what its Content-Type says: JSON with NaN or without an end, XML
    /// that is not well-formed. Default `inspect`: real clients send such bodies, so they are read
    /// as far as they can be, rules see what they are and that they are broken; `deny` refuses them.
    pub unparsable_request: Unparsable,
    /// The rule engine failed on an exchange, or took longer than `limits.rules_time`. Default `deny`: failing open would turn any
    /// fault an attacker can provoke into a way past the rules.
    pub engine_error: EngineError,
    /// A tunnel whose client sends nothing within `limits.tunnel_first_byte`. Default
    /// `close`: HTTP and TLS clients speak first; protocols that do not are not for this proxy.
    pub silent_tunnel: SilentTunnel,
    /// Bytes in a tunnel that are neither TLS nor HTTP, or TLS with an ALPN that offers no
    /// HTTP. Default `deny`: what cannot be read cannot be inspected.
    pub not_http: NotHttp,
    /// The audit queue is full because its disk or reader is stuck. Default `drop`: the record
    /// is counted as lost and traffic goes on; `block` refuses exchanges until there is room.
    pub audit_full: AuditFull,
    /// The origin could not be reached or verified after the client's TLS was expected.
    /// Default `page`: end the client's TLS and show a 502 page that explains; `refuse` ends
    /// the handshake with an alert instead.
    pub origin_error: OriginError,
    /// A host for which our CA may not issue, by name constraints in its certificate or one above.
    /// Default `deny`: what cannot be inspected does not pass; `tunnel` relays it unread.
    pub outside_ca_constraints: OutsideCa,
    /// The origin asks for a client certificate and none is configured for it. Default `empty`:
    /// it is told that there is none, which is what a browser without one says; most that ask
    /// do not insist. `tunnel` relays the host's later connections unread for a while, so that
    /// clients can show their own: an origin can take itself out of inspection by asking.
    /// `block` refuses such origins.
    pub client_certificate: ClientCertificate,
}

impl Default for FailModes {
    fn default() -> FailModes {
        FailModes {
            oversize_request_body: Oversize::Partial,
            oversize_response_body: Oversize::Partial,
            unknown_coding: Undecoded::Pass,
            undecodable_request: Undecoded::Deny,
            unparsable_request: Unparsable::Inspect,
            undecodable_response: Undecoded::Pass,
            engine_error: EngineError::Deny,
            silent_tunnel: SilentTunnel::Close,
            not_http: NotHttp::Deny,
            audit_full: AuditFull::Drop,
            origin_error: OriginError::Page,
            outside_ca_constraints: OutsideCa::Deny,
            client_certificate: ClientCertificate::Empty,
        }
    }
}

macro_rules! outcome {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

outcome! {
    /// A body does not fit its window.
    Oversize {
        /// Inspect the window, let the rest through, record that it was partial.
        Partial,
        /// Refuse: 413 for a request, 502 for a response.
        Deny,
    }
}
outcome! {
    /// A content coding cannot be undone.
    Undecoded {
        /// Inspect what there is, mark it, let it through.
        Pass,
        /// Refuse: 415 for a request, 502 for a response.
        Deny,
    }
}
outcome! {
    /// A body is not what it says it is.
    Unparsable {
        /// Read it as far as it can be read, and let the rules decide.
        Inspect,
        /// Refuse: 400.
        Deny,
    }
}
outcome! {
    /// The rule engine failed.
    EngineError { Deny, Pass }
}
outcome! {
    /// A tunnel in which the client says nothing.
    SilentTunnel { Close, Tunnel }
}
outcome! {
    /// A tunnel that is neither TLS nor HTTP.
    NotHttp { Deny, Tunnel }
}
outcome! {
    /// The audit queue is full.
    AuditFull { Drop, Block }
}
outcome! {
    /// A host for which our CA may not issue.
    OutsideCa { Deny, Tunnel }
}
outcome! {
    /// The origin failed before the client's TLS was accepted.
    OriginError { Page, Refuse }
}
outcome! {
    /// The origin asks for a certificate of its client.
    ClientCertificate {
        /// Say that there is none.
        Empty,
        /// Remember the host and relay its later connections unread.
        Tunnel,
        /// Refuse the origin.
        Block,
    }
}
