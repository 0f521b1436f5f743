//! One connection to a service, with one answer on it. It is read while it is written to, because a service may answer
//! with the message it is still being given.

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Answer;

/// How far to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Everything is written.
    Sent,
    /// The service says whether it wants what follows a preview.
    Continued,
    /// The answer is done.
    Done,
}

pub struct Wire {
    pub stream: TcpStream,
    pub answer: Answer,
    /// Why no more can be read.
    broken: Option<io::Error>,
    /// The answer was there before everything was written: what the service takes next for more of this is not to
    /// be another one's, and it has not seen the whole.
    pub unsent: bool,
}

impl Wire {
    pub fn new(stream: TcpStream, may_continue: bool) -> Wire {
        Wire { stream, answer: Answer::new(may_continue), broken: None, unsent: false }
    }

    /// Writes and reads. It ends early when the answer is done.
    pub async fn drive(&mut self, out: &[u8], until: Until) -> io::Result<()> {
        let (mut reader, mut writer) = self.stream.split();
        let mut chunk = [0; 4096];
        let mut left = out;
        // It may have closed its side because its answer is there already.
        let mut refused = None;
        loop {
            let sent = left.is_empty() && refused.is_none();
            let enough = match until {
                Until::Sent => sent,
                Until::Continued => sent && self.answer.continued,
                Until::Done => false,
            };
            if self.answer.is_done() || enough {
                self.unsent |= !sent;
                return Ok(());
            }
            // What the service says is looked at first.
            tokio::select! {
                biased;
                read = reader.read(&mut chunk) => match read? {
                    0 => {
                        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection");
                        return Err(refused.unwrap_or_else(closed));
                    }
                    count => self.answer.push(&chunk[..count]).map_err(io::Error::other)?,
                },
                wrote = writer.write(left), if !left.is_empty() => match wrote {
                    Ok(count) if count > 0 => left = &left[count..],
                    Ok(_) => refused = Some(io::ErrorKind::WriteZero.into()),
                    Err(error) => refused = Some(error),
                },
            }
            if refused.is_some() {
                left = &[];
            }
        }
    }

    /// A connection that broke, or went silent, after the service began to answer with a message is one that answered
    /// so.
    pub fn broken(mut self, error: io::Error) -> io::Result<Wire> {
        if self.answer.message.is_none() {
            return Err(error);
        }
        self.broken = Some(error);
        Ok(self)
    }

    /// The time was up before the rest of the answer came.
    pub fn is_late(&self) -> bool {
        self.broken.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    pub fn is_over(&self) -> bool {
        self.broken.is_some() || self.answer.is_done()
    }

    pub fn ended(self) -> io::Error {
        self.broken.unwrap_or_else(|| io::Error::other("it gave no answer"))
    }
}
