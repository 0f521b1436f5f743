//! A body that comes in parts is shown to its phase part by part, each time with all that came. What
//! rules found so far is then found anew: they start again from where the phase began, or what one
//! part held would be scored with each part that follows. Persistent collections are not taken back.

use super::lang::ast::Severity;
use super::report::PhaseName;
use super::scratch::Scratch;
use super::transaction::State;
use super::tx::Tx;

/// What a body's phase began with.
#[derive(Debug)]
pub(super) struct Before {
    pub phase: PhaseName,
    tx: Tx,
    scores: [i64; 2],
    highest: [Option<(i64, usize)>; 2],
    highest_severity: Option<Severity>,
    /// How much was reported and had matched.
    reported: usize,
    matched: usize,
    matches_dropped: u32,
}

impl Before {
    pub fn of(phase: PhaseName, scratch: &Scratch, state: &State) -> Before {
        Before {
            phase,
            tx: scratch.tx.clone(),
            scores: [state.inbound, state.outbound],
            highest: state.highest,
            highest_severity: state.highest_severity,
            reported: scratch.report.len(),
            matched: scratch.matched_rules.len(),
            matches_dropped: state.matches_dropped,
        }
    }

    pub fn restore(&self, scratch: &mut Scratch, state: &mut State) {
        scratch.tx.clone_from(&self.tx);
        [state.inbound, state.outbound] = self.scores;
        state.highest = self.highest;
        state.highest_severity = self.highest_severity;
        state.matches_dropped = self.matches_dropped;
        scratch.report.truncate(self.reported);
        scratch.matched_rules.truncate(self.matched);
    }
}
