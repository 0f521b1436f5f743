//! Places that attackers read and that pages do not name: files which every system of a kind has, and the folders they
//! are in. From the documentation of the systems and servers themselves.
//!
//! The lists are beside this file, in `places.txt`. The files of a folder that a site may have as well stand one by one.

use std::sync::LazyLock;

/// How much the mere name of a place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An application's own secrets. Editors and file managers of applications name them, too: steps up are asked for.
    Secret,
    /// Configuration and logs of a system: hostile as a whole value.
    System,
    /// Accounts, keys, the process itself: what traversal is tried with. Hostile behind steps up anywhere in a value.
    Account,
}

use Kind::{Account, Secret, System};

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub kind: Kind,
    /// The pattern or name, for the hit's note.
    pub name: &'static str,
}

/// The best of the places that the path is or is in, wherever it begins. What an application puts behind a path does not
/// hide it: `etc/passwd/view`.
pub(super) fn below(path: &[u8]) -> Option<Place> {
    let mut best: Option<Place> = None;
    let mut from = 0;
    loop {
        let rest = &path[from..];
        let within = file(segment(rest)).filter(|place| place.kind == Account);
        best = better(best, better(within, search(rest, Ending::Open)));
        match memchr::memchr(b'/', rest) {
            Some(next) => from += next + 1,
            None => break,
        }
    }
    better(best, file(path))
}

fn better(one: Option<Place>, other: Option<Place>) -> Option<Place> {
    match (one, other) {
        (Some(a), Some(b)) => Some(if b.kind > a.kind { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The place that the path is or is in, from its first segment on.
pub(super) fn at(path: &[u8]) -> Option<Place> {
    search(path, Ending::Exact)
}

/// Whether more may follow behind a file of accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Exact,
    Open,
}

fn search(path: &[u8], ending: Ending) -> Option<Place> {
    let first = match segment(path) {
        only if only.len() == path.len() => clean(only),
        first => first,
    };
    let from = TABLES.places.partition_point(|(pattern, _)| head(pattern) < first);
    let own = TABLES.places[from..].iter().take_while(|(pattern, _)| head(pattern) == first);
    let open = |kind: Kind| if kind == Account { ending } else { Ending::Exact };
    let fitting = own.chain(&TABLES.anywhere).filter(|(pattern, kind)| fits(pattern, path, open(*kind)));
    let best = fitting.fold(None, |best, &(name, kind)| better(best, Some(Place { kind, name })));
    best.filter(|place| place.kind == Account || !is_of_a_site(path))
}

/// Adobe Experience Manager keeps designs and tags of sites under `/etc`, and shows them on the web.
fn is_of_a_site(path: &[u8]) -> bool {
    let (first, rest) = cut(path);
    first == b"etc"
        && rest.is_some_and(|rest| TABLES.sites.iter().any(|name| name.as_bytes() == segment(rest)))
}

/// By the name of the file alone.
pub(super) fn file(path: &[u8]) -> Option<Place> {
    let leaf = leaf(path);
    let known = TABLES.files.binary_search_by(|(name, _)| name.as_bytes().cmp(leaf)).ok();
    if let Some(&(name, kind)) = known.map(|at| &TABLES.files[at]) {
        return Some(Place { kind, name });
    }
    leaf.starts_with(b".env.").then_some(Place { kind: Secret, name: ".env" })
}

/// The configuration files and logs of servers, under the folders that they are installed in.
pub(super) fn kept_by_server(path: &[u8]) -> Option<Place> {
    let is_installed = is_one_of(segment(path), &TABLES.systems) || is_one_of(segment(path), &TABLES.servers);
    let system = |name| Some(Place { kind: System, name });
    let of_server =
        || path.split(|&byte| byte == b'/').rev().skip(1).any(|folder| is_one_of(folder, &TABLES.servers));
    if let Some(place) = file(path) {
        let is_own = match place.kind {
            Account => is_installed || of_server(),
            System => is_installed && of_server(),
            Secret => false,
        };
        return if is_own { system(place.name) } else { None };
    }
    let leaf = leaf(path);
    let ending = TABLES
        .endings
        .iter()
        .find(|ending| leaf.ends_with(ending.as_bytes()))
        .filter(|_| is_installed && of_server());
    ending.and_then(|name| system(name))
}

/// True when a path that begins so can be a place; saves reading all others. Without a root only the places themselves
/// are recognised.
pub(super) fn may_begin(first: &[u8], is_rooted: bool) -> bool {
    let first = clean(first);
    if first.is_empty() || first.len() > LONGEST_FIRST || memchr::memchr(b':', first).is_some() {
        return false;
    }
    let fold = |byte: u8| byte.to_ascii_lowercase();
    let order = |name: &[u8]| name.iter().copied().cmp(first.iter().copied().map(fold));
    let is_place = TABLES.places.binary_search_by(|(pattern, _)| order(head(pattern))).is_ok();
    let is_rooted_place = || {
        TABLES.files.binary_search_by(|(name, _)| order(name.as_bytes())).is_ok()
            || [&TABLES.systems, &TABLES.servers].iter().any(|names| starts_any(first, names))
            || starts_any(first, &["home", "users"])
    };
    is_place || first.first() == Some(&b'~') || (is_rooted && is_rooted_place())
}

/// `apachegroup 2.4.1 (unix)` is longer than any folder above it.
const LONGEST_FIRST: usize = 40;

fn starts_any(first: &[u8], beginnings: &[&str]) -> bool {
    beginnings
        .iter()
        .any(|name| first.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes())))
}

/// `apache2`, `php-5.4`: a number or another mark may follow, letters make another word of it.
fn is_one_of(folder: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| {
        let rest = folder.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphabetic))
    })
}

/// The segments that a developer's tree begins with, seen from a file in it.
pub(super) fn is_source_folder(first: &[u8]) -> bool {
    TABLES.sources.binary_search_by(|name| name.as_bytes().cmp(first)).is_ok()
}

/// Where the ending of the file's name begins.
pub(super) fn ending(path: &[u8]) -> Option<usize> {
    memchr::memrchr(b'.', leaf(path)).filter(|at| *at > 0)
}

/// An ending that pages, modules and the files they load have.
pub(super) fn is_page_file(path: &[u8]) -> bool {
    let leaf = leaf(path);
    let Some(dot) = ending(path) else { return false };
    TABLES.pages.binary_search_by(|ending| ending.as_bytes().cmp(&leaf[dot + 1..])).is_ok()
}

fn segment(path: &[u8]) -> &[u8] {
    &path[..memchr::memchr(b'/', path).unwrap_or(path.len())]
}

/// The last segment, without what systems or filters cut from it: behind a NUL or semicolon, dots and spaces at its end.
pub(super) fn leaf(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    clean(&path[memchr::memrchr(b'/', path).map_or(0, |at| at + 1)..])
}

fn clean(segment: &[u8]) -> &[u8] {
    let end = memchr::memchr2(0, b';', segment).unwrap_or(segment.len());
    let mut name = &segment[..end];
    while let [rest @ .., b'.' | b' ' | b'$' | b'\r' | b'\n' | b'\t'] = name {
        name = rest;
    }
    name
}

fn head(pattern: &str) -> &[u8] {
    segment(pattern.as_bytes())
}

fn fits(pattern: &str, path: &[u8], ending: Ending) -> bool {
    let mut path = Some(path.strip_suffix(b"/").unwrap_or(path));
    let mut pattern = pattern.as_bytes();
    loop {
        let (wanted, later) = cut(pattern);
        let Some((found, next)) = path.map(cut) else { return false };
        let found = if next.is_none() { clean(found) } else { found };
        let same = match wanted {
            b"*" if later.is_none() => return !found.is_empty(),
            b"?" => !found.is_empty(),
            [start @ .., b'*'] => found.starts_with(start),
            exact => found == exact,
        };
        match (same, later) {
            (false, _) => return false,
            (true, None) => return next.is_none() || ending == Ending::Open,
            (true, Some(later)) => (pattern, path) = (later, next),
        }
    }
}

fn cut(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// The lists of `places.txt`.
struct Tables {
    /// Sorted by their first segments.
    places: Vec<(&'static str, Kind)>,
    anywhere: Vec<(&'static str, Kind)>,
    /// Sorted, as the lists below that are searched for a whole word.
    files: Vec<(&'static str, Kind)>,
    sites: Vec<&'static str>,
    systems: Vec<&'static str>,
    servers: Vec<&'static str>,
    endings: Vec<&'static str>,
    sources: Vec<&'static str>,
    pages: Vec<&'static str>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::read(include_str!("places.txt")));

impl Tables {
    fn read(text: &'static str) -> Tables {
        let kinds = [("account", Account), ("system", System), ("secret", Secret)];
        let of_kind = |list: &str| {
            let all = kinds.iter().flat_map(|(name, kind)| {
                let title = format!("[{list}, {name}]");
                entries(text, &title).map(|entry| (entry, *kind)).collect::<Vec<_>>()
            });
            all.collect::<Vec<_>>()
        };
        let plain = |list: &str| {
            let mut all: Vec<_> = entries(text, &format!("[{list}]")).collect();
            all.sort_unstable();
            all
        };
        let mut places = of_kind("places");
        places.sort_by_key(|(pattern, _)| head(pattern));
        let mut files = of_kind("files");
        files.sort_unstable_by_key(|(name, _)| *name);
        Tables {
            places,
            anywhere: of_kind("anywhere"),
            files,
            sites: plain("sites"),
            systems: plain("systems"),
            servers: plain("servers"),
            endings: plain("endings"),
            sources: plain("sources"),
            pages: plain("pages"),
        }
    }
}

/// What stands under that title, up to the next.
fn entries(text: &'static str, title: &str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().skip_while(move |line| *line != title).skip(1);
    let own = lines.take_while(|line| !line.starts_with('['));
    let words = own.filter(|line| !line.starts_with('#')).flat_map(|line| line.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_read_whole_and_names_nothing_twice() {
        let tables = &*TABLES;
        assert!(tables.places.len() > 300 && tables.anywhere.len() > 5 && tables.files.len() > 80);
        let mut lists = vec![&tables.sites, &tables.systems, &tables.servers];
        lists.extend([&tables.endings, &tables.sources, &tables.pages]);
        let mut words: Vec<&str> = lists.iter().flat_map(|list| list.iter().copied()).collect();
        assert!(lists.iter().all(|list| list.len() > 5));
        let named = [&tables.places, &tables.anywhere, &tables.files];
        words.extend(named.iter().flat_map(|list| list.iter().map(|(name, _)| *name)));
        assert!(words.iter().all(|word| !word.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'[')));
        for list in named {
            let mut names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn a_pattern_covers_the_whole_path() {
        for (pattern, path, expect) in [
            ("etc/passwd", "etc/passwd", true),
            ("etc/passwd", "etc/passwd/", true),
            ("etc/passwd", "etc/passwd\0.png", true),
            ("etc/passwd", "etc/passwd...", true),
            ("etc/passwd", "etc/passwd/x", false),
            ("etc/passwd", "etc/passwdx", false),
            ("etc/*", "etc/a/b", true),
            ("etc/*", "etc/", false),
            ("etc/*", "etc", false),
            ("proc/?/environ", "proc/1/environ", true),
            ("proc/?/environ", "proc/environ", false),
            ("tmp/sess_*", "tmp/sess_abc", true),
            ("boot/grub*/*", "boot/grub2/grub.cfg", true),
        ] {
            assert_eq!(fits(pattern, path.as_bytes(), Ending::Exact), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn the_strongest_place_counts() {
        let kind = |path: &str| below(path.as_bytes()).map(|place| place.kind);
        assert_eq!(kind("a/etc/passwd"), Some(Account));
        assert_eq!(kind("etc/crontab"), Some(System));
        assert_eq!(kind("etc/alternatives/x"), Some(Secret));
        assert_eq!(kind("app/.env.local"), Some(Secret));
        assert_eq!(kind("src/main.rs"), None);
        assert_eq!(kept_by_server(b"usr/local/apache2/y.conf").map(|place| place.kind), Some(System));
        assert_eq!(kept_by_server(b"usr/local/x/y.conf"), None);
        assert_eq!(kept_by_server(b"docs/nginx.conf"), None);
    }
}
