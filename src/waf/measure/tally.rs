//! Counts of what was stopped and what was not, by class, placement and encoding. A tally knows no
//! rule sets and no files; two of them add up.

use std::collections::BTreeMap;

use super::{Encoding, Placement};

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    Attack,
    Benign,
}

impl Label {
    pub fn name(self) -> &'static str {
        match self {
            Label::Attack => "attack",
            Label::Benign => "benign",
        }
    }

    pub fn find(name: &str) -> Option<Label> {
        [Label::Attack, Label::Benign].into_iter().find(|label| label.name() == name)
    }
}

/// Where a sample's value stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The sample is a whole request.
    Request,
    Value(Placement, Encoding),
}

impl Place {
    pub fn placement(self) -> &'static str {
        match self {
            Place::Request => "request",
            Place::Value(placement, _) => placement.name(),
        }
    }

    pub fn encoding(self) -> &'static str {
        match self {
            Place::Request => Encoding::Plain.name(),
            Place::Value(_, encoding) => encoding.name(),
        }
    }
}

/// One count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cell {
    /// Requests that ran.
    pub exchanges: u64,
    /// Those of them that were stopped.
    pub blocked: u64,
    /// Values that cannot stand there.
    pub not_placeable: u64,
}

impl Cell {
    /// Per cent of what ran; none when nothing did.
    pub fn rate(&self) -> Option<f64> {
        (self.exchanges > 0).then(|| self.blocked as f64 * 100.0 / self.exchanges as f64)
    }

    pub fn add(&mut self, other: Cell) {
        self.exchanges += other.exchanges;
        self.blocked += other.blocked;
        self.not_placeable += other.not_placeable;
    }
}

/// How often a rule matched, and how often it was the one that stopped an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Hits {
    pub attack: u64,
    pub benign: u64,
    pub attack_blocked: u64,
    pub benign_blocked: u64,
}

/// All counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Samples by label and class.
    pub samples: BTreeMap<(Label, String), u64>,
    pub cells: BTreeMap<(Label, String, Place), Cell>,
    pub rules: BTreeMap<u32, Hits>,
}

impl Tally {
    pub fn sample(&mut self, label: Label, class: &str) {
        *self.samples.entry((label, class.to_owned())).or_default() += 1;
    }

    pub fn not_placeable(&mut self, label: Label, class: &str, place: Place) {
        self.cells.entry((label, class.to_owned(), place)).or_default().not_placeable += 1;
    }

    /// An exchange ran; these rules matched, and this one stopped it.
    pub fn exchange(&mut self, label: Label, class: &str, place: Place, matched: &[u32], by: Option<u32>) {
        let cell = self.cells.entry((label, class.to_owned(), place)).or_default();
        cell.exchanges += 1;
        cell.blocked += u64::from(by.is_some());
        let mut matched = matched.to_vec();
        matched.sort_unstable();
        matched.dedup();
        for rule in matched {
            let hits = self.rules.entry(rule).or_default();
            let (all, blocked) = match label {
                Label::Attack => (&mut hits.attack, &mut hits.attack_blocked),
                Label::Benign => (&mut hits.benign, &mut hits.benign_blocked),
            };
            *all += 1;
            *blocked += u64::from(by == Some(rule));
        }
    }

    /// The sum of the cells that are wanted.
    pub fn sum(&self, wanted: impl Fn(Label, &str, Place) -> bool) -> Cell {
        let mut sum = Cell::default();
        for ((label, class, place), cell) in &self.cells {
            if wanted(*label, class, *place) {
                sum.add(*cell);
            }
        }
        sum
    }

    /// All of one label.
    pub fn of(&self, label: Label) -> Cell {
        self.sum(|known, _, _| known == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Place = Place::Value(Placement::Query, Encoding::Plain);

    #[test]
    fn exchanges_are_counted_by_label_and_by_rule() {
        let mut tally = Tally::default();
        tally.sample(Label::Attack, "a");
        tally.exchange(Label::Attack, "a", QUERY, &[2, 1, 2], Some(1));
        tally.exchange(Label::Attack, "a", Place::Request, &[], None);
        tally.not_placeable(Label::Attack, "a", QUERY);
        tally.exchange(Label::Benign, "b", QUERY, &[2], Some(2));
        assert_eq!(tally.of(Label::Attack), Cell { exchanges: 2, blocked: 1, not_placeable: 1 });
        assert_eq!(tally.of(Label::Attack).rate(), Some(50.0));
        assert_eq!(tally.of(Label::Benign).rate(), Some(100.0));
        assert_eq!(tally.rules[&2], Hits { attack: 1, benign: 1, attack_blocked: 0, benign_blocked: 1 });
        assert_eq!(tally.sum(|_, class, _| class == "c").rate(), None);
    }
}
