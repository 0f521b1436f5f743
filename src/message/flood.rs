//! A budget for HTTP/2 frames that cost us work and carry nothing: resets, pings, settings, priorities, empty data,
//! padding, pieces of a field block, kinds nobody knows. The library below counts the worst forms of some of these;
//! this counts all of them, whatever state their stream is in. Window updates are not counted: a long download needs
//! as many. It looks at frame headers and nothing else: whether a frame is right is `strict`'s business and the
//! library's.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::*;
use super::strict::{Strict, Violation};
use crate::net::Limits;

/// Control frames that a request earns its client: reprioritising it, and a field block in pieces.
const A_REQUEST_EARNS: f64 = 4.0;

const ENHANCE_YOUR_CALM: u32 = 11;

/// Why a client's frames are taken no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    Flood,
    Broken(Violation),
}

/// Everything that is looked at in a client's frames before the library gets them.
pub struct Inbound {
    reader: Reader,
    strict: Strict,
    budget: FrameBudget,
}

impl Inbound {
    pub fn new(limits: &Limits, now: Instant) -> Inbound {
        Inbound {
            reader: Reader::behind(PREFACE),
            strict: Strict::default(),
            budget: FrameBudget::new(limits.h2_control_burst, limits.h2_control_rate, now),
        }
    }

    /// Looks at bytes as they arrive.
    pub fn sees(&mut self, bytes: &[u8], now: Instant) -> Result<(), Objection> {
        let Inbound { reader, strict, budget } = self;
        reader.read(bytes, |event| {
            let last_stream = strict.last_stream();
            strict.sees(&event).map_err(Objection::Broken)?;
            match event {
                Event::Begins(header) if !budget.allows(&header, last_stream, now) => Err(Objection::Flood),
                _ => Ok(()),
            }
        })
    }

    /// Pieces of answers went out.
    pub fn answered(&mut self, pieces: u32) {
        self.budget.answered(pieces);
    }

    /// The frame that says why the connection ends (RFC 9113 sections 6.8 and 10.5).
    pub fn goodbye(&self, objection: Objection) -> Vec<u8> {
        let (code, why) = match objection {
            Objection::Flood => (ENHANCE_YOUR_CALM, "too many frames that carry nothing"),
            Objection::Broken(Violation { code, why }) => (code, why),
        };
        let last = self.strict.last_stream();
        frame(GOAWAY, 0, 0, &[&last.to_be_bytes()[..], &code.to_be_bytes(), why.as_bytes()].concat())
    }
}

/// What one client has left.
struct FrameBudget {
    resets: Bucket,
    control: Bucket,
}

impl FrameBudget {
    fn new(burst: u32, rate: u32, now: Instant) -> FrameBudget {
        let bucket = || Bucket { most: burst.into(), rate: rate.into(), left: burst.into(), since: now };
        FrameBudget { resets: bucket(), control: bucket() }
    }

    /// `false` once the client has spent more than it had. `last_stream` is the newest before this frame.
    fn allows(&mut self, frame: &Header, last_stream: u32, now: Instant) -> bool {
        let FrameBudget { resets, control } = self;
        match frame.kind {
            // Padding alone is as empty as nothing; how much of so short a frame it is stands in its payload.
            DATA if frame.flags & (PADDED | END_STREAM) == PADDED && frame.len <= 256 => control.take(now),
            DATA => frame.len > 0 || frame.flags & END_STREAM != 0 || control.take(now),
            // Fields for a stream that is open already, or none at all.
            HEADERS if frame.len == 0 || frame.stream <= last_stream => control.take(now),
            HEADERS => {
                control.earn(A_REQUEST_EARNS);
                true
            }
            RST_STREAM => resets.take(now),
            // A long download is acknowledged by as many of these as it has frames.
            WINDOW_UPDATE => true,
            _ => control.take(now),
        }
    }

    /// Each piece of an answer earns a control frame: clients that measure the way (gRPC's BDP estimate) ping once a
    /// round trip for as long as data comes, thousands of times a second nearby.
    fn answered(&mut self, pieces: u32) {
        self.control.earn(pieces.into());
    }
}

struct Bucket {
    most: f64,
    /// What comes back in a second.
    rate: f64,
    left: f64,
    since: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.since);
        self.since = now;
        self.left = (self.left + passed.as_secs_f64() * self.rate).min(self.most) - 1.0;
        self.left >= 0.0
    }

    fn earn(&mut self, frames: f64) {
        self.left = (self.left + frames).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(now: Instant) -> Inbound {
        let mut inbound = Inbound::new(&Limits::default(), now);
        assert_eq!(inbound.sees(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now), Ok(()));
        inbound
    }

    /// How many of `one` pass, coming in pieces of `cut` bytes.
    fn passed(one: &[u8], cut: usize) -> usize {
        let now = Instant::now();
        let mut inbound = inbound(now);
        // As anywhere, on a stream that is open.
        assert_eq!(inbound.sees(&frame(HEADERS, END_HEADERS, 1, &[0x82]), now), Ok(()));
        (0..10_000).take_while(|_| one.chunks(cut).all(|piece| inbound.sees(piece, now).is_ok())).count()
    }

    #[test]
    fn what_carries_nothing_is_counted_however_it_is_cut() {
        for cut in [1, 4, 9, 100] {
            assert_eq!(passed(&frame(RST_STREAM, 0, 1, &[0; 4]), cut), 500);
            assert_eq!(passed(&frame(6, 0, 0, &[0; 8]), cut), 500);
            assert_eq!(passed(&frame(0x42, 0, 0, &[]), cut), 500);
            assert_eq!(passed(&frame(DATA, 0, 1, &[]), cut), 500);
            assert_eq!(passed(&frame(DATA, PADDED, 1, &[0]), cut), 500);
            assert_eq!(passed(&frame(DATA, 0, 1, b"a"), cut), 10_000);
            assert_eq!(passed(&frame(WINDOW_UPDATE, 0, 1, &[0; 4]), cut), 10_000);
        }
    }

    #[test]
    fn the_end_of_a_body_is_free() {
        let now = Instant::now();
        let mut inbound = inbound(now);
        for stream in (1..20_000).step_by(2) {
            let request = frame(HEADERS, END_HEADERS, stream, &[0x83]);
            let both = [request, frame(DATA, END_STREAM, stream, &[])].concat();
            assert_eq!(inbound.sees(&both, now), Ok(()), "{stream}");
        }
    }

    #[test]
    fn requests_earn_control_frames_but_no_resets() {
        let now = Instant::now();
        let passed = |behind: &[u8]| {
            let mut inbound = inbound(now);
            let requests = (0..10_000).map(|n| [&frame(HEADERS, 5, 2 * n + 1, &[0x82]), behind].concat());
            requests.take_while(|bytes| inbound.sees(bytes, now).is_ok()).count()
        };
        assert_eq!(passed(&frame(16, 0, 0, &[0; 8])), 10_000);
        assert_eq!(passed(&frame(RST_STREAM, 0, 1, &[0; 4])), 500);
        // Fields without a request of their own earn nothing.
        assert_eq!(self::passed(&frame(HEADERS, 4, 1, &[]), 9), 500);
        assert_eq!(self::passed(&frame(HEADERS, 4, 1, b"\0\x01x\x01y"), 9), 500);
    }

    #[test]
    fn time_gives_back() {
        let now = Instant::now();
        let ping = frame(6, 0, 0, &[0; 8]);
        let mut inbound = inbound(now);
        for second in 0..1000 {
            let now = now + Duration::from_secs(second);
            assert!((0..20).all(|_| inbound.sees(&ping, now).is_ok()), "second {second}");
        }
    }

    #[test]
    fn a_client_that_pings_once_for_each_piece_it_gets_goes_on() {
        let now = Instant::now();
        let (ping, piece) = (frame(6, 0, 0, &[0; 8]), frame(DATA, 0, 1, b"a piece"));
        let (mut inbound, mut written) = (inbound(now), Written::default());
        for _ in 0..10_000 {
            inbound.answered(written.wrote(&piece[..4]) + written.wrote(&piece[4..]));
            assert!(inbound.sees(&ping, now).is_ok());
        }
        // What carries nothing earns nothing: neither does an answer to a ping, nor an empty end.
        let silence = [frame(6, 1, 0, &[0; 8]), frame(DATA, END_STREAM, 1, &[])].concat();
        assert_eq!(written.wrote(&silence), 0);
    }

    #[test]
    fn a_goodbye_is_one_whole_frame() {
        let mut written = Written::default();
        let goodbye = Inbound::new(&Limits::default(), Instant::now()).goodbye(Objection::Flood);
        written.wrote(&goodbye[..12]);
        assert!(!written.is_between_frames());
        written.wrote(&goodbye[12..]);
        assert!(written.is_between_frames());
    }
}
