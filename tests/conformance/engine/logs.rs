//! What ModSecurity's server log and debug log say beside the steps of the rules.

use portward::waf::lang::seclang::Note;
use portward::waf::report::{Disruption, Match, Report};

/// The line of each match as the server log has it.
pub fn error_log(report: &Report, file: &str) -> String {
    let lines = report.matches.iter().map(|found| {
        let decided = report
            .interruption
            .as_ref()
            .filter(|interruption| interruption.rule == found.rule && !report.detection_only);
        let head = match decided.map(|interruption| &interruption.action) {
            None => "Warning.".to_owned(),
            Some(Disruption::Deny { status } | Disruption::Redirect { status, .. }) => {
                format!("Access denied with code {status} (phase {}).", found.phase as u8 + 1)
            }
            Some(Disruption::Drop) => "Access denied with connection close.".to_owned(),
        };
        line(&head, found, file)
    });
    lines.collect()
}

fn line(head: &str, found: &Match, file: &str) -> String {
    let (operator, parameter) = found.operator.split_once(' ').unwrap_or((&found.operator, ""));
    let (collection, key) = found.variable.split_once(':').unwrap_or((&found.variable, ""));
    let separator = if key.is_empty() { "" } else { ":" };
    let collection = collection.to_ascii_uppercase();
    let operator: String = operator.split('_').map(upper).collect();
    let tags: String = found.tags.iter().map(|tag| format!(" [tag \"{tag}\"]")).collect();
    format!(
        "ModSecurity: {head} Matched \"Operator `{operator}' with parameter `{parameter}' against variable \
         `{collection}{separator}{key}' (Value: `{}' ) [file \"{file}.json\"] [id \"{}\"] [msg \"{}\"] \
         [data \"{}\"] [severity \"{}\"]{tags}\n",
        found.value, found.rule, found.message, found.data, found.severity
    )
}

fn upper(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_ascii_uppercase() + rest
}
