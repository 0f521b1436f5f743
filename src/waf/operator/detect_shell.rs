//! `detect_shell`: does the value start a command when it is put into a command line of sh, cmd.exe or PowerShell, bare
//! or in quotes? The hit's span is the command with its separator, the note says what it is: ``cat after `;` ``. Of a
//! value above 256 KiB the first 256 KiB are judged.
//!
//! The value should be decoded but not in lower case: Unix commands are lower case, prose is not always.
//!
//! Argument: `true`. Example: `{"detect_shell": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, shell, true_argument};

#[derive(Debug)]
struct DetectShell;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectShell))
}

/// A command needs a separator before it, or a blank before its arguments, or a disguise.
const MARKS: ByteSet = ByteSet::of(b";|&\n\r`$<>\\ \t\x0b\x0c'\"^({?*[/%");

impl Operator for DetectShell {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let found = shell::detect(value)?;
        let disguised = if found.disguised { ", disguised" } else { "" };
        let note = format!("{} after {}{disguised}", found.command, found.behind.text());
        Some(Hit { span: found.start..found.end, note: Some(note), ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 3, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_shell".into()
    }

    /// Behind each separator a bounded part is read, and separators may stand in what was read.
    fn steps_per_byte(&self) -> usize {
        16
    }
}
