//! Categories: long lists of hosts that rules name. A list holds a million names in a few tens of megabytes, without
//! an allocation for each, and a look-up takes as many steps as the host has labels.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use ipnet::IpNet;

use super::matching::{HostPattern, PatternError, contains_ip};
use crate::net::Host;

/// A named list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub name: Arc<str>,
    pub hosts: Arc<HostList>,
}

/// Why a list does not load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is no host: {why}")]
pub struct ListError {
    pub line: usize,
    pub text: String,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("a list does not stand for every host")]
    Everything,
    #[error("a category holds {} names at most", HostList::MOST)]
    TooMany,
}

/// The name itself.
const EXACT: u8 = 1;
/// The names below it.
const BELOW: u8 = 2;

/// A name in the text of all names.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: u32,
    length: u8,
    flags: u8,
}

/// Hosts of one category.
#[derive(Default)]
pub struct HostList {
    /// All names, one behind the other.
    text: String,
    slots: HashTable<Slot>,
    hasher: RandomState,
    addresses: HashSet<IpAddr>,
    nets: Vec<IpNet>,
}

impl HostList {
    /// Names in one category: several times the longest public list there is.
    pub const MOST: usize = 5_000_000;

    /// Adds the hosts of a text: one a line, as in a rule's `hosts` but for `*`; `#` begins a comment.
    pub fn add(&mut self, text: &str) -> Result<(), ListError> {
        for (at, line) in text.lines().enumerate() {
            let host = line.split('#').next().unwrap_or_default().trim();
            if !host.is_empty() {
                self.add_host(host).map_err(|why| ListError {
                    line: at + 1,
                    text: host.chars().take(80).collect(),
                    why,
                })?;
            }
        }
        Ok(())
    }

    fn add_host(&mut self, host: &str) -> Result<(), Why> {
        if self.len() >= HostList::MOST {
            return Err(Why::TooMany);
        }
        match host.parse::<HostPattern>()? {
            HostPattern::Any => return Err(Why::Everything),
            HostPattern::Exact(Host::Name(name)) => self.add_name(&name, EXACT),
            HostPattern::Below(name) => self.add_name(&name, BELOW),
            HostPattern::Within(name) => self.add_name(&name, EXACT | BELOW),
            HostPattern::Exact(Host::Ip(ip)) => {
                self.addresses.insert(ip);
            }
            HostPattern::Net(net) => self.nets.push(net),
        }
        Ok(())
    }

    fn add_name(&mut self, name: &str, flags: u8) {
        let HostList { text, slots, hasher, .. } = self;
        let hash = |name: &str| hasher.hash_one(name);
        match slots.entry(hash(name), |slot| slot.of(text) == name, |slot| hash(slot.of(text))) {
            Entry::Occupied(mut known) => known.get_mut().flags |= flags,
            Entry::Vacant(free) => {
                // Names have 253 octets at most, and MOST of them stay below 4 GiB.
                let (Ok(start), Ok(length)) = (u32::try_from(text.len()), u8::try_from(name.len())) else {
                    return;
                };
                free.insert(Slot { start, length, flags });
                text.push_str(name);
            }
        }
    }

    pub fn contains(&self, host: &Host) -> bool {
        match host {
            Host::Ip(ip) => self.addresses.contains(ip) || contains_ip(&self.nets, *ip),
            Host::Name(name) => {
                self.flags(name) & EXACT != 0
                    || name.match_indices('.').any(|(dot, _)| self.flags(&name[dot + 1..]) & BELOW != 0)
            }
        }
    }

    fn flags(&self, name: &str) -> u8 {
        let found = self.slots.find(self.hasher.hash_one(name), |slot| slot.of(&self.text) == name);
        found.map_or(0, |slot| slot.flags)
    }

    pub(super) fn has_addresses(&self) -> bool {
        !self.addresses.is_empty() || !self.nets.is_empty()
    }

    pub fn len(&self) -> usize {
        self.slots.len() + self.addresses.len() + self.nets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slot {
    fn of<'a>(&self, text: &'a str) -> &'a str {
        let start = self.start as usize;
        text.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

impl PartialEq for HostList {
    fn eq(&self, other: &HostList) -> bool {
        self.text == other.text
            && self.nets == other.nets
            && self.addresses == other.addresses
            && self.slots.len() == other.slots.len()
            && self.slots.iter().all(|slot| other.flags(slot.of(&self.text)) == slot.flags)
    }
}

impl Eq for HostList {}

impl fmt::Debug for HostList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostList({} hosts)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> HostList {
        let mut list = HostList::default();
        list.add(text).unwrap();
        list
    }

    #[test]
    fn a_list_holds_what_its_lines_say() {
        let list = list(
            "# banks\nbank.test\n  .credit.test  # and below\n*.fund.test\r\n\n192.0.2.7\n198.51.100.0/24\nBANK.test.\n",
        );
        assert_eq!(list.len(), 5);
        let host = |text: &str| Host::parse(text).unwrap();
        for yes in ["bank.test", "credit.test", "a.b.credit.test", "a.fund.test", "192.0.2.7", "198.51.100.9"]
        {
            assert!(list.contains(&host(yes)), "{yes}");
        }
        for no in
            ["a.bank.test", "xbank.test", "xcredit.test", "fund.test", "test", "192.0.2.8", "203.0.113.1"]
        {
            assert!(!list.contains(&host(no)), "{no}");
        }
    }

    #[test]
    fn a_line_that_is_no_host_says_where_it_stands() {
        let mut list = HostList::default();
        let error = list.add("bank.test\n\nhttps://bank.test/ # no\n").unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (3, "https://bank.test/"));
        assert_eq!(list.add("*").unwrap_err().why, Why::Everything);
    }

    #[test]
    fn lists_of_the_same_hosts_are_equal() {
        assert_eq!(list("a.test\n.b.test"), list("# c\na.test\n.b.test\na.test"));
        assert_ne!(list("a.test"), list(".a.test"));
        assert_ne!(list("a.test"), list("b.test"));
    }

    /// Printed with `--nocapture`; the bound is far above what a slow machine needs, and below what a list that
    /// is searched from end to end would.
    #[test]
    fn a_million_names_load_and_are_found() {
        let text: String =
            (0..1_000_000).map(|n| format!(".site-{n:07}.example-{}.test\n", n % 977)).collect();
        let begun = std::time::Instant::now();
        let list = list(&text);
        let loaded = begun.elapsed();
        assert_eq!(list.len(), 1_000_000);
        let hosts: Vec<Host> = (0..200_000)
            .map(|n| Host::parse(&format!("www.a.site-{n:07}.example-{}.test", n % 976)).unwrap())
            .collect();
        let begun = std::time::Instant::now();
        let found = hosts.iter().filter(|host| list.contains(host)).count();
        let looked = begun.elapsed();
        assert_eq!(found, hosts.iter().enumerate().filter(|(n, _)| n % 977 == n % 976).count());
        println!("loaded in {loaded:?}; {:?} for a look-up", looked / 200_000);
        assert!(looked < std::time::Duration::from_secs(20), "{looked:?}");
    }
}
