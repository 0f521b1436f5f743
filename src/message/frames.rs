//! HTTP/2's frames as they pass (RFC 9113 section 4): where each begins, and what it holds, in whatever pieces they
//! come. Nothing is kept but a header under way, and nothing is judged here.

/// The client's connection preface (RFC 9113 section 3.4).
pub const PREFACE: usize = 24;
/// A frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITISED: u8 = 0x20;

#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

/// A piece of what passes.
#[derive(Debug)]
pub enum Event<'a> {
    Begins(Header),
    /// Some of a frame's payload, and how much of it is still to come.
    Holds(Header, &'a [u8], usize),
}

/// Where in a sequence of frames a stream of bytes is.
#[derive(Default)]
pub struct Reader {
    header: [u8; HEADER],
    have: usize,
    /// The frame under way, with as much of its payload as is still to come.
    under: Option<(Header, usize)>,
    /// What comes before the first frame.
    skip: usize,
}

impl Reader {
    pub fn behind(skip: usize) -> Reader {
        Reader { skip, ..Reader::default() }
    }

    /// Reads on, until `each` objects.
    pub fn read<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if let Some((header, left)) = self.under {
                let (here, rest) = bytes.split_at(left.min(bytes.len()));
                let left = left - here.len();
                self.under = (left > 0).then_some((header, left));
                bytes = rest;
                each(Event::Holds(header, here, left))?;
                continue;
            }
            let n = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEADER {
                let [a, b, c, kind, flags, stream @ ..] = self.header;
                let len = u32::from_be_bytes([0, a, b, c]) as usize;
                let header = Header { len, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff };
                self.have = 0;
                self.under = (len > 0).then_some((header, len));
                each(Event::Begins(header))?;
            }
        }
        Ok(())
    }

    /// What was read ends where a frame does, so that another may follow.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.under.is_none() && self.skip == 0
    }
}

/// What was written so far.
#[derive(Default)]
pub struct Written(Reader);

impl Written {
    /// Returns how many frames with data began in these bytes.
    pub fn wrote(&mut self, bytes: &[u8]) -> u32 {
        let mut pieces = 0;
        let read: Result<(), std::convert::Infallible> = self.0.read(bytes, |event| {
            if let Event::Begins(header) = event {
                pieces += u32::from(header.kind == DATA && header.len > 0);
            }
            Ok(())
        });
        let Ok(()) = read;
        pieces
    }

    pub fn is_between_frames(&self) -> bool {
        self.0.is_between_frames()
    }
}

/// A whole frame, for tests and goodbyes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}
