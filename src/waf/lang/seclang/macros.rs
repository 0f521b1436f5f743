//! Macros as SecLang writes them, `%{TX.0}` or `%{ARGS:id}`, become ours: `%{tx.0}`, `%{args.id}`.
//! Names and keys compare without regard to case, so they are written in lower case.

use crate::waf::lang::error::At;
use crate::waf::template::Template;
use crate::waf::variable;

use super::fault::Fault;
use super::names;

/// A text with macros; each must name a variable.
pub(super) fn template(written: &At<String>) -> Result<At<String>, Fault> {
    let mut out = String::with_capacity(written.value.len());
    let mut rest = written.value.as_str();
    while let Some((before, inner, after)) = next(rest) {
        out.push_str(before);
        match ours(inner) {
            Some(known) => out.push_str(&known),
            None => return Err(unknown(inner, written)),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(At::new(written.place, out))
}

/// What stands before the next macro, inside it and behind it.
pub(super) fn next(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("%{")?;
    let end = start + text[start..].find('}')?;
    Some((&text[..start], &text[start + 2..end], &text[end + 1..]))
}

/// The macro in our spelling, when it names one of our variables.
pub(super) fn ours(inner: &str) -> Option<String> {
    let (name, key) = match inner.find(['.', ':']) {
        Some(at) => (&inner[..at], Some(&inner[at + 1..])),
        None => (inner, None),
    };
    let name = name.trim().to_ascii_lowercase();
    variable::find(&name)?;
    let spelled = match key {
        // An expression compares without regard to case, and means something else in lower case.
        Some(key) if key.len() > 2 && key.starts_with('/') && key.ends_with('/') => {
            format!("%{{{name}.{key}}}")
        }
        Some(key) => format!("%{{{name}.{}}}", key.trim().to_ascii_lowercase()),
        None => format!("%{{{name}}}"),
    };
    Template::parse(&spelled).ok().map(|_| spelled)
}

fn unknown(inner: &str, written: &At<String>) -> Fault {
    let name = inner.split(['.', ':']).next().unwrap_or_default().trim().to_ascii_lowercase();
    if variable::find(&name).is_some() {
        Fault::error(written.place, format!("the macro `%{{{inner}}}` names no value"))
            .help("a macro is %{VARIABLE} or %{VARIABLE.KEY}")
    } else if names::is_modsecurity(&name) {
        Fault::unsupported(written.place, format!("the variable in `%{{{inner}}}` is not supported"))
    } else {
        let known: Vec<String> = names::variables().collect();
        Fault::unknown(written.place, "macro", inner, known.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::lang::error::Place;

    fn read(text: &str) -> Result<String, String> {
        template(&At::new(Place::default(), text.to_owned()))
            .map(|at| at.value)
            .map_err(|fault| fault.problem)
    }

    #[test]
    fn macros_are_ours_or_errors() {
        for (text, expect) in [
            ("a %{TX.0} b", "a %{tx.0} b"),
            ("%{MATCHED_VAR_NAME}:%{MATCHED_VAR}", "%{matched_var_name}:%{matched_var}"),
            ("%{REQUEST_HEADERS:Host}", "%{request_headers.host}"),
            ("%{ARGS:/^Id$/}", "%{args./^Id$/}"),
            ("100% {x} %{open", "100% {x} %{open"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expect), "{text}");
        }
        assert_eq!(read("%{TXX.0}"), Err("unknown macro `TXX.0`".into()));
        assert_eq!(
            read("%{GEO.COUNTRY_CODE}"),
            Err("the variable in `%{GEO.COUNTRY_CODE}` is not supported".into())
        );
        assert_eq!(read("%{tx}"), Err("the macro `%{tx}` names no value".into()));
    }
}
