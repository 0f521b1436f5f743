//! Messages before the rules: of a WebSocket, of gRPC, of an event stream. Each is a transaction of its own with the
//! head of the request that opened the conversation, so nothing is carried from one message to the next but what
//! rules keep in persistent collections; rules that count requests count messages too.

use http::{HeaderMap, Method, Version};

use super::request::{Aim, head};
use super::streaming::Answer;
use super::{Case, Stop, fields};
use crate::message::target::Scheme;
use crate::net::Authority;
use crate::waf::input::{Body, End, Message, ResponseHead};
use crate::waf::report::Report;

/// What the messages of one exchange have in common.
pub struct Conversation {
    /// Begins a transaction with what is known of the connection.
    pub begin: Box<dyn Fn() -> Case + Send + Sync>,
    pub scheme: Scheme,
    pub authority: Authority,
    pub method: Method,
    pub version: Version,
    pub path: String,
    /// The opening request's fields, as the client sent them.
    pub headers: HeaderMap,
}

/// A message, by where it stands.
pub enum Said<'a> {
    Websocket(&'a Message<'a>),
    /// In the request's body.
    Request(Body<'a>),
    /// A slice of the request's body, behind its beginning.
    Part(Body<'a>),
    /// In the answer's.
    Answer(&'a Answer, Body<'a>),
}

impl Said<'_> {
    fn size(&self) -> usize {
        match self {
            Said::Websocket(message) => message.bytes.len(),
            Said::Request(body) | Said::Part(body) | Said::Answer(_, body) => body.bytes.len(),
        }
    }
}

/// What rules say of a message.
pub enum Heard {
    /// It may pass.
    Fine,
    /// It may pass, because policy lets pass what rules could not look at to its end.
    Unseen,
    /// It may pass, because nothing is stopped in this mode.
    WouldStop(Box<Report>),
    /// It may not. The case is still open.
    Stopped(Case, Stop),
}

impl Conversation {
    /// Shows a message to the rules; a long one is looked at aside.
    pub fn hear(&self, said: &Said<'_>) -> Heard {
        /// As for bodies: rules take tens of milliseconds for a megabyte.
        const LARGE: usize = 128 * 1024;
        if said.size() > LARGE { tokio::task::block_in_place(|| self.judge(said)) } else { self.judge(said) }
    }

    fn judge(&self, said: &Said<'_>) -> Heard {
        let case = (self.begin)();
        match self.show(&case, said) {
            Err(stop) => Heard::Stopped(case, stop),
            Ok(()) => match case.finish() {
                Some(report) if report.interruption.is_some() => Heard::WouldStop(Box::new(report)),
                _ if case.is_out_of_time() || case.has_failed() => Heard::Unseen,
                _ => Heard::Fine,
            },
        }
    }

    fn show(&self, case: &Case, said: &Said<'_>) -> Result<(), Stop> {
        let aim = Aim { scheme: self.scheme, authority: &self.authority, path: &self.path };
        head(case, aim, self.method.as_str(), self.version, &self.headers)?;
        match said {
            Said::Websocket(message) => {
                if message.from == End::Origin {
                    case.decide(|tx| {
                        tx.response_headers(&ResponseHead { status: 101, protocol: "HTTP/1.1", fields: &[] })
                    })?;
                }
                case.decide(|tx| tx.websocket_message(message))
            }
            Said::Request(body) => case.decide(|tx| tx.request_body(body)),
            Said::Part(body) => case.decide(|tx| tx.request_part(body)),
            Said::Answer(answer, body) => {
                let (status, protocol) = (answer.status, answer.protocol);
                let fields = &fields(&answer.headers);
                case.decide(|tx| tx.response_headers(&ResponseHead { status, protocol, fields }))?;
                case.decide(|tx| if answer.events { tx.event(body) } else { tx.response_body(body) })
            }
        }
    }
}
