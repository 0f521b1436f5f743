//! Exclusions from files: which rules, or which of their targets, are off for a request.

use std::sync::Arc;

use super::bits::Bits;
use super::scratch::{ActiveExclusion, Scratch};
use super::transformation;
use super::variable::target::Target;

#[derive(Debug)]
pub(crate) struct Exclusion {
    /// By index.
    pub rules: Bits,
    /// Empty: the rules are off.
    pub targets: Arc<[Target]>,
    pub hosts: Option<Vec<String>>,
    /// The hosts for which its file was switched on; none for all.
    pub pack_hosts: Option<Arc<[String]>>,
    pub paths: Option<Vec<String>>,
    pub until_unix_ms: Option<u64>,
}

/// A request as exclusions see it.
pub(crate) struct Place<'a> {
    pub host: &'a str,
    /// Percent-decoded.
    pub path: &'a [u8],
    pub unix_ms: u64,
}

/// Switches on what applies to this request.
pub(crate) fn activate(exclusions: &[Exclusion], place: &Place, scratch: &mut Scratch) {
    for exclusion in exclusions.iter().filter(|exclusion| exclusion.applies(place)) {
        take_out(&exclusion.rules.words, &exclusion.targets, scratch);
    }
}

/// Takes rules, or targets from them, out of the rest of the exchange.
pub(crate) fn take_out(rules: &[u64], targets: &Arc<[Target]>, scratch: &mut Scratch) {
    if targets.is_empty() {
        for (off, rules) in scratch.off.iter_mut().zip(rules) {
            *off |= rules;
        }
    } else {
        scratch.exclusions.push(ActiveExclusion { rules: rules.into(), targets: Arc::clone(targets) });
    }
}

impl Exclusion {
    fn applies(&self, place: &Place) -> bool {
        let among = |hosts: &[String]| hosts.iter().any(|host| host_matches(host, place.host));
        self.until_unix_ms.is_none_or(|until| place.unix_ms < until)
            && self.hosts.as_deref().is_none_or(among)
            && self.pack_hosts.as_deref().is_none_or(among)
            && self.paths.as_ref().is_none_or(|paths| paths.iter().any(|path| path_matches(path, place.path)))
    }
}

/// `pattern` is in lower case, with brackets around an IPv6 address.
fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            let Some(at) = host.len().checked_sub(domain.len() + 1) else { return false };
            host.as_bytes()[at] == b'.' && host.as_bytes()[at + 1..].eq_ignore_ascii_case(domain.as_bytes())
        }
        None => {
            let plain = pattern.strip_prefix('[').and_then(|p| p.strip_suffix(']')).unwrap_or(pattern);
            plain.eq_ignore_ascii_case(host)
        }
    }
}

/// The path must match as sent and as an origin may resolve it: neither `/editor/../admin` nor
/// `/editor/..;x/admin`, where `;` begins a parameter, may enjoy what was meant for `/editor/*`.
fn path_matches(pattern: &str, path: &[u8]) -> bool {
    if !glob(pattern.as_bytes(), path) {
        return false;
    }
    let resolves_to_match = |path: &[u8]| {
        let mut resolved = Vec::new();
        match transformation::find("normalise_path_win") {
            Some(normalise) if (normalise.apply)(path, &mut resolved) => glob(pattern.as_bytes(), &resolved),
            _ => true,
        }
    };
    resolves_to_match(path) && (!path.contains(&b';') || resolves_to_match(&without_parameters(path)))
}

/// Each segment up to its first `;`.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut skip = false;
    for &byte in path {
        skip = match byte {
            b'/' | b'\\' => false,
            b';' => true,
            _ => skip,
        };
        if !skip {
            plain.push(byte);
        }
    }
    plain
}

/// `*` stands for any bytes. Time is bounded by the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_at_label_borders() {
        for (pattern, host, expect) in [
            ("app.test", "App.Test", true),
            ("app.test", "app.test.", true),
            ("app.test", "x.app.test", false),
            ("*.app.test", "x.app.test", true),
            ("*.app.test", "a.x.APP.test", true),
            ("*.app.test", "app.test", false),
            ("*.app.test", "xapp.test", false),
            ("[::1]", "[::1]", true),
            ("[::1]", "::1", true),
        ] {
            assert_eq!(host_matches(pattern, host), expect, "{pattern} {host}");
        }
    }

    #[test]
    fn paths_match_as_sent_and_as_resolved() {
        for (pattern, path, expect) in [
            ("/editor/*", "/editor/save", true),
            ("/editor/*", "/editor/a/b", true),
            ("/editor/*", "/admin", false),
            ("/editor/*", "/editor/../admin", false),
            ("/editor/*", "/editor/..\\..\\admin", false),
            ("/editor/*", "/editor/..;/admin", false),
            ("/editor/*", "/editor/..;a=b/..;c/admin", false),
            ("/editor/*", "/editor/a;b=c/save", true),
            ("*/save", "/a/save", true),
            ("/a*b*c", "/axxbyybzzc", true),
            ("/a", "/a/", false),
        ] {
            assert_eq!(path_matches(pattern, path.as_bytes()), expect, "{pattern} {path}");
        }
    }
}
