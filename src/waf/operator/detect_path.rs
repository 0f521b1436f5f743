//! `detect_path`: is the value a path that should not be asked for, or does it have one in it? A path is read in every notation
//! (slashes and backslashes, percent escapes that are left over, overlong UTF-8, `%u2215`, NUL bytes, `..;/`), normalised,
//! and judged by its steps up, how they are written, and where they end. Give it values without transformations: how they are
//! written is evidence. The hit's note says the shape: `6 up to etc/passwd`. Of a value above 1 MiB the first 1 MiB is judged.
//!
//! Argument: `true`. Example: `{"detect_path": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, path, true_argument};

#[derive(Debug)]
struct DetectPath;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectPath))
}

/// A path has a separator, an escape, or a character of more than one byte that stands for one; a
/// stream has a colon.
const MARKS: ByteSet = ByteSet::of(b"/\\%:.").union(ByteSet::range(0xc0, 0xff));

impl Operator for DetectPath {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        MARKS.find(value)?;
        let finding = path::detect(value)?;
        Some(Hit { note: Some(finding.note()), ..Hit::at(finding.span) })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 3, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_path".into()
    }

    /// Spaces in a path have what was read so far judged again, a few times.
    fn steps_per_byte(&self) -> usize {
        4
    }
}
