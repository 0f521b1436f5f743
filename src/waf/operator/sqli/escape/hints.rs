//! Cheap looks at bytes that spare most values the tokens: what cannot go on as SQL is turned away by them, and what
//! may is left to the forms.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::{memchr_iter, memmem};

use crate::waf::bytes::ByteSet;

use super::vocabulary;

/// Words of forms that are looked for behind other things as well. Without one of them only what stands directly
/// behind an exit counts.
static LATER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(["union", "waitfor", "declare", "exec", "(select", "( select", "(/**/select"])
        .expect("a handful of words is no large automaton")
});

pub(super) fn has_later_form(value: &[u8]) -> bool {
    LATER.is_match(value)
}

/// Without spaces, quotes, brackets, comments and double bars nothing goes on.
pub(super) fn is_one_word(value: &[u8]) -> bool {
    const BREAKS: ByteSet = ByteSet::range(0, b' ').union(ByteSet::of(b"'\"`(\x7f\xa0"));
    BREAKS.find(value).is_none()
        && memmem::find(value, b"/*").is_none()
        && memmem::find(value, b"||").is_none()
}

/// `1=1` without spaces.
pub(super) fn has_settled_numbers(value: &[u8]) -> bool {
    let digit = |at: usize| value.get(at).is_some_and(u8::is_ascii_digit);
    memchr_iter(b'=', value).any(|at| at > 0 && digit(at - 1) && digit(at + 1))
}

/// Whether a form may begin directly behind a quote: with an operator, a comment, a bracket, the end of the value, or
/// one of the words that go on.
pub(super) fn may_go_on(behind: &[u8]) -> bool {
    let closes = |byte: &u8| *byte <= b' ' || b")]}+*/%\xa0".contains(byte) || *byte == 0x7f;
    let Some(at) = behind.iter().position(|byte| !closes(byte)) else { return !behind.is_empty() };
    let rest = &behind[at..];
    // A comment or an operator was passed over.
    if behind[..at].iter().any(|byte| b"+*/%".contains(byte)) {
        return true;
    }
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
    match rest[0] {
        _ if word > 0 => vocabulary::GOING_ON.has(&rest[..word]),
        b'-' | b'#' | b';' | b'|' | b'&' | b'=' | b'<' | b'>' | b'!' | b'^' | b'~' | b'(' | b'@' | b'\\'
        | b'?' => true,
        b',' => has_later_form(rest),
        _ => false,
    }
}
