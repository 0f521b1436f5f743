//! From PCRE to the expressions of the `regex` crate on bytes. So far only braced bytes.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub pattern: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub at: usize,
    pub what: String,
    pub help: String,
}

/// The expression with the same meaning.
pub fn rewrite(pcre: &str) -> Result<Rewritten, Refusal> {
    let mut pattern = String::with_capacity(pcre.len());
    let mut rest = pcre;
    while let Some(at) = rest.find("\\x{") {
        pattern.push_str(&rest[..at]);
        match rest[at + 3..].split_once('}') {
            Some((digits, after)) if digits.len() <= 2 => {
                pattern.push_str(&format!("\\x{digits:0>2}"));
                rest = after;
            }
            _ => {
                pattern.push_str("\\x{");
                rest = &rest[at + 3..];
            }
        }
    }
    pattern.push_str(rest);
    Ok(Rewritten { pattern })
}
