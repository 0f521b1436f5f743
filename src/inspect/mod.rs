//! The one place that knows both HTTP messages and the rule engine: fills the engine's phases
//! from a request and its response, holds body bytes until the verdict, and hands out [`Cleared`],
//! the proof of inspection without which nothing is sent or relayed.
//!
//! Original bytes are what travels: decoding happens on a copy that only rules see.

pub mod cut;
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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use frames::{Conversation, Heard, Said};
pub use refused::{refused, refused_raw};
pub use request::{Aim, request};
pub use response::response;
pub use scan::{Asked, ScanNote, Scanning, scan_request, scan_response};
pub use streaming::{StreamNote, Streaming, Tell};

use crate::message::body::BodyError;
use crate::metrics::Metrics;
use crate::policy::EngineError;
use crate::waf::input::Field;
use crate::waf::report::{Decision, Interruption, Report};
use crate::waf::{HeaderEdit, Mode, Transaction};

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
    /// The body is not what its Content-Type says, and policy is to refuse such a body.
    #[error("the body is not what its Content-Type says: {0}")]
    Unparsable(String),
    /// The peer's body broke off while it was held.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The engine failed on this exchange and policy is to refuse.
    #[error("the rule engine failed on this exchange")]
    Engine,
    /// The rules took longer than they may, and policy is to refuse.
    #[error("the rules did not come to their end in the processor time that one exchange has")]
    OutOfTime,
}

/// One exchange's transaction, shared between the flow and the windows that outlive it.
#[derive(Clone)]
pub struct Case(Option<Arc<Held>>);

struct Held {
    transaction: Mutex<Option<Transaction>>,
    terms: CaseTerms,
    failed: AtomicBool,
    out_of_time: AtomicBool,
}

/// What a case goes by.
pub struct CaseTerms {
    pub on_error: EngineError,
    /// Processor time that its rules may take, and as much again for every 64 KiB of a body.
    pub time: Duration,
    pub metrics: Arc<Metrics>,
}

impl Case {
    pub fn open(mut transaction: Transaction, terms: CaseTerms) -> Case {
        transaction.bound(computed, terms.time);
        let transaction = Mutex::new(Some(transaction));
        let [failed, out_of_time] = [false, false].map(AtomicBool::new);
        Case(Some(Arc::new(Held { transaction, terms, failed, out_of_time })))
    }

    /// No rules are loaded: everything is cleared unseen, and marked so.
    pub fn without_rules() -> Case {
        Case(None)
    }

    fn has_rules(&self) -> bool {
        self.0.is_some()
    }

    /// The engine failed, and what came after that is unseen.
    pub fn has_failed(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.failed.load(Ordering::Relaxed))
    }

    /// The rules took longer than they may, and what came after that is unseen.
    pub fn is_out_of_time(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.out_of_time.load(Ordering::Relaxed))
    }

    /// Runs one step of the engine. A panic in it is this exchange's failure and no other's: an error, or nothing
    /// where policy lets such exchanges pass.
    fn step<R>(&self, run: impl FnOnce(&mut Transaction) -> R) -> Result<Option<R>, Stop> {
        let held = self.0.as_ref().ok_or(Stop::Engine)?;
        let mut slot = held.transaction.lock().map_err(|_| Stop::Engine)?;
        if let Some(transaction) = slot.as_mut() {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(transaction))) {
                Ok(answer) => return Ok(Some(answer)),
                Err(_) => {
                    // Its state is unknown now; the report is lost with it.
                    *slot = None;
                    held.failed.store(true, Ordering::Relaxed);
                    tracing::error!("the rule engine failed on an exchange; please report what was asked");
                }
            }
        }
        match held.terms.on_error {
            EngineError::Pass if held.failed.load(Ordering::Relaxed) => Ok(None),
            _ => Err(Stop::Engine),
        }
    }

    fn decide(&self, run: impl FnOnce(&mut Transaction) -> Decision) -> Result<(), Stop> {
        let timed = |transaction: &mut Transaction| {
            transaction.at(unix_ms());
            run(transaction)
        };
        match self.step(timed)? {
            None | Some(Decision::Continue) => Ok(()),
            Some(Decision::Interrupt(why)) => Err(Stop::Rule(Box::new(why))),
            Some(Decision::OutOfTime(mode)) => self.run_out(mode),
        }
    }

    /// The same outcome as for an engine that failed: what rules have not seen passes only where policy has it so, or
    /// where rules stop nothing.
    fn run_out(&self, mode: Mode) -> Result<(), Stop> {
        let held = self.0.as_ref().ok_or(Stop::Engine)?;
        if !held.out_of_time.swap(true, Ordering::Relaxed) {
            held.terms.metrics.rules_out_of_time.increment();
            tracing::warn!("the rules took too long for an exchange; its audit record says which it was");
        }
        match (held.terms.on_error, mode) {
            (EngineError::Deny, Mode::Block) => Err(Stop::OutOfTime),
            (EngineError::Pass, _) | (_, Mode::Detect) => Ok(()),
        }
    }

    fn edits(&self, run: impl FnMut(&HeaderEdit)) -> Result<(), Stop> {
        self.step(|transaction| transaction.header_edits().iter().for_each(run)).map(drop)
    }

    /// Ends the transaction with its logging phase; later calls find nothing.
    pub fn finish(&self) -> Option<Report> {
        let mut transaction = self.0.as_ref()?.transaction.lock().ok()?.take()?;
        transaction.at(unix_ms());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| transaction.finish())).ok()
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How much slower than what is shipped a build is that is not optimised. The budget is for the former.
const SLOWER: u32 = if cfg!(debug_assertions) { 50 } else { 1 };

/// How long this thread has computed. Not the time of day: while the machine runs something else, an exchange is not to
/// blame, and must not be refused.
fn computed() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    // Linux always has this clock. Without it nothing would ever take too long.
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, |time| Duration::from(time) / SLOWER)
}

type Fields<'a> = smallvec::SmallVec<[Field<'a>; 32]>;

fn fields(headers: &http::HeaderMap) -> Fields<'_> {
    headers
        .iter()
        .map(|(name, value)| Field { name: name.as_str().as_bytes(), value: value.as_bytes() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::input::ConnectionFacts;
    use crate::waf::{Engine, Settings, Sources};

    fn case(on_error: EngineError) -> Case {
        let engine = Arc::new(Engine::compile(&Sources::default(), &Settings::default()).unwrap());
        let facts = ConnectionFacts {
            client_ip: [127, 0, 0, 1].into(),
            client_port: 4000,
            server_ip: None,
            server_port: 443,
            sni: None,
            identity: None,
            unix_ms: 1_000,
            unique_id: "ID",
        };
        let terms = CaseTerms { on_error, time: Duration::from_millis(50), metrics: Arc::default() };
        Case::open(engine.begin(&facts), terms)
    }

    #[test]
    fn what_takes_too_long_is_counted_once_and_stops_its_exchange_unless_policy_lets_it_pass() {
        let closed = case(EngineError::Deny);
        assert!(matches!(closed.decide(|_| Decision::OutOfTime(Mode::Block)), Err(Stop::OutOfTime)));
        let [open, only_told] = [case(EngineError::Pass), case(EngineError::Deny)];
        for _ in 0..2 {
            assert!(open.decide(|_| Decision::OutOfTime(Mode::Block)).is_ok());
            assert!(only_told.decide(|_| Decision::OutOfTime(Mode::Detect)).is_ok());
        }
        for case in [closed, open, only_told] {
            assert!(case.is_out_of_time() && !case.has_failed());
            assert_eq!(case.0.as_ref().unwrap().terms.metrics.rules_out_of_time.get(), 1);
            // What was found before is in the report.
            assert!(case.finish().is_some());
        }
    }

    #[test]
    fn computing_makes_the_clock_go_on_and_it_never_goes_back() {
        let before = computed();
        let mut x = 1u64;
        while computed() == before {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(computed() > before);
    }

    #[test]
    fn an_engine_that_fails_stops_its_exchange_unless_policy_lets_it_pass() {
        let closed = case(EngineError::Deny);
        assert!(matches!(closed.decide(|_| panic!("for a test")), Err(Stop::Engine)));
        assert!(matches!(closed.decide(|_| Decision::Continue), Err(Stop::Engine)));
        assert!(closed.has_failed() && closed.finish().is_none());

        let open = case(EngineError::Pass);
        assert!(open.decide(|_| panic!("for a test")).is_ok());
        // Nothing runs on what is left of it.
        assert!(open.decide(|_| unreachable!()).is_ok());
        assert!(matches!(open.step(|_| true), Ok(None)));
        assert!(open.has_failed() && open.finish().is_none());

        let fine = case(EngineError::Pass);
        assert!(matches!(fine.step(|_| true), Ok(Some(true))));
        assert!(!fine.has_failed() && fine.finish().is_some());
    }
}
