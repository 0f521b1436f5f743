//! What one transaction needs while it runs, kept in a pool so that a benign exchange
//! allocates nothing. Everything in it is bounded by the bodies and heads that callers bound.

use std::cell::RefCell;
use std::sync::Arc;

use super::bytes::ByteSet;
use super::meter::Meter;
use super::persistent::{Persistent, Variables};
use super::report::Match;
use super::tx::Tx;
use super::variable::store::{Span, Store};
use super::variable::target::Target;

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub store: Store,
    /// Values that passed the prefilter of a leaf, sorted by leaf before a phase runs.
    pub candidates: Vec<Candidate>,
    /// Rules that have to be looked at, and rules that an exclusion switched off.
    pub awake: Vec<u64>,
    pub off: Vec<u64>,
    /// Targets that an exclusion took from rules.
    pub exclusions: Vec<ActiveExclusion>,
    pub tx: Tx,
    /// Persistent collections that the exchange opened, with their keys.
    pub opened: [Option<Opened>; Persistent::ALL.len()],
    /// What the rule that is running matched so far.
    pub matched: Vec<Matched>,
    pub matched_rules: Vec<u32>,
    pub report: Vec<Match>,
    pub buffers: Vec<Buffer>,
    /// Values of a leaf that is asked late.
    pub numbers: Vec<u32>,
    pub applicable: Vec<u64>,
    pub removed: Vec<u64>,
    /// Leaves that need not be looked for in the body; empty when all are.
    pub unwanted: Vec<u64>,
    pub temporary: [Vec<u8>; 2],
    /// A text with its macros filled in.
    pub text: Vec<u8>,
    /// Bytes that prefilters, transformations and operators were given so far: what an exchange
    /// costs, told without a clock.
    pub work: u64,
    /// How long all that may take.
    pub meter: Meter,
}

/// A persistent collection as the exchange sees it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub key: Vec<u8>,
    pub variables: Variables,
}

/// A leaf's operator should look at this span, the transformed value of that number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub leaf: u32,
    /// The value that came in, by number, and the one looked at: itself or what it decodes to.
    pub root: u32,
    pub value: u32,
    pub span: Span,
}

impl Candidate {
    /// By leaf, then by value; the several candidates of a multi-match lie in the buffer in the
    /// order of its transformations.
    pub fn order(&self) -> (u32, u32, u32, usize, usize) {
        (self.leaf, self.root, self.value, self.span.start, self.span.end)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ActiveExclusion {
    pub rules: Arc<[u64]>,
    pub targets: Arc<[Target]>,
}

/// A value that a leaf matched.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub leaf: usize,
    /// As rules spell it, `args:q`.
    pub name: Span,
    /// As it came, before any decoding.
    pub raw: Span,
    /// The number of the value that was looked at; none for live ones.
    pub value: Option<u32>,
    pub transformed: Span,
    /// In `transformed`; nothing for a negated match.
    pub hit: Span,
    pub note: Option<String>,
    /// What an exclusion could name: live and counted values cannot be excluded.
    pub excludable: bool,
}

/// A value on its way down the transformation tree.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub bytes: Vec<u8>,
    /// Where the value lies when it is the one that came in.
    pub original: Option<Span>,
    pub present: ByteSet,
    /// Leaves that may match it, in its own case or in lower case.
    pub hits: Vec<u64>,
    /// Where the store has it, as it is and in lower case, once a candidate asked.
    pub kept: [Option<Span>; 2],
}

impl Scratch {
    /// So many bytes are about to be worked on.
    pub fn spend(&mut self, bytes: usize) {
        self.work += bytes as u64;
        self.meter.take(bytes);
    }

    fn clear(&mut self) {
        const KEPT: usize = 16 * 1024;
        self.store.clear();
        self.candidates.clear();
        self.candidates.shrink_to(1024);
        self.awake.clear();
        self.off.clear();
        self.unwanted.clear();
        self.exclusions.clear();
        self.tx.clear();
        self.numbers.clear();
        self.numbers.shrink_to(1024);
        self.opened = Default::default();
        self.matched.clear();
        self.matched_rules.clear();
        self.report.clear();
        self.work = 0;
        self.meter = Meter::default();
        for buffer in &mut self.buffers {
            buffer.bytes.clear();
            buffer.bytes.shrink_to(KEPT);
        }
        for bytes in self.temporary.iter_mut().chain([&mut self.text]) {
            bytes.clear();
            bytes.shrink_to(KEPT);
        }
    }
}

thread_local! {
    #[allow(clippy::vec_box, reason = "transactions hold them boxed, to be small themselves")]
    static POOL: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
}

/// Idle scratches per thread; beyond that memory goes back.
const POOLED: usize = 32;

pub(crate) fn take() -> Box<Scratch> {
    POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop()).ok().flatten().unwrap_or_default()
}

pub(crate) fn give_back(mut scratch: Box<Scratch>) {
    scratch.clear();
    // A thread that is ending has no pool any more; the scratch is then freed.
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.len() < POOLED
        {
            pool.push(scratch);
        }
    });
}
