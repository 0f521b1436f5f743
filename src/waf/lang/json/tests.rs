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

/// The place of the mistake is marked with § in the text.
#[test]
fn each_mistake_in_a_rule_is_told_with_place_and_help() {
    let leaf =
        |inner: &str| format!("\"phase\": \"request_headers\", \"then\": [\"block\"],\n\"when\": {inner}");
    let plain = r#""variables": ["args"], "operator": {"rx": "x"}"#;
    let action = |inner: &str| format!("\"phase\": \"request_headers\",\n\"then\": [{inner}]");
    let body = |inner: &str| format!("\"phase\": \"request_body\", \"then\": [], {inner}");
    let cases: &[(String, &str)] = &[
        (leaf(&format!("{{{plain}, §\"negated\": true}}")), "unknown key `negated` (did you mean `negate`?)"),
        (
            leaf(r#"{"variables": ["args"], "operator": {§"rxx": "x"}}"#),
            "unknown operator `rxx` (did you mean `rx`?)",
        ),
        (
            leaf(r#"{"variables": [§"arg"], "operator": {"rx": "x"}}"#),
            "unknown variable `arg` (did you mean `args`?)",
        ),
        (
            leaf(r#"{"variables": [§"REQUEST_URI"], "operator": {"rx": "x"}}"#),
            "unknown variable `REQUEST_URI` (did you mean `request_uri`?)",
        ),
        (
            leaf(&format!("{{{plain}, \"transformations\": [\"lowercase\", §\"urlDecode\"]}}")),
            "unknown transformation `urlDecode` (did you mean `url_decode`?)",
        ),
        (
            leaf(r#"{"variables": [§"args:/(/"], "operator": {"rx": "x"}}"#),
            "the selector's regular expression does not parse",
        ),
        (leaf(r#"{"variables": [§"xml:/a/b"], "operator": {"rx": "x"}}"#), "`xml` takes"),
        (leaf(r#"{"variables": ["args"], "operator": {"rx": §"("}}"#), ""),
        (leaf(r#"{"variables": ["args"], "operator": {"pm_from_file": §"none.data"}}"#), ""),
        (leaf(r#"{"variables": §[], "operator": {"rx": "x"}}"#), "`variables` takes nothing in"),
        (leaf(r#"{"variables": §["!args"], "operator": {"rx": "x"}}"#), "`variables` takes nothing in"),
        (leaf(r#"§{"variables": ["args"]}"#), "a condition needs the key `operator`"),
        (leaf(r#"{"variables": ["args"], "operator": §{}}"#), "`operator` names one operator, not 0"),
        (leaf(r#"{"variables": ["args"], "operator": §"rx"}"#), "`operator` is an object, not a string"),
        (
            leaf(r#"{"variables": ["args", §"response_body"], "operator": {"rx": "x"}}"#),
            "`response_body` has no value yet in the phase `request_headers` (its first phase is `response_body`)",
        ),
        (leaf(r#"{"all": §[]}"#), "`all` of nothing"),
        (leaf(r#"{"all": [], §"any": []}"#), "a condition has exactly one form"),
        (
            leaf(&format!("{{\"not\": {{{plain}, \"capture\": §1}}}}")),
            "`capture` is true or false, not a number",
        ),
        (action("§\"score\""), "`score` counts by severity, and the rule has none (add `severity`"),
        (action("\"log\", §\"blok\""), "unknown action `blok` (did you mean `block`?)"),
        (action("§\"redirect\""), "the action `redirect` needs its argument"),
        (action("{§\"block\": true}"), "the action `block` takes no argument"),
        (action("{\"deny\": {\"status\": §200}}"), "`status` is a whole number from 300 to 599, not 200"),
        (
            action("{\"deny\": {\"status\": 403, §\"statuss\": 403}}"),
            "unknown key `statuss` (did you mean `status`?)",
        ),
        (action("{\"redirect\": {\"location\": §\"/x%{nothing.a}\"}}"), "unknown macro `nothing.a`"),
        (action("{\"redirect\": {\"location\": \"/x\", \"status\": §304}}"), "304 does not redirect"),
        (action("{\"set\": {§\"env.x\": 1}}"), "`env.x` cannot be set"),
        (action("{\"set\": {\"tx.x\": §1.5}}"), "a value to set is a string, a whole number or null"),
        (action("{\"set\": {\"tx.x\": §\"%{arg.x}\"}}"), "unknown macro `arg.x`"),
        (action("{\"strip_request_header\": §\"a b\"}"), "`a b` is not a header name"),
        (action("{\"exclude\": {\"rules\": [§7]}}"), "no loaded rule has the id 7"),
        (action("{\"exclude\": {\"tags\": [§\"x\"]}}"), "no loaded rule has the tag `x`"),
        (action("{\"exclude\": §{}}"), "`exclude` needs `rules` or `tags`"),
        (
            "\"phase\": §\"request_header\", \"then\": []".into(),
            "unknown phase `request_header` (did you mean `request_headers`?)",
        ),
        (
            "\"phase\": \"logging\", \"then\": [§\"block\"]".into(),
            "nothing can be stopped or scored in the phase `logging`",
        ),
        (
            "\"phase\": \"response_body\", \"then\": [§{\"strip_response_header\": \"Server\"}]".into(),
            "the response head is gone",
        ),
        (body("\"severity\": §\"high\""), "unknown severity `high`"),
        (body("\"paranoia_level\": §5"), "`paranoia_level` is a whole number from 1 to 4, not 5"),
        (body("\"mode\": §\"block\""), "unknown mode `block`"),
        (body("§\"tag\": []"), "unknown key `tag` (did you mean `tags`?)"),
        (body("\"tags\": [§\"\"]"), "each of `tags` is not the empty string"),
        (body("\"examples\": {\"match\": [§\"GET\"]}"), "an example's first line is `METHOD target`"),
        (body("\"examples\": {§\"matches\": []}"), "unknown key `matches` (did you mean `match`?)"),
    ];
    for (marked, expect) in cases {
        let (line, column) = marked
            .lines()
            .enumerate()
            .find_map(|(line, text)| Some((line + 3, text[..text.find('§')?].chars().count() + 1)))
            .expect("a marked place");
        let errors = rule_errors(&marked.replace('§', ""));
        let expect = format!("r.json:{line}:{column}: {expect}");
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert!(errors[0].starts_with(&expect), "{expect}\n{}", errors[0]);
    }
    assert_eq!(rule_errors("\"phase\": \"request_body\""), ["r.json:2:1: a rule needs the key `then`"]);
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
        "c.json:1:42: the rule id 900001 stands already at a.json:1:42",
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

/// A document that uses most of the language, in pieces that can be taken out or repeated.
fn pieces() -> Vec<String> {
    let text = r#"{"$schema":"s","name":"n","version":"1","mode":"detect","rules":[{"id":900001,"phase":"request_body",
        "message":"m","severity":"critical","paranoia_level":2,"tags":["t"],"when":{"all":[{"variables":["args","!args:/x/",
        "&tx:a","xml:/*"],"transformations":["lowercase","none"],"operator":{"rx":"a(b)"},"capture":true},{"not":{"any":[
        {"variables":["request_body"],"operator":{"pm":["a","b"]}}]}}]},"then":["score",{"set":{"tx.a":"%{tx.1}"}},
        {"exclude":{"rules":[900001,"1-900002"]}},{"redirect":{"location":"/%{matched_var}"}}],
        "examples":{"match":["GET /"],"no_match":[{"response":"200"}]}}]}"#;
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        if "{}[]:,\"".contains(c) {
            pieces.extend([c.to_string(), String::new()]);
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Whatever is left of a rule file, loading it ends with an engine or with errors that
    /// stand in the file.
    #[test]
    fn no_text_breaks_the_loader(
        edits in proptest::collection::vec((0usize..2000, 0usize..2000, 0u8..4), 0..6),
        text in ".{0,20}",
    ) {
        let mut pieces = pieces();
        for (at, from, kind) in edits {
            let (at, from) = (at % pieces.len(), from % pieces.len());
            let copy = pieces[from].clone();
            match kind {
                0 => drop(pieces.remove(at)),
                1 => pieces.insert(at, copy),
                2 => pieces[at] = copy,
                _ => pieces[at].clone_from(&text),
            }
        }
        let whole = pieces.concat();
        let files = vec![Source { name: "f".into(), text: whole.clone() }];
        if let Err(errors) = Engine::compile(&Sources { files, ..Sources::default() }, &Settings::default()) {
            proptest::prop_assert!(!errors.is_empty());
            for error in errors {
                let line = whole.split('\n').nth(error.line.wrapping_sub(1));
                proptest::prop_assert!(line.is_some(), "{error}");
                proptest::prop_assert!(error.column >= 1, "{error}");
            }
        }
    }

    #[test]
    fn no_text_breaks_a_parser_of_small_languages(text in ".{0,40}") {
        use crate::waf::{example::Exchange, lang::ast::Example, template::Template, variable::target::Target};
        let _ = Target::parse(&text);
        let _ = Target::parse(&format!("args:{text}"));
        let _ = Template::parse(&format!("%{{{text}"));
        let _ = Exchange::parse(&Example { request: Some(text.clone()), response: Some(text) });
    }
}
