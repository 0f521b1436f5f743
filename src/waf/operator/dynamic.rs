//! Operators whose argument has macros, `{"within": "%{tx.allowed_methods}"}`: the argument is
//! known only when the rule runs. Comparisons take it as it comes; whatever has to be built first
//! is built once per text and kept, so many texts of it at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{Data, Hit, Operator, OperatorError, number, text};
use crate::waf::template::Template;

/// Built operators kept per rule; a client who controls the argument cannot make it more.
const MOST: usize = 32;

/// An operator and the template of its argument.
#[derive(Debug)]
pub(crate) struct Dynamic {
    name: String,
    pub template: Template,
    written: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Number(fn(&i64, &i64) -> bool),
    Text(text::Relation),
    Built(Kept),
}

/// Operators by argument; `None` for one that cannot be built.
type Kept = Mutex<HashMap<Vec<u8>, Option<Arc<dyn Operator>>>>;

impl Dynamic {
    /// `None` when the argument has no macro or the operator takes none in it.
    pub fn parse(name: &str, argument: &Value) -> Option<Result<Dynamic, OperatorError>> {
        let written = argument.as_str().filter(|text| text.contains("%{"))?;
        let test = match (number::comparison(name), text::relation(name)) {
            (Some(holds), _) => Test::Number(holds),
            (_, Some(relation)) => Test::Text(relation),
            _ if matches!(name, "rx" | "rx_global" | "ip_match") => Test::Built(Kept::default()),
            _ => return None,
        };
        Some(match Template::parse(written) {
            Ok(template) if template.is_plain() => return None,
            Ok(template) => {
                Ok(Dynamic { name: name.to_owned(), template, written: written.to_owned(), test })
            }
            Err(error) => Err(OperatorError::argument(
                format!("unknown macro `{}`", error.name),
                "a macro is %{VARIABLE} or %{VARIABLE.KEY}",
            )),
        })
    }

    /// The operator with this argument. One that cannot be built matches nothing.
    pub fn evaluate(&self, argument: &[u8], value: &[u8]) -> Option<Hit> {
        match &self.test {
            Test::Number(holds) => {
                holds(&number::read(value), &number::read(argument)).then(|| Hit::at(0..value.len()))
            }
            Test::Text(relation) => relation.evaluate(argument, value),
            Test::Built(kept) => self.built(kept, argument)?.evaluate(value),
        }
    }

    fn built(&self, kept: &Kept, argument: &[u8]) -> Option<Arc<dyn Operator>> {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(argument) {
            return known.clone();
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        let text = Value::String(String::from_utf8_lossy(argument).into_owned());
        let built = super::build(&self.name, &text, &Data::new()).ok().map(Arc::from);
        kept.insert(argument.to_vec(), built.clone());
        built
    }

    pub fn describe(&self) -> String {
        format!("{} {}", self.name, self.written)
    }
}
