//! What is wrong with a directive, before it is known whether that ends the import.

use crate::waf::lang::error::{Place, nearest, shown};

/// One thing that keeps a directive from being imported.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub place: Place,
    pub problem: String,
    pub help: Option<String>,
    pub kind: FaultKind,
}

/// Whether `--skip-unsupported` may pass over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// Not what the language allows, or not what exists.
    Error,
    /// ModSecurity has it and we have not.
    Unsupported,
}

impl Fault {
    pub fn error(place: Place, problem: impl Into<String>) -> Fault {
        Fault { place, problem: problem.into(), help: None, kind: FaultKind::Error }
    }

    pub fn unsupported(place: Place, problem: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Unsupported, ..Fault::error(place, problem) }
    }

    /// "unknown KIND `WORD`", with the nearest of the known words as help.
    pub fn unknown<'w>(
        place: Place,
        kind: &str,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) -> Fault {
        let help = nearest(word, known).map(|near| format!("did you mean `{near}`?"));
        Fault { help, ..Fault::error(place, format!("unknown {kind} `{}`", shown(word))) }
    }

    pub fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }
}
