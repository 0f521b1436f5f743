//! Messages of a WebSocket before the rules. Each is a transaction of its own with the head of the
//! request that opened the WebSocket, so nothing is carried from one message to the next but what
//! rules keep in persistent collections; rules that count requests count messages too.

use http::{HeaderMap, Version};

use super::request::{Aim, head};
use super::{Case, Stop};
use crate::message::target::Scheme;
use crate::net::Authority;
use crate::waf::Transaction;
use crate::waf::input::{End, Message, ResponseHead};
use crate::waf::report::Report;

/// What the messages of one WebSocket have in common.
pub struct Conversation {
    /// Begins a transaction with what is known of the connection.
    pub begin: Box<dyn Fn() -> Transaction + Send + Sync>,
    pub scheme: Scheme,
    pub authority: Authority,
    pub path: String,
    /// The opening request's fields, as the client sent them.
    pub headers: HeaderMap,
}

/// What rules say of a message.
pub enum Heard {
    /// It may pass.
    Fine,
    /// It may pass, because nothing is stopped in this mode.
    WouldStop(Box<Report>),
    /// It may not. The case is still open.
    Stopped(Case, Stop),
}

impl Conversation {
    /// Shows a message to the rules; a long one is looked at aside.
    pub fn hear(&self, message: &Message<'_>) -> Heard {
        /// As for bodies: rules take tens of milliseconds for a megabyte.
        const LARGE: usize = 128 * 1024;
        if message.bytes.len() > LARGE {
            tokio::task::block_in_place(|| self.judge(message))
        } else {
            self.judge(message)
        }
    }

    fn judge(&self, message: &Message<'_>) -> Heard {
        let case = Case::open((self.begin)());
        match self.show(&case, message) {
            Err(stop) => Heard::Stopped(case, stop),
            Ok(()) => match case.finish() {
                Some(report) if report.interruption.is_some() => Heard::WouldStop(Box::new(report)),
                _ => Heard::Fine,
            },
        }
    }

    fn show(&self, case: &Case, message: &Message<'_>) -> Result<(), Stop> {
        let aim = Aim { scheme: self.scheme, authority: &self.authority, path: &self.path };
        head(case, aim, "GET", Version::HTTP_11, &self.headers)?;
        if message.from == End::Origin {
            case.decide(|tx| {
                tx.response_headers(&ResponseHead { status: 101, protocol: "HTTP/1.1", fields: &[] })
            })?;
        }
        case.decide(|tx| tx.websocket_message(message))
    }
}
