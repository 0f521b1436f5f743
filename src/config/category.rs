//! Category lists and dates of rules: what is written becomes what policy uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::value::Datetime;

use super::Problem;
use super::file::{FileCategory, FilePolicy};
use crate::policy::{Category, Expiry, HostList, Rule};

/// Bytes in one list: several times the longest public one.
const LONGEST: u64 = 256 << 20;

/// A category as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryFiles {
    pub name: String,
    pub files: Vec<PathBuf>,
}

/// Reads every list. Relative paths are relative to `base`, the configuration's folder.
pub(super) fn load(
    written: &[FileCategory],
    base: &Path,
    mut wrong: impl FnMut(Problem),
) -> (Vec<CategoryFiles>, Vec<Category>) {
    let mut files = Vec::new();
    let mut categories: Vec<Category> = Vec::new();
    for category in written {
        let name = category.name.trim();
        if name.is_empty() {
            wrong(Problem::new("a category of [[policy.category]] has an empty name"));
        } else if categories.iter().any(|other| *other.name == *name) {
            wrong(Problem::new(format!("two categories of [[policy.category]] are named `{name}`")));
        }
        if category.files.is_empty() {
            wrong(Problem::new(format!("category `{name}` has no files")));
        }
        let mut hosts = HostList::default();
        let paths: Vec<PathBuf> = category.files.iter().map(|file| base.join(file)).collect();
        for path in &paths {
            if let Err(problem) = read(path, &mut hosts) {
                wrong(Problem::new(format!("category `{name}`: {}: {problem}", path.display())));
            }
        }
        categories.push(Category { name: name.into(), hosts: Arc::new(hosts) });
        files.push(CategoryFiles { name: name.to_owned(), files: paths });
    }
    (files, categories)
}

fn read(path: &Path, hosts: &mut HostList) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !meta.is_file() {
        return Err("is no file".to_owned());
    }
    if meta.len() > LONGEST {
        return Err(format!("has {} bytes; {LONGEST} is the most", meta.len()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    hosts.add(&text).map_err(|error| error.to_string())
}

/// What is wrong with the categories that a rule of `[[policy.KEY]]` names.
pub(super) fn unknown(key: &str, rule: &Rule, known: &[Category]) -> Vec<Problem> {
    let names: Vec<&str> = known.iter().map(|category| &*category.name).collect();
    let missing = rule.categories.iter().filter(|name| !names.contains(&&***name));
    let problem = |name: &Arc<str>| {
        let what = format!(
            "rule `{}` of [[policy.{key}]] names the category `{name}`, which is not there",
            rule.name
        );
        let help = match names[..] {
            [] => "give it with [[policy.category]], a name and files".to_owned(),
            _ => format!("the categories are: {}", names.join(", ")),
        };
        Problem::new(what).help(help)
    };
    missing.map(problem).collect()
}

/// What is wrong with the dates of rules, each with the list it is in. A denial that ends unnoticed would open
/// something; only a bypass may end.
pub(super) fn expiries(policy: &FilePolicy) -> Vec<(&'static str, Problem)> {
    let FilePolicy { deny, allow, bypass, .. } = policy;
    let mut problems = Vec::new();
    for (key, rules) in [("deny", deny), ("allow", allow), ("bypass", bypass)] {
        for (rule, expires) in rules.iter().filter_map(|rule| Some((rule, rule.expires.as_ref()?))) {
            if key != "bypass" {
                let what = format!("rule `{}` of [[policy.{key}]] has `expires`", rule.name);
                problems.push((key, Problem::new(what).help("only [[policy.bypass]] rules end at a date")));
            } else if let Err(problem) = expiry(expires) {
                problems.push((key, problem));
            }
        }
    }
    problems
}

/// The moment at which a rule ends: the end of a day in UTC, or a moment with its offset.
pub(super) fn expiry(written: &Datetime) -> Result<Expiry, Problem> {
    let at = match (written.date, written.time, written.offset) {
        (Some(date), None, None) => time::Month::try_from(date.month)
            .and_then(|month| time::Date::from_calendar_date(i32::from(date.year), month, date.day))
            .ok()
            .and_then(|date| date.next_day())
            .map(|date| date.midnight().assume_utc()),
        (Some(_), Some(_), Some(_)) => OffsetDateTime::parse(&written.to_string(), &Rfc3339).ok(),
        _ => None,
    };
    let since = at.and_then(|at| u64::try_from(at.unix_timestamp()).ok()).map(Duration::from_secs);
    match since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) {
        Some(at) => Ok(Expiry { at, text: written.to_string().into() }),
        None => Err(Problem::new(format!("`expires = {written}` is no moment"))
            .help("write a day, `2026-12-31` (to its end, UTC), or a moment, `2026-12-31T18:00:00+01:00`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let expiry = expiry(&text.parse().unwrap()).ok()?;
        assert_eq!(&*expiry.text, text);
        Some(expiry.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn a_day_holds_to_its_end_and_a_moment_to_itself() {
        assert_eq!(seconds("1970-01-01"), Some(86_400));
        assert_eq!(seconds("2026-12-31"), Some(1_798_761_600));
        assert_eq!(seconds("2026-12-31T23:59:59Z"), Some(1_798_761_599));
        assert_eq!(seconds("2026-12-31T23:59:59+01:00"), Some(1_798_757_999));
        for text in ["2026-12-31T23:59:59", "23:59:59", "1960-01-01"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
