//! What a transaction answers: a decision after each phase, and at the end a report that
//! explains itself. Reports are data: the audit record stores them, `explain` prints them.

use serde::{Deserialize, Serialize};

use super::engine::Mode;

/// The answer to one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Continue,
    Interrupt(Interruption),
    /// The rules took longer than they may: what they have not seen is not known to be harmless. Told with the mode, for
    /// in detection-only mode nothing is stopped.
    OutOfTime(Mode),
}

/// A rule, or a score over its threshold, stopped the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    pub phase: PhaseName,
    pub action: Disruption,
    /// The rule that decided; for an anomaly score, the highest scoring rule that matched.
    pub rule: u32,
    /// The score reached its threshold; otherwise the rule's own action decided.
    #[serde(default)]
    pub by_score: bool,
    /// One sentence for a person.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Answer with this status (403 unless the rule says otherwise) and the block page.
    Deny { status: u16 },
    /// Answer with a redirect.
    Redirect { status: u16, location: String },
    /// Close the connection without an answer.
    Drop,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    /// A whole message of a WebSocket, from either end.
    WebsocketMessage,
    /// A server-sent event.
    Event,
    Logging,
}

/// Everything worth telling about a finished transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Set when the exchange was interrupted, or would have been in detection-only mode.
    pub interruption: Option<Interruption>,
    /// True when the mode was detection-only, so that nothing was in fact stopped.
    pub detection_only: bool,
    pub ledger: Ledger,
    pub matches: Vec<Match>,
    /// Matches beyond the bound that a report keeps.
    pub matches_dropped: u32,
}

/// The anomaly scores and what they were measured against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub inbound: i64,
    pub inbound_threshold: i64,
    pub outbound: i64,
    pub outbound_threshold: i64,
    pub paranoia_level: u8,
}

/// One rule that matched one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    pub rule: u32,
    pub set: String,
    pub phase: PhaseName,
    pub message: String,
    /// What the rule has to say of what it found (`log_data`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    pub severity: String,
    pub paranoia_level: u8,
    pub tags: Vec<String>,
    /// What this match added to the score.
    pub score: i64,
    /// The rule, or its set, is detection-only: it never stops anything.
    pub shadow: bool,
    /// The value's name, `args:q` for instance.
    pub variable: String,
    /// The value as found, cut to a bounded length, bytes that are not UTF-8 as `\xHH`.
    pub value: String,
    /// What the operator hit, after the transformations, cut and escaped the same way.
    pub matched: String,
    /// The operator with its argument, cut.
    pub operator: String,
    /// Each transformation that changed the value, in order, with its result.
    pub steps: Vec<Step>,
    /// The narrowest exclusion that would let this through: the text of a JSON exclusion.
    pub exclusion: String,
}

/// One transformation that changed the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub transformation: String,
    pub result: String,
}
