//! WebSocket frames (RFC 6455 section 5): bytes in, whole messages out, and back. Pure; it moves no
//! bytes and judges no content. What breaks the protocol is a [`Violation`] with the close code
//! that says so. Extensions are not known here: an offer of one is taken out of the opening request.

use std::io::Cursor;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// One message may come in so many frames. Senders that stream use hundreds; a million of one byte
/// each costs us more than whoever sends them.
const MOST_FRAMES: u32 = 65_536;
const TOO_MANY_FRAMES: &str = "a message comes in more frames than any sender needs";
/// The one violation that policy may have asked for.
pub const TOO_LONG: &str = "a message is longer than what is inspected";

/// A control frame's payload (RFC 6455 section 5.5).
const MOST_CONTROL: usize = 125;

/// What both ends say when they close.
pub mod close {
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL: u16 = 1002;
    pub const NOT_UTF8: u16 = 1007;
    pub const POLICY: u16 = 1008;
    pub const TOO_BIG: u16 = 1009;
    pub const INTERNAL: u16 = 1011;
}

/// Whether frames have to be masked: a client's do, a server's must not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    Required,
    Forbidden,
}

/// What becomes of a message that is longer than the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// Its first part is a message by itself, the rest follows unseen.
    Pass,
    /// It is a violation.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, or as much of it as the window holds; then the rest follows as [`Event::Rest`].
    Message {
        kind: Kind,
        payload: BytesMut,
        whole: bool,
    },
    Rest {
        payload: BytesMut,
        last: bool,
    },
    Ping(Bytes),
    Pong(Bytes),
    /// Code and reason as they came, checked. Nothing follows.
    Close(Bytes),
}

/// The peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    pub code: u16,
    pub what: &'static str,
}

const fn broke(what: &'static str) -> Violation {
    Violation { code: close::PROTOCOL, what }
}

const NOT_UTF8: Violation = Violation { code: close::NOT_UTF8, what: "a text message is not UTF-8" };

/// Puts one end's messages together from its frames.
#[derive(Debug)]
pub struct Reader {
    masking: Masking,
    window: usize,
    long: Long,
    buf: BytesMut,
    frame: Option<Frame>,
    message: Option<Message>,
    closed: bool,
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    control: Option<Control>,
    last: bool,
    left: u64,
    mask: [u8; 4],
    /// How far the mask has turned.
    turned: usize,
}

/// The message whose frames are being read.
#[derive(Debug)]
struct Message {
    kind: Kind,
    payload: BytesMut,
    frames: u32,
    utf8: Utf8,
    /// Its first part was let go; what follows is the rest.
    passing: bool,
}

impl Reader {
    pub fn new(masking: Masking, window: usize, long: Long) -> Reader {
        let buf = BytesMut::new();
        Reader { masking, window, long, buf, frame: None, message: None, closed: false }
    }

    /// Bytes as they came. Ask [`Reader::event`] until it has nothing more, or they pile up.
    pub fn push(&mut self, bytes: &[u8]) {
        // What follows a close frame is of no meaning (section 5.5.1).
        if !self.closed {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// The next event that the bytes so far hold.
    pub fn event(&mut self) -> Result<Option<Event>, Violation> {
        while !self.closed {
            if self.frame.is_none() && !self.head()? {
                return Ok(None);
            }
            let Some(frame) = &self.frame else { return Ok(None) };
            let step = match frame.control {
                Some(control) => self.control(control)?,
                None => self.data()?,
            };
            match step {
                Step::Event(event) => return Ok(Some(event)),
                Step::On => {}
                Step::More => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads a frame's head; false when it is not there whole.
    fn head(&mut self) -> Result<bool, Violation> {
        let mut cursor = Cursor::new(&self.buf[..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| broke("a frame's head cannot be read"))?;
        let Some((head, length)) = parsed else { return Ok(false) };
        let size = cursor.position() as usize;
        if head.rsv1 || head.rsv2 || head.rsv3 {
            return Err(broke("a frame has a reserved bit set, and no extension was agreed on"));
        }
        // Section 5.2: the shortest form, and 63 bits at most.
        if length >> 63 != 0 || size != head.len(length) {
            return Err(broke("a frame's length is not in its shortest form"));
        }
        let mask = match (self.masking, head.mask) {
            (Masking::Required, Some(mask)) => mask,
            (Masking::Forbidden, None) => [0; 4],
            (Masking::Required, None) => return Err(broke("a client's frame is not masked")),
            (Masking::Forbidden, Some(_)) => return Err(broke("a server's frame is masked")),
        };
        let control = match head.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(broke("a frame's opcode is not defined"));
            }
            OpCode::Control(control) => {
                if !head.is_final {
                    return Err(broke("a control frame is fragmented"));
                }
                if length > MOST_CONTROL as u64 {
                    return Err(broke("a control frame is longer than 125 bytes"));
                }
                Some(control)
            }
            OpCode::Data(data) => {
                self.begin(data, length)?;
                None
            }
        };
        self.buf.advance(size);
        self.frame = Some(Frame { control, last: head.is_final, left: length, mask, turned: 0 });
        Ok(true)
    }

    /// A data frame begins a message or goes on with one.
    fn begin(&mut self, data: Data, length: u64) -> Result<(), Violation> {
        let kind = match data {
            Data::Text => Some(Kind::Text),
            Data::Binary => Some(Kind::Binary),
            _ => None,
        };
        let message = match (kind, &mut self.message) {
            (Some(kind), None) => self.message.insert(Message {
                kind,
                payload: BytesMut::new(),
                frames: 0,
                utf8: Utf8::default(),
                passing: false,
            }),
            (None, Some(message)) => message,
            (Some(_), Some(_)) => return Err(broke("a message begins before the one before it has ended")),
            (None, None) => return Err(broke("a continuation frame continues nothing")),
        };
        // What passes unseen is gathered no more.
        message.frames += u32::from(!message.passing);
        if message.frames > MOST_FRAMES {
            return Err(Violation { code: close::TOO_BIG, what: TOO_MANY_FRAMES });
        }
        let size = message.payload.len() as u64 + length;
        if self.long == Long::Refuse && size > self.window as u64 {
            return Err(Violation { code: close::TOO_BIG, what: TOO_LONG });
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<Step, Violation> {
        let Some(frame) = self.frame.take_if(|frame| frame.left <= self.buf.len() as u64) else {
            return Ok(Step::More);
        };
        let mut payload = self.buf.split_to(frame.left as usize);
        unmask(&mut payload, frame.mask, 0);
        let payload = payload.freeze();
        Ok(Step::Event(match control {
            Control::Ping => Event::Ping(payload),
            Control::Pong => Event::Pong(payload),
            Control::Close | Control::Reserved(_) => {
                check_close(&payload)?;
                self.closed = true;
                self.buf = BytesMut::new();
                Event::Close(payload)
            }
        }))
    }

    fn data(&mut self) -> Result<Step, Violation> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(Step::More);
        };
        let room = if message.passing { usize::MAX } else { self.window - message.payload.len() };
        if room == 0 && frame.left > 0 {
            message.passing = true;
            let payload = std::mem::take(&mut message.payload);
            return Ok(Step::Event(Event::Message { kind: message.kind, payload, whole: false }));
        }
        let take = usize::try_from(frame.left).unwrap_or(usize::MAX).min(room).min(self.buf.len());
        if take == 0 && frame.left > 0 {
            return Ok(Step::More);
        }
        let mut part = self.buf.split_to(take);
        unmask(&mut part, frame.mask, frame.turned);
        frame.turned = (frame.turned + take) % 4;
        frame.left -= take as u64;
        if message.kind == Kind::Text && !message.utf8.feed(&part) {
            return Err(NOT_UTF8);
        }
        let (ended, last) = (frame.left == 0, frame.left == 0 && frame.last);
        if ended {
            self.frame = None;
        }
        if last && !message.utf8.is_complete() {
            return Err(NOT_UTF8);
        }
        let passing = message.passing;
        if passing {
            if last {
                self.message = None;
            }
            return Ok(if last || !part.is_empty() {
                Step::Event(Event::Rest { payload: part, last })
            } else {
                Step::On
            });
        }
        if message.payload.is_empty() {
            message.payload = part;
        } else {
            message.payload.extend_from_slice(&part);
        }
        match self.message.take_if(|_| last) {
            Some(message) => {
                let Message { kind, payload, .. } = message;
                Ok(Step::Event(Event::Message { kind, payload, whole: true }))
            }
            None => Ok(Step::On),
        }
    }
}

enum Step {
    Event(Event),
    /// There may be more in the bytes so far.
    On,
    More,
}

/// Section 5.5.1 and 7.4: a code that may be sent, and a reason in UTF-8.
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    match payload {
        [] => Ok(()),
        [_] => Err(broke("a close frame has half a code")),
        [high, low, reason @ ..] => {
            if !CloseCode::from(u16::from_be_bytes([*high, *low])).is_allowed() {
                return Err(broke("a close frame has a code that may not be sent"));
            }
            std::str::from_utf8(reason).map(|_| ()).map_err(|_| NOT_UTF8)
        }
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], turned: usize) {
    if mask == [0; 4] {
        return;
    }
    let mut turning = mask;
    turning.rotate_left(turned);
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        word.iter_mut().zip(turning).for_each(|(byte, key)| *byte ^= key);
    }
    words.into_remainder().iter_mut().zip(turning).for_each(|(byte, key)| *byte ^= key);
}

/// UTF-8 that comes in parts.
#[derive(Debug, Default)]
struct Utf8 {
    /// A character that has begun.
    begun: smallvec::SmallVec<[u8; 4]>,
}

impl Utf8 {
    /// False as soon as it cannot become UTF-8 any more.
    fn feed(&mut self, mut part: &[u8]) -> bool {
        while !self.begun.is_empty() {
            let Some((byte, rest)) = part.split_first() else { return true };
            part = rest;
            self.begun.push(*byte);
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(part) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.begun.extend_from_slice(&part[error.valid_up_to()..]);
                true
            }
            Err(_) => false,
        }
    }

    fn is_complete(&self) -> bool {
        self.begun.is_empty()
    }
}

/// What is written of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    First(Kind),
    Next,
    Ping,
    Pong,
    Close,
}

/// Appends one frame. `mask` is what a client's frame needs: fresh and unpredictable (section 5.3).
pub fn write(out: &mut BytesMut, part: Part, last: bool, payload: &[u8], mask: Option<[u8; 4]>) {
    let opcode = match part {
        Part::First(Kind::Text) => OpCode::Data(Data::Text),
        Part::First(Kind::Binary) => OpCode::Data(Data::Binary),
        Part::Next => OpCode::Data(Data::Continue),
        Part::Ping => OpCode::Control(Control::Ping),
        Part::Pong => OpCode::Control(Control::Pong),
        Part::Close => OpCode::Control(Control::Close),
    };
    let head = FrameHeader { is_final: last, opcode, mask, ..FrameHeader::default() };
    out.reserve(payload.len() + 14);
    // Writing to memory does not fail.
    let _ = head.format(payload.len() as u64, &mut out.writer());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        unmask(&mut out[start..], mask, 0);
    }
}

/// The payload of a close frame.
pub fn farewell(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MOST_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = code.to_be_bytes().to_vec();
    out.extend_from_slice(&reason.as_bytes()[..end]);
    out
}

#[cfg(test)]
mod tests;
