//! What may depend on what: a module names only modules of rows above its own, and foreign crates only where the
//! house has a room for them. Read from the source text, so that a violation fails here and not in a review.
//!
//! The check understands comments, strings, `use` trees, `crate::` and `super::` paths, inline modules and
//! `#[cfg(test)]` items (which may look anywhere). It does not expand macros: a path inside a macro call is read
//! as it is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Row of every top-level module. A module of row N sees rows 0..N, and itself.
const ROWS: &[(&str, u8)] = &[
    ("net", 0),
    ("metrics", 0),
    ("waf", 1),
    ("policy", 1),
    ("ca", 2),
    ("auth", 2),
    ("tls", 2),
    ("message", 2),
    ("audit", 2),
    ("scan", 2),
    ("origin", 3),
    ("inspect", 3),
    ("proxy", 4),
    ("admin", 5),
    ("config", 6),
    ("app", 7),
    ("cli", 8),
    ("main", 9),
];

/// Pure modules: no crate that moves bytes, no file, no clock, no environment.
const PURE: &[&str] = &["net", "metrics", "waf", "policy"];

const NOT_IN_PURE: &[&[&str]] = &[
    &["tokio"],
    &["tokio_util"],
    &["tokio_rustls"],
    &["hyper"],
    &["hyper_util"],
    &["h2"],
    &["rustls"],
    &["rustls_pki_types"],
    &["hickory_resolver"],
    &["socket2"],
    &["nix"],
    &["notify"],
    &["rcgen"],
    &["getrandom"],
    &["std", "fs"],
    &["std", "env"],
    // Formatting into a Vec is `io::Write` and no I/O; the process's own pipes are.
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["OffsetDateTime", "now_utc"],
    &["OffsetDateTime", "now_local"],
];

/// A foreign crate, and the modules that may name it. A crate not listed may be used from row 2 down.
const ROOMS: &[(&str, &[&str])] = &[
    ("rustls", &["tls"]),
    ("tokio_rustls", &["tls"]),
    ("webpki", &["ca", "tls"]),
    ("webpki_roots", &["tls"]),
    ("rustls_native_certs", &["ca", "tls"]),
    ("rustls_pki_types", &["ca", "tls"]),
    ("rcgen", &["ca"]),
    ("p12_keystore", &["ca"]),
    ("cryptoki", &["ca"]),
    ("pkcs8", &["ca"]),
    ("rpassword", &["cli"]),
    ("argon2", &["auth"]),
    ("bcrypt", &["auth"]),
    ("hickory_resolver", &["origin"]),
    ("fast_socks5", &["proxy"]),
    ("hyper", &["message", "origin", "inspect", "proxy", "admin", "app"]),
    ("hyper_util", &["message", "origin", "inspect", "proxy", "admin", "app"]),
    ("h2", &["message", "origin", "inspect", "proxy", "admin", "app"]),
    ("clap", &["cli", "config", "main"]),
];

/// One thing that should not be there.
#[derive(Debug)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

/// What a run of the check looked at and found.
#[derive(Debug, Default)]
struct Survey {
    files: usize,
    paths: usize,
    inner: usize,
    violations: Vec<Violation>,
}

fn survey<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Survey {
    let mut out = Survey::default();
    for (file, text) in files {
        out.files += 1;
        check(file, text, &mut out);
    }
    out
}

fn check(file: &str, text: &str, out: &mut Survey) {
    let module = module_of(file);
    let tokens = without_tests(tokens(&blank(text)));
    let paths = paths(&tokens, &module);
    out.paths += paths.len();
    // lib.rs lists every module; it belongs to no row and holds no code.
    let Some(own) = module.first().cloned() else { return };
    let mut fail =
        |line: usize, what: String| out.violations.push(Violation { file: file.into(), line, what });
    let Some(row) = row(&own) else {
        return fail(1, format!("module `{own}` has no row: give it one in HOUSE order"));
    };
    for (line, path) in &paths {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        if let ["crate" | "portward", target, ..] = names[..] {
            out.inner += 1;
            match self::row(target) {
                // The binary's root is not the library's: `portward::x` is the only way main can look.
                _ if target == own => {}
                Some(theirs) if theirs < row => {}
                Some(theirs) => fail(
                    *line,
                    format!("`{own}` (row {row}) names `{target}` (row {theirs}): {}", path.join("::")),
                ),
                None if target == "*" || target == "self" => {
                    fail(*line, format!("`{own}` names the whole crate: {}", path.join("::")))
                }
                // A name re-exported or defined at the crate root would hide which module it is from.
                None => fail(*line, format!("`{own}` names `{target}`, which is no module with a row")),
            }
            continue;
        }
        if PURE.contains(&own.as_str())
            && let Some(word) = NOT_IN_PURE.iter().find(|word| holds(&names, word))
        {
            fail(
                *line,
                format!("`{own}` is pure and may not name `{}`: {}", word.join("::"), path.join("::")),
            );
            continue;
        }
        if let Some((krate, rooms)) = ROOMS.iter().find(|(krate, _)| names[0] == *krate)
            && !rooms.contains(&own.as_str())
        {
            fail(*line, format!("`{own}` names `{krate}`, whose room is {rooms:?}: {}", path.join("::")));
        }
    }
}

fn row(module: &str) -> Option<u8> {
    ROWS.iter().find(|(name, _)| *name == module).map(|(_, row)| *row)
}

/// A word of one crate name matches at the start of a path; one of several names, anywhere in it.
fn holds(path: &[&str], word: &[&str]) -> bool {
    if word.len() == 1 || word[0] == "std" {
        path.starts_with(word)
    } else {
        path.windows(word.len()).any(|part| part == word)
    }
}

/// `src/waf/operator/rx.rs` is `[waf, operator, rx]`, `src/waf/mod.rs` is `[waf]`, `src/lib.rs` is `[]`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.split_once("src/").map_or(file, |(_, rest)| rest);
    let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(String::from).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// The text with comments, strings and character literals blanked, every line kept.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_end(bytes, at) {
            Some(end) => end,
            None => {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment, string or character literal that starts at `at` ends; `None` when none starts there.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let len = bytes.len();
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|&b| b == b'\n').map_or(len, |n| at + n));
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut i) = (0, at);
        while i < len {
            if bytes[i..].starts_with(b"/*") {
                depth += 1;
                i += 2;
            } else if bytes[i..].starts_with(b"*/") {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return Some(i);
                }
            } else {
                i += 1;
            }
        }
        return Some(len);
    }
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !word_before && let Some(end) = raw_string_end(bytes, at) {
        return Some(end);
    }
    match bytes[at] {
        b'"' => {
            let mut i = at + 1;
            while i < len && bytes[i] != b'"' {
                i += if bytes[i] == b'\\' { 2 } else { 1 };
            }
            Some((i + 1).min(len))
        }
        // A lifetime has no closing quote right after its first character.
        b'\'' if rest.get(1) == Some(&b'\\') => {
            rest.iter().skip(3).position(|&b| b == b'\'').map(|n| at + 3 + n + 1)
        }
        b'\'' => {
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
                .ok()?
                .chars()
                .next()?
                .len_utf8();
            (rest.get(1 + width) == Some(&b'\'')).then_some(at + 2 + width)
        }
        _ => None,
    }
}

/// The end of `r"..."`, `r#"..."#`, `br#"..."#` that starts at `at`.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let skip = if rest.starts_with(b"br") || rest.starts_with(b"cr") {
        2
    } else if rest.starts_with(b"r") {
        1
    } else {
        return None;
    };
    let hashes = rest[skip..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(skip + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let body = at + skip + hashes + 1;
    let n = bytes[body..].windows(close.len()).position(|part| part == close)?;
    Some(body + n + close.len())
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Colons,
    Mark(char),
}

type Tokens = Vec<(usize, Token)>;

fn tokens(text: &str) -> Tokens {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut chars = line.char_indices().peekable();
        while let Some((start, c)) = chars.next() {
            if c.is_alphanumeric() || c == '_' {
                let mut end = start + c.len_utf8();
                while let Some(&(at, next)) = chars.peek() {
                    if !(next.is_alphanumeric() || next == '_') {
                        break;
                    }
                    end = at + next.len_utf8();
                    chars.next();
                }
                out.push((number + 1, Token::Word(line[start..end].into())));
            } else if c == ':' && chars.peek().is_some_and(|&(_, next)| next == ':') {
                chars.next();
                out.push((number + 1, Token::Colons));
            } else if !c.is_whitespace() {
                out.push((number + 1, Token::Mark(c)));
            }
        }
    }
    out
}

fn is(tokens: &Tokens, at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some((_, Token::Word(w))) if w == word)
}

fn mark(tokens: &Tokens, at: usize, c: char) -> bool {
    matches!(tokens.get(at), Some((_, Token::Mark(m))) if *m == c)
}

/// Drops every item behind `#[cfg(test)]` or `#[test]`: tests may look anywhere.
fn without_tests(tokens: Tokens) -> Tokens {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if mark(&tokens, at, '#') && mark(&tokens, at + 1, '[') {
            let end = balanced(&tokens, at + 1, '[', ']');
            let names: Vec<&str> = tokens[at + 2..end.saturating_sub(1)]
                .iter()
                .filter_map(
                    |(_, token)| if let Token::Word(word) = token { Some(word.as_str()) } else { None },
                )
                .collect();
            if matches!(
                names[..],
                ["cfg", "test"] | ["cfg", "all", "test", ..] | ["test"] | ["tokio", "test", ..]
            ) {
                at = item_end(&tokens, end);
                continue;
            }
        }
        out.push(tokens[at].clone());
        at += 1;
    }
    out
}

/// The index after the bracket that closes the one at `open_at`.
fn balanced(tokens: &Tokens, open_at: usize, open: char, close: char) -> usize {
    let mut depth = 0usize;
    for at in open_at..tokens.len() {
        if mark(tokens, at, open) {
            depth += 1;
        } else if mark(tokens, at, close) {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The index after the item that starts at `at`: its `;` or its block.
fn item_end(tokens: &Tokens, mut at: usize) -> usize {
    let is_use = |at: usize| is(tokens, at, "use") || (is(tokens, at, "pub") && is(tokens, at + 1, "use"));
    let whole_use = is_use(at);
    while at < tokens.len() {
        if mark(tokens, at, ';') {
            return at + 1;
        }
        if mark(tokens, at, '{') && !whole_use {
            return balanced(tokens, at, '{', '}');
        }
        at += 1;
    }
    at
}

/// Every path with at least one `::`, and every `use`, spelled in full from `crate` or a foreign crate's name.
fn paths(tokens: &Tokens, file: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut out = Vec::new();
    let mut module = file.to_vec();
    // Depth of braces at which each inline module ends.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = &tokens[at];
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            Token::Word(word) if word == "mod" && mark(tokens, at + 2, '{') => {
                if let Some((_, Token::Word(name))) = tokens.get(at + 1) {
                    module.push(name.clone());
                    inline.push(depth);
                    depth += 1;
                    at += 3;
                    continue;
                }
            }
            Token::Word(word) if word == "use" => {
                let (found, next) = use_tree(tokens, at + 1, &[]);
                out.extend(found.into_iter().filter_map(|(line, path)| Some((line, full(path, &module)?))));
                at = next;
                continue;
            }
            Token::Word(word) if word == "extern" && is(tokens, at + 1, "crate") => {
                if let Some((line, Token::Word(name))) = tokens.get(at + 2) {
                    out.push((*line, vec![name.clone()]));
                }
                at += 3;
                continue;
            }
            Token::Word(word) if matches!(tokens.get(at + 1), Some((_, Token::Colons))) => {
                let before = at.checked_sub(1).map(|n| &tokens[n].1);
                if before != Some(&Token::Colons) || is_root_colons(tokens, at) {
                    let mut path = vec![word.clone()];
                    let mut next = at + 1;
                    while let (Some((_, Token::Colons)), Some((_, Token::Word(part)))) =
                        (tokens.get(next), tokens.get(next + 1))
                    {
                        path.push(part.clone());
                        next += 2;
                    }
                    if let Some(path) = full(path, &module) {
                        out.push((*line, path));
                    }
                    at = next;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out
}

/// `::tokio::x`: the colons before a path's first word belong to no earlier word.
fn is_root_colons(tokens: &Tokens, at: usize) -> bool {
    at < 2 || !matches!(tokens[at - 2].1, Token::Word(_) | Token::Mark('>'))
}

/// Reads one `use` tree from `at`; the paths in it and the index after it.
fn use_tree(tokens: &Tokens, mut at: usize, prefix: &[String]) -> (Vec<(usize, Vec<String>)>, usize) {
    let mut path = prefix.to_vec();
    let mut out = Vec::new();
    let mut line = tokens.get(at).map_or(0, |(line, _)| *line);
    while at < tokens.len() {
        match &tokens[at].1 {
            Token::Word(word) if word == "as" => {
                at += 2;
                continue;
            }
            Token::Word(word) => {
                line = tokens[at].0;
                path.push(word.clone());
            }
            Token::Colons => {}
            Token::Mark('*') => path.push("*".into()),
            Token::Mark('{') => {
                at += 1;
                while at < tokens.len() && !mark(tokens, at, '}') {
                    let (found, next) = use_tree(tokens, at, &path);
                    out.extend(found);
                    at = if mark(tokens, next, ',') { next + 1 } else { next };
                }
                return (out, at + 1);
            }
            _ => break,
        }
        at += 1;
    }
    if path.len() > prefix.len() {
        out.push((line, path));
    }
    (out, at)
}

/// A path as seen from the crate root: `super::super::tls` in `waf::lang` is `crate::tls`. `None` for paths that
/// stay inside the file (`self::x`, `Self::x`).
fn full(mut path: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    match path[0].as_str() {
        "self" | "Self" => None,
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let kept = module.len().saturating_sub(ups);
            let mut out = vec!["crate".to_string()];
            out.extend_from_slice(&module[..kept]);
            out.extend(path.drain(ups..));
            Some(out)
        }
        _ => Some(path),
    }
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            out.push(path);
        }
    }
}

/// Files that exist only under `#[cfg(test)] mod tests;`.
fn test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
        || path.components().any(|c| c.as_os_str() == "tests")
}

#[test]
fn every_module_names_only_rows_above_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| path.strip_prefix(root).unwrap())
        .filter(|path| !test_file(path))
        .map(|path| (path.to_string_lossy().into_owned(), fs::read_to_string(root.join(path)).unwrap()))
        .collect();
    let found = survey(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    println!(
        "layers: {} files, {} paths of which {} into the crate, {} violations",
        found.files,
        found.paths,
        found.inner,
        found.violations.len()
    );
    let list: String =
        found.violations.iter().map(|v| format!("\n  {}:{}: {}", v.file, v.line, v.what)).collect();
    assert!(found.violations.is_empty(), "the house's layers are broken:{list}");
    // A check that looked at nothing has checked nothing: every module of the house that exists must be in it.
    let seen: BTreeSet<String> =
        texts.iter().filter_map(|(path, _)| module_of(path).first().cloned()).collect();
    for module in ["net", "waf", "policy", "ca", "auth", "tls", "message", "audit", "proxy", "cli", "main"] {
        assert!(seen.contains(module), "no source file of `{module}` was read");
    }
    assert_eq!(found.files, texts.len());
    assert!(found.inner > 20 && found.paths > found.inner, "too few paths were read: {found:?}");
}

#[test]
fn planted_violations_are_caught_and_innocent_text_is_not() {
    // Where it stands, the text, and what the finding must say (None: nothing may be found).
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("src/waf/rule.rs", "use crate::tls::sniff::Sniff;", Some("names `tls` (row 2)")),
        ("src/waf/rule.rs", "use crate::policy::Policy;", Some("names `policy` (row 1)")),
        ("src/ca/leaf.rs", "fn f() { crate::audit::write(); }", Some("names `audit` (row 2)")),
        ("src/net/mod.rs", "use crate::{id, waf::Engine};", Some("`id`, which is no module")),
        ("src/net/mod.rs", "use crate::{net::id, waf::Engine};", Some("names `waf` (row 1)")),
        ("src/origin/dial.rs", "use crate::{\n  net::{Host, Port},\n  inspect,\n};", Some("names `inspect`")),
        ("src/proxy/mod.rs", "use crate::config::Config;", Some("names `config` (row 6)")),
        ("src/message/mod.rs", "use super::tls;", Some("names `tls` (row 2)")),
        ("src/waf/lang/json.rs", "use super::super::super::proxy::serve;", Some("names `proxy` (row 4)")),
        ("src/waf/lang/mod.rs", "mod inner { use super::super::super::ca; }", Some("names `ca` (row 2)")),
        ("src/waf/mod.rs", "use tokio::sync::Mutex;", Some("may not name `tokio`")),
        ("src/waf/mod.rs", "use {std::sync::Arc, hyper::Request};", Some("may not name `hyper`")),
        ("src/waf/mod.rs", "async fn f() { tokio::task::yield_now().await }", Some("may not name `tokio`")),
        ("src/waf/mod.rs", "use ::rustls::ClientConfig;", Some("may not name `rustls`")),
        ("src/policy/mod.rs", "use tokio as t;", Some("may not name `tokio`")),
        ("src/policy/mod.rs", "use std::{collections::HashMap, fs::File};", Some("may not name `std::fs`")),
        ("src/policy/mod.rs", "let now = std::time::Instant::now();", Some("may not name `Instant::now`")),
        ("src/policy/mod.rs", "let now = SystemTime::now();", Some("may not name `SystemTime::now`")),
        ("src/net/addr.rs", "use std::net::{IpAddr, TcpStream};", Some("may not name `std::net::TcpStream`")),
        ("src/net/addr.rs", "extern crate nix;", Some("may not name `nix`")),
        ("src/proxy/mod.rs", "use rustls::ServerConfig;", Some("names `rustls`, whose room is")),
        (
            "src/inspect/mod.rs",
            "fn f(x: tokio_rustls::server::TlsStream<S>) {}",
            Some("names `tokio_rustls`"),
        ),
        ("src/tls/mod.rs", "use rcgen::CertificateParams;", Some("names `rcgen`")),
        ("src/audit/mod.rs", "use hyper::HeaderMap;", Some("names `hyper`")),
        ("src/origin/mod.rs", "use rustls_pki_types::ServerName;", Some("names `rustls_pki_types`")),
        ("src/store/mod.rs", "pub fn f() {}", Some("has no row")),
        ("src/waf/mod.rs", "use crate::*;", Some("names the whole crate")),
        ("src/policy/mod.rs", "// fine\n\n/* ok */ use crate::ca;", Some("names `ca` (row 2)")),
        ("src/ca/mod.rs", "#[cfg(unix)]\nuse crate::audit::Sink;", Some("names `audit`")),
        ("src/ca/mod.rs", "const C: char = '\\'';\nuse crate::audit::Sink;", Some("names `audit`")),
        ("src/ca/mod.rs", "fn f<'a>(x: &'a str) -> crate::tls::X<'a> {}", Some("names `tls`")),
        ("src/waf/mod.rs", "// use crate::tls;\n/* use tokio; /* nested */ use tokio; */", None),
        ("src/waf/mod.rs", "const S: &str = \"use crate::tls::x; \\\" tokio::x\";", None),
        (
            "src/waf/mod.rs",
            "const S: &str = r##\"crate::tls \"# tokio::spawn\"##; const B: &[u8] = br\"tokio::x\";",
            None,
        ),
        ("src/waf/mod.rs", "#[cfg(test)]\nmod tests {\n use crate::tls; fn f() { tokio::x() }\n}", None),
        ("src/waf/mod.rs", "#[cfg(test)]\nuse crate::{tls, proxy};\nuse crate::net::Host;", None),
        ("src/waf/mod.rs", "#[cfg(test)] mod tests;\nuse crate::net::Host;", None),
        ("src/waf/lang/json.rs", "use super::{ast, error};\nuse super::super::rule::Rule;", None),
        ("src/waf/lang/mod.rs", "mod inner { use super::ast; use super::super::rule; }", None),
        ("src/net/addr.rs", "use std::net::{IpAddr, SocketAddr};\nuse std::time::{Duration, Instant};", None),
        ("src/policy/mod.rs", "let tokio = 1; let x = waf.rustls; fn hyper() {}", None),
        ("src/tls/mod.rs", "use rustls::ServerConfig;\nuse rustls_pki_types::ServerName;", None),
        ("src/proxy/mod.rs", "use crate::{net::Host, waf::Engine, policy, origin::dial};", None),
        ("src/main.rs", "use portward::{app, cli};", None),
    ];
    let mut caught = 0;
    for (file, text, expected) in cases {
        let found = survey([(*file, *text)]);
        match expected {
            Some(says) => {
                assert!(
                    found.violations.iter().any(|v| v.what.contains(says)),
                    "not caught in {file}: {text}\nexpected: {says}\nfound: {:?}",
                    found.violations
                );
                caught += 1;
            }
            None => assert!(found.violations.is_empty(), "{file}: {text}\nfound: {:?}", found.violations),
        }
    }
    let planted = survey([("src/ca/mod.rs", "\n\nuse crate::tls;")]);
    assert_eq!(planted.violations[0].line, 3, "a finding names its line");
    assert_eq!((caught, cases.len() - caught), (31, 13));
}
