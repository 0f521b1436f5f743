//! A JSON document in which every value and every key knows where it stands. serde_json does
//! the parsing; the places come from the raw slices that it hands out, which lie in the text.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{At, Place, Problems};

/// A JSON value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(At<String>, Node)>),
}

/// Objects and lists inside each other at most; a rule needs about ten.
const DEPTH: usize = 48;

impl Node {
    /// Parses a file. Syntax errors and keys that stand twice in one object go to `problems`.
    pub fn parse(file: usize, text: &str, problems: &mut Problems) -> Option<Node> {
        let raw = match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => raw,
            Err(error) => {
                let (line, column) = (error.line().max(1), error.column().max(1));
                problems.add_at(file, line, column, without_position(&error));
                return None;
            }
        };
        Reader { file, base: text.as_ptr() as usize, problems }.node(raw, 0)
    }

    /// What kind of value this is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }

    /// The same document without places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Object(entries) => Value::Object(
                entries.iter().map(|(key, value)| (key.value.clone(), value.to_json())).collect(),
            ),
        }
    }
}

struct Reader<'a, 'p> {
    file: usize,
    base: usize,
    problems: &'a mut Problems<'p>,
}

impl Reader<'_, '_> {
    fn place(&self, raw: &RawValue) -> Place {
        // Borrowed raw values lie in the text, so the difference is their offset.
        Place { file: self.file, offset: (raw.get().as_ptr() as usize).wrapping_sub(self.base) }
    }

    fn node(&mut self, raw: &RawValue, depth: usize) -> Option<Node> {
        let place = self.place(raw);
        if depth > DEPTH {
            self.problems.add(place, format!("more than {DEPTH} objects and lists inside each other"));
            return None;
        }
        let text = raw.get();
        let kind = match text.as_bytes().first() {
            Some(b'{') => {
                let pairs: Pairs = self.read(place, text)?;
                let mut entries: Vec<(At<String>, Node)> = Vec::with_capacity(pairs.0.len());
                for (raw_key, raw_value) in pairs.0 {
                    let at = self.place(raw_key);
                    let key: String = self.read(at, raw_key.get())?;
                    if entries.iter().any(|(known, _)| known.value == key) {
                        self.problems
                            .add(at, format!("the key `{}` stands here twice", super::error::shown(&key)));
                        continue;
                    }
                    entries.push((At::new(at, key), self.node(raw_value, depth + 1)?));
                }
                Kind::Object(entries)
            }
            Some(b'[') => {
                let raw_items: Vec<&RawValue> = self.read(place, text)?;
                let mut items = Vec::with_capacity(raw_items.len());
                for item in raw_items {
                    items.push(self.node(item, depth + 1)?);
                }
                Kind::List(items)
            }
            Some(b'"') => Kind::Text(self.read(place, text)?),
            Some(b't' | b'f') => Kind::Bool(self.read(place, text)?),
            Some(b'n') => Kind::Null,
            _ => Kind::Number(self.read(place, text)?),
        };
        Some(Node { place, kind })
    }

    fn read<'t, T: Deserialize<'t>>(&mut self, place: Place, text: &'t str) -> Option<T> {
        match serde_json::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.add(place, without_position(&error));
                None
            }
        }
    }
}

/// serde_json ends its messages with the position, which we say in our own way.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("not JSON: {text}")
}

/// An object's entries in order, doubles included, as raw slices.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Collect).map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let mut problems = Problems::new(vec![("f.json", text)]);
        Node::parse(0, text, &mut problems);
        problems.into_errors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let text = "{\n  \"a\": [1, \"x\\n\"],\n  \"b\\u0062\": {\"c\": null}\n}";
        let mut problems = Problems::new(vec![("f", text)]);
        let node = Node::parse(0, text, &mut problems).expect("valid");
        let Kind::Object(entries) = &node.kind else { panic!("an object") };
        assert_eq!(entries[1].0.value, "bb");
        assert!(text[entries[1].0.place.offset..].starts_with("\"b\\u0062\""));
        let Kind::List(items) = &entries[0].1.kind else { panic!("a list") };
        assert!(text[items[1].place.offset..].starts_with("\"x\\n\""));
        assert_eq!(node.to_json(), serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn broken_documents_say_where() {
        assert!(
            errors("{\n \"a\": }")[0].starts_with("f.json:2:7: not JSON: expected value"),
            "{:?}",
            errors("{\n \"a\": }")
        );
        assert!(errors("")[0].starts_with("f.json:1:1: not JSON: EOF"));
        assert_eq!(errors("{\"a\":1,\n\"a\":2}"), ["f.json:2:1: the key `a` stands here twice"]);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(errors(&deep)[0].contains("inside each other"));
        let deeper = "[".repeat(100_000);
        assert_eq!(errors(&deeper).len(), 1);
    }
}
