//! Takes look-arounds, possessive repetitions and atomic groups out of a tree: what they ask for is
//! pushed into the expression beside them, byte class by byte class. `x(?!yz)\w` for instance
//! becomes `x(?:[\w--y]|y(?:[^z]|$))`. Where an expression has no such form of reasonable size,
//! what is in the way is handed back.
//!
//! A look-behind is a look-ahead in the mirror: the list before it is turned around.

use super::ahead::{State, split};
use super::tree::{Around, Greed, Group, GroupKind, Look, Repeat, Tree, first_after, mirror};
use super::write;
use crate::waf::bytes::ByteSet;

/// Nodes that the rewriting of one expression may add; the size limit of expressions is far.
const BUDGET: usize = 2000;
/// Nodes that copies of a list may have: what stands behind alternatives is written once for each of
/// them, and alternatives in a row double it each time.
const COPIES: usize = 20_000;
/// Nodes that look-arounds are pushed past, those of the whole list behind counted each time.
const WALKED: usize = 20_000;
/// Special parts looked at, again for each way that is tried. Real expressions need some hundred.
const STEPS: usize = 5000;
/// Nodes that one look-around is pushed through, one behind the other.
const DEPTH: usize = 200;

pub(super) struct Resolver {
    pub notes: Vec<String>,
    /// Case does not count somewhere: a set that tells case must be spelled so.
    caseless: bool,
    budget: usize,
    copies: usize,
    walked: usize,
    steps: usize,
    depth: usize,
}

/// What is around a list of trees.
#[derive(Clone, Default)]
struct Context {
    /// What follows it.
    after: Vec<Tree>,
    /// Nothing stands before it in the expression; nothing behind it.
    first: bool,
    last: bool,
}

/// What comes behind a list that is pushed through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The end of the expression: any bytes, or the value's end.
    Value,
    /// More of the expression, which is not at hand.
    Unknown,
    /// Nothing that the question could forbid.
    Free,
}

type Answer<T> = Result<T, Box<Tree>>;

impl Resolver {
    pub fn new(caseless: bool) -> Resolver {
        Resolver {
            notes: Vec::new(),
            caseless,
            budget: BUDGET,
            copies: COPIES,
            walked: WALKED,
            steps: STEPS,
            depth: 0,
        }
    }

    /// The whole expression without what is not linear; or what is in the way.
    pub fn expression(&mut self, tree: &Tree) -> Answer<Tree> {
        self.tree(tree, &Context { after: Vec::new(), first: true, last: true })
    }

    fn tree(&mut self, tree: &Tree, context: &Context) -> Answer<Tree> {
        if !is_special(tree) {
            return Ok(tree.clone());
        }
        match tree {
            Tree::Alternation(branches) => {
                let branches: Answer<Vec<Tree>> =
                    branches.iter().map(|branch| self.tree(branch, context)).collect();
                Ok(Tree::Alternation(branches?))
            }
            Tree::Concat(parts) => self.list(parts, context),
            one => self.list(std::slice::from_ref(one), context),
        }
    }

    /// From the end to the start, so that what is pushed finds a list that is done.
    fn list(&mut self, parts: &[Tree], context: &Context) -> Answer<Tree> {
        let flags = parts.iter().any(|part| matches!(part, Tree::Flags(_)));
        let mut parts = parts.to_vec();
        let mut done: Vec<Tree> = Vec::new();
        while let Some(part) = parts.pop() {
            if !is_special(&part) {
                done.insert(0, part);
                continue;
            }
            if self.steps == 0 {
                return Err(Box::new(part));
            }
            self.steps -= 1;
            let here = Context {
                after: [&done[..], &context.after].concat(),
                first: context.first && parts.is_empty(),
                last: context.last && done.is_empty(),
            };
            match part {
                // Flags would have to move with what they stand before.
                Tree::Around(_) if flags => return Err(Box::new(part)),
                Tree::Back { .. } => return Err(Box::new(part)),
                Tree::Around(around) if around.ahead => {
                    done = self.ahead(&around, &done, context)?;
                }
                Tree::Around(around) => {
                    let head = self.behind(&around, &parts, context)?;
                    parts = vec![];
                    done.insert(0, head);
                }
                Tree::Repeat(repeat) if repeat.greed == Greed::Possessive => {
                    if is_special(&repeat.inner) {
                        parts.push(Tree::Repeat(Box::new(Repeat { greed: Greed::Greedy, ..*repeat })));
                        self.note("a possessive repetition is only greedy");
                        continue;
                    }
                    let tail = std::mem::take(&mut done);
                    done = self.possessive(*repeat, tail, context);
                }
                Tree::Group(group) if group.kind == GroupKind::Atomic => {
                    let plain = Tree::group(group.inner.clone());
                    let exclusive = self.atomic(&group, &here);
                    match self.list(&chained(&exclusive, &done), context) {
                        Ok(tree) => done = vec![tree],
                        Err(_) => {
                            self.note("an atomic group gives back what it took");
                            parts.push(plain);
                        }
                    }
                }
                // What stands last in a group may as well stand behind it.
                Tree::Group(group) if ends_with_look(&group) => {
                    let (group, around) = split_look(*group);
                    parts.extend([group, around]);
                }
                part => match self.inside(&part, &here) {
                    Ok(part) => done.insert(0, part),
                    Err(stuck) => done = vec![self.distributed(&part, &done, context, stuck)?],
                },
            }
        }
        Ok(joined(done))
    }

    /// A part with something special somewhere in it.
    fn inside(&mut self, part: &Tree, context: &Context) -> Answer<Tree> {
        match part {
            Tree::Group(group) => {
                // What a group captures ends where it did.
                let told = matches!(group.kind, GroupKind::Capture(..) | GroupKind::Added(_));
                let open = !told && context.last;
                let inner = self.tree(
                    &group.inner,
                    &Context { last: open, first: !told && context.first, ..context.clone() },
                )?;
                Ok(Tree::Group(Box::new(Group { kind: group.kind.clone(), inner })))
            }
            Tree::Repeat(repeat) => {
                let once = repeat.max == Some(1);
                // Once more, or what follows.
                let again = Tree::Repeat(Box::new(Repeat { min: 0, ..(**repeat).clone() }));
                let context = if once {
                    context.clone()
                } else {
                    Context { after: [&[again], &context.after[..]].concat(), first: false, last: false }
                };
                let inner = self.tree(&repeat.inner, &context)?;
                Ok(Tree::Repeat(Box::new(Repeat { inner, ..(**repeat).clone() })))
            }
            part => self.tree(part, context),
        }
    }

    /// `(?:A|B)C` as `(?:AC|BC)`, so that what stands at the end of A can look into C.
    fn distributed(
        &mut self,
        part: &Tree,
        tail: &[Tree],
        context: &Context,
        stuck: Box<Tree>,
    ) -> Answer<Tree> {
        let inner = match part {
            Tree::Group(group) if group.kind == GroupKind::Plain(String::new()) => &group.inner,
            Tree::Alternation(_) => part,
            _ => return Err(stuck),
        };
        let branches = branches(inner);
        let copies = branches.len() > 1;
        if tail.is_empty()
            || copies && tail.iter().any(Tree::captures)
            || !self.spend(tail.len() * branches.len())
            || copies && !take(&mut self.copies, tail, branches.len())
        {
            return Err(stuck);
        }
        let mut joined = Vec::with_capacity(branches.len());
        for branch in branches {
            joined.push(self.list(&chained(&branch, tail), context)?);
        }
        Ok(alternatives(joined))
    }

    fn ahead(&mut self, around: &Around, done: &[Tree], context: &Context) -> Answer<Vec<Tree>> {
        let mut parts = self.lost_captures(around)?;
        let stuck = || Box::new(Tree::Around(Box::new(around.clone())));
        let state = State::of(&around.inner, around.negative, false).ok_or_else(stuck)?;
        let end = if context.last { End::Value } else { End::Unknown };
        match self.push(&state, done, end).ok_or_else(stuck)? {
            Tree::Concat(pushed) => parts.extend(pushed),
            pushed => parts.push(pushed),
        }
        Ok(parts)
    }

    fn behind(&mut self, around: &Around, head: &[Tree], context: &Context) -> Answer<Tree> {
        let stuck = || Box::new(Tree::Around(Box::new(around.clone())));
        let lost = self.lost_captures(around)?;
        let state = State::of(&around.inner, around.negative, true).ok_or_else(stuck)?;
        if head.iter().any(is_special) {
            return Err(stuck());
        }
        let mirrored: Vec<Tree> = head.iter().rev().map(mirror).collect();
        let end = if context.first { End::Value } else { End::Unknown };
        let pushed = self.push(&state, &mirrored, end).ok_or_else(stuck)?;
        let mut parts = vec![mirror(&pushed)];
        parts.extend(lost);
        Ok(joined(parts))
    }

    fn lost_captures(&self, around: &Around) -> Answer<Vec<Tree>> {
        lost_captures(around).ok_or_else(|| Box::new(Tree::Around(Box::new(around.clone()))))
    }

    /// `C*+` is `C*` with no more of C behind it.
    fn possessive(&mut self, repeat: Repeat, tail: Vec<Tree>, context: &Context) -> Vec<Tree> {
        let set = repeat.inner.first();
        let after = [&tail[..], &context.after].concat();
        let class = matches!(repeat.inner, Tree::Class { .. });
        let exact = class && !first_after(&after, &set).intersects(&set)
            || repeat.inner.length().is_some() && !first_after(&after, &ByteSet::EMPTY).intersects(&set);
        let (least, most, unbounded) = (repeat.min, repeat.max, repeat.max.is_none());
        let greedy = Tree::Repeat(Box::new(Repeat { greed: Greed::Greedy, ..repeat }));
        let as_written = |tail: Vec<Tree>| [vec![greedy.clone()], tail].concat();
        if exact || after.is_empty() {
            return as_written(tail);
        }
        let free = !first_after(&context.after, &set).intersects(&set);
        if let (true, Some(most), false) = (class, most, tail.iter().any(Tree::captures))
            && let Some(exact) = self.bounded(&greedy, least, most, &tail, free)
        {
            return exact;
        }
        let end = if free { End::Free } else { End::Unknown };
        if class
            && unbounded
            && let Some(pushed) = self.push(&State::none_of(&set), &tail, end)
        {
            return vec![greedy, pushed];
        }
        self.note("a possessive repetition is only greedy");
        as_written(tail)
    }

    /// `C{n,m}+` is `C{m}`, or fewer of C with no more of it behind them.
    fn bounded(
        &mut self,
        greedy: &Tree,
        least: u32,
        most: u32,
        tail: &[Tree],
        free: bool,
    ) -> Option<Vec<Tree>> {
        let Tree::Repeat(repeat) = greedy else { return None };
        if most == least {
            return Some([std::slice::from_ref(greedy), tail].concat());
        }
        let times = |min: u32, max: u32| {
            Tree::Repeat(Box::new(Repeat { min, max: Some(max), greed: Greed::Greedy, ..(**repeat).clone() }))
        };
        let end = if free { End::Free } else { End::Unknown };
        let rest = self.push(&State::none_of(&repeat.inner.first()), tail, end)?;
        let all = joined([&[times(most, most)], tail].concat());
        Some(vec![alternatives(vec![all, joined(vec![times(least, most - 1), rest])])])
    }

    /// An atomic group as alternatives that exclude each other, or as a possessive repetition.
    fn atomic(&mut self, group: &Group, context: &Context) -> Tree {
        let branches = branches(&group.inner);
        let runs = |inner: &Repeat| matches!(inner.inner, Tree::Class { .. }) && inner.greed != Greed::Lazy;
        match &group.inner {
            Tree::Repeat(repeat) if runs(repeat) => {
                return Tree::Repeat(Box::new(Repeat { greed: Greed::Possessive, ..(**repeat).clone() }));
            }
            inner if inner.length().is_some() && branches.len() == 1 => return Tree::group(inner.clone()),
            _ => {}
        }
        let nothing_follows = context.last && context.after.is_empty();
        if nothing_follows {
            return Tree::group(group.inner.clone());
        }
        if !branches.iter().all(|branch| branch.length().is_some() && !branch.captures()) {
            self.note("an atomic group gives back what it took");
            return Tree::group(group.inner.clone());
        }
        let mut exclusive: Vec<Tree> = Vec::with_capacity(branches.len());
        for (at, branch) in branches.iter().enumerate() {
            if at == 0 {
                exclusive.push(branch.clone());
                continue;
            }
            let inner = Tree::Alternation(branches[..at].to_vec());
            let earlier = Around { ahead: true, negative: true, inner, at: 0 };
            exclusive.push(joined(vec![Tree::Around(Box::new(earlier)), branch.clone()]));
        }
        alternatives(exclusive)
    }

    /// The list `rest` where the look-ahead holds before it.
    fn push(&mut self, state: &State, rest: &[Tree], end: End) -> Option<Tree> {
        match state {
            State::Pass => return Some(joined(rest.to_vec())),
            State::Fail => return Some(never()),
            State::Open { .. } => {}
        }
        if self.depth >= DEPTH || !self.spend(1) || !take(&mut self.walked, rest, 1) {
            return None;
        }
        self.depth += 1;
        let pushed = self.push_open(state, rest, end);
        self.depth -= 1;
        pushed
    }

    fn push_open(&mut self, state: &State, rest: &[Tree], end: End) -> Option<Tree> {
        let Some((head, tail)) = rest.split_first() else {
            return match end {
                End::Value => {
                    self.note("the match reaches over what the look-around saw");
                    self.trailing(state, &mut Vec::new())
                }
                End::Unknown => None,
                End::Free => Some(Tree::empty()),
            };
        };
        match head {
            Tree::Class { set, .. } => self.push_class(state, set, head, tail, end),
            Tree::Look(Look::End) if state.holds_at_end() => Some(joined(rest.to_vec())),
            Tree::Look(Look::End) => Some(never()),
            Tree::Look(_) => Some(joined(vec![head.clone(), self.push(state, tail, end)?])),
            Tree::Concat(parts) => self.push(state, &[&parts[..], tail].concat(), end),
            Tree::Alternation(branches) => self.push_branches(state, branches, tail, end),
            Tree::Group(group) => {
                if let Some(inner) = self.push(state, std::slice::from_ref(&group.inner), End::Unknown) {
                    let group = Tree::Group(Box::new(Group { kind: group.kind.clone(), inner }));
                    return Some(joined([&[group], tail].concat()));
                }
                let plain = group.kind == GroupKind::Plain(String::new());
                if plain { self.push_branches(state, &branches(&group.inner), tail, end) } else { None }
            }
            Tree::Repeat(repeat) => self.push_repeat(state, repeat, tail, end),
            Tree::Flags(_) | Tree::Around(_) | Tree::Back { .. } => None,
        }
    }

    fn push_class(
        &mut self,
        state: &State,
        set: &ByteSet,
        head: &Tree,
        tail: &[Tree],
        end: End,
    ) -> Option<Tree> {
        let parts = split(state, set);
        if parts.len() > 1 && tail.iter().any(Tree::captures) {
            return None;
        }
        let mut all = Vec::with_capacity(parts.len());
        for (next, bytes) in parts {
            let class = if bytes == *set { head.clone() } else { self.class(&bytes) };
            let rest = self.push(&next, tail, end)?;
            if !is_never(&rest) {
                all.push(joined(vec![class, rest]));
            }
        }
        Some(alternatives(all))
    }

    fn push_branches(&mut self, state: &State, branches: &[Tree], tail: &[Tree], end: End) -> Option<Tree> {
        if branches.len() > 1 && tail.iter().any(Tree::captures) {
            return None;
        }
        let mut all = Vec::with_capacity(branches.len());
        for branch in branches {
            let pushed = self.push(state, &chained(branch, tail), end)?;
            if !is_never(&pushed) {
                all.push(pushed);
            }
        }
        Some(alternatives(all))
    }

    fn push_repeat(&mut self, state: &State, repeat: &Repeat, tail: &[Tree], end: End) -> Option<Tree> {
        let single = repeat.max == Some(1);
        if repeat.inner.nullable() || repeat.inner.captures() && !single {
            return None;
        }
        let mut once = vec![repeat.inner.clone()];
        if !single {
            let (min, max) = (repeat.min.saturating_sub(1), repeat.max.map(|max| max.saturating_sub(1)));
            once.push(Tree::Repeat(Box::new(Repeat { min, max, ..repeat.clone() })));
        }
        if repeat.min > 0 {
            return self.push(state, &[&once[..], tail].concat(), end);
        }
        if repeat.max == Some(0) {
            return self.push(state, tail, end);
        }
        let skipped = self.push(state, tail, end)?;
        let inside = self.push(state, &once, End::Unknown);
        let unchanged = write::expression(&skipped) == write::expression(&joined(tail.to_vec()));
        if let Some(inside) = &inside
            && unchanged
        {
            if is_never(inside) {
                return Some(skipped);
            }
            let inner = Tree::group(inside.clone());
            let greed = repeat.greed;
            let optional = Tree::Repeat(Box::new(Repeat { inner, min: 0, max: Some(1), greed }));
            return Some(joined([&[optional], tail].concat()));
        }
        if tail.iter().any(Tree::captures) {
            return None;
        }
        let taken = match inside {
            Some(inside) if is_never(&inside) => inside,
            Some(inside) => joined([&[inside], tail].concat()),
            None => self.push(state, &[&once[..], tail].concat(), end)?,
        };
        let mut all = vec![taken, skipped];
        if repeat.greed == Greed::Lazy {
            all.reverse();
        }
        all.retain(|branch| !is_never(branch));
        Some(alternatives(all))
    }

    /// What makes the look-ahead hold where the expression ends.
    fn trailing(&mut self, state: &State, above: &mut Vec<State>) -> Option<Tree> {
        // Only a state that leads to itself can be written as a repetition here.
        if above.contains(state) || !self.spend(1) {
            return None;
        }
        above.push(state.clone());
        let (mut all, mut loops) = (Vec::new(), None);
        for (next, bytes) in state.step() {
            if next == *state {
                loops = Some(bytes);
                continue;
            }
            match &next {
                State::Fail => {}
                State::Pass => all.push(self.class(&bytes)),
                State::Open { .. } => {
                    let rest = self.trailing(&next, above)?;
                    all.push(joined(vec![self.class(&bytes), rest]));
                }
            }
        }
        if state.holds_at_end() {
            all.push(Tree::Look(Look::End));
        }
        above.pop();
        let mut parts = Vec::new();
        if let Some(bytes) = loops {
            let inner = self.class(&bytes);
            parts.push(Tree::Repeat(Box::new(Repeat { inner, min: 0, max: None, greed: Greed::Greedy })));
        }
        parts.push(alternatives(all));
        Some(joined(parts))
    }

    fn class(&self, set: &ByteSet) -> Tree {
        let text = write::class(set);
        let tells_case = set.iter().any(|byte| {
            byte.is_ascii_alphabetic() && !set.contains(byte.to_ascii_lowercase())
                || byte.is_ascii_alphabetic() && !set.contains(byte.to_ascii_uppercase())
        });
        let text = if tells_case && self.caseless { format!("(?-i:{text})") } else { text };
        Tree::Class { set: *set, text }
    }

    fn spend(&mut self, nodes: usize) -> bool {
        let enough = self.budget >= nodes;
        self.budget = self.budget.saturating_sub(nodes);
        enough
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|known| known == text) {
            self.notes.push(text.to_owned());
        }
    }
}

/// True for what the regex crate cannot be told, and for what has it inside.
pub(super) fn is_special(tree: &Tree) -> bool {
    tree.any(&mut is_one)
}

/// Takes the nodes of a list, so many times, from what is left; false when there are not as many.
fn take(left: &mut usize, list: &[Tree], times: usize) -> bool {
    let mut nodes = 0;
    list.iter().any(|tree| {
        tree.any(&mut |_| {
            nodes += times;
            nodes > *left
        })
    });
    let enough = nodes <= *left;
    *left = left.saturating_sub(nodes);
    enough
}

pub(super) fn count_special(tree: &Tree) -> usize {
    let mut count = 0;
    tree.any(&mut |part| {
        count += usize::from(is_one(part));
        false
    });
    count
}

fn is_one(part: &Tree) -> bool {
    match part {
        Tree::Around(_) | Tree::Back { .. } => true,
        Tree::Repeat(repeat) => repeat.greed == Greed::Possessive,
        Tree::Group(group) => group.kind == GroupKind::Atomic,
        _ => false,
    }
}

/// Groups of a negative look-around never take part, but they count: each leaves one that cannot
/// take part. `None` for a positive one: what it captured would be lost.
pub(super) fn lost_captures(around: &Around) -> Option<Vec<Tree>> {
    let mut groups = Vec::new();
    around.inner.any(&mut |part| {
        if let Tree::Group(group) = part
            && matches!(group.kind, GroupKind::Capture(..))
        {
            groups.push(group.kind.clone());
        }
        false
    });
    let never = |kind| Tree::Group(Box::new(Group { kind, inner: Tree::empty() }));
    (groups.is_empty() || around.negative)
        .then(|| groups.into_iter().map(|kind| alternatives(vec![Tree::empty(), never(kind)])).collect())
}

/// A capturing group that ends with a look-ahead.
fn ends_with_look(group: &Group) -> bool {
    let last = match &group.inner {
        Tree::Concat(parts) => parts.last(),
        _ => None,
    };
    matches!(group.kind, GroupKind::Capture(..)) && matches!(last, Some(Tree::Around(around)) if around.ahead)
}

/// The group without its last part, and that part.
fn split_look(mut group: Group) -> (Tree, Tree) {
    let last = match &mut group.inner {
        Tree::Concat(parts) => parts.pop(),
        _ => None,
    };
    (Tree::Group(Box::new(group)), last.unwrap_or_else(Tree::empty))
}

fn never() -> Tree {
    Tree::set(ByteSet::EMPTY)
}

fn is_never(tree: &Tree) -> bool {
    match tree {
        Tree::Class { set, .. } => set.is_empty(),
        Tree::Concat(parts) => parts.iter().any(is_never),
        Tree::Group(group) => is_never(&group.inner),
        _ => false,
    }
}

fn branches(inner: &Tree) -> Vec<Tree> {
    match inner {
        Tree::Alternation(branches) => branches.clone(),
        one => vec![one.clone()],
    }
}

/// One tree and what follows it, as one list.
fn chained(head: &Tree, tail: &[Tree]) -> Vec<Tree> {
    match head {
        Tree::Concat(parts) => [&parts[..], tail].concat(),
        one => [std::slice::from_ref(one), tail].concat(),
    }
}

fn joined(parts: Vec<Tree>) -> Tree {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Tree::Concat(inner) => flat.extend(inner),
            part => flat.push(part),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { Tree::Concat(flat) }
}

/// A group of these; one alone needs none, and none of them is what never matches.
fn alternatives(mut all: Vec<Tree>) -> Tree {
    match all.len() {
        0 => never(),
        1 => all.remove(0),
        _ => Tree::group(Tree::Alternation(all)),
    }
}
