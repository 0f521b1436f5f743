//! Which of ModSecurity's engine cases say nothing about a proxy, and why. Every one is listed, and a
//! run prints how many there are for each reason.

use super::case::Case;

/// A file, the numbers of its cases (none for all of them), and the reason.
type Entry = (&'static str, &'static [usize], &'static str);

const LUA: &str = "runs a Lua script or a program of the machine";
const ENVIRONMENT: &str = "reads or writes environment variables of the server's process";
const GEO: &str = "needs a database of places, which the engine does not have";
const REMOTE: &str =
    "loads rules or data from a server while the configuration is read, and is disabled there, too";
const OFFSET: &str = "the places of values in the raw message, as one log line of libmodsecurity gives them";
const LOG_PLACE: &str =
    "the line of a .conf in a log line; rules are JSON files here, and errors name their lines";
const AUDIT: &str = "the file that SecAuditLog writes, and when";
const SCHEMA: &str = "validation of XML against a DTD or a schema in a file of the server";
const BUILD: &str = "the number of ModSecurity's own build";
const LIMITS: &str =
    "what becomes of a body beyond the limit is not for rules to say here but for the policy";
const UPLOADS: &str = "looks at uploaded files as files on the server's disk";

const TABLE: &[Entry] = &[
    ("action-ctl_audit_engine", &[], AUDIT),
    ("action-exec", &[], LUA),
    ("action-setenv", &[], ENVIRONMENT),
    ("auditlog", &[4], AUDIT),
    ("collection-lua", &[], LUA),
    ("config-body_limits", &[1, 3, 9, 11, 13, 15], LIMITS),
    ("config-secdefaultaction", &[7], AUDIT),
    ("config-secremoterules", &[], REMOTE),
    ("config-xml_external_entity", &[2, 3], SCHEMA),
    ("directive-sec_rule_script", &[], LUA),
    ("issue-1844", &[], LOG_PLACE),
    ("issue-2196", &[], AUDIT),
    ("issue-2427", &[], UPLOADS),
    ("offset-variable", &[], OFFSET),
    ("operator-fuzzyhash", &[], "fuzzy hashes of files on the server's disk"),
    ("operator-inpectFile", &[], LUA),
    ("operator-ipMatchFromFile", &[3], REMOTE),
    ("request-body-parser-xml", &[], SCHEMA),
    ("request-body-parser-xml-validade-dtd", &[], SCHEMA),
    ("request-body-parser-json", &[6], LIMITS),
    ("variable-ARGS_POST_NAMES", &[4], OFFSET),
    ("variable-ENV", &[], ENVIRONMENT),
    ("variable-GEO", &[], GEO),
    ("variable-MODSEC_BUILD", &[], BUILD),
];

/// Why the case does not concern a proxy.
pub fn no_concern(case: &Case) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(file, numbers, _)| {
            *file == case.file && (numbers.is_empty() || numbers.contains(&case.number))
        })
        .map(|(_, _, reason)| *reason)
}

/// Entries that no case answers to: the data changed.
pub fn stale(cases: &[Case]) -> Vec<String> {
    let is_there = |file: &str, number: Option<usize>| {
        cases.iter().any(|case| case.file == file && number.is_none_or(|number| number == case.number))
    };
    let missing = TABLE.iter().flat_map(|(file, numbers, _)| {
        let whole = numbers.is_empty().then_some(None);
        let each = numbers.iter().map(|number| Some(*number));
        whole
            .into_iter()
            .chain(each)
            .filter(move |number| !is_there(file, *number))
            .map(move |number| format!("{file} {number:?}"))
    });
    missing.collect()
}
