//! After a 101: both upgraded ends are joined. Where there are rules, every message goes through
//! them before it is let go, and one that is stopped ends the WebSocket on both sides; without
//! rules the bytes are relayed as they are.

mod pump;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use self::pump::{Counted, Ended, Outbox, Pump};
use super::finish::Ending;
use super::respond::Problem;
use super::tunnel::{self, Moved, silence};
use super::{Gateway, spawn};
use crate::audit::{Stage, Verdict};
use crate::inspect::{Conversation, Stop};
use crate::message::reason::Code;
use crate::message::websocket::{Violation, close};
use crate::policy::FailModes;
use crate::waf::input::End;

/// An end that was told to close has this long to read it and to close in turn.
const FAREWELL: Duration = Duration::from_secs(2);

/// The other side of a WebSocket that one side has closed has this long to say its own goodbye.
const CLOSING: Duration = Duration::from_secs(30);

/// What a WebSocket's messages are judged by.
pub struct Talk {
    pub conversation: Conversation,
    pub fail: FailModes,
    /// The offer of extensions that was taken out of the opening request.
    pub dropped: Option<String>,
}

/// Joins both ends as soon as both have changed protocols.
pub fn join(
    gateway: &Arc<Gateway>,
    client: OnUpgrade,
    origin: OnUpgrade,
    talk: Option<Talk>,
    mut ending: Ending,
) {
    ending.stage(Stage::Upgrade);
    let shared = gateway.clone();
    spawn(gateway, async move {
        match (tokio::try_join!(client, origin), talk) {
            (Ok((client, origin)), Some(talk)) => {
                Box::pin(talking(&shared, client, origin, &talk, ending)).await;
            }
            (Ok((client, origin)), None) => {
                ending.note(|record| record.verdict = Verdict::Passed);
                let (client, origin) = (TokioIo::new(client), TokioIo::new(origin));
                let ended = tunnel::pipe(client, origin, &shared.limits, &mut ending).await;
                ending.note(|record| {
                    record.stage = Stage::Done;
                    record.sentence = ended.in_words().unwrap_or_default().into();
                });
            }
            (Err(error), _) => {
                ending.broke(Code::ClientGone, format!("the upgrade was not completed: {error}"));
            }
        }
    });
}

/// Passes messages both ways until the WebSocket ends, and writes its record.
async fn talking(gateway: &Gateway, client: Upgraded, origin: Upgraded, talk: &Talk, mut ending: Ending) {
    ending.note(|record| record.verdict = Verdict::Passed);
    let (mut from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (mut from_origin, to_origin) = tokio::io::split(TokioIo::new(origin));
    let mut to_client = Outbox::new(to_client, End::Client);
    let mut to_origin = Outbox::new(to_origin, End::Origin);
    let (moved, counted) = (Moved::default(), Counted::default());
    let how = {
        let pump = |from| Pump {
            from,
            talk,
            limits: &gateway.limits,
            moved: &moved,
            counted: &counted,
            ending: &ending,
        };
        let up = pump(End::Client).run(&mut from_client, &mut to_origin);
        let down = pump(End::Origin).run(&mut from_origin, &mut to_client);
        tokio::select! {
            how = both(up, down) => how,
            () = silence(&moved, gateway.limits.tunnel_idle) => Over::Silent(gateway.limits.tunnel_idle),
            () = gateway.draining.cancelled() => Over::Draining,
        }
    };
    ending.note(|record| {
        record.bytes_from_client = moved.from_client.load(Ordering::Relaxed);
        record.bytes_to_client = moved.to_client.load(Ordering::Relaxed);
    });
    let notes = [
        talk.dropped.as_ref().map(|offer| {
            format!("the offer of {offer} was not passed on, so that messages can be inspected")
        }),
        Some(counted.in_words()),
    ];
    let notes = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let said = tell(how, &mut ending, notes);
    // The record does not wait for ends that take their time.
    drop(ending);
    if let Some([client, origin]) = said {
        let farewell = async {
            tokio::join!(
                part(&mut to_client, &mut from_client, &client),
                part(&mut to_origin, &mut from_origin, &origin),
            );
        };
        let _ = timeout(FAREWELL * 2, farewell).await;
    }
}

/// How the whole of it ended.
enum Over {
    /// Both sides closed.
    Closed,
    Reset(std::io::Error),
    Silent(Duration),
    /// We are told to stop; it would not end by itself.
    Draining,
    Violation(End, Violation),
    /// A rule, or policy, stopped a message.
    Stopped(End, Box<(Option<crate::inspect::Case>, Stop)>),
}

/// Runs both directions until both have ended, or one of them in a way that ends the other.
async fn both(up: impl Future<Output = Ended>, down: impl Future<Output = Ended>) -> Over {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let (from, first) = tokio::select! {
        ended = &mut up => (End::Client, ended),
        ended = &mut down => (End::Origin, ended),
    };
    let closing = matches!(first, Ended::Closed);
    if let Some(over) = first.over(from) {
        return over;
    }
    let rest = async {
        match from {
            End::Client => (End::Origin, down.await),
            End::Origin => (End::Client, up.await),
        }
    };
    let rest = if closing { timeout(CLOSING, rest).await.ok() } else { Some(rest.await) };
    rest.and_then(|(from, ended)| ended.over(from)).unwrap_or(Over::Closed)
}

/// Writes the end into the record; code and reason for the client and for the origin, if they are
/// still to be told.
fn tell(how: Over, ending: &mut Ending, notes: String) -> Option<[(u16, String); 2]> {
    let gone = |what: &str| (close::GOING_AWAY, what.to_owned());
    match how {
        Over::Closed => {
            done(ending, notes);
            // Who has had a close frame hears no second one.
            Some([gone("the other side went away"), gone("the other side went away")])
        }
        Over::Reset(error) => {
            done(ending, format!("one end broke off: {error}; {notes}"));
            None
        }
        Over::Silent(idle) => {
            done(ending, format!("closed after {idle:?} of silence; {notes}"));
            Some([gone("idle for too long"), gone("idle for too long")])
        }
        Over::Draining => {
            done(ending, format!("closed because the proxy stops; {notes}"));
            Some([gone("the proxy stops"), gone("the proxy stops")])
        }
        Over::Violation(from, violation) => {
            let code = match from {
                End::Client => Code::Malformed,
                End::Origin => Code::OriginGarbage,
            };
            ending.broke(code, format!("WebSocket, {}: {violation}; {notes}", from.name()));
            let (broke, other) =
                ((violation.code, violation.what.to_owned()), gone("the other side broke off"));
            Some(match from {
                End::Client => [broke, other],
                End::Origin => [other, broke],
            })
        }
        Over::Stopped(from, why) => {
            let (case, stop) = *why;
            let code = match stop {
                Stop::Oversize { .. } => close::TOO_BIG,
                Stop::Engine | Stop::OutOfTime => close::INTERNAL,
                _ => close::POLICY,
            };
            if let Some(case) = case {
                ending.case(case);
            }
            ending.problem(&match from {
                End::Client => Problem::Request(stop),
                End::Origin => Problem::Response(stop),
            });
            ending.note(|record| {
                let (from, why) = (from.name(), &record.sentence);
                record.sentence =
                    format!("a message from the {from} was not passed on: {why}; {notes}").into();
            });
            let reason = format!("Portward did not pass on a message, receipt {}", ending.id());
            Some([(code, reason.clone()), (code, reason)])
        }
    }
}

fn done(ending: &mut Ending, sentence: String) {
    ending.note(|record| {
        record.stage = Stage::Done;
        record.sentence = sentence.into();
    });
}

/// Says goodbye, and waits a moment for the other's: a socket that is dropped with unread bytes in
/// it is reset, and what we said is lost with it.
async fn part<R, W>(out: &mut Outbox<W>, read: &mut R, said: &(u16, String))
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    out.close(said.0, &said.1);
    let bye = async {
        if out.flush().await.is_ok() && out.shutdown().await.is_ok() {
            let mut sink = vec![0; 4096];
            while matches!(read.read(&mut sink).await, Ok(1..)) {}
        }
    };
    let _ = timeout(FAREWELL, bye).await;
}
