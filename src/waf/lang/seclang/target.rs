//! Variables of SecLang as our targets.

use crate::waf::lang::error::shown;
use crate::waf::variable::target::{Role, Target, TargetError};
use crate::waf::variable::{self, Keys};

use super::fault::Fault;
use super::rule::{Selector, Variable};
use super::{names, pattern};

/// The target that a variable is here.
pub(super) fn target(variable: &Variable) -> Result<Target, Fault> {
    let place = variable.place;
    let name = variable.name.to_ascii_lowercase();
    let Some(known) = variable::find(&name) else {
        return Err(if names::is_modsecurity(&name) {
            Fault::unsupported(place, format!("the variable `{}` is not supported", variable.name))
        } else {
            let known: Vec<String> = names::variables().collect();
            Fault::unknown(place, "variable", &variable.name, known.iter().map(String::as_str))
        });
    };
    let role = match variable.role {
        Role::Include => "",
        Role::Exclude => "!",
        Role::Count => "&",
    };
    let written = match &variable.selector {
        None => format!("{role}{name}"),
        // Keys of what rules set are written in lower case everywhere.
        Some(Selector::Key(key)) if known.name == "tx" => {
            format!("{role}{name}:{}", key.to_ascii_lowercase())
        }
        Some(Selector::Key(key)) => format!("{role}{name}:{key}"),
        Some(Selector::Pattern(pattern)) if known.keys == Keys::Any => {
            let about = |what: &str| {
                let problem = format!("the selector of `{}`: {what}", shown(&variable.name));
                Fault::unsupported(place, problem)
            };
            let rewritten =
                pattern::rewrite(pattern).map_err(|refusal| about(&refusal.what).help(refusal.help))?;
            if rewritten.argument().is_object() {
                return Err(about("an expression that is more than one cannot select keys"));
            }
            format!("{role}{name}:/{}/", rewritten.pattern)
        }
        Some(Selector::Pattern(pattern)) => format!("{role}{name}:/{pattern}/"),
    };
    Target::parse(&written).map_err(|error| match error {
        TargetError::Xml => Fault::unsupported(
            place,
            format!(
                "no XPath but `/*` (text) and `//@*` (attributes) is supported behind `{}`",
                variable.name
            ),
        ),
        error => Fault::error(place, error.to_string()),
    })
}
