//! T55 to T59: the life of Portward's own certificate authority, from a fresh install to a rotation under load.

mod keys;
mod life;

use super::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = keys::cases();
    cases.extend(life::cases());
    cases
}
