//! A value as the paths in it. One pass, unit by unit; the path that is being read is kept normalised in a buffer of
//! fixed size, with what was seen on the way: steps up, how they were written, what it began with.

use super::unit::{self, Unit, Writing};

/// Of a longer normalised path the end is kept: that is where a place is named.
const MOST: usize = 256;

/// So many spaces are part of a path at most (`Documents and Settings`, `Program Files`).
const MOST_SPACES: u8 = 5;

/// What a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Relative,
    Slash,
    Drive,
    /// `\\host\share`
    Share,
    /// `file:`
    File,
    /// `https://host/`
    Url,
}

/// A path, normalised: `.` and `..` resolved, separators `/`, lower case.
#[derive(Clone, Debug)]
pub(super) struct Path {
    text: [u8; MOST],
    len: usize,
    /// Where the segment that is being read begins in the text.
    segment: usize,
    pub root: Root,
    /// Where it stands in the value.
    pub start: usize,
    pub end: usize,
    /// Something other than a space or quote stands before it, such as `file=`.
    pub led: bool,
    /// Steps up, however written.
    pub ups: u32,
    /// Steps up beyond where it began.
    pub above: u32,
    /// Steps of three and more dots, which become `..` where a filter takes `../` away.
    pub many: u32,
    /// How the dots of its steps were written, and the separators behind them.
    pub dots: Writing,
    pub separators: Writing,
    /// `..;/`, or a control character in a step.
    pub odd: bool,
    pub nul: bool,
    /// Segments `.`, which fill a path up to where it is cut.
    pub still: u32,
    spaces: u8,
    depth: u32,
    /// How the dots of the segment that is being read are written.
    now: Writing,
}

impl Path {
    fn new(start: usize, led: bool) -> Path {
        Path {
            text: [0; MOST],
            len: 0,
            segment: 0,
            root: Root::Relative,
            start,
            end: start,
            led,
            ups: 0,
            above: 0,
            many: 0,
            dots: Writing::PLAIN,
            separators: Writing::PLAIN,
            odd: false,
            nul: false,
            still: 0,
            spaces: 0,
            depth: 0,
            now: Writing::PLAIN,
        }
    }

    /// The path without root and steps.
    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// How many segments are left of it.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// True for a path that has something to judge.
    fn matters(&self) -> bool {
        self.len > 0 || self.ups > 0
    }

    fn push(&mut self, byte: u8) {
        if self.len == MOST {
            let keep = MOST / 2;
            self.text.copy_within(keep.., 0);
            self.len -= keep;
            self.segment = self.segment.saturating_sub(keep);
        }
        self.text[self.len] = byte;
        self.len += 1;
    }

    fn begun(&self) -> bool {
        self.len > self.segment
    }

    /// Ends a segment. `by` is how the separator was written; without one the value goes on
    /// otherwise.
    fn close(&mut self, by: Option<Writing>) {
        let segment = &self.text[self.segment..self.len];
        let step = Step::of(segment);
        // `..;x` alone is the end of a sentence.
        let is_odd = by.is_some() && segment.iter().any(|&byte| byte != b'.');
        let written = std::mem::take(&mut self.now);
        match step {
            Step::Nothing => self.len = self.segment,
            Step::Still => {
                self.still += 1;
                self.len = self.segment;
            }
            Step::Down => {
                self.depth += 1;
                if by.is_some() {
                    self.push(b'/');
                }
            }
            Step::Up | Step::Many => {
                self.len = self.segment;
                self.ups += 1;
                self.many += u32::from(step == Step::Many);
                self.odd |= is_odd;
                self.dots = self.dots.with(written);
                self.separators = self.separators.with(by.unwrap_or_default());
                self.pop();
            }
        }
        self.segment = self.len;
    }

    fn pop(&mut self) {
        if self.depth == 0 {
            self.above += 1;
            return;
        }
        self.depth -= 1;
        let parent = self.text[..self.len.saturating_sub(1)].iter().rposition(|&byte| byte == b'/');
        self.len = parent.map_or(0, |at| at + 1);
    }
}

/// What a segment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Still,
    Up,
    Many,
    Down,
}

impl Step {
    fn of(segment: &[u8]) -> Step {
        let mut dots = 0;
        for (at, &byte) in segment.iter().enumerate() {
            match byte {
                b'.' => dots += 1,
                // `..%/` is what a removed escape leaves.
                0..0x20 | 0x7f | b'%' => {}
                b';' if dots == 2 && at > 1 => break,
                _ => return Step::Down,
            }
        }
        match dots {
            0 => Step::Nothing,
            1 => Step::Still,
            2 => Step::Up,
            _ => Step::Many,
        }
    }
}

/// Reads all paths of the value, whose text begins at `first`; `judge` says whether one of them decides.
pub(super) fn walk<T>(value: &[u8], first: usize, mut judge: impl FnMut(&Path) -> Option<T>) -> Option<T> {
    let mut path = Path::new(0, false);
    let mut at = 0;
    while at < value.len() {
        let read = unit::read(&value[at..]);
        let before = at;
        at += read.len;
        let byte = match read.unit {
            Unit::Slash | Unit::Backslash => {
                separator(&mut path, read.unit, read.writing, &value[at..]);
                path.end = at;
                continue;
            }
            Unit::Dot | Unit::TwoDots => {
                path.now = path.now.with(read.writing);
                if read.unit == Unit::TwoDots {
                    path.push(b'.');
                }
                b'.'
            }
            Unit::Nul => {
                path.nul |= path.matters();
                0
            }
            Unit::Byte(byte) => byte,
        };
        if byte == b':' || byte == b'|' {
            if opens(&mut path, byte, &value[at..]) {
                path.end = at;
                continue;
            }
        } else if is_in_step(&path, byte, &value[at..]) {
            path.push(byte);
            continue;
        } else if byte == b'?' && path.root == Root::Share && path.len == 0 && value.get(at) == Some(&b'\\') {
            // `\\?\C:\x` is `C:\x` without limits.
            continue;
        }
        let ends = match byte {
            b' ' if may_hold_a_space(&path, first, &value[at..]) => {
                path.spaces += 1;
                path.end = before;
                // It may as well end here.
                if path.ups > 0
                    && let Some(found) = ended(&mut path.clone(), &mut judge)
                {
                    return Some(found);
                }
                false
            }
            // `C:\Program Files (x86)\x`
            b'(' | b')' if path.start <= first && !path.led && path.root != Root::Relative => false,
            _ => is_blank(byte) || b"?#=&(),|:@![]*;".contains(&byte),
        };
        if !ends {
            path.push(byte);
            path.end = at;
            continue;
        }
        if let Some(found) = ended(&mut path, &mut judge) {
            return Some(found);
        }
        path = Path::new(at, !is_blank(byte));
    }
    ended(&mut path, &mut judge)
}

/// `..;x/`, and a line end between the dots and their separator.
fn is_in_step(path: &Path, byte: u8, rest: &[u8]) -> bool {
    let line_end = || matches!(byte, b'\r' | b'\n' | b'\t') && matches!(rest, [b'/' | b'\\', ..]);
    (byte == b';' || line_end()) && Step::of(&path.text[path.segment..path.len]) == Step::Up
}

/// `C:\Program Files\x`: in the path that the value begins with.
fn may_hold_a_space(path: &Path, first: usize, rest: &[u8]) -> bool {
    path.start <= first
        && !path.led
        && path.spaces < MOST_SPACES
        && (path.ups > 0 || path.root != Root::Relative)
        && rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'(')
}

fn ended<T>(path: &mut Path, judge: &mut impl FnMut(&Path) -> Option<T>) -> Option<T> {
    if !path.matters() {
        return None;
    }
    path.close(None);
    judge(path)
}

fn separator(path: &mut Path, unit: Unit, writing: Writing, rest: &[u8]) {
    if !path.begun() && path.len == 0 && path.ups == 0 && path.root == Root::Relative {
        let share = unit == Unit::Backslash && rest.first() == Some(&b'\\');
        path.root = if share { Root::Share } else { Root::Slash };
    }
    path.close(Some(writing));
}

/// A colon that belongs to the path: behind a drive, or a scheme that paths have.
fn opens(path: &mut Path, byte: u8, rest: &[u8]) -> bool {
    if path.segment > 0 || path.ups > 0 {
        // `::$DATA` and the like end a path for all others.
        return false;
    }
    let root = match (path.text(), byte, rest) {
        ([b'a'..=b'z'], _, [b'/' | b'\\' | b'.' | b'%', ..]) => Root::Drive,
        (b"file", b':', _) => Root::File,
        (b"http" | b"https" | b"ftp" | b"ws" | b"wss", b':', [b'/', b'/', ..]) => Root::Url,
        _ => return false,
    };
    path.root = root;
    path.len = 0;
    true
}

/// What stands between words and around quotations.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'`')
}
