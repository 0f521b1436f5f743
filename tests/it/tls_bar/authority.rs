//! T55 to T59: the CA's own life, and T30 and T31, where it must not be trusted.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
