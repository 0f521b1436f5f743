//! The arguments of a command: their shapes, how many are words, and what ends them.

use super::command::{By, End, is_blank};
use super::shapes::Shapes;
use super::table::Command;
use super::word::{Inside, Place, Stop, Tricks, read};

/// Arguments and bytes of a command that are looked at.
const MOST_ARGUMENTS: u32 = 24;
const MOST_BYTES: usize = 320;

/// What follows the name of a command.
pub(super) struct Arguments {
    pub(super) shapes: Shapes,
    pub(super) count: u32,
    /// How many are words of letters.
    pub(super) words: u32,
    /// Parentheses that arguments have opened.
    open: u32,
    pub(super) first: smallvec::SmallVec<[u8; 16]>,
    pub(super) end: End,
}

impl Arguments {
    pub(super) fn read(value: &[u8], from: usize, inside: Inside) -> Arguments {
        let mut all = Arguments {
            shapes: Shapes::NONE,
            count: 0,
            words: 0,
            open: 0,
            first: smallvec::SmallVec::new(),
            end: End { at: from, by: By::Value },
        };
        let mut at = from;
        loop {
            while value.get(at).is_some_and(|byte| is_blank(*byte) || inside.braces && *byte == b',') {
                at += 1;
            }
            match all.step(value, at, from, inside) {
                Ok(next) => at = next,
                Err(by) => {
                    all.end = End { at, by };
                    return all;
                }
            }
        }
    }

    /// One argument: where the next may begin, or what ends the command.
    fn step(&mut self, value: &[u8], at: usize, from: usize, inside: Inside) -> Result<usize, By> {
        let Some(&byte) = value.get(at) else { return Err(By::Value) };
        if self.count >= MOST_ARGUMENTS || at - from > MOST_BYTES {
            return Err(By::Long);
        }
        match byte {
            b'&' if value.get(at + 1) == Some(&b'>') => Ok(at + 1),
            b';' | b'|' | b'&' | b'\n' | b'\r' => Err(By::Separator),
            b'\\'
                if matches!(value.get(at + 1), Some(b'n' | b'r'))
                    && value.get(at + 2).is_none_or(|byte| !byte.is_ascii_alphanumeric()) =>
            {
                Err(By::Separator)
            }
            b')' if self.open > 0 => {
                self.open -= 1;
                Ok(at + 1)
            }
            b')' => Err(By::Close),
            b'}' if inside.braces => Err(By::Close),
            b'`' if inside.ticks => Err(By::Close),
            b'#' | 0 => Err(By::Comment),
            // `2>&1`
            b'0'..=b'9' if value.get(at + 1) == Some(&b'>') => Ok(at + 1),
            b'>' if value.get(at + 1) == Some(&b'&') && value.get(at + 2).is_some_and(u8::is_ascii_digit) => {
                Ok(at + 3)
            }
            b'<' | b'>' => {
                self.shapes = self.shapes.and(Shapes::REDIRECT);
                if value.get(at + 1) == Some(&b'(') {
                    self.shapes = self.shapes.and(Shapes::SUBSTITUTION);
                }
                let skip = value[at..].iter().take(4).take_while(|byte| b"<>&".contains(byte)).count();
                Ok(at + skip)
            }
            _ => self.take(value, at, inside),
        }
    }

    fn take(&mut self, value: &[u8], at: usize, inside: Inside) -> Result<usize, By> {
        let word = read(value, at, Place::Argument, inside);
        let tricks = word.tricks;
        let mut shapes = Shapes::of(&word.text);
        if tricks.has(Tricks::QUOTES) || tricks.has(Tricks::WHOLE) {
            shapes = shapes.and(Shapes::QUOTE);
        }
        if tricks.has(Tricks::VARIABLE) || tricks.has(Tricks::SLICE) || tricks.has(Tricks::EMPTY) {
            shapes = shapes.and(Shapes::VARIABLE);
        }
        if tricks.has(Tricks::SUBSTITUTION) {
            shapes = shapes.and(Shapes::SUBSTITUTION);
        }
        if tricks.has(Tricks::SLICE)
            || tricks.has(Tricks::ANSI)
            || tricks.has(Tricks::IFS)
            || tricks.has(Tricks::CARET)
        {
            shapes = shapes.and(Shapes::DISGUISE);
        }
        self.shapes = self.shapes.and(shapes);
        if word.end > at {
            self.count += 1;
            self.open += u32::from(word.text.contains(&b'('));
            let is_word = !tricks.has(Tricks::WHOLE) && word.text.iter().any(u8::is_ascii_alphabetic);
            let prose =
                |byte: &u8| byte.is_ascii_alphabetic() || b",.'!?-".contains(byte) || !byte.is_ascii();
            if is_word && word.text.iter().all(prose) && word.text.first() != Some(&b'-') {
                self.words += 1;
            }
            if self.count == 1 {
                self.first = word.text.iter().take(16).copied().collect();
            }
        }
        match word.stop {
            Stop::Quote => Err(By::Quote),
            // A byte that cannot be read as anything: it counts as part of an argument.
            _ if word.end == at => Ok(at + 1),
            _ => Ok(word.end),
        }
    }
}

/// How much a command with these arguments looks like one that runs.
pub(super) fn weigh(command: &Command, by_path: bool, arguments: &Arguments) -> u8 {
    let shapes = arguments.shapes;
    if arguments.count == 0 {
        return match by_path {
            true if command.alone > 0 => 3,
            true => 2,
            false => command.alone,
        };
    }
    if command.has_subcommand(&arguments.first) && arguments.words <= if command.odd { 5 } else { 3 } {
        return 3;
    }
    let prose = arguments.words >= 3 && !shapes.meets(Shapes::SOLID);
    if prose {
        return 0;
    }
    if shapes.meets(Shapes::SECRET) && command.takes.meets(Shapes::GLOB) && arguments.count <= 6 {
        return 4;
    }
    if shapes.meets(Shapes::REDIRECT)
        && shapes.meets(Shapes::SYSTEM_PATH.and(Shapes::PATH))
        && (command.alone > 0 || by_path || command.takes.meets(Shapes::REDIRECT))
    {
        return 3;
    }
    let strong = shapes.meets(command.takes);
    let only_soft = !shapes.meets(Shapes::SOLID) && arguments.words >= 2;
    let only_number = shapes == Shapes::NUMBER || shapes == Shapes::NUMBER.and(Shapes::BIG_NUMBER);
    if command.takes.meets(Shapes::NUMBER) && !command.takes.meets(Shapes::OPTION.and(Shapes::SWITCH)) {
        return if only_number && arguments.count == 1 { 3 } else { 0 };
    }
    if command.takes.meets(Shapes::PROGRAM) && shapes.meets(Shapes::PROGRAM) {
        return if arguments.count == 1 { 3 } else { 0 };
    }
    match (strong, only_soft) {
        (true, false) => 3,
        (true, true) => u8::from(command.odd || by_path),
        (false, _) if by_path => 2,
        (false, _) if command.odd && arguments.count <= 3 => command.alone.max(1),
        (false, _) if matches!(command.name, "echo" | "print") && arguments.count == 1 => 2,
        // `id x` or `dir names` is a sentence.
        (false, _) => 0,
    }
}
