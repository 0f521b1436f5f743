//! How long the rules of one exchange may compute. The engine has no clock of its own: it is handed one, and reads it
//! only after a good deal of work, so that an ordinary exchange never does. Where that clock counts the processor time of
//! the running thread, a machine that is busy with other things takes nothing away from an exchange.

use std::cell::Cell;
use std::time::Duration;

/// Tells how long the running thread has computed, from any beginning.
pub type Clock = fn() -> Duration;

/// Bytes of work between two looks at the clock: some tens of microseconds of what is fast, a few milliseconds of what is
/// slow. Also what of a body has the whole time once more, for reading on is no fault of it.
const GRAIN: usize = 64 * 1024;

/// What is done with no byte at all costs as much as so many.
const EACH: i64 = 64;

#[derive(Debug)]
pub(crate) struct Meter {
    /// None for as long as it takes.
    clock: Option<Clock>,
    time: Duration,
    most: Duration,
    used: Duration,
    /// Work until the clock is looked at again.
    left: i64,
    /// What it said last, in this phase, and how long had been made things by then.
    last: Option<(Duration, Duration)>,
    spent: bool,
}

impl Default for Meter {
    fn default() -> Meter {
        let none = Duration::ZERO;
        Meter { clock: None, time: none, most: none, used: none, left: i64::MAX, last: None, spent: false }
    }
}

impl Meter {
    pub fn new(clock: Clock, time: Duration) -> Meter {
        Meter { clock: Some(clock), time, most: time, left: GRAIN as i64, ..Meter::default() }
    }

    /// A body of so many bytes is looked at, too.
    pub fn allow(&mut self, bytes: usize) {
        let more = self.time.saturating_mul(u32::try_from(bytes / GRAIN).unwrap_or(u32::MAX));
        self.most = self.most.saturating_add(more);
    }

    /// So many bytes are about to be worked on.
    pub fn take(&mut self, bytes: usize) {
        self.left -= bytes as i64 + EACH;
        if self.left < 0 {
            self.look();
        }
    }

    /// A phase begins, in this thread.
    pub fn resume(&self) {
        CLOCK.set(self.clock);
    }

    /// The phase is over; the next may run in another thread, whose clock says something else.
    pub fn pause(&mut self) {
        if self.last.is_some() {
            self.look();
            self.last = None;
        }
        CLOCK.set(None);
    }

    /// More was computed than may be: whatever runs is to end, and what it says is worth nothing.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    #[cold]
    fn look(&mut self) {
        let Some(clock) = self.clock else {
            self.left = i64::MAX;
            return;
        };
        self.left = GRAIN as i64;
        let (now, made) = (clock(), MADE.get());
        if let Some((last, made_by_then)) = self.last.replace((now, made)) {
            self.used += now.saturating_sub(last).saturating_sub(made.saturating_sub(made_by_then));
            self.spent = self.used > self.most;
        }
    }
}

thread_local! {
    /// Of the phase that runs in this thread.
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
    /// How long things were made here that stay.
    static MADE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Makes something that stays for all exchanges to come. The one that happens to be the first does not pay for it.
pub(crate) fn making<T>(make: impl FnOnce() -> T) -> T {
    let Some(clock) = CLOCK.get() else { return make() };
    let before = clock();
    let made = make();
    MADE.set(MADE.get() + clock().saturating_sub(before));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
        static LOOKS: Cell<u64> = const { Cell::new(0) };
    }

    fn clock() -> Duration {
        LOOKS.set(LOOKS.get() + 1);
        Duration::from_millis(NOW.get())
    }

    fn pass(ms: u64) {
        NOW.set(NOW.get() + ms);
    }

    #[test]
    fn what_is_computed_is_counted_over_the_phases_and_what_is_waited_is_not() {
        let mut meter = Meter::new(clock, Duration::from_millis(50));
        for phase in 0..3 {
            pass(1_000);
            meter.resume();
            meter.take(GRAIN);
            assert!(!meter.is_spent());
            pass(20);
            meter.pause();
            assert_eq!(meter.is_spent(), phase == 2);
        }
    }

    #[test]
    fn little_work_never_looks_at_the_clock_and_no_clock_never_ends() {
        let mut meter = Meter::new(clock, Duration::from_millis(50));
        (0..500).for_each(|_| meter.take(60));
        meter.pause();
        assert_eq!(LOOKS.get(), 0);
        // Work without bytes is work.
        (0..2_000).for_each(|_| meter.take(0));
        assert!(LOOKS.get() > 0);
        let mut meter = Meter::default();
        (0..100).for_each(|_| meter.take(1 << 30));
        assert!(!meter.is_spent());
    }

    #[test]
    fn a_long_body_may_take_longer_and_what_is_made_for_all_is_not_counted() {
        let mut meter = Meter::new(clock, Duration::from_millis(50));
        meter.allow(1 << 20);
        meter.resume();
        meter.take(GRAIN);
        pass(800);
        meter.take(GRAIN);
        assert!(!meter.is_spent());
        making(|| pass(1_000));
        meter.take(GRAIN);
        assert!(!meter.is_spent());
        pass(51);
        meter.take(GRAIN);
        assert!(meter.is_spent());
    }
}
