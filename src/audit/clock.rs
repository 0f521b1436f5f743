//! Whether the system's clock was set: the wall clock against the one that only counts. Records carry the wall
//! clock's time, and whoever reads them must know where it is not one time any more. The counting one is that which
//! goes on while the machine sleeps: waking up is no jump.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use super::record::{ClockJump, ClockJumpKind};

/// What a clock may be corrected by without a word. NTP steps by less on a machine that runs; a minute is below
/// anything that a certificate or a policy's date is about.
const UNSAID: Duration = Duration::from_secs(60);

/// Both clocks when they were last seen to agree.
#[derive(Debug)]
pub(super) struct Clock {
    wall: SystemTime,
    counted: Duration,
}

impl Clock {
    pub fn start() -> Clock {
        let (wall, counted) = Clock::now();
        Clock { wall, counted }
    }

    /// Both clocks now.
    pub fn now() -> (SystemTime, Duration) {
        // Every kernel that this runs on has it (Linux 2.6.39).
        let counted = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        (SystemTime::now(), counted)
    }

    /// By how much the clock was set since, once for each jump.
    pub fn jumped(&mut self, (wall, counted): (SystemTime, Duration)) -> Option<ClockJump> {
        let due = self.wall.checked_add(counted.saturating_sub(self.counted))?;
        let (off, back) = match wall.duration_since(due) {
            Ok(ahead) => (ahead, false),
            Err(behind) => (behind.duration(), true),
        };
        // Small corrections must not add up to a jump.
        *self = Clock { wall, counted };
        let seconds = i64::try_from(off.as_secs()).unwrap_or(i64::MAX);
        (off >= UNSAID).then_some(ClockJump {
            time: wall,
            kind: ClockJumpKind::ClockJump,
            seconds: if back { -seconds } else { seconds },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_once_and_one_that_drifts_never() {
        let (mut wall, mut counted) =
            (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30), Duration::from_secs(99));
        let mut clock = Clock { wall, counted };
        for _ in 0..1000 {
            counted += Duration::from_secs(5);
            wall += Duration::from_secs(6);
            assert_eq!(clock.jumped((wall, counted)), None);
        }
        let day = Duration::from_secs(86_400);
        wall += 400 * day;
        assert_eq!(clock.jumped((wall, counted)).unwrap().seconds, 400 * 86_400);
        assert_eq!(clock.jumped((wall, counted)), None);
        wall -= Duration::from_secs(3600);
        assert_eq!(clock.jumped((wall, counted)).unwrap().seconds, -3600);
        // A long silence is no jump.
        assert_eq!(clock.jumped((wall + day, counted + day)), None);
    }
}
