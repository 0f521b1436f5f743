//! What is settled before a body is looked at.

use serde_json::json;

use super::*;

/// What stands behind a condition on how the body is read is not looked for where that does not hold.
#[test]
fn a_form_is_not_searched_for_what_other_bodies_are_asked() {
    let form = json!({ "variables": ["reqbody_processor"], "operator": { "streq": "URLENCODED" } });
    let body = contains(json!(["request_body"]), "evil");
    let guarded = json!({ "all": [{ "not": form }, body] });
    let engine = compile(json!([with(rule(1, guarded), "phase", json!("request_body"))]));
    let seen = |kind: &str| {
        let text = b"a=evil";
        let mut transaction = engine.begin(&facts());
        let length = text.len().to_string();
        transaction
            .request_headers(&head("/", &fields(&[("content-type", kind), ("content-length", &length)])));
        let decision = transaction.request_body(&super::body(text));
        (transaction.candidates(), decision != Decision::Continue)
    };
    assert_eq!(seen("application/x-www-form-urlencoded"), (0, false));
    assert_eq!(seen("text/plain"), (1, true));
}
