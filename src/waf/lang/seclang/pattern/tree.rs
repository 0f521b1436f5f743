//! What an expression is made of, and what can be told from it: the bytes it can begin with, and
//! whether it can match nothing.

use crate::waf::bytes::ByteSet;

#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// One byte out of a set. `text` is how the regex crate is told.
    Class {
        set: ByteSet,
        text: String,
    },
    /// Matches no byte: an edge, a word boundary.
    Look(Look),
    /// `(?i)`: flags from here to the end of the group.
    Flags(String),
    Concat(Vec<Tree>),
    Alternation(Vec<Tree>),
    Repeat(Box<Repeat>),
    Group(Box<Group>),
    /// `(?=...)`, `(?!...)`, `(?<=...)`, `(?<!...)`.
    Around(Box<Around>),
    /// `\1`.
    Back {
        group: usize,
        caseless: bool,
        at: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// `^` in a line mode, `$` in a line mode.
    LineStart,
    LineEnd,
    Start,
    End,
    Word,
    NotWord,
    WordStart,
    WordEnd,
}

#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub inner: Tree,
    pub min: u32,
    pub max: Option<u32>,
    pub greed: Greed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    /// `*+`: what was taken is not given back.
    Possessive,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub kind: GroupKind,
    pub inner: Tree,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupKind {
    /// Its number, and its name.
    Capture(usize, Option<String>),
    /// `(?:` and, with flags, `(?i:`.
    Plain(String),
    /// `(?>...)`.
    Atomic,
    /// A group that the rewriting has added for a comparison.
    Added(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Around {
    pub ahead: bool,
    pub negative: bool,
    pub inner: Tree,
    /// Where it stands, in characters.
    pub at: usize,
}

impl Tree {
    pub fn empty() -> Tree {
        Tree::Concat(Vec::new())
    }

    /// One byte.
    pub fn byte(byte: u8) -> Tree {
        Tree::Class { set: ByteSet::of(&[byte]), text: super::write::literal(byte) }
    }

    /// A set, spelled as a class.
    pub fn set(set: ByteSet) -> Tree {
        Tree::Class { set, text: super::write::class(&set) }
    }

    pub fn group(inner: Tree) -> Tree {
        Tree::Group(Box::new(Group { kind: GroupKind::Plain(String::new()), inner }))
    }

    /// True when it can match without a byte. Never false for one that can.
    pub fn nullable(&self) -> bool {
        match self {
            Tree::Class { .. } => false,
            Tree::Look(_) | Tree::Flags(_) | Tree::Around(_) | Tree::Back { .. } => true,
            Tree::Concat(parts) => parts.iter().all(Tree::nullable),
            Tree::Alternation(branches) => branches.iter().any(Tree::nullable),
            Tree::Repeat(repeat) => repeat.min == 0 || repeat.inner.nullable(),
            Tree::Group(group) => group.inner.nullable(),
        }
    }

    /// The bytes that a match with bytes can begin with. Never too few.
    pub fn first(&self) -> ByteSet {
        match self {
            Tree::Class { set, .. } => *set,
            Tree::Look(_) | Tree::Flags(_) | Tree::Around(_) => ByteSet::EMPTY,
            Tree::Back { .. } => ByteSet::FULL,
            Tree::Concat(parts) => first_of(parts),
            Tree::Alternation(branches) => {
                branches.iter().fold(ByteSet::EMPTY, |set, branch| set.union(branch.first()))
            }
            Tree::Repeat(repeat) => repeat.inner.first(),
            Tree::Group(group) => group.inner.first(),
        }
    }

    /// Every part, this one first.
    pub fn any(&self, test: &mut dyn FnMut(&Tree) -> bool) -> bool {
        test(self)
            || match self {
                Tree::Class { .. } | Tree::Look(_) | Tree::Flags(_) | Tree::Back { .. } => false,
                Tree::Concat(parts) | Tree::Alternation(parts) => parts.iter().any(|part| part.any(test)),
                Tree::Repeat(repeat) => repeat.inner.any(test),
                Tree::Group(group) => group.inner.any(test),
                Tree::Around(around) => around.inner.any(test),
            }
    }

    /// The number of bytes of every match, when it is always the same.
    pub fn length(&self) -> Option<usize> {
        match self {
            Tree::Class { .. } => Some(1),
            Tree::Look(_) | Tree::Flags(_) => Some(0),
            Tree::Around(_) | Tree::Back { .. } => None,
            Tree::Concat(parts) => parts.iter().try_fold(0, |sum, part| Some(sum + part.length()?)),
            Tree::Alternation(branches) => {
                let length = branches.first()?.length()?;
                branches.iter().all(|branch| branch.length() == Some(length)).then_some(length)
            }
            Tree::Repeat(repeat) => {
                let times = repeat.max.filter(|max| *max == repeat.min)?;
                repeat.inner.length()?.checked_mul(usize::try_from(times).ok()?)
            }
            Tree::Group(group) => group.inner.length(),
        }
    }

    pub fn captures(&self) -> bool {
        self.any(&mut |part| {
            matches!(part, Tree::Group(group) if matches!(group.kind, GroupKind::Capture(..) | GroupKind::Added(_)))
        })
    }
}

/// The first bytes of these, one after the other.
pub(super) fn first_of(parts: &[Tree]) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    for part in parts {
        set = set.union(part.first());
        if !part.nullable() {
            break;
        }
    }
    set
}

/// The first bytes of what follows a run of bytes of `set`, leaving aside runs that take in all of
/// `set`: bytes that the first run gave back to them would change nothing.
pub(super) fn first_after(parts: &[Tree], set: &ByteSet) -> ByteSet {
    let absorbs = |part: &Tree| match part {
        Tree::Repeat(repeat) => match &repeat.inner {
            Tree::Class { set: inner, .. } => {
                repeat.min == 0
                    && repeat.max.is_none()
                    && !set.is_empty()
                    && !set.intersects(&inner.complement())
            }
            _ => false,
        },
        _ => false,
    };
    let mut first = ByteSet::EMPTY;
    for part in parts {
        if absorbs(part) {
            continue;
        }
        let inner = match part {
            Tree::Group(group) => Some(&group.inner),
            Tree::Repeat(repeat) => Some(&repeat.inner),
            Tree::Concat(_) | Tree::Alternation(_) => Some(part),
            _ => None,
        };
        first = first.union(match inner {
            Some(Tree::Alternation(branches)) => branches.iter().fold(ByteSet::EMPTY, |all, branch| {
                all.union(first_after(std::slice::from_ref(branch), set))
            }),
            Some(Tree::Concat(parts)) => first_after(parts, set),
            Some(inner @ (Tree::Group(_) | Tree::Repeat(_))) => first_after(std::slice::from_ref(inner), set),
            Some(inner) => inner.first(),
            None => part.first(),
        });
        if !part.nullable() {
            break;
        }
    }
    first
}

/// The expression for the text read backwards.
pub(super) fn mirror(tree: &Tree) -> Tree {
    let all = |parts: &[Tree]| parts.iter().map(mirror).collect::<Vec<_>>();
    match tree {
        Tree::Look(look) => Tree::Look(match look {
            Look::Start => Look::End,
            Look::End => Look::Start,
            Look::LineStart => Look::LineEnd,
            Look::LineEnd => Look::LineStart,
            Look::WordStart => Look::WordEnd,
            Look::WordEnd => Look::WordStart,
            same => *same,
        }),
        Tree::Concat(parts) => Tree::Concat(parts.iter().rev().map(mirror).collect()),
        Tree::Alternation(branches) => Tree::Alternation(all(branches)),
        Tree::Repeat(repeat) => {
            Tree::Repeat(Box::new(Repeat { inner: mirror(&repeat.inner), ..(**repeat).clone() }))
        }
        Tree::Group(group) => {
            Tree::Group(Box::new(Group { kind: group.kind.clone(), inner: mirror(&group.inner) }))
        }
        other => other.clone(),
    }
}

pub(super) fn intersection(a: &ByteSet, b: &ByteSet) -> ByteSet {
    a.complement().union(b.complement()).complement()
}
