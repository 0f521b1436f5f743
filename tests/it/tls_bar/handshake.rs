//! T36 to T47, T50 and T51: versions, suites, groups and handshakes on both legs.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
