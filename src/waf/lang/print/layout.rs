//! Where lines break: a list or an object that may stand on one line does so when it fits, else
//! each of its items has its own line.

use serde_json::Value;

/// The columns of a line. The text of one string may go beyond: it cannot be broken.
const WIDTH: usize = 110;
const INDENT: usize = 2;

/// A JSON document whose objects keep their order.
#[derive(Debug)]
pub(super) enum Doc {
    /// A string, number, boolean or null as JSON text.
    Plain(String),
    List {
        inline: bool,
        items: Vec<Doc>,
    },
    Object {
        inline: bool,
        entries: Vec<(String, Doc)>,
    },
}

impl Doc {
    pub fn text(text: &str) -> Doc {
        Doc::Plain(quoted(text))
    }

    pub fn number(number: impl Into<i64>) -> Doc {
        Doc::Plain(number.into().to_string())
    }

    pub fn boolean(value: bool) -> Doc {
        Doc::Plain(value.to_string())
    }

    pub fn null() -> Doc {
        Doc::Plain("null".to_owned())
    }

    pub fn texts(texts: &[String]) -> Doc {
        Doc::list(true, texts.iter().map(|text| Doc::text(text)).collect())
    }

    /// `inline`: on one line when it fits.
    pub fn list(inline: bool, items: Vec<Doc>) -> Doc {
        Doc::List { inline, items }
    }

    pub fn object(inline: bool) -> Doc {
        Doc::Object { inline, entries: Vec::new() }
    }

    pub fn value(value: &Value) -> Doc {
        match value {
            Value::Array(items) => Doc::list(true, items.iter().map(Doc::value).collect()),
            Value::Object(entries) => entries
                .iter()
                .fold(Doc::object(true), |object, (key, value)| object.with(key, Doc::value(value))),
            plain => Doc::Plain(plain.to_string()),
        }
    }

    /// The object with one more entry.
    pub fn with(mut self, key: &str, value: Doc) -> Doc {
        if let Doc::Object { entries, .. } = &mut self {
            entries.push((key.to_owned(), value));
        }
        self
    }

    pub fn maybe(self, key: &str, value: Option<Doc>) -> Doc {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The whole text, with a line break at its end.
    pub fn file(&self) -> String {
        let mut out = String::new();
        self.write(0, 0, 0, &mut out);
        out.push('\n');
        out
    }

    /// `before` columns of the line are taken, `after` are needed behind it.
    fn write(&self, depth: usize, before: usize, after: usize, out: &mut String) {
        if self.width().is_some_and(|width| before + width + after <= WIDTH) {
            return self.one_line(out);
        }
        let indent = (depth + 1) * INDENT;
        let line = |at: usize, out: &mut String| {
            out.push_str(if at > 0 { ",\n" } else { "\n" });
            out.extend(std::iter::repeat_n(' ', indent));
        };
        let close = match self {
            Doc::Plain(text) => return out.push_str(text),
            Doc::List { items, .. } => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    line(at, out);
                    item.write(depth + 1, indent, 1, out);
                }
                ']'
            }
            Doc::Object { entries, .. } => {
                out.push('{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    line(at, out);
                    let key = quoted(key);
                    out.push_str(&key);
                    out.push_str(": ");
                    value.write(depth + 1, indent + key.chars().count() + 2, 1, out);
                }
                '}'
            }
        };
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * INDENT));
        out.push(close);
    }

    /// Its width on one line, unless it must have several.
    fn width(&self) -> Option<usize> {
        match self {
            Doc::Plain(text) => Some(text.chars().count()),
            Doc::List { items, .. } if items.is_empty() => Some(2),
            Doc::Object { entries, .. } if entries.is_empty() => Some(2),
            Doc::List { inline: false, .. } | Doc::Object { inline: false, .. } => None,
            Doc::List { items, .. } => items.iter().try_fold(0, |sum, item| Some(sum + item.width()? + 2)),
            Doc::Object { entries, .. } => entries.iter().try_fold(2, |sum, (key, value)| {
                Some(sum + quoted(key).chars().count() + 2 + value.width()? + 2)
            }),
        }
    }

    fn one_line(&self, out: &mut String) {
        match self {
            Doc::Plain(text) => out.push_str(text),
            Doc::List { items, .. } => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    item.one_line(out);
                }
                out.push(']');
            }
            Doc::Object { entries, .. } if entries.is_empty() => out.push_str("{}"),
            Doc::Object { entries, .. } => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "{ " });
                    out.push_str(&quoted(key));
                    out.push_str(": ");
                    value.one_line(out);
                }
                out.push_str(" }");
            }
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
