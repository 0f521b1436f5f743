//! Every kind of mistake has its line, its column and, where one is near, the right word.

use crate::waf::engine::{Engine, Settings, Source, Sources};

/// A rule with `patch` in place of its line of that key, or added to it.
fn errors_of(files: &[(&str, &str)]) -> Vec<String> {
    let files =
        files.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
    let sources = Sources { files, data: Default::default() };
    match Engine::compile(&sources, &Settings::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The errors of a set with one rule that has these lines beside id, message and severity.
fn rule_errors(lines: &str) -> Vec<String> {
    let text = format!(
        "{{\"name\": \"n\", \"version\": \"1\", \"rules\": [\n{{\"id\": 900001, \"message\": \"m\",\n{lines}}}]}}"
    );
    errors_of(&[("r.json", &text)])
}

#[test]
fn each_mistake_in_a_rule_is_told_with_place_and_help() {
    let leaf = |inner: &str| {
        format!("\"phase\": \"request_headers\", \"then\": [\"block\"],\n\"when\": {{{inner}}}")
    };
    let plain = "\"variables\": [\"args\"], \"operator\": {\"rx\": \"x\"}";
    let action = |inner: &str| format!("\"phase\": \"request_headers\",\n\"then\": [{inner}]");
    let cases: &[(String, &str)] = &[
        (
            leaf(&format!("{plain}, \"negated\": true")),
            "r.json:4:58: unknown key `negated` (did you mean `negate`?)",
        ),
        (
            leaf("\"variables\": [\"args\"], \"operator\": {\"rxx\": \"x\"}"),
            "r.json:4:46: unknown operator `rxx` (did you mean `rx`?)",
        ),
        (
            leaf("\"variables\": [\"arg\"], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:24: unknown variable `arg` (did you mean `args`?)",
        ),
        (
            leaf("\"variables\": [\"REQUEST_URI\"], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:24: unknown variable `REQUEST_URI` (did you mean `request_uri`?)",
        ),
        (
            leaf(&format!("{plain}, \"transformations\": [\"lowercase\", \"urlDecode\"]")),
            "r.json:4:91: unknown transformation `urlDecode` (did you mean `url_decode`?)",
        ),
        (
            leaf("\"variables\": [\"args:/(/\"], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:24: the selector's regular expression does not parse",
        ),
        (leaf("\"variables\": [\"args\"], \"operator\": {\"rx\": \"(\"}"), "r.json:4:52: "),
        (
            leaf("\"variables\": [], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:23: `variables` takes nothing in",
        ),
        (
            leaf("\"variables\": [\"!args\"], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:23: `variables` takes nothing in",
        ),
        (leaf("\"variables\": [\"args\"]"), "r.json:4:9: a condition needs the key `operator`"),
        (
            leaf("\"variables\": [\"args\"], \"operator\": {}"),
            "r.json:4:44: `operator` names one operator, not 0",
        ),
        (
            leaf("\"variables\": [\"args\"], \"operator\": \"rx\""),
            "r.json:4:44: `operator` is an object, not a string",
        ),
        (
            leaf("\"variables\": [\"response_body\"], \"operator\": {\"rx\": \"x\"}"),
            "r.json:4:24: `response_body` has no value yet in the phase `request_headers` (its first phase is `response_body`)",
        ),
        (leaf("\"all\": []"), "r.json:4:16: `all` of nothing"),
        (leaf("\"all\": [], \"any\": []"), "r.json:4:20: a condition has exactly one form"),
        (
            leaf(&format!("\"not\": {{{plain}, \"capture\": 1}}")),
            "r.json:4:76: `capture` is true or false, not a number",
        ),
        (
            action("\"score\""),
            "r.json:4:10: `score` counts by severity, and the rule has none (add `severity`",
        ),
        (action("\"blok\""), "r.json:4:10: unknown action `blok` (did you mean `block`?)"),
        (action("\"redirect\""), "r.json:4:10: the action `redirect` needs its argument"),
        (
            action("{\"deny\": {\"status\": 200}}"),
            "r.json:4:30: `status` is a whole number from 400 to 599, not 200",
        ),
        (
            action("{\"deny\": {\"statuss\": 403}}"),
            "r.json:4:20: unknown key `statuss` (did you mean `status`?)",
        ),
        (
            action("{\"redirect\": {\"location\": \"/x%{nothing.a}\"}}"),
            "r.json:4:36: unknown macro `nothing.a`",
        ),
        (
            action("{\"redirect\": {\"location\": \"/x\", \"status\": 304}}"),
            "r.json:4:52: 304 does not redirect",
        ),
        (action("{\"set\": {\"ip.x\": 1}}"), "r.json:4:19: `ip.x` cannot be set"),
        (action("{\"set\": {\"tx.x\": 1.5}}"), "r.json:4:27: a value to set is a string or a whole number"),
        (action("{\"strip_request_header\": \"a b\"}"), "r.json:4:35: `a b` is not a header name"),
        (action("{\"exclude\": {\"rules\": [7]}}"), "r.json:4:33: no loaded rule has the id 7"),
        (action("{\"exclude\": {\"tags\": [\"x\"]}}"), "r.json:4:32: no loaded rule has the tag `x`"),
        (action("{\"exclude\": {}}"), "r.json:4:22: `exclude` needs `rules` or `tags`"),
        (
            "\"phase\": \"request_header\", \"then\": []".into(),
            "r.json:3:10: unknown phase `request_header` (did you mean `request_headers`?)",
        ),
        (
            "\"phase\": \"logging\", \"then\": [\"block\"]".into(),
            "r.json:3:30: nothing can be stopped or scored in the phase `logging`",
        ),
        ("\"phase\": \"request_body\"".into(), "r.json:2:1: a rule needs the key `then`"),
        (
            "\"phase\": \"request_body\", \"then\": [], \"severity\": \"high\"".into(),
            "r.json:3:50: unknown severity `high`",
        ),
        (
            "\"phase\": \"request_body\", \"then\": [], \"paranoia_level\": 5".into(),
            "r.json:3:56: `paranoia_level` is a whole number from 1 to 4, not 5",
        ),
        (
            "\"phase\": \"request_body\", \"then\": [], \"mode\": \"block\"".into(),
            "r.json:3:46: unknown mode `block`",
        ),
        (
            "\"phase\": \"request_body\", \"then\": [], \"tag\": []".into(),
            "r.json:3:38: unknown key `tag` (did you mean `tags`?)",
        ),
        (
            "\"phase\": \"request_body\", \"then\": [], \"examples\": {\"match\": [\"GET\"]}".into(),
            "r.json:3:61: an example's first line is `METHOD target`",
        ),
    ];
    for (lines, expect) in cases {
        let errors = rule_errors(lines);
        assert!(errors.first().is_some_and(|error| error.starts_with(expect)), "{expect}\n{errors:#?}");
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
}

#[test]
fn a_rule_without_mistakes_has_no_errors() {
    let when = "{\"variables\": [\"args\"], \"operator\": {\"rx\": \"x\"}}";
    let lines = format!("\"phase\": \"request_headers\", \"when\": {when}, \"then\": [\"block\"]");
    assert_eq!(rule_errors(&lines), [""; 0]);
}

#[test]
fn all_mistakes_of_all_files_come_in_one_go() {
    let set = |id: u32, phase: &str| {
        format!(
            "{{\"name\":\"n\",\"version\":\"1\",\"rules\":[{{\"id\":{id},\"phase\":\"{phase}\",\"message\":\"m\",\"then\":[]}}]}}"
        )
    };
    let exclusions = r#"{"name":"x","version":"1","exclusions":[
        {"rules":[900002],"reason":"r"},
        {"tags":["attack-sql"],"reason":"r"},
        {"reason":"r"},
        {"rules":["9-1"],"reason":"r"},
        {"rules":[900001],"variables":["&args"],"reason":"r"},
        {"rules":[900001],"hosts":["a b"],"reason":"r"},
        {"rules":[900001],"paths":["editor"],"reason":"r"},
        {"rules":[900001],"expires":"2026-02-30","reason":"r"},
        {"rules":[900001],"hosts":[],"reason":"r"},
        {"rules":[900001]}]}"#;
    let (first, second) = (set(900001, "request_body"), set(900001, "body"));
    let third = set(900001, "logging");
    let errors = errors_of(&[
        ("a.json", &first),
        ("b.json", &second),
        ("c.json", &third),
        ("d.json", exclusions),
        ("e.json", "{\"rules\": [}"),
        ("f.json", "[]"),
        ("g.json", "{\"rules\": [], \"setup\": {}}"),
        ("h.json", "{\"setup\": {\"paranoia\": 1}}"),
    ]);
    let expect = [
        "b.json:1:57: unknown phase `body`",
        "c.json:1:43: the rule id 900001 stands already at a.json:1:43",
        "d.json:2:19: no loaded rule has the id 900002 (did you mean 900001?)",
        "d.json:3:18: no loaded rule has the tag `attack-sql`",
        "d.json:4:9: an exclusion needs `rules` or `tags`",
        "d.json:5:19: a rule id is a number or a range",
        "d.json:6:40: an exclusion names what is taken out without `!` or `&`",
        "d.json:7:36: `a b` is not a host",
        "d.json:8:36: a path starts with `/`",
        "d.json:9:37: `expires` is a day as YYYY-MM-DD",
        "d.json:10:35: `hosts` is an empty list",
        "d.json:11:9: an exclusion needs the key `reason`",
        "e.json:1:12: not JSON",
        "f.json:1:1: a rule file is an object",
        "g.json:1:1: the file has both `rules` and `setup`",
        "h.json:1:12: unknown key `paranoia`",
    ];
    assert_eq!(errors.len(), expect.len(), "{errors:#?}");
    for (error, expect) in errors.iter().zip(expect) {
        assert!(error.starts_with(expect), "{error}\n{expect}");
    }
}
