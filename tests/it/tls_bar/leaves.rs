//! T52 to T54: leaves that clients accept.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
