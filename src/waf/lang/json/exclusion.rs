//! Exclusion files.

use time::macros::format_description;

use super::super::ast::{Day, Exclusion, ExclusionSet};
use super::super::error::{At, Problems, shown};
use super::super::node::Node;
use super::{Fields, action, id_range, list};

const SET_KEYS: &[&str] = &["$schema", "name", "version", "description", "enabled", "exclusions"];
const KEYS: &[&str] = &["rules", "tags", "variables", "hosts", "paths", "reason", "expires"];

pub(super) fn exclusion_set(node: &Node, problems: &mut Problems) -> Option<ExclusionSet> {
    let fields = Fields::of(node, "an exclusion file", SET_KEYS, problems)?;
    let name = fields.text("name", problems);
    let version = fields.text("version", problems);
    let description = fields.optional_text("description", problems);
    let enabled = fields.boolean("enabled", problems);
    let nodes = fields.required("exclusions", problems).and_then(|node| list(node, "`exclusions`", problems));
    let exclusions = nodes?.iter().filter_map(|node| exclusion(node, problems)).collect();
    Some(ExclusionSet { place: node.place, name: name?, version: version?, description, enabled, exclusions })
}

fn exclusion(node: &Node, problems: &mut Problems) -> Option<Exclusion> {
    let before = problems.count();
    let fields = Fields::of(node, "an exclusion", KEYS, problems)?;
    let rules: Option<Vec<_>> = fields
        .list("rules", problems)
        .map(|nodes| nodes.iter().filter_map(|node| id_range(node, problems)).collect());
    let tags = fields.texts("tags", problems);
    let variables: Option<Vec<_>> = fields.texts("variables", problems).map(|texts| {
        texts.iter().filter_map(|at| Some(At::new(at.place, action::plain_target(at, problems)?))).collect()
    });
    let hosts: Option<Vec<String>> = fields
        .texts("hosts", problems)
        .map(|hosts| hosts.into_iter().filter_map(|host| host_at(&host, problems)).collect());
    let paths = fields.texts("paths", problems);
    for path in paths.iter().flatten() {
        if !path.value.starts_with(['/', '*']) {
            problems
                .add(path.place, format!("a path starts with `/` or `*`, unlike `{}`", shown(&path.value)));
        }
    }
    let reason = fields.text("reason", problems);
    let expires = fields.optional_text("expires", problems).and_then(|text| {
        let day = day(&text);
        if day.is_none() {
            let place = fields.get("expires").map_or(node.place, |node| node.place);
            problems.add(place, format!("`expires` is a day as YYYY-MM-DD, not `{}`", shown(&text)));
        }
        day
    });
    // An empty list is not the same as no list: it would take a rule out everywhere.
    for key in ["rules", "tags", "variables", "hosts", "paths"] {
        if fields
            .get(key)
            .is_some_and(|node| matches!(&node.kind, super::Kind::List(items) if items.is_empty()))
        {
            let place = fields.get(key).map_or(node.place, |node| node.place);
            problems.add(place, format!("`{key}` is an empty list; leave the key out or fill it"));
        }
    }
    if rules.is_none() && tags.is_none() {
        problems.add(node.place, "an exclusion needs `rules` or `tags`");
    }
    // Half an exclusion would exclude more than was meant.
    if problems.count() > before {
        return None;
    }
    Some(Exclusion {
        place: node.place,
        rules,
        tags,
        variables,
        hosts,
        paths: paths.map(|paths| paths.into_iter().map(|at| at.value).collect()),
        reason: reason?,
        expires,
    })
}

fn host_at(at: &At<String>, problems: &mut Problems) -> Option<String> {
    host_pattern(&at.value).map_err(|problem| problems.add(at.place, problem)).ok()
}

/// A host in lower case, perhaps with `*.` before it.
pub(crate) fn host_pattern(text: &str) -> Result<String, String> {
    let (star, name) = match text.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", text),
    };
    match crate::net::Host::parse(name) {
        Ok(host) if star.is_empty() || host.name().is_some() => Ok(format!("{star}{host}")),
        Ok(_) => Err("`*.` before an address stands for nothing".to_owned()),
        Err(error) => Err(format!("`{}` is not a host: {error}", shown(text))),
    }
}

fn day(text: &str) -> Option<Day> {
    let date = time::Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    let end = date.next_day()?.midnight().assume_utc().unix_timestamp();
    Some(Day { end_unix_ms: u64::try_from(end).ok()?.checked_mul(1000)? })
}
