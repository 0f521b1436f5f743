//! The one place that knows both HTTP messages and the rule engine: fills the engine's phases
//! from a request and its response, holds body bytes until the verdict, and hands out [`Cleared`],
//! the proof of inspection without which nothing is sent or relayed.
//!
//! Original bytes are what travels: decoding happens on a copy that only rules see.

mod cut;
mod frames;
mod held;
mod messages;
mod refused;
mod request;
mod response;
mod scan;
mod slice;
mod streaming;
mod window;

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

pub use frames::{Conversation, Heard, Said};
pub use refused::{refused, refused_raw};
pub use request::{Aim, request};
pub use response::response;
pub use scan::{Asked, ScanNote, Scanning, scan_request, scan_response};
pub use streaming::{StreamNote, Streaming, Tell};

use crate::message::body::BodyError;
use crate::waf::input::Field;
use crate::waf::report::{Decision, Interruption, Report};
use crate::waf::{HeaderEdit, Transaction};

/// What was inspected, or what policy lets through uninspected and says so. Made in this module
/// alone.
#[derive(Debug)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    pub fn into_inner(self) -> T {
        self.0
    }

    pub fn get(&self) -> &T {
        &self.0
    }
}

/// How much of a body the rules saw, for the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Whole,
    Partial(&'static str),
    Nothing(&'static str),
}

/// Why a message goes no further.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A rule or the score decided.
    #[error("{}", .0.reason)]
    Rule(Box<Interruption>),
    /// The body is larger than its window and policy does not let the rest through unseen.
    #[error("the body is larger than the {limit} bytes that are inspected")]
    Oversize { limit: usize },
    /// The content coding cannot be undone and policy does not let it through undecoded.
    #[error("the content coding cannot be undone: {0}")]
    Undecodable(String),
    /// The peer's body broke off while it was held.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The engine failed on this exchange and policy is to refuse.
    #[error("the rule engine failed on this exchange")]
    Engine,
}

/// One exchange's transaction, shared between the flow and the windows that outlive it.
#[derive(Clone)]
pub struct Case(Option<Arc<Mutex<Option<Transaction>>>>);

impl Case {
    pub fn open(transaction: Transaction) -> Case {
        Case(Some(Arc::new(Mutex::new(Some(transaction)))))
    }

    /// No rules are loaded: everything is cleared unseen, and marked so.
    pub fn without_rules() -> Case {
        Case(None)
    }

    fn has_rules(&self) -> bool {
        self.0.is_some()
    }

    /// Runs one step of the engine. A panic in it is this exchange's failure and no other's.
    fn step<R>(&self, run: impl FnOnce(&mut Transaction) -> R) -> Result<R, Stop> {
        let mut slot = self.0.as_ref().ok_or(Stop::Engine)?.lock().map_err(|_| Stop::Engine)?;
        let Some(transaction) = slot.as_mut() else { return Err(Stop::Engine) };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(transaction))) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                // Its state is unknown now; the report is lost with it.
                *slot = None;
                Err(Stop::Engine)
            }
        }
    }

    fn decide(&self, run: impl FnOnce(&mut Transaction) -> Decision) -> Result<(), Stop> {
        let timed = |transaction: &mut Transaction| {
            transaction.at(unix_ms());
            run(transaction)
        };
        match self.step(timed)? {
            Decision::Continue => Ok(()),
            Decision::Interrupt(why) => Err(Stop::Rule(Box::new(why))),
        }
    }

    fn edits(&self, run: impl FnMut(&HeaderEdit)) -> Result<(), Stop> {
        self.step(|transaction| transaction.header_edits().iter().for_each(run))
    }

    /// Ends the transaction with its logging phase; later calls find nothing.
    pub fn finish(&self) -> Option<Report> {
        let mut transaction = self.0.as_ref()?.lock().ok()?.take()?;
        transaction.at(unix_ms());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| transaction.finish())).ok()
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

type Fields<'a> = smallvec::SmallVec<[Field<'a>; 32]>;

fn fields(headers: &http::HeaderMap) -> Fields<'_> {
    headers
        .iter()
        .map(|(name, value)| Field { name: name.as_str().as_bytes(), value: value.as_bytes() })
        .collect()
}
