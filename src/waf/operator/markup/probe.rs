//! What only testers and their tools write.

/// Short, or a word that testers write.
pub(super) fn is_probe_text(text: &[u8]) -> bool {
    text.len() <= 1 || (text.len() <= 4 && text.iter().all(u8::is_ascii_digit)) || has_probe_word(text)
}

pub(super) fn has_probe_word(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 10] =
        [b"xss", b"hack", b"pwn", b"cookie", b"inject", b"vuln", b"owned", b"document.", b"xxs", b"poc"];
    text.len() <= 60 && WORDS.iter().any(|word| memchr::memmem::find(text, word).is_some())
}

/// JavaScript can be written in six characters, `[]()!+` (JSFuck), in these and names of signs only (jjencode), or in
/// Japanese smileys (aaencode). A form field has a `+` as a space.
pub(super) fn is_brackets_only(code: &[u8]) -> bool {
    const LONG: usize = 24;
    let mut run = 0;
    let mut start = 0;
    for (at, byte) in code.iter().enumerate() {
        if matches!(byte, b'[' | b']' | b'(' | b')' | b'!' | b'+' | b'{' | b'}' | b' ') {
            if run == 0 {
                start = at;
            }
            run += 1;
            if run % LONG == 0 {
                let text = &code[start..=at];
                let marks = ["![]", "[][", "+[]", "+!", "{}["];
                let told =
                    marks.iter().filter(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some()).count();
                if told >= 2 {
                    return true;
                }
                start = at;
            }
        } else {
            run = 0;
        }
    }
    let smiley = "\u{ff9f}\u{3c9}\u{ff9f}".as_bytes();
    memchr::memmem::find(code, b"=~[]").is_some() || memchr::memmem::find(code, smiley).is_some()
}
