//! Audit lines on standard output, for containers whose platform collects it. A reader that is
//! slow holds the writer thread only; the queue and its stated behaviour are in front of it.

use std::io::{self, Write};

use super::{Batch, Sink};

/// Standard output.
#[derive(Debug, Default)]
pub struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        let mut out = io::stdout().lock();
        while !batch.is_done() {
            match out.write(batch.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => batch.advance(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }

    fn name(&self) -> String {
        "standard output".to_owned()
    }
}
