//! What is printed reads back as the same tree: the shipped sets, and generated rules with every
//! action, assignment, target and kind of argument.

use proptest::prelude::*;
use serde_json::json;

use super::super::error::{Place, Problems};
use super::super::{ast::*, json as reader, node::Node};
use super::*;
use crate::waf::report::PhaseName;
use crate::waf::{transformation, variable};

/// The tree of a text that must be without mistakes.
fn read(text: &str) -> Program {
    let mut problems = Problems::new(vec![("f.json", text)]);
    let mut program = Program::default();
    if let Some(node) = Node::parse(0, text, &mut problems) {
        reader::file(&node, &mut program, &mut problems);
    }
    let errors = problems.into_errors();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    program
}

/// Everything the tree says, without the places.
fn told(tree: &impl std::fmt::Debug) -> String {
    let places = regex::Regex::new(r"Place \{ file: \d+, offset: \d+ \}").expect("it is constant");
    places.replace_all(&format!("{tree:?}"), "_").into_owned()
}

fn at<T>(value: T) -> At<T> {
    At::new(Place::default(), value)
}

#[test]
fn the_shipped_files_are_printed_so_that_they_read_as_before() {
    let sources = crate::config::core_rules::core();
    let mut files = 0;
    for source in &sources.files {
        let program = read(&source.text);
        for set in &program.sets {
            let text = rule_set(set);
            assert_eq!(told(&read(&text).sets), told(&[set]), "{}", source.name);
            assert!(text.lines().all(|line| line.trim_end() == line), "{}", source.name);
        }
        for set in &program.exclusions {
            assert_eq!(told(&read(&exclusion_set(set)).exclusions), told(&[set]), "{}", source.name);
        }
        if let Some(tree) = &program.setup {
            assert_eq!(told(&read(&setup(tree)).setup), told(&program.setup), "{}", source.name);
        }
        files += 1;
    }
    assert!(files > 10, "{files} files");
}

#[test]
fn a_set_looks_as_people_write_it() {
    let text = r#"{
  "name": "n",
  "version": "1",
  "rules": [
    {
      "id": 900001,
      "phase": "request_headers",
      "message": "m",
      "log_data": "found %{matched_var}",
      "severity": "critical",
      "tags": ["a", "b"],
      "when": {
        "all": [
          { "variables": ["args", "!args:/a|b/", "&request_headers:host"], "operator": { "eq": 0 } },
          {
            "not": {
              "variables": ["matched_vars"],
              "transformations": ["lowercase"],
              "operator": { "pm": ["a", "b"] },
              "on_match": [{ "set": { "tx.x": "+1", "tx.y": -3, "tx.z": null } }]
            }
          }
        ]
      },
      "then": [
        "score",
        { "redirect": { "location": "https://example.test/a/rather/long/path/that/fills/the/line/up" } },
        { "set": { "tx.blocking": "%{tx.paranoia}", "ip.count": "-%{tx.x}" } },
        { "exclude": { "rules": [1, "5-9"], "tags": ["t"], "variables": ["args:id"] } }
      ],
      "examples": {
        "match": ["GET /?a=1"],
        "no_match": [
          "GET /?a=2",
          "GET /"
        ]
      }
    },
    { "marker": "END" }
  ]
}
"#;
    let program = read(text);
    assert_eq!(rule_set(&program.sets[0]), text);
    let one = rule(&program.sets[0].rules[0]);
    assert!(one.starts_with("{\n  \"id\": 900001,\n") && one.ends_with("  }\n}\n"), "{one}");
}

#[test]
fn markers_keep_their_places() {
    let entry =
        |id: u32| format!("{{\"id\": {id}, \"phase\": \"logging\", \"message\": \"m\", \"then\": []}}");
    let text = format!(
        "{{\"name\": \"n\", \"version\": \"1\", \"rules\": [{{\"marker\": \"A\"}}, {}, {{\"marker\": \"B\"}}, \
         {{\"marker\": \"B\"}}, {}, {}, {{\"marker\": \"C\"}}]}}",
        entry(1),
        entry(2),
        entry(3)
    );
    let set = read(&text).sets.remove(0);
    let again = read(&rule_set(&set)).sets.remove(0);
    assert_eq!(told(&again), told(&set));
    assert_eq!(again.markers.iter().map(|marker| marker.before).collect::<Vec<_>>(), [0, 1, 1, 3]);
}

/// The documented losses: told beforehand, and what the reader makes of them.
#[test]
fn what_the_language_cannot_say_is_known() {
    let reread = |actions: Vec<Action>| {
        let set = set_of(rule_of(None, actions, PhaseName::RequestHeaders));
        let actions: Vec<Action> = read(&rule_set(&set))
            .sets
            .remove(0)
            .rules
            .remove(0)
            .then
            .into_iter()
            .map(|at| at.value)
            .collect();
        actions
    };
    let x = || SetName { persistent: None, name: "x".into() };
    for (to, back) in [
        (Assignment::Text("+5".into()), Assignment::Add("5".into())),
        (Assignment::Text("-%{tx.a}".into()), Assignment::Subtract("%{tx.a}".into())),
        (Assignment::Add("many".into()), Assignment::Text("+many".into())),
    ] {
        assert!(!expressible(&to) && expressible(&back), "{to:?}");
        assert_eq!(reread(vec![Action::Set(vec![(x(), to)])]), [Action::Set(vec![(x(), back)])]);
    }
    let one = || (x(), Assignment::Text("1".into()));
    let twice = vec![Action::Set(vec![one(), (x(), Assignment::Add("1".into()))]), Action::Set(vec![])];
    assert_eq!(
        reread(twice),
        [Action::Set(vec![one()]), Action::Set(vec![(x(), Assignment::Add("1".into()))])]
    );
}

fn set_of(rule: Rule) -> RuleSet {
    RuleSet {
        place: Place::default(),
        name: "n".into(),
        version: "1".into(),
        description: None,
        mode: None,
        rules: vec![rule],
        markers: Vec::new(),
    }
}

fn rule_of(when: Option<Condition>, then: Vec<Action>, phase: PhaseName) -> Rule {
    Rule {
        place: Place::default(),
        id: at(900_001),
        phase: at(phase),
        message: "m".into(),
        log_data: None,
        description: None,
        severity: Some(Severity::Notice),
        paranoia_level: None,
        tags: None,
        version: None,
        revision: None,
        maturity: None,
        accuracy: None,
        mode: None,
        when,
        then: then.into_iter().map(at).collect(),
        examples: None,
    }
}

/// Any text: quotes, escapes, control characters, other scripts; `%` only in known macros.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 \"\\\\/\n\u{1}\u{7f}\u{e4}\u{1f600}\u{2028}]{1,12}",
        "[a-z]{60,130}",
        Just("a %{tx.x} b".to_owned()),
        Just("%{matched_var}".to_owned()),
        Just("007".to_owned()),
        (-50i64..50).prop_map(|number| number.to_string()),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![any::<u32>().prop_map(|number| number.to_string()), Just("%{tx.x}".to_owned())]
}

fn set_names(tx: bool) -> impl Strategy<Value = Vec<SetName>> {
    let kinds: Vec<Option<Persistent>> =
        Persistent::ALL.into_iter().map(Some).chain(tx.then_some(None)).collect();
    let name = prop_oneof!["[a-z0-9_.-]{1,8}", Just("count_%{matched_var_name}".to_owned())];
    let one =
        (proptest::sample::select(kinds), name).prop_map(|(persistent, name)| SetName { persistent, name });
    proptest::collection::vec(one, 1..5).prop_map(|mut names| {
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(set_name(name)));
        names
    })
}

fn assignments() -> impl Strategy<Value = Action> {
    let to = prop_oneof![
        text().prop_map(Assignment::Text).prop_filter("no way to write it", expressible),
        number().prop_map(Assignment::Add),
        number().prop_map(Assignment::Subtract),
        Just(Assignment::Delete),
    ];
    (set_names(true), proptest::collection::vec(to, 5))
        .prop_map(|(names, to)| Action::Set(names.into_iter().zip(to).collect()))
}

fn ids() -> impl Strategy<Value = Vec<At<IdRange>>> {
    proptest::collection::vec(
        (0u32..999_999, 0u32..3).prop_map(|(first, more)| at(IdRange { first, last: first + more })),
        0..3,
    )
}

fn plain_targets() -> impl Strategy<Value = Vec<Target>> {
    proptest::collection::vec(target_text().prop_map(|text| Target::parse(&text).expect("a target")), 0..3)
}

/// Every variable, alone and with keys.
fn target_text() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = variable::names().collect();
    (
        proptest::sample::select(names),
        proptest::sample::select(vec!["", ":a-B.c d", ":/^\"x|\\/y$/", ":/*", "://@*"]),
    )
        .prop_map(|(name, key)| format!("{name}{key}"))
        .prop_filter("such a target", |text| Target::parse(text).is_ok())
}

/// Actions that a condition may have.
fn quiet() -> impl Strategy<Value = Action> {
    let exclude = (ids(), proptest::collection::vec(text().prop_map(at), 0..3), plain_targets())
        .prop_filter("something to exclude", |(rules, tags, _)| !rules.is_empty() || !tags.is_empty())
        .prop_map(|(rules, tags, variables)| Action::Exclude(ExcludeAction { rules, tags, variables }));
    let expire = (set_names(false), proptest::collection::vec(number(), 5))
        .prop_map(|(names, seconds)| Action::Expire(names.into_iter().zip(seconds).collect()));
    let init = proptest::sample::subsequence(Persistent::ALL.to_vec(), 1..5).prop_flat_map(|kinds| {
        let keys = proptest::collection::vec(text(), kinds.len());
        keys.prop_map(move |keys| Action::InitCollection(kinds.iter().copied().zip(keys).collect()))
    });
    prop_oneof![
        4 => assignments(),
        1 => expire,
        1 => init,
        2 => exclude,
        1 => proptest::sample::select(vec![EngineMode::Block, EngineMode::Detect, EngineMode::Off]).prop_map(Action::Engine),
        1 => proptest::sample::select(vec![
            BodyProcessor::Urlencoded, BodyProcessor::Multipart, BodyProcessor::Json, BodyProcessor::Xml,
        ]).prop_map(Action::BodyProcessor),
        1 => Just(Action::ForceRequestBodyVariable),
        1 => any::<bool>().prop_map(Action::RequestBodyAccess),
        1 => any::<bool>().prop_map(Action::ResponseBodyAccess),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let limit =
        (text(), 1..=u32::MAX, 1..=86_400u32, 400..600u16).prop_map(|(key, requests, seconds, status)| {
            Action::RateLimit(RateLimit { key, requests, seconds, status })
        });
    prop_oneof![
        8 => quiet(),
        1 => proptest::option::of(0..=1000i64).prop_map(Action::Score),
        1 => proptest::sample::select(vec![
            Action::Block, Action::Drop, Action::Log, Action::NoLog, Action::Allow(AllowScope::Exchange),
            Action::Allow(AllowScope::Phase), Action::Allow(AllowScope::Request), Action::ForceRequestBodyVariable,
        ]),
        1 => (400..600u16).prop_map(|status| Action::Deny { status }),
        1 => (proptest::sample::select(vec![301, 302, 303, 307, 308]), text())
            .prop_map(|(status, location)| Action::Redirect { status, location }),
        1 => limit,
        1 => "[a-z-]{1,9}".prop_map(Action::StripRequestHeader),
        1 => "[a-z-]{1,9}".prop_map(Action::StripResponseHeader),
        1 => (1..=10_000u32).prop_map(Action::Skip),
        1 => text().prop_map(Action::SkipAfter),
    ]
}

/// Operators with arguments of every JSON kind; that they can be built is not this module's care.
fn operator() -> impl Strategy<Value = (String, serde_json::Value)> {
    prop_oneof![
        (proptest::sample::select(vec!["rx", "contains", "within", "streq"]), text())
            .prop_map(|(name, text)| (name.to_owned(), json!(text))),
        proptest::collection::vec(text(), 1..30).prop_map(|texts| ("pm".to_owned(), json!(texts))),
        any::<i64>().prop_map(|number| ("ge".to_owned(), json!(number))),
        Just(("detect_sqli".to_owned(), json!(true))),
        Just(("rx".to_owned(), json!({ "pattern": "(a)(b)", "equal_groups": [1, 2] }))),
        Just(("eq".to_owned(), json!({}))),
        Just(("eq".to_owned(), json!([[], 1.5, null, { "a b": false }]))),
    ]
}

prop_compose! {
    fn any_leaf()(
        variables in proptest::collection::vec((proptest::sample::select(vec!["", "!", "&"]), target_text()), 0..12),
        transformations in proptest::option::of(proptest::collection::vec(
            // The reader takes `none` out.
            proptest::sample::select(transformation::names().filter(|name| *name != "none").collect::<Vec<_>>()), 0..6)),
        (name, argument) in operator(),
        decode in proptest::option::of(prop_oneof![
            (1..=4u8).prop_map(Decode::all),
            (1..=4u8, proptest::sample::select(Encoding::ALL.to_vec())).prop_map(|(depth, encoding)| Decode {
                depth,
                encodings: Encodings::NONE.with(encoding).with(Encoding::Html),
            }),
        ]),
        skip_types in proptest::option::of(proptest::collection::vec(proptest::sample::select(Kind::ALL.to_vec()), 0..3)),
        negate in any::<Option<bool>>(),
        capture in any::<Option<bool>>(),
        multi_match in any::<Option<bool>>(),
        on_match in proptest::option::of(proptest::collection::vec(assignments(), 0..3)),
    ) -> Leaf {
        let texts = std::iter::once("args".to_owned())
            .chain(variables.into_iter().map(|(sign, text)| format!("{sign}{text}")));
        Leaf {
            place: Place::default(),
            variables: texts.map(|text| at(Target::parse(&text).expect("a target"))).collect(),
            transformations: transformations.map(|names| {
                names.into_iter().filter_map(|name| transformation::find(name).map(|found| at(Named(found)))).collect()
            }),
            operator: OperatorCall { name: at(name), argument: at(argument) },
            decode,
            skip_types: skip_types.map(|kinds| kinds.into_iter().map(at).collect()),
            negate,
            capture,
            multi_match,
            on_match: on_match.map(|actions| actions.into_iter().map(at).collect()),
        }
    }
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let leaf = any_leaf().prop_map(|leaf| Condition::Leaf(Box::new(leaf)));
    leaf.prop_recursive(3, 8, 3, |inner| {
        let several = || proptest::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            several().prop_map(|all| Condition::All(All { all })),
            several().prop_map(|any| Condition::Any(Any { any })),
            inner.prop_map(|inner| Condition::Not(Not { not: Box::new(inner) })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_actions_read_back(then in proptest::collection::vec(any_action(), 0..6)) {
        let set = set_of(rule_of(None, then, PhaseName::RequestHeaders));
        prop_assert_eq!(told(&read(&rule_set(&set)).sets), told(&[&set]));
    }

    #[test]
    fn generated_conditions_read_back(when in any_condition()) {
        let set = set_of(rule_of(Some(when), vec![Action::Log], PhaseName::Logging));
        prop_assert_eq!(told(&read(&rule_set(&set)).sets), told(&[&set]));
    }

    #[test]
    fn generated_actions_of_conditions_read_back(on_match in proptest::collection::vec(quiet(), 1..4)) {
        let mut leaf = Leaf {
            place: Place::default(),
            variables: vec![at(Target::parse("remote_addr").expect("a target"))],
            decode: None,
            skip_types: None,
            transformations: None,
            operator: OperatorCall { name: at("rx".into()), argument: at(json!("x")) },
            negate: None,
            capture: None,
            multi_match: None,
            on_match: None,
        };
        leaf.on_match = Some(on_match.into_iter().map(at).collect());
        let when = Condition::Leaf(Box::new(leaf));
        let set = set_of(rule_of(Some(when), vec![], PhaseName::RequestHeaders));
        prop_assert_eq!(told(&read(&rule_set(&set)).sets), told(&[&set]));
    }

    #[test]
    fn generated_heads_read_back(
        texts in proptest::collection::vec(proptest::option::of(text()), 5),
        grades in proptest::collection::vec(proptest::option::of(0u8..=10), 2),
        level in proptest::option::of(1u8..=4),
        severity in proptest::option::of(proptest::sample::select(vec![
            Severity::Emergency, Severity::Alert, Severity::Critical, Severity::Error, Severity::Warning,
            Severity::Notice, Severity::Info, Severity::Debug,
        ])),
        tags in proptest::option::of(proptest::collection::vec(text(), 0..9)),
        shadow in any::<bool>(),
        setup_numbers in proptest::collection::vec(proptest::option::of(1u32..=u32::MAX), 3),
    ) {
        let mut rule = rule_of(None, vec![Action::NoLog], PhaseName::ResponseBody);
        let mode = shadow.then_some(ShadowMode::Detect);
        rule.message = texts[0].clone().unwrap_or_default();
        (rule.log_data, rule.description) = (texts[1].clone(), texts[2].clone());
        (rule.version, rule.revision) = (texts[3].clone(), texts[4].clone());
        (rule.maturity, rule.accuracy) = (grades[0], grades[1]);
        (rule.paranoia_level, rule.severity, rule.tags, rule.mode) = (level, severity, tags.clone(), mode);
        let mut set = set_of(rule);
        (set.description, set.mode) = (texts[2].clone(), [None, Some(SetMode::Off)][usize::from(shadow)]);
        prop_assert_eq!(told(&read(&rule_set(&set)).sets), told(&[&set]));
        let tree = Setup {
            paranoia_level: level,
            inbound_threshold: setup_numbers[0].map(i64::from),
            outbound_threshold: setup_numbers[1].map(i64::from),
            mode: shadow.then_some(SetupMode::Block),
            request_body_access: Some(shadow),
            response_body_access: shadow.then_some(true),
            response_body_types: tags.map(|tags| tags.iter().map(|tag| tag.to_ascii_lowercase()).collect()),
            arguments_limit: setup_numbers[2],
            request_bodies: [None, Some(RequestBodies::ByContentType), Some(RequestBodies::AsModsecurity)]
                [setup_numbers.iter().flatten().count() % 3],
            sets: shadow.then(|| (at("some-set".to_owned()), SetupMode::Off)).into_iter().collect(),
            exclusion_packs: shadow
                .then(|| (at("a pack".to_owned()), vec![at("*".to_owned()), at("a.test".to_owned())]))
                .into_iter()
                .collect(),
        };
        prop_assert_eq!(told(&read(&setup(&tree)).setup), told(&Some(&tree)));
    }
}
