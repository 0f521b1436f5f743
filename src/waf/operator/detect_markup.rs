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
            Context::Attribute if WORDS.is_match(value) => markup::in_attribute(value),
            Context::Script if WORDS.is_match(value) => markup::in_script(value),
            _ => None,
        }
    }
}

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
        Some(Hit { span, note: Some(found.what), ..Hit::default() })
    }

    fn need(&self) -> Need {
        let spills = self.contexts.iter().any(|context| *context != Context::Text);
        let tags = self.contexts.contains(&Context::Text);
        match (tags, spills) {
            (true, false) => Need { bytes: vec![ByteSet::of(b"<")], min_len: 4, ..Need::ALWAYS },
            (false, true) => {
                let literals = SPILL.iter().map(|word| word.as_bytes().to_vec()).collect();
                Need { literals: Some(literals), min_len: 4, ..Need::ALWAYS }
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
