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

/// Another sink whose lines standard output gets too. The other one decides: a batch that it
/// has taken counts as written, and a copy that fails is lost, which is said once.
#[derive(Debug)]
pub struct Copied<S> {
    sink: S,
    failed: bool,
}

impl<S: Sink> Copied<S> {
    pub fn new(sink: S) -> Copied<S> {
        Copied { sink, failed: false }
    }
}

impl<S: Sink> Sink for Copied<S> {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.sink.write(batch)?;
        let mut out = io::stdout().lock();
        let copied = out.write_all(batch.all()).and_then(|()| out.flush());
        if let Err(error) = &copied
            && !self.failed
        {
            tracing::warn!(%error, "the copy of the audit log on standard output cannot be written");
        }
        self.failed = copied.is_err();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sink.sync()
    }

    fn name(&self) -> String {
        self.sink.name()
    }
}
