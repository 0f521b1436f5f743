//! A budget for HTTP/2 frames that cost us work and carry nothing: resets, pings, settings, priorities, empty data,
//! pieces of a field block, kinds nobody knows. The library below counts the worst forms of some of these; this
//! counts all of them, whatever state their stream is in. It reads frame headers as they pass and nothing else:
//! whether a frame is right is the library's business.

use std::time::Duration;

use tokio::time::Instant;

/// Frames of one sort that a client may send at once, and how many it is given back a second. A browser that leaves
/// a page resets a hundred streams; a rapid reset (CVE-2023-44487) lives from tens of thousands a second.
const AT_ONCE: f64 = 500.0;
const A_SECOND: f64 = 20.0;

/// Control frames that a request earns its client: reprioritising it, and a field block in pieces.
const A_REQUEST_EARNS: f64 = 4.0;

/// The client's connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// A frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;

const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ENHANCE_YOUR_CALM: u8 = 11;

/// What one client has left.
pub struct FrameBudget {
    frames: Frames,
    resets: Bucket,
    control: Bucket,
    last_stream: u32,
}

impl FrameBudget {
    pub fn new(now: Instant) -> FrameBudget {
        FrameBudget {
            frames: Frames { skip: PREFACE, ..Frames::default() },
            resets: Bucket { left: AT_ONCE, since: now },
            control: Bucket { left: AT_ONCE, since: now },
            last_stream: 0,
        }
    }

    /// Looks at bytes as they arrive; `false` once the client has spent more than it had.
    pub fn allows(&mut self, bytes: &[u8], now: Instant) -> bool {
        let FrameBudget { frames, resets, control, last_stream } = self;
        let mut allowed = true;
        frames.read(bytes, |frame| {
            allowed &= match frame.kind {
                DATA => frame.len > 0 || frame.flags & END_STREAM != 0 || control.take(now),
                // Fields for a stream that is open already, or none at all.
                HEADERS if frame.len == 0 || frame.stream <= *last_stream => control.take(now),
                HEADERS => {
                    *last_stream = frame.stream;
                    control.left = (control.left + A_REQUEST_EARNS).min(AT_ONCE);
                    true
                }
                RST_STREAM => resets.take(now),
                // A long download is acknowledged by as many of these as it has frames.
                WINDOW_UPDATE => true,
                _ => control.take(now),
            };
        });
        allowed
    }

    /// Pieces of answers went out, and each earns a control frame: clients that measure the way (gRPC's BDP
    /// estimate) ping once a round trip for as long as data comes, thousands of times a second nearby.
    pub fn answered(&mut self, pieces: u32) {
        self.control.left = (self.control.left + f64::from(pieces)).min(AT_ONCE);
    }

    /// The frame that says why the connection ends (RFC 9113 sections 6.8 and 10.5).
    pub fn goodbye(&self) -> Vec<u8> {
        const WHY: &[u8] = b"too many frames that carry nothing";
        let mut out = vec![0, 0, 8 + WHY.len() as u8, GOAWAY, 0, 0, 0, 0, 0];
        out.extend(self.last_stream.to_be_bytes());
        out.extend([0, 0, 0, ENHANCE_YOUR_CALM]);
        out.extend(WHY);
        out
    }
}

/// Whether what was written so far ends where a frame does, so that another may follow.
#[derive(Default)]
pub struct Written(Frames);

impl Written {
    /// Returns how many frames with data began in these bytes.
    pub fn wrote(&mut self, bytes: &[u8]) -> u32 {
        let mut pieces = 0;
        self.0.read(bytes, |frame| pieces += u32::from(frame.kind == DATA && frame.len > 0));
        pieces
    }

    pub fn is_between_frames(&self) -> bool {
        self.0.have == 0 && self.0.skip == 0
    }
}

pub(super) struct Header {
    len: usize,
    pub(super) kind: u8,
    flags: u8,
    stream: u32,
}

/// Where in a sequence of frames a stream of bytes is.
#[derive(Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the payload that are still to come.
    skip: usize,
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Header)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEADER {
                let [a, b, c, kind, flags, stream @ ..] = self.header;
                let len = u32::from_be_bytes([0, a, b, c]) as usize;
                (self.have, self.skip) = (0, len);
                each(Header { len, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff });
            }
        }
    }
}

struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.since);
        self.since = now;
        self.left = (self.left + passed.as_secs_f64() * A_SECOND).min(AT_ONCE) - 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        out
    }

    /// How many of `one` pass, coming in pieces of `cut` bytes.
    fn passed(one: &[u8], cut: usize) -> usize {
        let now = Instant::now();
        let mut budget = FrameBudget::new(now);
        assert!(budget.allows(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now));
        (0..10_000).take_while(|_| one.chunks(cut).all(|piece| budget.allows(piece, now))).count()
    }

    #[test]
    fn what_carries_nothing_is_counted_however_it_is_cut() {
        for cut in [1, 4, 9, 100] {
            assert_eq!(passed(&frame(RST_STREAM, 0, 1, &[0; 4]), cut), 500);
            assert_eq!(passed(&frame(6, 0, 0, &[0; 8]), cut), 500);
            assert_eq!(passed(&frame(0x42, 0, 0, &[]), cut), 500);
            assert_eq!(passed(&frame(DATA, 0, 1, &[]), cut), 500);
            assert_eq!(passed(&frame(DATA, END_STREAM, 1, &[]), cut), 10_000);
            assert_eq!(passed(&frame(DATA, 0, 1, b"a"), cut), 10_000);
            assert_eq!(passed(&frame(WINDOW_UPDATE, 0, 1, &[0; 4]), cut), 10_000);
        }
    }

    #[test]
    fn requests_earn_control_frames_but_no_resets() {
        let now = Instant::now();
        let passed = |behind: &[u8]| {
            let mut budget = FrameBudget::new(now);
            assert!(budget.allows(&[0; PREFACE], now));
            let requests = (0..10_000).map(|n| [&frame(HEADERS, 5, 2 * n + 1, &[0x82]), behind].concat());
            requests.take_while(|bytes| budget.allows(bytes, now)).count()
        };
        assert_eq!(passed(&frame(16, 0, 0, &[0; 8])), 10_000);
        assert_eq!(passed(&frame(RST_STREAM, 0, 1, &[0; 4])), 500);
        // Fields without a request of their own earn nothing.
        assert_eq!(self::passed(&frame(HEADERS, 4, 1, &[]), 9), 500);
        assert_eq!(self::passed(&frame(HEADERS, 4, 1, &[0x82]), 9), 501);
    }

    #[test]
    fn time_gives_back() {
        let now = Instant::now();
        let ping = frame(6, 0, 0, &[0; 8]);
        let mut budget = FrameBudget::new(now);
        assert!(budget.allows(&[0; PREFACE], now));
        for second in 0..1000 {
            let now = now + Duration::from_secs(second);
            assert!((0..20).all(|_| budget.allows(&ping, now)), "second {second}");
        }
    }

    #[test]
    fn a_client_that_pings_once_for_each_piece_it_gets_goes_on() {
        let now = Instant::now();
        let (ping, piece) = (frame(6, 0, 0, &[0; 8]), frame(DATA, 0, 1, b"a piece"));
        let (mut budget, mut written) = (FrameBudget::new(now), Written::default());
        assert!(budget.allows(&[0; PREFACE], now));
        for _ in 0..10_000 {
            budget.answered(written.wrote(&piece[..4]) + written.wrote(&piece[4..]));
            assert!(budget.allows(&ping, now));
        }
        // What carries nothing earns nothing: neither does an answer to a ping, nor an empty end.
        let silence = [frame(6, 1, 0, &[0; 8]), frame(DATA, END_STREAM, 1, &[])].concat();
        assert_eq!(written.wrote(&silence), 0);
    }

    #[test]
    fn a_goodbye_is_one_whole_frame() {
        let mut written = Written::default();
        let goodbye = FrameBudget::new(Instant::now()).goodbye();
        written.wrote(&goodbye[..12]);
        assert!(!written.is_between_frames());
        written.wrote(&goodbye[12..]);
        assert!(written.is_between_frames());
    }
}
