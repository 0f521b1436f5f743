//! One direction of a WebSocket: frames in, each message before the rules, frames out. A message
//! leaves as one frame, with the opcode and the payload it came with; pings, pongs and closes are
//! passed on as they are and answered by whom they are meant for.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::finish::Ending;
use super::super::tunnel::Moved;
use super::{Over, Talk};
use crate::inspect::{Case, Heard, Said, Stop};
use crate::message::websocket::{self as ws, Event, Kind, Long, Masking, Part, Reader, Violation};
use crate::net::Limits;
use crate::policy::Oversize;
use crate::waf::input::{End, Extent, Message, Opcode};

/// Read at a time.
const CHUNK: usize = 16 * 1024;

/// Written out before more is taken in.
const FULL: usize = 64 * 1024;

/// How one direction ended.
pub enum Ended {
    /// With a close frame, which was passed on.
    Closed,
    /// Without one; the other side was told by the end of the stream.
    Eof,
    Reset(std::io::Error),
    Violation(Violation),
    Stopped(Option<Case>, Stop),
}

impl Ended {
    /// What it means for both directions, if it ends both.
    pub fn over(self, from: End) -> Option<Over> {
        match self {
            Ended::Closed | Ended::Eof => None,
            Ended::Reset(error) => Some(Over::Reset(error)),
            Ended::Violation(violation) => Some(Over::Violation(from, violation)),
            Ended::Stopped(case, stop) => Some(Over::Stopped(from, Box::new((case, stop)))),
        }
    }
}

/// Messages that passed.
#[derive(Default)]
pub struct Counted {
    from_client: AtomicU64,
    from_origin: AtomicU64,
    /// Longer than the window, or than the rules had time for: their rest passed unseen.
    partial: AtomicU64,
}

impl Counted {
    pub fn in_words(&self) -> String {
        let [client, origin, partial] =
            [&self.from_client, &self.from_origin, &self.partial].map(|count| count.load(Ordering::Relaxed));
        let mut out = format!("messages passed: {client} from the client, {origin} from the origin");
        if partial > 0 {
            out += &format!(", {partial} of them inspected in part");
        }
        out
    }
}

/// One direction.
pub struct Pump<'a> {
    pub from: End,
    pub talk: &'a Talk,
    pub limits: &'a Limits,
    pub moved: &'a Moved,
    pub counted: &'a Counted,
    pub ending: &'a Ending,
}

impl Pump<'_> {
    pub async fn run<R, W>(self, read: &mut R, out: &mut Outbox<W>) -> Ended
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (masking, window, oversize) = match self.from {
            End::Client => {
                (Masking::Required, self.limits.request_window, self.talk.fail.oversize_request_body)
            }
            End::Origin => {
                (Masking::Forbidden, self.limits.response_window, self.talk.fail.oversize_response_body)
            }
        };
        let long = if oversize == Oversize::Deny { Long::Refuse } else { Long::Pass };
        let mut reader = Reader::new(masking, window, long);
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.drain(&mut reader, out, window).await {
                Ok(Some(ended)) | Err(ended) => return ended,
                Ok(None) => {}
            }
            match read.read(&mut chunk).await {
                Ok(0) => {
                    // An end without a close is passed on as one, after all that came before it.
                    let _ = out.shutdown().await;
                    return Ended::Eof;
                }
                Ok(n) => {
                    self.count(n, self.from == End::Client);
                    reader.push(&chunk[..n]);
                }
                Err(error) => return Ended::Reset(error),
            }
        }
    }

    /// Passes on what the bytes so far hold.
    async fn drain<W: AsyncWrite + Unpin>(
        &self,
        reader: &mut Reader,
        out: &mut Outbox<W>,
        window: usize,
    ) -> Result<Option<Ended>, Ended> {
        loop {
            let event = match reader.event() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(violation) => {
                    // What was cleared before is the other's all the same.
                    let _ = out.flush().await;
                    return Err(match violation.what {
                        ws::TOO_LONG => Ended::Stopped(None, Stop::Oversize { limit: window }),
                        _ => Ended::Violation(violation),
                    });
                }
            };
            let closed = matches!(event, Event::Close(_));
            self.pass(event, out)?;
            // A read may hold thousands of small messages, and each is as much work as a request.
            tokio::task::consume_budget().await;
            if closed {
                self.flush(out).await?;
                return Ok(Some(Ended::Closed));
            }
            if out.len() >= FULL {
                self.flush(out).await?;
            }
        }
        self.flush(out).await?;
        Ok(None)
    }

    /// The verdict comes before anything of a message is in the outbox.
    fn pass<W: AsyncWrite + Unpin>(&self, event: Event, out: &mut Outbox<W>) -> Result<(), Ended> {
        match event {
            Event::Message { kind, payload, whole } => {
                let extent = if whole { Extent::Whole } else { Extent::Partial };
                self.judge(kind, &payload, extent)?;
                out.frame(Part::First(kind), whole, &payload);
            }
            Event::Rest { payload, last } => out.frame(Part::Next, last, &payload),
            Event::Ping(payload) => out.frame(Part::Ping, true, &payload),
            Event::Pong(payload) => out.frame(Part::Pong, true, &payload),
            Event::Close(payload) => out.frame(Part::Close, true, &payload),
        }
        Ok(())
    }

    fn judge(&self, kind: Kind, bytes: &[u8], extent: Extent) -> Result<(), Ended> {
        let opcode = match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let message = Message { from: self.from, opcode, bytes, extent };
        match self.talk.conversation.hear(&Said::Websocket(&message)) {
            Heard::Stopped(case, stop) => return Err(Ended::Stopped(Some(case), stop)),
            Heard::WouldStop(report) => {
                let sentence = format!("a message from the {} would have been stopped", self.from.name());
                self.ending.part().would_block(sentence, report);
            }
            Heard::Fine => {}
            Heard::Unseen if extent == Extent::Whole => {
                self.counted.partial.fetch_add(1, Ordering::Relaxed);
            }
            Heard::Unseen => {}
        }
        let count = match self.from {
            End::Client => &self.counted.from_client,
            End::Origin => &self.counted.from_origin,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if extent == Extent::Partial {
            self.counted.partial.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn flush<W: AsyncWrite + Unpin>(&self, out: &mut Outbox<W>) -> Result<(), Ended> {
        let n = out.flush().await.map_err(Ended::Reset)?;
        self.count(n, false);
        Ok(())
    }

    /// Bytes that the client sent or got.
    fn count(&self, n: usize, from_client: bool) {
        match self.from {
            End::Client if from_client => self.moved.from_client.fetch_add(n as u64, Ordering::Relaxed),
            End::Origin if !from_client => self.moved.to_client.fetch_add(n as u64, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Frames on their way to one end. A flush that is given up loses and repeats nothing: what was not
/// written is still there, and whole frames follow it.
pub struct Outbox<W> {
    half: W,
    to: End,
    bytes: BytesMut,
    closed: bool,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub fn new(half: W, to: End) -> Outbox<W> {
        Outbox { half, to, bytes: BytesMut::new(), closed: false }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn frame(&mut self, part: Part, last: bool, payload: &[u8]) {
        if self.closed {
            return;
        }
        self.closed = part == Part::Close;
        let mask = (self.to == End::Origin).then(|| {
            let mut mask = [0; 4];
            // Without randomness the mask is guessable, which harms nobody who cannot choose the frames.
            if getrandom::fill(&mut mask).is_err() {
                tracing::error!("the system has no random bytes; masks can be guessed");
            }
            mask
        });
        ws::write(&mut self.bytes, part, last, payload, mask);
    }

    /// Says goodbye, unless a close frame was passed on already.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.frame(Part::Close, true, &ws::farewell(code, reason));
    }

    /// Writes out what waits; how many bytes that were.
    pub async fn flush(&mut self) -> std::io::Result<usize> {
        let mut written = 0;
        while !self.bytes.is_empty() {
            let n = self.half.write(&self.bytes).await?;
            if n == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.bytes.advance(n);
            written += n;
        }
        self.half.flush().await?;
        Ok(written)
    }

    /// Nothing is written after this.
    pub async fn shutdown(&mut self) -> std::io::Result<()> {
        self.closed = true;
        self.half.shutdown().await
    }
}
