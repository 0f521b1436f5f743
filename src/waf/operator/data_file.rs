//! Files that operators name in their argument: looked up among the rules' data, read line by line.
//! What a line means is the operator's business.

use serde_json::Value;

use super::{Data, OperatorError, OperatorErrorKind, text_argument};

/// A file of the rules' data.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataFile<'a> {
    pub name: &'a str,
    content: &'a [u8],
}

impl<'a> DataFile<'a> {
    /// The file that the argument of operator `name` names.
    pub fn named(name: &str, argument: &'a Value, data: &'a Data) -> Result<DataFile<'a>, OperatorError> {
        let file = text_argument(name, argument)?;
        if let Some(content) = data.get(file) {
            return Ok(DataFile { name: file, content });
        }
        let near = data
            .keys()
            .map(|known| (strsim::damerau_levenshtein(known, file), known))
            .min()
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
        let help = match near {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None => "such files lie in the folder data of the rules, and are named without it".into(),
        };
        Err(missing(format!("there is no data file `{file}`"), help))
    }

    /// The lines without the white space around them, empty ones left out.
    pub fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        self.content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    }

    /// The error for a file that says nothing.
    pub fn holds_nothing(self, what: &str) -> OperatorError {
        missing(
            format!("the data file `{}` holds no {what}", self.name),
            format!("write one {what} per line"),
        )
    }
}

fn missing(problem: String, help: String) -> OperatorError {
    OperatorError { kind: OperatorErrorKind::MissingData, problem, help: Some(help) }
}
