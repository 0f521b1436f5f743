//! Queries: what stands for a space, where the value is cut off, which quote it closes.

/// SQL: other white space, other case, other quotes, other ends, and a value before the quote.
pub fn vary(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    let inner = seed.trim_end();
    for space in ["/**/", "\t", "\n", "\u{b}", "/*x*/", "  ", "+"] {
        out.push(inner.replace(' ', space));
    }
    out.push(super::alternating(seed));
    out.push(seed.to_lowercase());
    out.push(seed.to_uppercase());
    if let Some(rest) = seed.strip_prefix('\'') {
        for before in ["1", "-1", "x", "abc@example.test", "1)", "%", "O\\", "12-3"] {
            out.push(format!("{before}{seed}"));
        }
        if !inner.contains('"') {
            out.push(seed.replace('\'', "\""));
        }
        out.push(format!("x'){rest}"));
        out.push(format!("x')){rest}"));
    }
    if let Some(start) = seed.strip_suffix(" -- ") {
        for end in ["#", " #", "-- -", "--+", " --%20", "/*", ";%00", ";", " -- x", "--\n"] {
            out.push(format!("{start}{end}"));
        }
    }
    for (word, other) in [
        ("union select", "union all select"),
        ("union select", "union distinct select"),
        ("union select", "union(select"),
        ("sleep(", "sleep ("),
    ] {
        if seed.contains(word) {
            let end = if other.ends_with("(select") { ")" } else { "" };
            let start = inner.strip_suffix("--").map(str::trim_end);
            out.push(match (end, start) {
                (")", Some(start)) => format!("{}) -- ", start.replacen(word, other, 1)),
                _ => format!("{}{end}", inner.replacen(word, other, 1)),
            });
        }
    }
    out
}

/// LDAP filters: a name before what closes the filter.
pub fn ldap(seed: &str) -> Vec<String> {
    let mut out = vec![format!("{seed}\0"), seed.replace('=', " = "), seed.to_uppercase()];
    if seed.starts_with('*') || seed.starts_with(')') {
        out.extend(["admin", "jane.doe", "a"].map(|before| format!("{before}{seed}")));
    }
    out
}

/// XPath: other quotes, other space, a value before the quote.
pub fn xpath(seed: &str) -> Vec<String> {
    let mut out = vec![seed.replace(' ', "\t"), seed.replace(' ', "\n")];
    if seed.starts_with('\'') {
        out.extend(["admin", "1", "x"].map(|before| format!("{before}{seed}")));
        out.push(seed.replace('\'', "\""));
    }
    out
}
