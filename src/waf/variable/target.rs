//! A target as rules write it: `args`, `args:id`, `args:/^item_/`, `!args:token`,
//! `&request_headers:host`, `xml:/*`.

use regex::bytes::Regex;

use super::fact::Fact;
use super::{Collection, Keys, Live, Origin, Variable};

/// One parsed target.
#[derive(Clone, Debug)]
pub struct Target {
    pub role: Role,
    pub variable: &'static Variable,
    pub selector: Selector,
    /// As written, without `!` or `&`.
    pub text: String,
    /// Which variable of `tx` it is, when it is one: known once rules are compiled.
    pub(crate) number: Option<u32>,
}

/// What a target does in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its values are looked at.
    Include,
    /// `!`: its values are not, whatever else names them.
    Exclude,
    /// `&`: the number of its values is looked at.
    Count,
}

/// Which values of a variable.
#[derive(Clone, Debug)]
pub enum Selector {
    All,
    /// The key, in lower case; keys compare without regard to ASCII case.
    Key(Vec<u8>),
    /// Found anywhere in the key, without regard to case.
    Pattern(Box<Regex>),
}

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("unknown variable `{0}`")]
    Unknown(String),
    #[error("the variable `{0}` is one value and takes no selector")]
    NoKeys(&'static str),
    #[error("the selector after `{0}:` is empty")]
    Empty(&'static str),
    #[error("`xml` takes `xml:/*` (text) or `xml://@*` (attributes)")]
    Xml,
    #[error("the selector's regular expression does not parse: {0}")]
    Pattern(String),
}

impl Target {
    pub fn parse(written: &str) -> Result<Target, TargetError> {
        let (role, text) = match written.as_bytes().first() {
            Some(b'!') => (Role::Exclude, &written[1..]),
            Some(b'&') => (Role::Count, &written[1..]),
            _ => (Role::Include, written),
        };
        let (name, key) = match text.split_once(':') {
            Some((name, key)) => (name, Some(key)),
            None => (text, None),
        };
        let variable = super::find(name).ok_or_else(|| TargetError::Unknown(name.to_owned()))?;
        let selector = match (variable.keys, key) {
            (Keys::Xml, Some(key @ ("/*" | "//@*"))) => Selector::Key(key.as_bytes().to_vec()),
            (Keys::Xml, _) => return Err(TargetError::Xml),
            (_, None) => Selector::All,
            (Keys::None, Some(_)) => return Err(TargetError::NoKeys(variable.name)),
            (Keys::Any, Some("")) => return Err(TargetError::Empty(variable.name)),
            (Keys::Any, Some(key)) => Selector::parse(key)?,
        };
        Ok(Target { role, variable, selector, text: text.to_owned(), number: None })
    }

    /// The collections in which this target has values.
    pub fn collections(&self) -> &'static [Collection] {
        match (self.variable.origin, &self.selector) {
            (Origin::Live(_), _) => &[],
            (Origin::Collections(_), Selector::Key(key)) if self.variable.keys == Keys::Xml => {
                if key == b"/*" { &[Collection::XmlText] } else { &[Collection::XmlAttributes] }
            }
            (Origin::Collections(list), _) => list,
        }
    }

    pub fn live(&self) -> Option<Live> {
        match self.variable.origin {
            Origin::Live(live) => Some(live),
            Origin::Collections(_) => None,
        }
    }

    /// True when only a request body, or only a response body, tells what it is.
    pub fn looks_at_body(&self) -> [bool; 2] {
        match self.live() {
            Some(Live::Fact(fact)) => [fact.is_request_body(), fact == Fact::OutboundDataError],
            Some(_) => [false; 2],
            None => {
                let any = |wanted: fn(Collection) -> bool| self.collections().iter().any(|it| wanted(*it));
                [any(Collection::is_request_body), any(|collection| collection == Collection::ResponseBody)]
            }
        }
    }

    /// True when a value with this key is meant, the collection having been checked.
    pub fn takes(&self, key: &[u8]) -> bool {
        self.variable.keys == Keys::Xml || self.selector.takes(key)
    }

    /// True when this target covers a value of that collection under that key.
    pub fn covers(&self, collection: Collection, key: &[u8]) -> bool {
        self.collections().contains(&collection) && self.takes(key)
    }
}

impl Selector {
    pub(crate) fn parse(key: &str) -> Result<Selector, TargetError> {
        let pattern = key.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else {
            return Ok(Selector::Key(key.to_ascii_lowercase().into_bytes()));
        };
        let regex = regex::bytes::RegexBuilder::new(pattern)
            .unicode(false)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                TargetError::Pattern(text.lines().last().unwrap_or_default().trim().to_owned())
            })?;
        Ok(Selector::Pattern(Box::new(regex)))
    }

    pub fn takes(&self, key: &[u8]) -> bool {
        match self {
            Selector::All => true,
            Selector::Key(wanted) => wanted.eq_ignore_ascii_case(key),
            Selector::Pattern(regex) => regex.is_match(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_say_what_they_take() {
        let cases: &[(&str, Collection, &[u8], bool)] = &[
            ("args", Collection::ArgsPost, b"x", true),
            ("args:ID", Collection::ArgsGet, b"id", true),
            ("args:id", Collection::ArgsGet, b"id2", false),
            ("args:/^item_\\d+$/", Collection::ArgsGet, b"ITEM_12", true),
            ("args:/a|b/", Collection::ArgsGet, b"xxb", true),
            ("args_get", Collection::ArgsPost, b"x", false),
            ("xml:/*", Collection::XmlText, b"", true),
            ("xml:/*", Collection::XmlAttributes, b"", false),
            ("xml://@*", Collection::XmlAttributes, b"", true),
        ];
        for (text, collection, key, expect) in cases {
            let target = Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(target.covers(*collection, key), *expect, "{text}");
        }
        assert_eq!(Target::parse("!args:x").map(|target| target.role), Ok(Role::Exclude));
        assert_eq!(Target::parse("&args").map(|target| target.role), Ok(Role::Count));
    }

    #[test]
    fn what_is_not_a_target_says_why() {
        for (text, part) in [
            ("arg", "unknown variable `arg`"),
            ("", "unknown variable ``"),
            ("ARGS", "unknown variable `ARGS`"),
            ("request_uri:x", "takes no selector"),
            ("args:", "is empty"),
            ("args:/(/", "does not parse"),
            ("xml", "`xml:/*`"),
            ("xml://book/title", "`xml:/*`"),
        ] {
            let error = Target::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
