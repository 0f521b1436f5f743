//! Code: what closes the text that it is put into, and forms that the language takes as the same.

const BREAKS: &[(&str, &str)] = &[
    ("'.", ".'"),
    ("\".", ".\""),
    ("';", ";//"),
    ("\";", ";//"),
    ("1;", ";"),
    ("'+", "+'"),
    (")", ";//"),
    ("x=", ""),
];

fn broken_out(seed: &str) -> impl Iterator<Item = String> {
    BREAKS.iter().map(move |(before, after)| format!("{before}{}{after}", seed.trim_end_matches(';')))
}

/// PHP: names of functions have no case, and white space may stand before a parenthesis.
pub fn php(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(rest) = seed.strip_prefix("<?php ") {
        for open in ["<?PHP ", "<?php\t", "<?php\n", "<? ", "GIF89a<?php ", "x<?php "] {
            out.push(format!("{open}{rest}"));
        }
        return out;
    }
    if seed.starts_with(|c: char| c.is_ascii_lowercase()) {
        out.extend(broken_out(seed));
        if let Some((name, rest)) = seed.split_once('(') {
            out.push(format!("{}({rest}", name.to_uppercase()));
            out.push(format!("{name} ({rest}"));
            out.push(format!("{name}/**/({rest}"));
            out.push(format!("@{seed}"));
            out.push(format!("\\{seed}"));
            out.push(format!("<?php {seed}"));
            out.push(format!("<?={seed}?>"));
            out.push(format!("${{{seed}}}"));
            out.push(format!("${{@{seed}}}"));
        }
    }
    out
}

/// Node, Python and Ruby.
pub fn script(seed: &str) -> Vec<String> {
    let mut out: Vec<String> = broken_out(seed).collect();
    out.push(seed.replacen('(', " (", 1));
    out.push(seed.replace('\'', "\""));
    out.push(format!("${{{seed}}}"));
    out.push(format!("{{{{{seed}}}}}"));
    out.push(format!("#{{{seed}}}"));
    out.push(format!("<%= {seed} %>"));
    out
}

/// Java and its expression languages.
pub fn java(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    if seed.starts_with(|c: char| c.is_ascii_alphabetic()) {
        for (open, close) in [
            ("${", "}"),
            ("#{", "}"),
            ("%{", "}"),
            ("*{", "}"),
            ("<%= ", " %>"),
            ("'+", "+'"),
            ("\"+", "+\""),
        ] {
            out.push(format!("{open}{seed}{close}"));
        }
    }
    for (open, other) in [("${", "#{"), ("${", "%{"), ("%{", "${"), ("#{", "${")] {
        if let Some(rest) = seed.strip_prefix(open) {
            out.push(format!("{other}{rest}"));
            out.push(format!("x{open}{rest}y"));
        }
    }
    out.push(seed.replace("getRuntime()", "getRuntime( )"));
    out.push(seed.replace('\'', "\""));
    out
}

/// Lookups of a logging library: names in any case, letters behind defaults.
pub fn lookup(seed: &str) -> Vec<String> {
    let mut out = vec![
        format!("x{seed}y"),
        format!("/{seed}"),
        seed.replace("203.0.113.9", "x.example:1389"),
        format!("'{seed}'"),
    ];
    if seed.contains("${jndi:") {
        for name in [
            "${JnDi:",
            "${${::-j}ndi:",
            "${j${::-n}di:",
            "${jn${lower:d}i:",
            "${jnd${upper:i}:",
            "${jndi${::-:}",
            "${${env:A:-j}ndi:",
            "${${lower:J}ndi:",
            "${${x:y:z:-j}ndi:",
        ] {
            out.push(seed.replace("${jndi:", name));
        }
    }
    out
}

/// Templates: space inside the braces, text around them.
pub fn braces(seed: &str) -> Vec<String> {
    let mut out = vec![format!("x{seed}y"), format!("Hello {seed}!")];
    if let Some(rest) = seed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
        for (open, close) in [
            ("{{ ", " }}"),
            ("{{\t", "}}"),
            ("{{-", "-}}"),
            ("{%print(", ")%}"),
            ("}}{{", "}}"),
            ("{{{", "}}}"),
            ("*{{", "}}*"),
        ] {
            out.push(format!("{open}{rest}{close}"));
        }
    }
    if let Some(rest) = seed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        for (open, close) in [("${ ", " }"), ("#{", "}"), ("*{", "}"), ("}${", "}")] {
            out.push(format!("{open}{rest}{close}"));
        }
    }
    out.push(seed.replace('\'', "\""));
    out
}
