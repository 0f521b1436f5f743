//! Rules that compute longer than they may: they end, and everybody is told.

use std::cell::Cell;
use std::time::Duration;

use serde_json::json;

use super::{body, compile_all, facts, fields, head, set, with};
use crate::waf::report::Decision;
use crate::waf::{Mode, Settings};

/// A clock that goes on by a millisecond each time somebody looks.
fn ticking() -> Duration {
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    NOW.set(NOW.get() + 1);
    Duration::from_millis(NOW.get())
}

#[test]
fn rules_that_take_too_long_end_and_it_stays_so() {
    let rule = |id: u32| {
        let text = format!("[a-f][a-z]{{{id}}}[0-9]");
        let when = json!({ "variables": ["args"], "operator": { "rx": text } });
        with(super::rule(id, when), "phase", json!("request_body"))
    };
    let rules: Vec<_> = (1..40).map(rule).collect();
    let form = fields(&[("Content-Type", "application/x-www-form-urlencoded")]);
    let long = format!("a=mild&b={}+1", "abcdefgh".repeat(8 * 1024)).into_bytes();
    for mode in [Mode::Block, Mode::Detect] {
        let settings = Settings { mode: Some(mode), ..Settings::default() };
        let engine = compile_all(&[set(json!(rules))], &settings);
        let late = Decision::OutOfTime(mode);
        for (time, bytes, expect) in [
            (1_000_000, &long[..], &Decision::Continue),
            (2, &long, &late),
            (2, b"a=mild&b=short+1", &Decision::Continue),
        ] {
            let mut transaction = engine.begin(&facts());
            transaction.bound(ticking, Duration::from_millis(time));
            assert_eq!(transaction.request_headers(&head("/", &form)), Decision::Continue);
            assert_eq!(transaction.request_body(&body(bytes)), *expect, "{time} {mode:?}");
            if *expect == late {
                assert!(!transaction.wants_response_body());
                assert_eq!(transaction.request_body(&body(b"")), late);
            }
            assert!(transaction.finish().interruption.is_none());
        }
    }
}
