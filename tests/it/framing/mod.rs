//! HTTP's framing, as a table: what a proxy must refuse, what it must write anew, and what RFC 9110, 9112 and 9113
//! ask of it, clause by clause. Raw bytes go in, and what the raw origin and the client got is looked at.
//! `tests/run framing` is the command.

pub mod downgrade;
mod fields;
mod hop;
pub mod lab;
mod length;
mod probes;
mod response;
mod start;

use lab::Row;

/// Rows of HTTP/1.1 that do not pass as the RFC has it, and why.
const DECLARED: &[(&str, &str)] = &[
    (
        "an interim answer is passed on",
        "hyper's server writes no interim answer but 100; the final answer is not touched by it",
    ),
    (
        "CONNECT without Host",
        "nothing is read from it, and to refuse would lock out clients that leave it out",
    ),
];

/// Prints lines of clause, what, expected and seen; returns those that differ and are not declared, and declarations
/// that are about no line.
fn table(title: &str, lines: &[[String; 4]], known: &[(&str, &str)]) -> Vec<String> {
    println!("{title}");
    println!("{:<4} {:<18} {:<62} {:<22} seen", "", "clause", "case", "expected");
    let named = |known: &str| lines.iter().any(|line| line[1] == known);
    let mut failed: Vec<String> = known
        .iter()
        .filter(|(what, _)| !named(what))
        .map(|(what, _)| format!("{what} is declared, and no case is called that"))
        .collect();
    if lines.is_empty() {
        failed.push("nothing was run".to_owned());
    }
    for [clause, what, expected, seen] in lines {
        let declared = known.iter().find(|(known, _)| known == what);
        let mark = match (seen == expected, declared) {
            (true, _) => "ok",
            (false, Some(_)) => "decl",
            (false, None) => "FAIL",
        };
        println!("{mark:<4} {clause:<18} {what:<62} {expected:<22} {seen}");
        match (seen == expected, declared) {
            (false, None) => failed.push(format!("{clause} {what}: expected {expected}, seen {seen}")),
            (true, Some(_)) => failed.push(format!("{what} is declared as failing and passes")),
            (false, Some((_, why))) => println!("     declared: {why}"),
            (true, None) => {}
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_obeys_every_must_of_http_1_1_for_a_proxy() {
    let rows: Vec<Row> =
        [start::rows(), fields::rows(), length::rows(), hop::rows(), response::rows()].concat();
    let wanted = std::env::var("PORTWARD_FRAMING").unwrap_or_default();
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.what.contains(&wanted)).collect();
    let seen = lab::run(&rows).await;
    let lines: Vec<[String; 4]> = rows
        .iter()
        .zip(seen)
        .map(|(row, seen)| [row.clause.into(), row.what.into(), row.expected.into(), seen])
        .collect();
    let declared: Vec<_> = DECLARED.iter().copied().filter(|(what, _)| what.contains(&wanted)).collect();
    let failed = table("RFC 9110 and 9112, for a proxy", &lines, &declared);
    println!("{} cases of HTTP/1.1, {} failed", lines.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(!wanted.is_empty() || lines.len() >= 110, "{} cases are too few", lines.len());
    let mut names: Vec<_> = rows.iter().map(|row| row.what).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "every case has a name of its own");
}
