//! Text with macros: `%{tx.score}`, `%{request_headers.host}`, `%{args./^id_/}`, `%{matched_var}`. A
//! macro without a value expands to nothing; one of several values to the first.

use super::variable::target::{Role, Selector, Target};
use super::variable::{self, Keys, Live};

/// A parsed text.
#[derive(Clone, Debug, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Macro(Box<Target>),
}

/// A macro that names no variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown macro `{name}`")]
pub struct UnknownMacro {
    pub name: String,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, UnknownMacro> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((start, length)) = next_macro(rest) {
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            parts.push(Part::Macro(Box::new(target(&rest[start + 2..start + length - 1])?)));
            rest = &rest[start + length..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// Writes the text, with `value` telling what a macro stands for.
    pub fn expand(&self, out: &mut Vec<u8>, mut value: impl FnMut(&Target, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Macro(target) => value(target, out),
            }
        }
    }

    /// Its macros.
    pub(crate) fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.parts.iter_mut().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Macro(target) => Some(&mut **target),
        })
    }

    /// The macro, when the text is one and nothing else.
    pub(crate) fn sole_macro(&self) -> Option<&Target> {
        match &self.parts[..] {
            [Part::Macro(target)] => Some(target),
            _ => None,
        }
    }

    /// The text, when it has no macros.
    pub fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text as it was written.
    pub fn written(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Macro(target) => format!("%{{{}}}", target.text),
        });
        parts.collect()
    }

    /// What its macros name.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Macro(target) => Some(&**target),
        })
    }

    pub fn is_plain(&self) -> bool {
        self.plain().is_some()
    }
}

/// What may stand before the dot.
pub fn names() -> impl Iterator<Item = &'static str> {
    variable::names()
}

/// Offset and length of the next `%{...}`; an unclosed one is text.
fn next_macro(text: &str) -> Option<(usize, usize)> {
    let start = text.find("%{")?;
    let length = text[start..].find('}')? + 1;
    Some((start, length))
}

fn target(inner: &str) -> Result<Target, UnknownMacro> {
    let unknown = || UnknownMacro { name: inner.to_owned() };
    let (name, key) = match inner.split_once('.') {
        Some((name, key)) => (name, Some(key)),
        None => (inner, None),
    };
    let variable = variable::find(&name.to_ascii_lowercase()).ok_or_else(unknown)?;
    let selector = match key {
        None if variable.keys == Keys::Xml => return Err(unknown()),
        None => Selector::All,
        Some(key) if variable.keys == Keys::Any && !key.is_empty() => {
            Selector::parse(key).map_err(|_| unknown())?
        }
        Some(_) => return Err(unknown()),
    };
    if variable.origin == variable::Origin::Live(Live::Tx) && !matches!(selector, Selector::Key(_)) {
        return Err(unknown());
    }
    Ok(Target { role: Role::Include, variable, selector, text: inner.to_owned(), number: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_expand_and_the_rest_stays() {
        let template =
            Template::parse("a%{tx.X}b%{MATCHED_VAR}%{ 100% %{request_headers.Host").expect("known");
        let mut text = Vec::new();
        template
            .expand(&mut text, |target, out| out.extend_from_slice(format!("<{}>", target.text).as_bytes()));
        assert_eq!(text, b"a<tx.X>b<MATCHED_VAR>%{ 100% %{request_headers.Host");
        assert!(Template::parse("100%").expect("plain").is_plain());
        let pattern = Template::parse("%{args./^I+d/}").expect("known");
        let mut text = Vec::new();
        pattern.expand(&mut text, |target, out| out.push(b'0' + u8::from(target.takes(b"iiD"))));
        assert_eq!(text, b"1");
        for bad in ["%{args./(/}", "%{tx./a/}", "%{nothing}", "%{tx}", "%{tx.}", "%{request_uri.x}", "%{}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
