//! Back-references that compare whole words: `\b(\w+)\b ... \b\1\b` captures the second word as well
//! and compares the two, and `(?!\b\1\b)\w+` does so for words that differ. Exact where one place of
//! the first word has one reading of the rest, as in every such expression that rules have; a match
//! of which the comparison fails is followed by the next. Other back-references stay, and are
//! refused.

use super::Rewritten;
use super::escape::WORD;
use super::tree::{Greed, Group, GroupKind, Look, Repeat, Tree};

/// The tree with such back-references as groups, and what is to be compared.
pub(super) fn compared(tree: Tree, rewritten: &mut Rewritten) -> Tree {
    let mut words = Vec::new();
    whole_words(&tree, &mut words);
    if words.is_empty() {
        return tree;
    }
    let mut back = Back { words, pairs: Vec::new(), ignore_case: Vec::new() };
    let replaced = back.replaced(&tree, true);
    // Case counts for all of the pairs or for none.
    if back.pairs.is_empty() || back.ignore_case.iter().any(|ignore| *ignore != back.ignore_case[0]) {
        return tree;
    }
    rewritten.ignore_case = back.ignore_case[0];
    let mut order = Vec::new();
    numbers(&replaced, &mut order);
    let number = |wanted: &dyn Fn(&GroupKind) -> bool| order.iter().position(wanted).map(|at| at + 1);
    for (added, pair) in back.pairs.iter().enumerate() {
        let first = number(&|kind| matches!(kind, GroupKind::Capture(group, _) if *group == pair.group));
        let second = number(&|kind| *kind == GroupKind::Added(added));
        if let Some((first, second)) = first.zip(second) {
            let list = if pair.equal { &mut rewritten.equal } else { &mut rewritten.different };
            list.push([first, second]);
        }
    }
    replaced
}

struct Back {
    /// Groups that are whole words.
    words: Vec<usize>,
    pairs: Vec<Pair>,
    ignore_case: Vec<bool>,
}

struct Pair {
    group: usize,
    equal: bool,
}

/// Groups `\b(\w+)\b`.
fn whole_words(tree: &Tree, words: &mut Vec<usize>) {
    tree.any(&mut |part| {
        let Tree::Concat(parts) = part else { return false };
        for three in parts.windows(3) {
            if let [Tree::Look(Look::Word), Tree::Group(group), Tree::Look(Look::Word)] = three
                && let GroupKind::Capture(number, _) = group.kind
                && is_word(&group.inner)
            {
                words.push(number);
            }
        }
        false
    });
}

/// `\w+` in any spelling.
fn is_word(tree: &Tree) -> bool {
    match tree {
        Tree::Repeat(repeat) => {
            let class = matches!(&repeat.inner, Tree::Class { set, .. } if *set == WORD);
            class && repeat.min == 1 && repeat.max.is_none() && repeat.greed != Greed::Lazy
        }
        _ => false,
    }
}

fn numbers(tree: &Tree, order: &mut Vec<GroupKind>) {
    tree.any(&mut |part| {
        if let Tree::Group(group) = part
            && matches!(group.kind, GroupKind::Capture(..) | GroupKind::Added(_))
        {
            order.push(group.kind.clone());
        }
        false
    });
}

/// `\b\1\b`, perhaps in a group of its own.
fn whole_reference(parts: &[Tree]) -> Option<(usize, bool)> {
    match parts {
        [Tree::Look(Look::Word), Tree::Back { group, caseless, .. }, Tree::Look(Look::Word)] => {
            Some((*group, *caseless))
        }
        [Tree::Concat(parts)] => whole_reference(parts),
        [Tree::Group(group)] if matches!(group.kind, GroupKind::Plain(_)) => match &group.inner {
            Tree::Concat(parts) => whole_reference(parts),
            _ => None,
        },
        _ => None,
    }
}

impl Back {
    /// `last`: nothing of the expression follows.
    fn replaced(&mut self, tree: &Tree, last: bool) -> Tree {
        match tree {
            Tree::Alternation(branches) => {
                Tree::Alternation(branches.iter().map(|branch| self.replaced(branch, last)).collect())
            }
            Tree::Group(group) => {
                let inner = self.replaced(&group.inner, last);
                Tree::Group(Box::new(Group { kind: group.kind.clone(), inner }))
            }
            Tree::Concat(parts) => Tree::Concat(self.list(parts, last)),
            // Of a repeated group only the last word would be compared.
            other => other.clone(),
        }
    }

    fn list(&mut self, parts: &[Tree], last: bool) -> Vec<Tree> {
        let mut done = Vec::with_capacity(parts.len());
        let mut at = 0;
        while let Some(part) = parts.get(at) {
            let rest = &parts[at + 1..];
            if let Some((group, caseless)) = parts.get(at..at + 3).and_then(whole_reference)
                && self.words.contains(&group)
            {
                let word = self.added(group, caseless, true);
                done.extend([Tree::Look(Look::Word), word, Tree::Look(Look::Word)]);
                at += 3;
                continue;
            }
            if let Tree::Around(around) = part
                && around.ahead
                && around.negative
                && let Some((group, caseless)) = whole_reference(std::slice::from_ref(&around.inner))
                && self.words.contains(&group)
                && rest.first().is_some_and(is_word)
                && last
                && rest.len() == 1
            {
                // Inside a word the reference, which begins at an edge, cannot stand.
                let word = self.added(group, caseless, false);
                let edge = Tree::Concat(vec![Tree::Look(Look::Word), word]);
                let inner = Tree::Concat(vec![Tree::Look(Look::NotWord), rest[0].clone()]);
                done.push(Tree::group(Tree::Alternation(vec![edge, inner])));
                at += 2;
                continue;
            }
            done.push(self.replaced(part, last && rest.is_empty()));
            at += 1;
        }
        done
    }

    fn added(&mut self, group: usize, caseless: bool, equal: bool) -> Tree {
        self.pairs.push(Pair { group, equal });
        self.ignore_case.push(caseless);
        let inner = Tree::Class { set: WORD, text: "\\w".to_owned() };
        let word = Repeat { inner, min: 1, max: None, greed: Greed::Greedy };
        let kind = GroupKind::Added(self.pairs.len() - 1);
        Tree::Group(Box::new(Group { kind, inner: Tree::Repeat(Box::new(word)) }))
    }
}
