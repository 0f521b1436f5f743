//! T48, T49 and T60: names that a client gives, and what is not decrypted.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
