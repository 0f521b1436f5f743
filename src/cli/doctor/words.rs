//! Small words that several sections use: spans of time, dates, lists.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

const DAY: i64 = 86_400;

/// `0.4 ms`, `12 ms`, `1.5 s`.
pub fn span(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// `2026-11-21 18:00 UTC`.
pub fn date(unix: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| "an impossible date".to_owned())
}

/// A distance between two times in the unit that a person would take.
pub fn distance(seconds: i64) -> String {
    let of = |n: i64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    match seconds.abs() {
        s if s >= 2 * DAY => of(s / DAY, "day"),
        s if s >= 2 * 3600 => of(s / 3600, "hour"),
        s if s >= 120 => of(s / 60, "minute"),
        s => of(s, "second"),
    }
}

/// The first of a list, and how many more there are.
pub fn some(list: &[String], at_most: usize) -> String {
    let shown = list.iter().take(at_most).cloned().collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(at_most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The first letter made large, as a sentence has it.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str();
    let end = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        assert_eq!(span(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(span(Duration::from_millis(42)), "42 ms");
        assert_eq!(span(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(distance(-86_400 * 3), "3 days");
        assert_eq!(distance(86_400), "24 hours");
        assert_eq!(distance(90), "90 seconds");
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        let list = ["a", "b", "c"].map(String::from);
        assert_eq!((some(&list, 3), some(&list, 1)), ("a, b, c".to_owned(), "a and 2 more".to_owned()));
        assert_eq!(sentence("it is so"), "It is so.");
    }
}
