//! What a look-around asks for, as a small automaton: sequences of byte sets, eaten byte by byte.
//! Only look-arounds whose body is such a choice of sequences can be written without them.

use std::collections::BTreeMap;

use super::escape::WORD;
use super::tree::{Look, Tree, intersection};
use crate::waf::bytes::ByteSet;

/// Sequences of one look-around at most, and steps of one of them.
const MOST: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    One(Bytes),
    /// Any number of these.
    Many(Bytes),
    /// The value's end.
    End,
}

/// A set that can be ordered, so that states can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(set: &ByteSet) -> Bytes {
        Bytes(set.iter().collect())
    }
    fn set(&self) -> ByteSet {
        ByteSet::of(&self.0)
    }
}

/// What is still asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Whatever comes, the look-around holds.
    Pass,
    /// Whatever comes, it does not.
    Fail,
    Open {
        negative: bool,
        sequences: Vec<Sequence>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sequence(Vec<Step>);

impl State {
    /// `None` when the body is not a choice of sequences. `mirrored`: they are read backwards, from
    /// the place on.
    pub fn of(body: &Tree, negative: bool, mirrored: bool) -> Option<State> {
        let mut sequences = expand(body)?;
        if mirrored {
            // The end of the value has become its start, which no body here asks for.
            if sequences.iter().flatten().any(|step| *step == Step::End) {
                return None;
            }
            sequences.iter_mut().for_each(|steps| steps.reverse());
        }
        Some(State::from(negative, sequences))
    }

    /// Negative: no byte of the set stands next.
    pub fn none_of(set: &ByteSet) -> State {
        State::from(true, vec![vec![Step::One(Bytes::of(set))]])
    }

    fn from(negative: bool, mut sequences: Vec<Vec<Step>>) -> State {
        for steps in &mut sequences {
            // What may or may not follow asks for nothing.
            while matches!(steps.last(), Some(Step::Many(_))) {
                steps.pop();
            }
        }
        if sequences.iter().any(Vec::is_empty) {
            return if negative { State::Fail } else { State::Pass };
        }
        if sequences.is_empty() {
            return if negative { State::Pass } else { State::Fail };
        }
        sequences.sort();
        sequences.dedup();
        State::Open { negative, sequences: sequences.into_iter().map(Sequence).collect() }
    }

    /// The states after one more byte, each with the bytes that lead to it.
    pub fn step(&self) -> Vec<(State, ByteSet)> {
        let State::Open { negative, sequences } = self else { return vec![(self.clone(), ByteSet::FULL)] };
        let mut states: BTreeMap<State, ByteSet> = BTreeMap::new();
        for byte in 0..=u8::MAX {
            let mut rest = Vec::new();
            for sequence in sequences {
                after(&sequence.0, byte, &mut rest);
            }
            states.entry(State::from(*negative, rest)).or_default().insert(byte);
        }
        states.into_iter().collect()
    }

    /// Whether it holds when nothing comes any more.
    pub fn holds_at_end(&self) -> bool {
        match self {
            State::Pass => true,
            State::Fail => false,
            State::Open { negative, sequences } => {
                let met = sequences
                    .iter()
                    .any(|sequence| sequence.0.iter().all(|step| !matches!(step, Step::One(_))));
                met != *negative
            }
        }
    }
}

/// What a sequence still asks for after the byte.
fn after(steps: &[Step], byte: u8, rest: &mut Vec<Vec<Step>>) {
    match steps.split_first() {
        Some((Step::One(set), tail)) if set.set().contains(byte) => rest.push(tail.to_vec()),
        Some((Step::Many(set), tail)) => {
            if set.set().contains(byte) {
                rest.push(steps.to_vec());
            }
            after(tail, byte, rest);
        }
        _ => {}
    }
}

fn expand(tree: &Tree) -> Option<Vec<Vec<Step>>> {
    let all = match tree {
        Tree::Class { set, .. } => vec![vec![Step::One(Bytes::of(set))]],
        Tree::Look(Look::End) => vec![vec![Step::End]],
        Tree::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                all = match part {
                    Tree::Look(Look::Word) => all.into_iter().try_fold(Vec::new(), edge)?,
                    _ => product(&all, &expand(part)?)?,
                };
            }
            all
        }
        Tree::Alternation(branches) => {
            let branches: Option<Vec<_>> = branches.iter().map(expand).collect();
            branches?.into_iter().flatten().collect()
        }
        Tree::Group(group) => expand(&group.inner)?,
        Tree::Repeat(repeat) => {
            let one = expand(&repeat.inner)?;
            let mut all = vec![Vec::new()];
            for _ in 0..repeat.min {
                all = product(&all, &one)?;
            }
            match (repeat.max, &repeat.inner) {
                (None, Tree::Class { set, .. }) => product(&all, &[vec![Step::Many(Bytes::of(set))]])?,
                (None, _) => return None,
                (Some(max), _) => {
                    let mut longest = all.clone();
                    for _ in repeat.min..max {
                        longest = product(&longest, &one)?;
                        all.extend(longest.iter().cloned());
                    }
                    all
                }
            }
        }
        // Possessive or not: which way it is met makes no difference.
        Tree::Look(_) | Tree::Flags(_) | Tree::Around(_) | Tree::Back { .. } => return None,
    };
    (all.len() <= MOST).then_some(all)
}

fn product(heads: &[Vec<Step>], tails: &[Vec<Step>]) -> Option<Vec<Vec<Step>>> {
    if heads.len() * tails.len() > MOST {
        return None;
    }
    let joined: Vec<Vec<Step>> =
        heads.iter().flat_map(|head| tails.iter().map(move |tail| [&head[..], tail].concat())).collect();
    joined.iter().all(|steps| steps.len() <= MOST).then_some(joined)
}

/// A word boundary behind a byte of which it is known whether it belongs to a word.
fn edge(mut all: Vec<Vec<Step>>, head: Vec<Step>) -> Option<Vec<Vec<Step>>> {
    let Some(Step::One(last)) = head.last() else { return None };
    let last = last.set();
    let word = !last.intersects(&WORD.complement());
    if !word && last.intersects(&WORD) {
        return None;
    }
    let next = if word { WORD.complement() } else { WORD };
    all.push([&head[..], &[Step::One(Bytes::of(&next))]].concat());
    if word {
        all.push([&head[..], &[Step::End]].concat());
    }
    (all.len() <= MOST).then_some(all)
}

/// The bytes of a class by the state that they lead to; classes that fail are left out.
pub(super) fn split(state: &State, set: &ByteSet) -> Vec<(State, ByteSet)> {
    let steps = state.step().into_iter().filter(|(next, _)| *next != State::Fail);
    let parts = steps.map(|(next, bytes)| (next, intersection(set, &bytes)));
    parts.filter(|(_, bytes)| !bytes.is_empty()).collect()
}
