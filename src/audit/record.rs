//! The audit record: one JSON line for each exchange, tunnel and refused connection. The field
//! names are a contract; fields without a value are left out. Domain types go in as they are
//! and become text only when the writer serialises them, off the path of the traffic.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::net::{Authority, ClientAddr, ConnectionId, Entry, Host, OriginAddr, ReceiptId};
use crate::waf::report::Report;

/// Text that is mostly a constant of the program.
pub type Text = Cow<'static, str>;

/// What happened, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(with = "as_text")]
    pub id: ReceiptId,
    /// When it began. The caller reads the clock.
    #[serde(with = "as_rfc3339")]
    pub time: SystemTime,
    pub kind: Kind,
    #[serde(with = "as_number")]
    pub connection: ConnectionId,
    #[serde(with = "as_socket")]
    pub client: ClientAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(default, with = "as_entry", skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// What the client asked to be connected to.
    #[serde(default, with = "as_authority", skip_serializing_if = "Option::is_none")]
    pub target: Option<Authority>,
    #[serde(default, with = "as_host", skip_serializing_if = "Option::is_none")]
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
    /// How far it came.
    pub stage: Stage,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_from_client: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_to_client: u64,
    /// From the first byte of the request to the last of the response.
    #[serde(rename = "duration_ms", with = "as_ms")]
    pub duration: Duration,
    /// The part of it that inspection and interception added, where that is known.
    #[serde(rename = "added_ms", default, with = "as_ms_option", skip_serializing_if = "Option::is_none")]
    pub added: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_inspection: Option<Inspection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_inspection: Option<Inspection>,
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
            status: None,
            verdict: Verdict::Failed,
            reason: Text::Borrowed(""),
            sentence: Text::Borrowed(""),
            stage: Stage::Accept,
            bytes_from_client: 0,
            bytes_to_client: 0,
            duration: Duration::ZERO,
            added: None,
            request_inspection: None,
            response_inspection: None,
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
            + waf
    }
}

fn match_weight(found: &crate::waf::report::Match) -> usize {
    let steps: usize = found.steps.iter().map(|s| s.transformation.len() + s.result.len() + 48).sum();
    size_of_val(found)
        + found.message.len()
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
}

impl ClientLeg {
    fn is_empty(&self) -> bool {
        self.protocol.is_empty() && self.tls.is_none()
    }
}

/// The side of the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginLeg {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub protocol: Text,
    #[serde(default, with = "as_origin", skip_serializing_if = "Option::is_none")]
    pub address: Option<OriginAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// The connection was kept from an earlier request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pooled: bool,
}

impl OriginLeg {
    fn is_empty(&self) -> bool {
        *self == OriginLeg::default()
    }
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

/// Stands in the log for records that were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When the first of them began.
    #[serde(with = "as_rfc3339")]
    pub time: SystemTime,
    /// When the last of them began.
    #[serde(with = "as_rfc3339")]
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

mod as_rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    pub fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::rfc3339(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(SystemTime::from).map_err(D::Error::custom)
    }
}

mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod as_number {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::net::ConnectionId;

    pub fn serialize<S: Serializer>(id: &ConnectionId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(id.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ConnectionId, D::Error> {
        u64::deserialize(from).map(ConnectionId)
    }
}

mod as_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Milliseconds with three digits after the point.
    pub fn number(duration: Duration) -> f64 {
        duration.as_micros() as f64 / 1000.0
    }

    pub fn duration<E: Error>(ms: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(ms / 1000.0)
            .map(|d| Duration::from_micros(d.saturating_add(Duration::from_nanos(500)).as_micros() as u64))
            .map_err(E::custom)
    }

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(number(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        duration(f64::deserialize(from)?)
    }
}

mod as_ms_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_some(&super::as_ms::number(*duration)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(from)?.map(super::as_ms::duration).transpose()
    }
}

/// Optional and plain values of types that net spells and reads.
macro_rules! through_text {
    ($module:ident, $type:ty, |$value:ident| $to:expr, |$text:ident| $from:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(value: &Option<$type>, to: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some($value) => to.collect_str(&$to),
                    None => to.serialize_none(),
                }
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<$type>, D::Error> {
                match Option::<String>::deserialize(from)? {
                    Some($text) => $from.map(Some).map_err(D::Error::custom),
                    None => Ok(None),
                }
            }
        }
    };
}

through_text!(as_authority, crate::net::Authority, |value| value, |text| crate::net::Authority::parse(
    &text, None
));
through_text!(as_host, crate::net::Host, |value| value, |text| crate::net::Host::parse(&text));
through_text!(as_origin, crate::net::OriginAddr, |value| value, |text| text
    .parse()
    .map(crate::net::OriginAddr::new));
through_text!(as_entry, crate::net::Entry, |value| value.name(), |text| super::entry(&text)
    .ok_or("unknown entry"));

mod as_socket {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::net::ClientAddr;

    pub fn serialize<S: Serializer>(addr: &ClientAddr, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(addr)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ClientAddr, D::Error> {
        String::deserialize(from)?.parse().map(ClientAddr::new).map_err(D::Error::custom)
    }
}

fn entry(name: &str) -> Option<Entry> {
    [Entry::HttpProxy, Entry::HttpsProxy, Entry::Socks5, Entry::Transparent]
        .into_iter()
        .find(|entry| entry.name() == name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::waf::report::{Interruption, Ledger, Match, PhaseName, Step};

    pub(crate) fn receipt(seed: u8) -> ReceiptId {
        ReceiptId::from_random([seed, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }

    pub(crate) fn plain(seed: u8) -> Record {
        let client = ClientAddr::new("127.0.0.1:50000".parse().unwrap());
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        Record::new(receipt(seed), time, Kind::Exchange, ConnectionId(u64::from(seed)), client)
    }

    pub(crate) fn found(variable: &str, value: &str, matched: &str) -> Match {
        Match {
            rule: 120010,
            set: "sql-injection".into(),
            phase: PhaseName::RequestBody,
            message: "SQL injection: UNION SELECT".into(),
            severity: "critical".into(),
            paranoia_level: 1,
            tags: vec!["attack-sqli".into()],
            score: 5,
            shadow: false,
            variable: variable.into(),
            value: value.into(),
            matched: matched.into(),
            operator: "rx union".into(),
            steps: vec![Step { transformation: "lowercase".into(), result: value.to_lowercase() }],
            exclusion: format!(r#"{{"rules":[120010],"variables":["{variable}"]}}"#),
        }
    }

    pub(crate) fn blocked(seed: u8, matches: Vec<Match>) -> Record {
        let mut record = plain(seed);
        record.verdict = Verdict::Blocked;
        record.reason = "score".into();
        record.status = Some(403);
        record.target = Some(Authority::parse("shop.test:443", None).unwrap());
        record.method = "GET".into();
        record.waf = Some(Box::new(Report {
            interruption: Some(Interruption {
                phase: PhaseName::RequestBody,
                action: crate::waf::report::Disruption::Deny { status: 403 },
                rule: 120010,
                reason: "inbound score 5 of 5".into(),
            }),
            detection_only: false,
            ledger: Ledger {
                inbound: 5,
                inbound_threshold: 5,
                outbound: 0,
                outbound_threshold: 4,
                paranoia_level: 1,
            },
            matches,
            matches_dropped: 0,
        }));
        record
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let mut record = blocked(1, vec![found("args:q", "1 UNION SELECT", "union select")]);
        record.identity = Some("ann".into());
        record.entry = Some(Entry::Socks5);
        record.sni = Host::parse("shop.test").ok();
        record.url = "https://shop.test/?q=1".into();
        record.client_leg.protocol = "HTTP/2.0".into();
        record.client_leg.tls = Some(TlsFacts {
            version: "TLSv1_3".into(),
            suite: "TLS13_AES_128_GCM_SHA256".into(),
            group: "X25519MLKEM768".into(),
            alpn: "h2".into(),
            resumed: true,
        });
        record.origin_leg.address = Some(OriginAddr::new("[2001:db8::1]:443".parse().unwrap()));
        record.origin_leg.certificate =
            Some(CertificateFacts { sha256: "ab".repeat(32), issuer: "CN=Test".into() });
        record.duration = Duration::from_micros(12_345);
        record.added = Some(Duration::from_micros(301));
        record.request_inspection = Some(Inspection::WHOLE);
        record.response_inspection = Some(Inspection::none("blocked before the origin was asked"));
        record.bytes_from_client = 10;
        record.rules = "0123abcd".into();
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        assert!(line.contains(r#""duration_ms":12.345"#), "{line}");
        assert!(line.contains(r#""time":"2026-09-21T14:13:20.123Z""#), "{line}");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let line = serde_json::to_string(&plain(1)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["client", "connection", "duration_ms", "id", "kind", "stage", "time", "verdict"]);
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), plain(1));
    }

    #[test]
    fn every_duration_in_microseconds_survives() {
        for micros in (0..3_000).chain([999_999, 1_000_001, 86_400_000_000, 12_345_678_901]) {
            let mut record = plain(1);
            record.duration = Duration::from_micros(micros);
            let line = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&line).unwrap().duration, record.duration, "{line}");
        }
    }

    #[test]
    fn a_clock_that_is_off_does_not_panic() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert_eq!(rfc3339(far), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }
}
