//! What leaves its place, by the form in which it goes on, and what only looks like it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::super::super::tests::built;
use super::find;
use serde_json::json;

fn form(value: &str) -> Option<&'static str> {
    find(value.as_bytes()).map(|escape| escape.form)
}

#[test]
fn a_value_that_goes_on_as_sql_is_found_with_its_form() {
    let forms: &[(&str, &[&str])] = &[
        (
            "condition joined to the statement's own",
            &[
                "' or 1=1-- ",
                "' or '1'='1",
                "1 or 1=1",
                "1) and 5628=4794",
                "or 1=1",
                "%' and 1=0 and '%'='",
                "1/**/or/**/1=1",
                "1'||'1'='1",
                "x' and email is null; --",
                "1 and sleep(5)",
                "1' WHERE 1=1 AND 2=3",
                "1') as t where 1=1 and 2=3-- x",
                "http://example.test/) and 1=2-- x",
                "' or (1,1)=(select 1,1)-- ",
                "'+or+true+--",
                "1 /*!50000or*/ 1=1",
                "Mozilla/5.0 (X11; Linux) and 1=2-- x",
            ],
        ),
        (
            "second query joined by UNION",
            &[
                "-1 union select 1,2",
                "' union select name from users--",
                "1 union(select 1)",
                "1'\tuni/**/on\tsel/**/ect 1,2",
                "' union values row(1,2)#",
                "x union select null,null",
            ],
        ),
        (
            "second statement",
            &["1; drop table users", "'; exec xp_cmdshell 'dir'--", "1' waitfor delay '0:0:5'--"],
        ),
        (
            "ORDER BY or GROUP BY behind the end",
            &["1 order by 10", "') order by 3-- -", "' group by a having 1=1--"],
        ),
        (
            "expression around the value",
            &["'+(select 1)+'", "1-(select 1)", "'+convert(int,@@version)+'", "'=0--", "x' like 'y"],
        ),
        ("expression up to the closing quote", &["' or 'a", "'-'", "1' or '1"]),
        ("expression instead of a value", &["sleep(5)", "(select 1 from dual)", "if(1=1,2,3)", "(1=2)*3"]),
        (
            "comment that cuts the statement",
            &["admin'--", "admin' #", "')/*", "1-- -", "user@example.test' -- "],
        ),
        ("INTO a file", &["1 into outfile '/tmp/x'"]),
        ("PROCEDURE ANALYSE behind the end", &["1 procedure analyse()"]),
        ("LIMIT behind the end", &["' limit 1,1#"]),
        ("ALLOW FILTERING behind the end", &["x' allow filtering; --"]),
    ];
    for (expect, values) in forms {
        for value in *values {
            assert_eq!(form(value), Some(*expect), "{value}");
            assert!(built("detect_sql_escape", json!(true)).need().may_match(value.as_bytes()), "{value}");
        }
    }
}

#[test]
fn text_filters_sizes_and_whole_statements_stay_where_they_are() {
    for value in [
        "",
        "'",
        "O'Brien",
        "'rock' and 'roll'",
        "\"foo\" or \"bar\"",
        "It's 5 or 6, isn't it?",
        "5' or 6'",
        "5' - 6'",
        "2 and 2 = 4",
        "the dogs' -- they ran",
        "peace.\" -- Anon",
        "'--verbose'",
        "credit union select committee",
        "union select null objects",
        "Name eq 'x' or Name eq 'y'",
        "project = \"PW\" and status = Open order by created desc",
        "a='b' and c='d'",
        "upper() and lower() are useful",
        "x-select --install",
        "'like' button",
        "window.getItem('x') || 0;",
        "for (;;) { a = b || '1'; } // '='",
        "('<', '>', '<=', '>=')",
        "SELECT a FROM b WHERE c = 'd' OR e = 'f' UNION SELECT 1, 'g'",
        "SET x = '';\nUPDATE t SET a = 'b';",
        "CASE WHEN a THEN b ELSE c END",
        "(SELECT a FROM b) LIMIT 10",
        "{ items(name: \"exec sp_x error\") { id } }",
        "{ items(name: \"sleep(5) python\") { id } }",
        "... WHERE a = b AND c = 1",
        "waitfor delay documentation",
        "You can use WAITFOR DELAY '00:00:05' in a test",
        "the boys' or 2",
        "Boss' or manager = approval",
        "regexp.exec() on a `RegExp`",
        "/*! library v1.0 */ a{b:c}",
        "\"Chromium\";v=\"120\", \"Not'A Brand\";v=\"99\"",
    ] {
        assert_eq!(form(value), None, "{value}");
    }
}

#[test]
fn nested_brackets_cost_no_more_than_they_are_long() {
    for piece in [
        "a(select ",
        "(select ",
        "f(",
        "if(1,",
        "union select (",
        "' or a(select ",
        "case when (",
        "exec (",
        "+(",
        "{x ",
    ] {
        let value = piece.repeat(400);
        // Of this thread: what a busy machine takes away is not in it.
        let cpu = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap();
        let started = cpu();
        for _ in 0..20 {
            let _ = find(value.as_bytes());
        }
        let took = cpu() - started;
        assert!(took.as_millis() < 2_000, "{piece}: {took:?}");
    }
}
