//! Exclusion packs: what an application's own editors send passes on the host that its pack is switched on for, and is
//! stopped on every other; what the pack does not name is stopped there, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use portward::config::core_rules;
use portward::waf::example::Exchange;
use portward::waf::lang::ast::Example;
use portward::waf::{Choice, Engine, Settings, lang};

/// A value that any application but an editor has to refuse.
const MARKUP: &str =
    "<p>Try <script>alert(document.cookie)</script></p> and 1' UNION SELECT password FROM users--";

/// Pack, request line, content type, body in which `{}` stands for the value.
const SAVES: &[(&str, &str, &str, &str)] = &[
    ("wordpress", "POST /wp-admin/post.php", FORM, "action=editpost&post_ID=7&content={}"),
    ("wordpress", "POST /blog/wp-json/wp/v2/posts/7", JSON, r#"{"id":7,"content":"{}"}"#),
    ("wordpress", "POST /wp-json/wp/v2/pages/7", JSON, r#"{"id":7,"content":{"raw":"{}"}}"#),
    ("wordpress", "POST /wp-admin/admin-ajax.php", FORM, "action=edit-theme-plugin-file&newcontent={}"),
    ("wordpress", "POST /xmlrpc.php", XML, "<methodCall><params><param>{}</param></params></methodCall>"),
    ("woocommerce", "PUT /wp-json/wc/v3/products/7", JSON, r#"{"description":"{}"}"#),
    ("drupal", "POST /node/7/edit", FORM, "title[0][value]=a&body[0][value]={}"),
    ("drupal", "PATCH /jsonapi/node/article/7", JSON, r#"{"data":{"attributes":{"body":{"value":"{}"}}}}"#),
    ("joomla", "POST /administrator/index.php?option=com_content", FORM, "jform[articletext]={}"),
    ("nextcloud", "PUT /index.php/apps/notes/api/v1/notes/7", JSON, r#"{"content":"{}"}"#),
    ("sql-consoles", "POST /phpmyadmin/index.php?route=/sql", FORM, "db=a&sql_query={}"),
    ("sql-consoles", "POST /adminer.php?server=db", FORM, "query={}"),
    ("gitlab", "POST /acme/shop/-/issues", FORM, "issue[title]=a&issue[description]={}"),
    ("gitlab", "PUT /api/v4/projects/7/repository/files/a.md", JSON, r#"{"content":"{}"}"#),
    ("github-enterprise", "POST /acme/shop/issues/7/comments", FORM, "comment[body]={}"),
    ("gitea", "POST /acme/shop/_edit/main/a.md", FORM, "content={}&commit_summary=a"),
    ("jira", "POST /rest/api/2/issue/A-7/comment", JSON, r#"{"body":"{}"}"#),
    ("jira", "POST /secure/AddComment.jspa", FORM, "id=7&comment={}"),
    ("confluence", "PUT /rest/api/content/7", JSON, r#"{"body":{"storage":{"value":"{}"}}}"#),
    ("grafana", "POST /api/ds/query", JSON, r#"{"queries":[{"rawSql":"{}"}]}"#),
    ("kibana", "POST /logs/_search", JSON, r#"{"query":{"match":{"a":"{}"}}}"#),
    ("roundcube", "POST /?_task=mail&_action=send", FORM, "_to=a%40b.test&_message={}"),
    ("moodle", "POST /course/modedit.php", FORM, "name=a&introeditor[text]={}"),
    ("mediawiki", "POST /w/index.php?title=A&action=submit", FORM, "wpTextbox1={}"),
    ("discourse", "POST /posts", FORM, "topic_id=7&raw={}"),
    ("phpbb", "POST /forum/posting.php", FORM, "subject=a&message={}"),
    ("odoo", "POST /web/dataset/call_kw/a/write", JSON, r#"{"params":{"args":[[7],{"body":"{}"}]}}"#),
    (
        "home-assistant",
        "POST /api/config/automation/config/7",
        JSON,
        r#"{"action":[{"data":{"message":"{}"}}]}"#,
    ),
    ("jenkins", "POST /job/a/configSubmit", FORM, "command={}"),
    ("n8n", "PATCH /rest/workflows/7", JSON, r#"{"nodes":[{"parameters":{"jsCode":"{}"}}]}"#),
    ("typo3", "POST /typo3/record/edit", FORM, "data[tt_content][7][bodytext]={}"),
    ("webmail-and-chat", "POST /api/v4/posts", JSON, r#"{"channel_id":"a","message":"{}"}"#),
];
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const XML: &str = "text/xml";

/// The value as that body has to have it.
fn written(kind: &str) -> String {
    match kind {
        FORM => MARKUP.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        XML => MARKUP.replace('&', "&amp;").replace('<', "&lt;"),
        _ => MARKUP.replace('"', "\\\""),
    }
}

fn engine(pack: Option<&str>) -> Arc<Engine> {
    let choice = |name: &str| Choice {
        name: name.to_owned(),
        value: vec!["app.test".to_owned(), "*.apps.test".to_owned()],
        said_at: "the test".to_owned(),
    };
    let settings =
        Settings { exclusion_packs: pack.map(choice).into_iter().collect(), ..Settings::default() };
    let engine = Engine::compile(&core_rules::core(), &settings);
    Arc::new(engine.unwrap_or_else(|errors| panic!("{}", errors[0])))
}

/// Whether the core rules stop this exchange, and by which rules.
fn stopped(engine: &Arc<Engine>, request: &str, host: &str, kind: &str, body: &str) -> (bool, Vec<u32>) {
    let text = format!(
        "{request}\nHost: {host}\nUser-Agent: Mozilla/5.0\nAccept: */*\nContent-Type: {kind}\n\n{body}"
    );
    let exchange =
        Exchange::parse(&Example { request: Some(text), response: None }).expect("it is a request");
    let report = exchange.run(engine).report;
    (report.interruption.is_some(), report.matches.iter().map(|found| found.rule).collect())
}

#[test]
fn an_editor_saves_on_the_host_of_its_pack_and_on_no_other() {
    let plain = engine(None);
    let mut last: Option<(&str, Arc<Engine>)> = None;
    for (pack, request, kind, body) in SAVES {
        let body = body.replace("{}", &written(kind));
        if last.as_ref().is_none_or(|(name, _)| name != pack) {
            last = Some((pack, engine(Some(pack))));
        }
        let (_, on) = last.as_ref().expect("it was just set");
        let on_host = |engine: &Arc<Engine>, host: &str| stopped(engine, request, host, kind, &body);
        assert!(on_host(&plain, "app.test").0, "{pack}, {request}: it needs no pack");
        for host in ["app.test", "a.apps.test"] {
            let (stopped, rules) = on_host(on, host);
            assert!(!stopped, "{pack}, {request} on {host}: {rules:?}");
        }
        assert!(on_host(on, "shop.test").0, "{pack}, {request}: the pack reaches another host");
        // The same application's other places stay guarded.
        let other = format!("nickname={}", written(FORM));
        assert!(
            stopped(on, "POST /account/profile", "app.test", FORM, &other).0,
            "{pack} lets everything pass"
        );
    }
}

#[test]
fn every_pack_is_off_has_a_test_and_gives_reasons() {
    let program = lang::read_all(&core_rules::core()).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let packs = program.exclusions.iter().filter(|set| set.enabled == Some(false));
    let tested: BTreeSet<&str> = SAVES.iter().map(|(pack, ..)| *pack).collect();
    let mut names = BTreeSet::new();
    for set in packs {
        assert!(names.insert(set.name.as_str()), "{} twice", set.name);
        assert!(set.description.is_some(), "{}", set.name);
        for exclusion in &set.exclusions {
            let narrow = exclusion.variables.is_some() && exclusion.paths.is_some();
            assert!(narrow, "{}: an exclusion without variables or paths", set.name);
        }
    }
    assert_eq!(names, tested);
    assert!(names.len() >= 20, "{} packs", names.len());
}
