//! Rule sets and exclusion packs that are chosen by their names: flags and their variables win
//! over the file, name by name. Whether a name is loaded, the engine knows.

use std::collections::BTreeMap;

use super::value::{PackChoice, SetChoice};
use crate::waf::Choice;
use crate::waf::lang::ast::SetupMode;

/// Modes of sets. `place` tells where a key of the file stands.
pub(super) fn sets(
    given: &[SetChoice],
    written: &BTreeMap<String, SetupMode>,
    place: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Choice<SetupMode>> {
    by_name(given_sets(given), "sets", written, place)
}

/// Hosts of packs.
pub(super) fn packs(
    given: &[PackChoice],
    written: &BTreeMap<String, Vec<String>>,
    place: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Choice<Vec<String>>> {
    by_name(given_packs(given), "exclusion_packs", written, place)
}

/// Modes of sets as flags gave them; the last of a name counts.
pub fn given_sets(given: &[SetChoice]) -> Vec<Choice<SetupMode>> {
    let mut chosen: Vec<Choice<SetupMode>> = Vec::new();
    for SetChoice { name, mode } in given {
        chosen.retain(|known| known.name != *name);
        chosen.push(Choice { name: name.clone(), value: *mode, said_at: "--rule-set".to_owned() });
    }
    chosen
}

/// Hosts of packs as flags gave them, one by one.
pub fn given_packs(given: &[PackChoice]) -> Vec<Choice<Vec<String>>> {
    let mut chosen: Vec<Choice<Vec<String>>> = Vec::new();
    for PackChoice { name, host } in given {
        match chosen.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.value.push(host.clone()),
            None => chosen.push(Choice {
                name: name.clone(),
                value: vec![host.clone()],
                said_at: "--exclusion-pack".to_owned(),
            }),
        }
    }
    chosen
}

fn by_name<T: Clone>(
    mut given: Vec<Choice<T>>,
    key: &str,
    written: &BTreeMap<String, T>,
    place: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Choice<T>> {
    for (name, value) in written {
        if !given.iter().any(|known| known.name == *name) {
            let said_at = place(&["rules", key, name]).unwrap_or_else(|| format!("rules.{key}"));
            given.push(Choice { name: name.clone(), value: value.clone(), said_at });
        }
    }
    given
}
