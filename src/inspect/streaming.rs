//! What the messages of one exchange have in common, where they are judged one by one: how each is shown to the rules,
//! and where it is noted that one was stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderMap;

use super::frames::{Conversation, Heard, Said};
use super::{Case, Stop};
use crate::waf::input::{Body, End, Extent};
use crate::waf::report::Report;

/// Tells of a message that passes because rules stop nothing in this mode.
pub type Tell = Box<dyn Fn(End, Box<Report>) + Send + Sync>;

/// How a message is judged, for who sees that there are messages. Made only then.
pub struct Streaming {
    pub conversation: Arc<Conversation>,
    pub note: StreamNote,
    pub tell: Tell,
}

impl Streaming {
    pub fn hearing(self, answer: Option<Answer>) -> Hearing {
        let from = if answer.is_some() { End::Origin } else { End::Client };
        let Streaming { conversation, note, tell } = self;
        Hearing { conversation, from, answer, slices: false, note, tell }
    }

    /// For what follows the first window of a body.
    pub fn slices(self, answer: Option<Answer>) -> Hearing {
        Hearing { slices: true, ..self.hearing(answer) }
    }
}

/// What is known of an exchange's messages, for the record; most of it only after the head of the answer has gone.
#[derive(Clone, Default)]
pub struct StreamNote(Arc<Slot>);

#[derive(Default)]
struct Slot {
    passed: [AtomicU64; 2],
    /// Messages that were longer than what is looked at, or for which the rules had no time.
    partial: [AtomicU64; 2],
    stopped: Mutex<Option<(End, Stop)>>,
    case: Mutex<Option<Case>>,
}

impl StreamNote {
    /// Whose message was stopped, and why.
    pub fn take(&self) -> Option<(End, Stop)> {
        self.0.stopped.lock().ok()?.take()
    }

    /// What the rules made of that message.
    pub fn case(&self) -> Option<Case> {
        self.0.case.lock().ok()?.take()
    }

    /// How many messages passed, if any did.
    pub fn in_words(&self) -> Option<String> {
        let [client, origin] = [0, 1].map(|side: usize| self.0.passed[side].load(Ordering::Relaxed));
        (client + origin > 0)
            .then(|| format!("messages passed: {client} from the client, {origin} from the origin"))
    }

    /// True where some message was looked at in part.
    pub fn is_partial(&self, from: End) -> bool {
        self.0.partial[side(from)].load(Ordering::Relaxed) > 0
    }
}

fn side(from: End) -> usize {
    usize::from(from == End::Origin)
}

/// Shows the messages of one direction to the rules.
pub struct Hearing {
    pub conversation: Arc<Conversation>,
    pub from: End,
    /// The head of the answer, for what the origin says.
    pub answer: Option<Answer>,
    /// Not messages, but slices of one body.
    pub slices: bool,
    pub note: StreamNote,
    pub tell: Tell,
}

/// The head of an answer, as far as rules see it.
pub struct Answer {
    pub status: u16,
    pub protocol: &'static str,
    pub headers: HeaderMap,
    /// Its messages are events.
    pub events: bool,
}

impl Hearing {
    /// The verdict on one message, or on a part of one.
    pub fn hear(&self, bytes: &[u8], extent: Extent, problem: Option<&str>) -> Result<(), Stop> {
        let body = Body { bytes, extent, coding_error: problem };
        let said = match &self.answer {
            None if self.slices => Said::Part(body),
            None => Said::Request(body),
            Some(answer) => Said::Answer(answer, body),
        };
        match self.conversation.hear(&said) {
            Heard::Fine => {}
            Heard::Unseen => self.partial(),
            Heard::WouldStop(report) => (self.tell)(self.from, report),
            Heard::Stopped(case, stop) => {
                if let Ok(mut slot) = self.note.0.case.lock() {
                    slot.get_or_insert(case);
                }
                return Err(stop);
            }
        }
        if extent == Extent::Whole {
            self.note.0.passed[side(self.from)].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes that nothing more passes.
    pub fn stop(&self, stop: Stop) {
        if let Ok(mut slot) = self.note.0.stopped.lock() {
            slot.get_or_insert((self.from, stop));
        }
    }

    /// Notes that a message is not looked at to its end.
    pub fn partial(&self) {
        self.note.0.partial[side(self.from)].fetch_add(1, Ordering::Relaxed);
    }
}
