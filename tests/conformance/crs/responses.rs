//! Responses, of which the suite of this generation has none: the origin answers what the request
//! describes, and rules of the response phases log. The texts are what products are known to say.

use serde_json::json;

use super::case::{Case, Expect};

/// Rule, status, Content-Type, body; the rule does not log when it is negative.
const RESPONSES: &[(i64, u16, &str, &str)] = &[
    (
        950130,
        200,
        "text/html",
        "<html><head><title>Index of /files</title></head><body><h1>Index of /files</h1>",
    ),
    (-950130, 200, "text/html", "<html><head><title>Files</title></head><body><h1>Index of /files</h1>"),
    (950140, 200, "text/plain", "#!/usr/bin/perl\nprint 1;\n"),
    (-950140, 200, "image/png", "#!/usr/bin/perl\nprint 1;\n"),
    (950100, 500, "text/html", "<h1>Sorry</h1>"),
    (950100, 503, "application/octet-stream", "x"),
    (950100, 500, "text/html", ""),
    (-950100, 404, "text/html", "<h1>Not found</h1>"),
    (951120, 200, "text/html", "<b>ORA-00933: SQL command not properly ended</b>"),
    (
        951230,
        200,
        "text/html; charset=utf-8",
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version",
    ),
    (951240, 200, "application/json", r#"{"error": "PostgreSQL query failed: ERROR: syntax error"}"#),
    (-951230, 200, "text/html", "You have an error in your form; check the manual"),
    (
        952110,
        200,
        "text/plain",
        "Exception in thread main java.lang.NullPointerException at java.lang.Thread.run",
    ),
    (953100, 200, "text/html", "Warning: Cannot execute a blank command in /var/www/a.php"),
    (953120, 200, "text/html", "<?php echo 1; ?>"),
    (-953120, 200, "text/xml", "<?xml version=\"1.0\"?><a/>"),
    (954100, 200, "text/html", "at C:\\inetpub\\wwwroot\\a.asp"),
    (954130, 500, "text/html", "<h1>Server Error in '/' Application.</h1>"),
    (-954130, 404, "text/html", "<h1>Server Error in '/' Application.</h1>"),
    (959100, 500, "application/octet-stream", ""),
    (980140, 200, "text/html", "<?php echo 1; ?>"),
];

pub fn cases() -> Vec<Case> {
    let case = |(number, (rule, status, kind, body)): (usize, &(i64, u16, &str, &str))| {
        let told = json!({"status": status, "headers": {"Content-Type": kind}, "body": body}).to_string();
        let bytes = format!(
            "POST /reflect HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{told}",
            told.len()
        );
        let id = rule.unsigned_abs() as u32;
        let (logged, not_logged) = if *rule > 0 { (Some(id), None) } else { (None, Some(id)) };
        Case {
            id: format!("response-{id}-{}", number + 1),
            bytes: bytes.into_bytes(),
            host: Some("localhost".into()),
            expect: Expect { logged, not_logged, ..Expect::default() },
        }
    };
    RESPONSES.iter().enumerate().map(case).collect()
}
