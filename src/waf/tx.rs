//! The collection `tx`: what rules remember within an exchange. Names that rules spell out have
//! numbers since the rules were compiled, so that setting one and asking for it costs an index;
//! names that rules make while they run are looked up.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use super::bits;
use super::interest::Fnv;
use super::template::Template;
use super::variable::Live;
use super::variable::target::{Selector, Target};

/// `tx.0` to `tx.9`, which captures fill, are the first ten.
pub(crate) const CAPTURES: usize = 10;

/// The numbers of the names that rules spell out, in lower case.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: HashMap<Box<[u8]>, u32, BuildHasherDefault<Fnv>>,
    names: Vec<Box<[u8]>>,
}

impl Names {
    pub fn new() -> Names {
        let mut names = Names { numbers: HashMap::default(), names: Vec::new() };
        for digit in b'0'..=b'9' {
            names.number(&[digit]);
        }
        names
    }

    /// The number of a name, given if need be.
    pub fn number(&mut self, name: &[u8]) -> u32 {
        let name = name.to_ascii_lowercase().into_boxed_slice();
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    /// Gives a target on one variable of `tx` that variable's number.
    pub fn target(&mut self, target: &mut Target) {
        if let (Some(Live::Tx), Selector::Key(key)) = (target.live(), &target.selector) {
            target.number = Some(self.number(key));
        }
    }

    /// Does so for the macros of a text.
    pub fn template(&mut self, template: &mut Template) {
        template.targets_mut().for_each(|target| self.target(target));
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        self.numbers.get(name).copied()
    }
}

/// The variables of an exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tx {
    /// By number; those that are not set are empty.
    values: Vec<Vec<u8>>,
    set: Vec<u64>,
    others: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Tx {
    /// Makes room for a program's names.
    pub fn begin(&mut self, names: &Names) {
        if self.values.len() < names.names.len() {
            self.values.resize_with(names.names.len(), Vec::new);
            self.set.resize(names.names.len().div_ceil(64), 0);
        }
    }

    pub fn get(&self, number: u32) -> Option<&[u8]> {
        bits::contains(&self.set, number as usize).then(|| &self.values[number as usize][..])
    }

    pub fn set(&mut self, number: u32, value: &[u8]) {
        let place = &mut self.values[number as usize];
        place.clear();
        place.extend_from_slice(value);
        bits::insert(&mut self.set, number as usize);
    }

    pub fn remove(&mut self, number: u32) {
        self.values[number as usize].clear();
        bits::remove(&mut self.set, number as usize);
    }

    /// By a name that was made while rules run, in lower case.
    pub fn find(&self, names: &Names, name: &[u8]) -> Option<&[u8]> {
        match names.find(name) {
            Some(number) => self.get(number),
            None => self.others.get(name).map(Vec::as_slice),
        }
    }

    /// Sets the variable of that name, in lower case; `None` takes it away.
    pub fn put(&mut self, names: &Names, name: &[u8], value: Option<&[u8]>) {
        match (names.find(name), value) {
            (Some(number), Some(value)) => self.set(number, value),
            (Some(number), None) => self.remove(number),
            (None, Some(value)) => {
                self.others.insert(name.to_vec(), value.to_vec());
            }
            (None, None) => {
                self.others.remove(name);
            }
        }
    }

    /// Names and values of those that are set and whose name is wanted, in the order of names.
    pub fn all<'a>(&'a self, names: &'a Names, wanted: impl Fn(&[u8]) -> bool) -> Vec<(&'a [u8], &'a [u8])> {
        let numbered =
            names.names.iter().enumerate().filter_map(|(at, name)| Some((&name[..], self.get(at as u32)?)));
        let others = self.others.iter().map(|(name, value)| (&name[..], &value[..]));
        let mut all: Vec<_> = numbered.chain(others).filter(|(name, _)| wanted(name)).collect();
        all.sort_unstable();
        all
    }

    pub fn clear(&mut self) {
        const KEPT: usize = 256;
        let mut from = 0;
        while let Some(number) = bits::next(&self.set, from) {
            self.values[number].clear();
            self.values[number].shrink_to(KEPT);
            from = number + 1;
        }
        self.set.fill(0);
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_and_made_names_are_one_collection() {
        let mut names = Names::new();
        let score = names.number(b"Score");
        assert_eq!((names.number(b"score"), names.number(b"7")), (score, 7));
        let mut tx = Tx::default();
        tx.begin(&names);
        assert_eq!(tx.get(score), None);
        tx.put(&names, b"made", Some(b"1"));
        tx.put(&names, b"score", Some(b""));
        tx.set(0, b"zero");
        assert_eq!(tx.get(score), Some(&b""[..]));
        assert_eq!(tx.find(&names, b"made"), Some(&b"1"[..]));
        let all = tx.all(&names, |_| true);
        assert_eq!(all, [(&b"0"[..], &b"zero"[..]), (b"made", b"1"), (b"score", b"")]);
        tx.put(&names, b"made", None);
        tx.put(&names, b"score", None);
        tx.clear();
        tx.begin(&names);
        assert!(tx.all(&names, |_| true).is_empty() && tx.get(0).is_none());
    }
}
