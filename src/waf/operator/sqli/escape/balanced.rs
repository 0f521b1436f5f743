//! `' or '1`, `'-'`, `x' like 'y`: an expression that reaches up to the quote with which the statement goes on. Both
//! quotes around the value are the statement's, so the value has one that closes and one that opens.

use super::super::token::Kind;
use super::tokens::Tokens;
use super::{COMPARING, JOINING, vocabulary};

/// What stands in such an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Joint,
    Operator,
    Operand,
    Bracket,
}

/// More parts are no longer what somebody tries.
const MOST_PARTS: usize = 16;

impl Tokens<'_> {
    pub(super) fn balanced(&self, left: usize) -> Option<&'static str> {
        let before = &self.value[..left];
        let last = self.len().checked_sub(1)?;
        let short = self.tight && before.len() <= 24 && (1..=MOST_PARTS).contains(&last) && !self.more;
        if !short || !self.is_open_string(last) {
            return None;
        }
        let closing = self.text(last);
        let word = |text: &[u8]| text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_%".contains(byte));
        if closing[0] != self.value[left] || closing.len() > 12 || !word(&closing[1..]) {
            return None;
        }
        let (mut joints, mut operators, mut operands) = (0, 0, 0);
        let mut previous = Part::Bracket;
        for at in 0..last {
            let part = self.part(at)?;
            match part {
                Part::Joint => joints += 1,
                Part::Operator => operators += 1,
                // Two words in a row are a sentence.
                Part::Operand if previous == Part::Operand => return None,
                Part::Operand => operands += 1,
                Part::Bracket => {}
            }
            if at == 0 && !matches!(part, Part::Joint | Part::Operator) {
                return None;
            }
            previous = part;
        }
        if joints + operators == 0 {
            return None;
        }
        let found = if closing.len() > 1 {
            true
        } else if joints > 0 {
            // A size (`5' or 6'`) and a word in quotes (`'and'`) are none; `' or '` is known for what it does to a login.
            let number = before.iter().all(|byte| byte.is_ascii_digit() || b". -".contains(byte));
            let size = !before.is_empty() && number && joints + operators == 1;
            let quoted =
                before.is_empty() && last == 1 && self.is_word(0) && !(self.is(0, "or") && closing == b"'");
            !size && !quoted
        } else {
            // `'-'` and `'-0-'`; a flag (`"-x"`) is none.
            let closed = last > 1 && previous == Part::Operator && !self.is_word(1);
            closed
                || operands == 0
                    && closing == b"'"
                    && before.iter().any(|byte| !byte.is_ascii_digit()) | before.is_empty()
        };
        found.then_some("expression up to the closing quote")
    }

    fn part(&self, at: usize) -> Option<Part> {
        if self.is_joint(at) {
            return Some(Part::Joint);
        }
        let marks = self.is_any(at, JOINING) && !self.is_kind(at, Kind::Comma) || self.is_any(at, COMPARING);
        if marks
            || vocabulary::COMPARING_WORDS.has(self.text(at))
            || vocabulary::OPERATOR_WORDS.has(self.text(at))
        {
            return Some(Part::Operator);
        }
        if self.is_kind(at, Kind::LeftParen) || self.is_kind(at, Kind::RightParen) {
            return Some(Part::Bracket);
        }
        let operand = self.is_plain_string(at)
            || self.is_kind(at, Kind::Number)
            || self.is_kind(at, Kind::Variable)
            || self.is_word(at);
        operand.then_some(Part::Operand)
    }
}
