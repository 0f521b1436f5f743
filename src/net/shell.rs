//! Words of a shell's command line, for the commands that messages tell to type.

/// The text as one word of a POSIX shell: as it is where nothing in it means anything to a shell, else in quotes.
pub fn word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_stays_one_word() {
        for (text, written) in [
            ("/etc/portward/ca", "/etc/portward/ca"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("~root", "'~root'"),
        ] {
            assert_eq!(word(text), written);
        }
    }
}
