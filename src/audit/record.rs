//! The audit record: one JSON line for each exchange, tunnel and refused connection. The field
//! names are a contract; fields without a value are left out. Domain types go in as they are
//! and become text only when the writer serialises them, off the path of the traffic.

pub(super) mod line;
mod spelling;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::net::{Authority, ClientAddr, ConnectionId, Entry, Host, OriginAddr, ReceiptId};
use crate::waf::report::Report;

/// Text that is mostly a constant of the program.
pub type Text = Cow<'static, str>;

/// What happened, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(with = "spelling::as_text")]
    pub id: ReceiptId,
    /// When it began. The caller reads the clock.
    #[serde(with = "spelling::as_rfc3339")]
    pub time: SystemTime,
    pub kind: Kind,
    #[serde(with = "spelling::as_number")]
    pub connection: ConnectionId,
    #[serde(with = "spelling::as_socket")]
    pub client: ClientAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(default, with = "spelling::as_entry", skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// What the client asked to be connected to.
    #[serde(default, with = "spelling::as_authority", skip_serializing_if = "Option::is_none")]
    pub target: Option<Authority>,
    #[serde(default, with = "spelling::as_host", skip_serializing_if = "Option::is_none")]
    pub sni: Option<Host>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub method: Text,
    /// The whole URL of the request; redacted by the writer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(default, skip_serializing_if = "ClientLeg::is_empty")]
    pub client_leg: ClientLeg,
    #[serde(default, skip_serializing_if = "OriginLeg::is_empty")]
    pub origin_leg: OriginLeg,
    /// What both legs together are worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// The secrets of both legs went to the TLS key log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keys_logged: bool,
    /// The status the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub verdict: Verdict,
    /// The stable code of the reason, empty when there is nothing to explain.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    /// The same for a person, with particulars.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub sentence: Text,
    /// The policy rule that decided, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rule: Option<Arc<str>>,
    /// How far it came.
    pub stage: Stage,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_from_client: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_to_client: u64,
    /// From the first byte of the request to the last of the response.
    #[serde(rename = "duration_ms", with = "spelling::as_ms")]
    pub duration: Duration,
    /// The part of it that inspection and interception added, where that is known.
    #[serde(
        rename = "added_ms",
        default,
        with = "spelling::as_ms_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub added: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_inspection: Option<Inspection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_inspection: Option<Inspection>,
    /// The range that was asked for was taken out, so that the file came whole and was scanned whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub range_removed: bool,
    /// What the malware scanner said of the bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_scan: Option<Scan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_scan: Option<Scan>,
    /// Fingerprint of the rules that were in force.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub rules: Text,
    /// What the rules found; left out when they found nothing.
    #[serde(default, skip_serializing_if = "nothing_found")]
    pub waf: Option<Box<Report>>,
}

impl Record {
    /// A record with what every record has; the rest is filled in as it becomes known.
    pub fn new(
        id: ReceiptId,
        time: SystemTime,
        kind: Kind,
        connection: ConnectionId,
        client: ClientAddr,
    ) -> Record {
        Record {
            id,
            time,
            kind,
            connection,
            client,
            identity: None,
            entry: None,
            target: None,
            sni: None,
            method: Text::Borrowed(""),
            url: String::new(),
            client_leg: ClientLeg::default(),
            origin_leg: OriginLeg::default(),
            protection: None,
            keys_logged: false,
            status: None,
            verdict: Verdict::Failed,
            reason: Text::Borrowed(""),
            sentence: Text::Borrowed(""),
            policy_rule: None,
            stage: Stage::Accept,
            bytes_from_client: 0,
            bytes_to_client: 0,
            duration: Duration::ZERO,
            added: None,
            request_inspection: None,
            response_inspection: None,
            range_removed: false,
            request_scan: None,
            response_scan: None,
            rules: Text::Borrowed(""),
            waf: None,
        }
    }

    /// About how much memory the record holds, for the queue's bound.
    pub(super) fn weight(&self) -> usize {
        let waf = self
            .waf
            .as_deref()
            .map_or(0, |report| size_of::<Report>() + report.matches.iter().map(match_weight).sum::<usize>());
        size_of::<Record>()
            + self.url.len()
            + self.sentence.len()
            + self.identity.as_ref().map_or(0, String::len)
            + self.request_scan.iter().chain(&self.response_scan).map(Scan::weight).sum::<usize>()
            + waf
    }
}

fn match_weight(found: &crate::waf::report::Match) -> usize {
    let steps: usize = found.steps.iter().map(|s| s.transformation.len() + s.result.len() + 48).sum();
    size_of_val(found)
        + found.message.len()
        + found.data.len()
        + found.variable.len()
        + found.value.len()
        + found.matched.len()
        + found.operator.len()
        + found.exclusion.len()
        + steps
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request and its response.
    Exchange,
    /// Bytes relayed without being decrypted or understood.
    Tunnel,
    /// A CONNECT, SOCKS request or redirected connection that came to nothing.
    Connect,
    /// A connection that ended before it asked for anything.
    Connection,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// Passed because of detection-only mode.
    WouldBlock,
    /// Stopped by rules.
    Blocked,
    /// Refused by policy.
    Denied,
    /// Ended by an error of the client, the origin, the network or the proxy.
    Failed,
    /// Relayed opaquely because it is not ours to understand.
    Tunnelled,
    /// Relayed opaquely because it is on the bypass list.
    Bypassed,
}

/// The stages of the flow, in order; a record names the last that was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Accept,
    Classify,
    Authenticate,
    Connect,
    /// Looking at the first bytes inside a tunnel.
    Sniff,
    /// The TLS handshake with the client, its leaf included.
    Intercept,
    /// The request's head: its syntax, the policy, rules on its fields.
    Request,
    RequestBody,
    /// Reaching the origin and verifying it.
    Dial,
    /// Sending the request.
    Send,
    /// The response's head.
    Response,
    ResponseBody,
    /// Streaming what was cleared.
    Relay,
    Tunnel,
    /// Relaying after a 101.
    Upgrade,
    Done,
}

/// The side of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLeg {
    /// "HTTP/1.1", "HTTP/2.0".
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub protocol: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// JA4 of the ClientHello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<Arc<str>>,
    /// The ClientHello has an encrypted name, or pretends to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ech: bool,
    /// How sure it is that the client refused our certificate: "certain" (its alert says so), "probable" (it broke
    /// off behind the certificate).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub distrust: Text,
}

impl ClientLeg {
    fn is_empty(&self) -> bool {
        *self == ClientLeg::default()
    }
}

/// The side of the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginLeg {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub protocol: Text,
    #[serde(default, with = "spelling::as_origin", skip_serializing_if = "Option::is_none")]
    pub address: Option<OriginAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Arc<CertificateFacts>>,
    #[serde(flatten)]
    pub marks: OriginMarks,
    /// In a tunnel that is not decrypted: whether the certificate is for the name asked for. "match", "mismatch",
    /// "hidden" (TLS 1.3), "none" (none was shown).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub name_check: Text,
    /// The origin asked for a client certificate and was shown one (`given`), or none (`none_given`).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub client_certificate: Text,
    /// The connection was kept from an earlier request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pooled: bool,
    /// The request went out a second time, on this connection, because the one before ended without an answer:
    /// "closed" (before a byte of it, and the method may be repeated), "unprocessed" (the origin said so).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub resent: Text,
}

impl OriginLeg {
    fn is_empty(&self) -> bool {
        *self == OriginLeg::default()
    }
}

/// What the verification of an origin's certificate found out, besides that it may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginMarks {
    /// "good", "unknown", or "not_checked" where that is switched off; a revoked one has no exchange.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub revocation: Text,
    /// "key", "issuer" or "key_and_issuer": what is another one than at the connection before.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub changed: Text,
    /// Codes of what passes by policy, with commas between: "over_long", "staple_stale".
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub warnings: Text,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    pub version: Text,
    pub suite: Text,
    /// The key exchange; absent after a TLS 1.2 resumption, which has none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub group: Text,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub alpn: Text,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
}

/// What an inspected connection is worth: never more than its weaker leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// `A+`, `A`, `B` or `F`.
    pub grade: Text,
    /// The client's leg beside the origin's: `same`, `stronger` or `weaker`.
    pub client_leg: Text,
    /// What keeps it from `A+`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Text>,
}

/// The certificate that the origin showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
}

/// How much of a body the rules saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    pub extent: InspectionExtent,
    /// Why it was not the whole.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub why: Text,
}

impl Inspection {
    pub const WHOLE: Inspection = Inspection { extent: InspectionExtent::Whole, why: Text::Borrowed("") };

    pub fn partial(why: impl Into<Text>) -> Inspection {
        Inspection { extent: InspectionExtent::Partial, why: why.into() }
    }

    pub fn none(why: impl Into<Text>) -> Inspection {
        Inspection { extent: InspectionExtent::None, why: why.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectionExtent {
    Whole,
    Partial,
    None,
}

/// A body before the malware scanner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    pub engine: Text,
    /// "clean", "found", "partial" (clean as far as it was scanned: too long, or a piece of a file), "skipped" (by
    /// its type), "too_large", "unscannable" (the scanner could not look into all of it), "changed" (it answered with
    /// another message), "failed".
    pub result: Text,
    /// The name of what was found, or of what kept the scanner from looking.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Decoded bytes that were given to the scanner.
    pub bytes: u64,
}

impl Scan {
    fn weight(&self) -> usize {
        self.signature.len() + self.why.len()
    }
}

/// Stands in the log for records that were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When the first of them began.
    #[serde(with = "spelling::as_rfc3339")]
    pub time: SystemTime,
    /// When the last of them began.
    #[serde(with = "spelling::as_rfc3339")]
    pub until: SystemTime,
    pub kind: GapKind,
    /// How many.
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    Gap,
}

/// Stands in the log where the system's clock jumped: times before and after it are not of one clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockJump {
    /// By the clock as it is now.
    #[serde(with = "spelling::as_rfc3339")]
    pub time: SystemTime,
    pub kind: ClockJumpKind,
    /// Forward, or back when negative.
    pub seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockJumpKind {
    ClockJump,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn nothing_found(waf: &Option<Box<Report>>) -> bool {
    waf.as_ref().is_none_or(|report| report.matches.is_empty() && report.interruption.is_none())
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    // Years beyond 9999 have no RFC 3339 spelling; the epoch marks a clock that is off that far.
    let moment = time::OffsetDateTime::from(clamp(time));
    moment.format(FORMAT).unwrap_or_else(|_| "1970-01-01T00:00:00.000Z".to_owned())
}

/// `OffsetDateTime::from` panics outside of its range, so such a clock reads as the epoch.
fn clamp(time: SystemTime) -> SystemTime {
    const YEAR_9999: u64 = 253_402_300_799;
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if since.as_secs() < YEAR_9999 => time,
        _ => SystemTime::UNIX_EPOCH,
    }
}

#[cfg(test)]
pub(crate) mod tests;
