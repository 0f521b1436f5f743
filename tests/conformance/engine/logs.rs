//! What ModSecurity's server log and debug log say beside the steps of the rules.

use portward::waf::lang::seclang::Note;
use portward::waf::report::{Disruption, Match};
use portward::waf::trace::{Event, Trace, Traced};

/// The line of each match as the server log has it.
pub fn error_log(traced: &Traced, file: &str) -> String {
    let Traced { report, trace } = traced;
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
        line(&head, found, file, trace)
    });
    lines.collect()
}

fn line(head: &str, found: &Match, file: &str, trace: &Trace) -> String {
    let operator = found.operator.strip_prefix("not ").unwrap_or(&found.operator);
    // An argument with macros is logged as it was then.
    let filled = trace.events.iter().rev().find_map(|event| match event {
        Event::Comparison { rule, operator: known, argument: Some(argument), .. }
            if *rule == found.rule && known == operator =>
        {
            Some(String::from_utf8_lossy(argument))
        }
        _ => None,
    });
    let (operator, parameter) = operator.split_once(' ').unwrap_or((operator, ""));
    let parameter = filled.as_deref().unwrap_or(parameter);
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

/// What the debug log says of rules that a directive took out, told from the notes of the import.
pub fn of_notes(notes: &[Note]) -> String {
    let told = notes.iter().filter_map(|note| {
        let id = note.directive.strip_prefix("rule ")?;
        let directive = note.reason.strip_prefix("taken out by ")?.split(' ').next()?;
        let article = if directive == "SecRuleRemoveById" { "an SecRuleRemove" } else { directive };
        let article = if article.starts_with("an ") { article.to_owned() } else { format!("a {article}") };
        Some(format!("[9] Skipped rule id '{id}'. Removed by {article} directive.\n"))
    });
    told.collect()
}

/// What the debug log says when the response's body is not looked at.
pub fn not_inspected(fields: &[(String, String)]) -> String {
    let content_type = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value);
    format!("[5] Response Content-Type is {content_type}. It is not marked to be inspected.\n")
}
