//! Cases in which ModSecurity's versions contradict each other. Rules are written for both, and where
//! they differ ours is version 2's way; the data is version 3's. Each such case is judged by what
//! version 2 does.

use super::case::Case;

/// What comes of the case in version 2.
enum Instead {
    /// The rules do not load, wherever the error is.
    Refused,
    /// The rules load.
    Loads,
    Status(u16),
    /// The debug log has this.
    Log(&'static str),
    /// The debug log does not have what it has in version 3.
    NoLog,
}

use Instead::{Loads, Log, NoLog, Refused, Status};

type Entry = (&'static str, &'static [usize], Instead, &'static str);

const MISSPELT: &str = "`@contais` is no operator; version 3 searches for it as an expression";
const UNOPENED: &str =
    "a variable of a collection that nothing opened is not set; version 3 opens all of them";
const DEFAULT: &str = "version 3 has rules of its own for SecDefaultAction";
const BODY: &str = "REQUEST_BODY has forms, and what a rule asks for by ctl:forceRequestBodyVariable";

const TABLE: &[Entry] = &[
    ("action-block", &[1], Refused, "version 3 names the line before the one with the error"),
    ("action-ctl_request_body_access", &[2, 3], NoLog, BODY),
    ("action-ctl_rule_remove_by_id", &[1, 2], Refused, MISSPELT),
    ("action-ctl_rule_remove_target_by_id", &[2], Refused, MISSPELT),
    ("action-ctl_rule_remove_target_by_tag", &[2, 3], Refused, MISSPELT),
    ("actions", &[3], Status(302), "a redirect has the status 301, 302, 303 or 307"),
    ("config-secdefaultaction", &[3, 6], Loads, DEFAULT),
    (
        "config-update-action-by-id",
        &[4],
        Status(403),
        "a rule without a disruptive action has that of SecDefaultAction; in version 3 only `block` has",
    ),
    ("config-update-target-by-id", &[4], Status(403), "taking out of ARGS takes nothing out of ARGS_NAMES"),
    ("issue-1725", &[1], Log("/test; [0-9]+; [0-9]+;"), "DURATION is in microseconds, not in seconds"),
    ("issue-1812", &[1], Log(r"/test.pl\?foo=\\xc2\\xa3&bar=%C2%A3"), "REQUEST_URI is not decoded"),
    ("issue-1831", &[3, 4], NoLog, UNOPENED),
    ("issue-1850", &[1], Refused, "a quote inside quotes ends the argument"),
    ("operator-rx", &[3], Refused, "an expression that does not compile; version 3 fails at every request"),
    (
        "request-body-parser-multipart-crlf",
        &[1],
        Log("name \"b\", value \"2\r\n2\\.1\r\n2\\.2\r\n2\\.3\""),
        "line ends are part of a value; version 3 drops them",
    ),
    ("variable-QUERY_STRING", &[3], Status(200), "without a query there is no QUERY_STRING"),
    ("variable-REQUEST_BODY", &[1], NoLog, BODY),
    (
        "variable-REMOTE_USER",
        &[1],
        NoLog,
        "REMOTE_USER is who authenticated; version 3 takes whom an Authorization field names",
    ),
    ("variable-RULE", &[7], NoLog, UNOPENED),
    ("variable-WEBAPPID", &[1], Log("t:trim: \"default\""), "WEBAPPID is `default` without SecWebAppId"),
];

/// The case with what version 2 makes of it, and why; `None` when the versions agree.
pub fn judged(case: &Case) -> Option<(Case, &'static str)> {
    let (_, _, instead, reason) =
        TABLE.iter().find(|(file, numbers, _, _)| *file == case.file && numbers.contains(&case.number))?;
    let mut case = case.clone();
    let expected = &mut case.expected;
    match instead {
        Refused => expected.parser_error = "refused".into(),
        Loads => expected.parser_error.clear(),
        Status(status) => expected.status = *status,
        Log(pattern) => expected.debug_log = (*pattern).into(),
        NoLog => expected.no_debug_log = std::mem::take(&mut expected.debug_log),
    }
    Some((case, reason))
}

/// How many cases are judged so.
pub fn count() -> usize {
    TABLE.iter().map(|(_, numbers, _, _)| numbers.len()).sum()
}
