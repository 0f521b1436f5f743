//! Where audit lines go. A sink takes what it can of a batch and says what went wrong; when to
//! try again is the writer's matter.

pub mod file;
pub mod stdout;

use std::io;

/// Serialised lines on their way out. Remembers how far a sink has come, so that a write that
/// stopped in the middle of a line is continued there and no line is torn.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    written: usize,
}

impl Batch {
    /// The memory of lines; each must end with a line feed.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Every line of it.
    pub fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// What still has to be written.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub fn is_done(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// `n` more bytes are out.
    pub fn advance(&mut self, n: usize) {
        self.written = (self.written + n).min(self.bytes.len());
    }

    /// True when the next byte begins a line.
    pub fn at_line_start(&self) -> bool {
        self.written == 0 || self.bytes[self.written - 1] == b'\n'
    }

    /// Goes back to the beginning of the line that is half written, to write it whole elsewhere.
    pub fn rewind_line(&mut self) {
        self.written = memchr::memrchr(b'\n', &self.bytes[..self.written]).map_or(0, |at| at + 1);
    }

    /// Whole lines from here on that fit into `limit` bytes, or the first line if none does.
    pub fn lines_within(&self, limit: usize) -> &[u8] {
        let rest = self.rest();
        if rest.len() <= limit {
            return rest;
        }
        let end = memchr::memrchr(b'\n', &rest[..limit]).or_else(|| memchr::memchr(b'\n', rest));
        &rest[..end.map_or(rest.len(), |at| at + 1)]
    }

    /// Empties it, keeping a bounded part of its memory.
    pub fn clear(&mut self) {
        const KEPT: usize = 1 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.written = 0;
    }
}

/// Takes batches.
pub trait Sink: Send {
    /// Writes all that is left of `batch`, advancing it by what got out even when it fails.
    fn write(&mut self, batch: &mut Batch) -> io::Result<()>;

    /// Makes what was written survive a loss of power, where the sink can.
    fn sync(&mut self) -> io::Result<()>;

    /// Its name in log messages.
    fn name(&self) -> String;
}

/// Takes everything and keeps nothing.
#[derive(Debug)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        batch.advance(batch.rest().len());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> String {
        "nowhere".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_knows_its_lines_at_every_position() {
        let text = b"one\ntwo\n\nfour\n";
        for at in 0..=text.len() {
            let mut batch = Batch::default();
            batch.bytes_mut().extend_from_slice(text);
            batch.advance(at);
            assert_eq!(batch.at_line_start(), at == 0 || text[at - 1] == b'\n', "{at}");
            assert_eq!(batch.is_done(), at == text.len());
            batch.rewind_line();
            assert!(batch.at_line_start(), "{at}");
            for limit in 0..20 {
                let lines = batch.lines_within(limit);
                assert!(lines.is_empty() == batch.is_done() && lines.last().is_none_or(|&b| b == b'\n'));
                assert!(lines.len() <= limit || lines.iter().filter(|&&b| b == b'\n').count() == 1);
            }
        }
    }
}
