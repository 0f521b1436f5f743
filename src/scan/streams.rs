//! One body with its scanner: the whole of it, and each of its parts where it has such. A finding that policy refuses
//! ends the scan; after one that policy lets pass the other streams are still scanned.

use std::io;
use std::sync::Arc;

use super::parts::{Event, Splitter};
use super::wait::Budget;
use super::{About, Config, Direction, Finding, Outcome, Piece, Pieces, Waiting, clamd, icap};

/// Who scans.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    Clamd(clamd::Endpoint),
    Icap { download: Arc<icap::Service>, upload: Arc<icap::Service> },
}

impl Engine {
    fn service(&self, direction: Direction) -> Option<&Arc<icap::Service>> {
        match self {
            Engine::Clamd(_) => None,
            Engine::Icap { download, upload } => {
                Some(if direction == Direction::Download { download } else { upload })
            }
        }
    }

    async fn open(&self, about: &About, wait: &mut Budget) -> io::Result<Session> {
        match (self, self.service(about.direction)) {
            (Engine::Clamd(at), _) => clamd::Session::open(at, wait).await.map(Session::Clamd),
            (_, Some(service)) => {
                let session = icap::Session::open(service.clone(), about, wait).await?;
                Ok(Session::Icap(Box::new(session)))
            }
            (_, None) => Err(io::Error::other("there is no scanner")),
        }
    }

    fn failed(&self, about: &About, error: &io::Error) -> Finding {
        Finding::Failed(match (self, self.service(about.direction)) {
            (Engine::Clamd(at), _) => format!("clamd at {at}: {error}"),
            (_, Some(service)) => format!("the ICAP service {}: {error}", service.address()),
            (_, None) => error.to_string(),
        })
    }
}

/// One stream in the hands of the scanner.
enum Session {
    Clamd(clamd::Session),
    Icap(Box<icap::Session>),
}

impl Session {
    /// A finding where the scanner needs no more.
    async fn write(&mut self, bytes: &[u8], wait: &mut Budget) -> io::Result<Option<Finding>> {
        match self {
            Session::Clamd(session) => session.write(bytes, wait).await,
            Session::Icap(session) => session.write(bytes, wait).await,
        }
    }

    async fn finish(self, wait: &mut Budget) -> io::Result<Finding> {
        match self {
            Session::Clamd(session) => session.finish(wait).await,
            Session::Icap(session) => session.finish(wait).await,
        }
    }
}

/// The whole body, or its parts one after the other.
struct Stream {
    about: About,
    state: State,
}

enum State {
    Shut,
    Open(Session),
    /// Its finding is there; the rest of it goes nowhere.
    Over,
}

/// What all streams of a body have in common.
struct Body<'a> {
    engine: &'a Engine,
    config: &'a Config,
    wait: Budget,
    /// The first finding that policy lets pass.
    passed: Option<Finding>,
}

/// Scans one body.
pub(super) async fn scan(
    engine: &Engine,
    about: About,
    config: &Config,
    wait: Budget,
    mut pieces: Pieces,
) -> Finding {
    let mut body = Body { engine, config, wait, passed: None };
    let mut splitter = about.boundary.as_deref().map(Splitter::new);
    let _permit = match engine.service(about.direction) {
        None => None,
        Some(service) => {
            let streams = if splitter.is_some() { 2 } else { 1 };
            let _waiting = Waiting::new(&pieces.share.slots.waiting);
            match service.permit(about.direction, streams, &mut body.wait).await {
                Ok(permit) => permit,
                Err(error) => return engine.failed(&about, &error),
            }
        }
    };
    let kind = b"application/octet-stream".to_vec();
    let mut part =
        Stream { about: About { content_type: kind, boundary: None, ..about.clone() }, state: State::Shut };
    let mut whole = Stream { about, state: State::Shut };
    let mut told = false;
    loop {
        let piece = match pieces.next().await {
            Ok(piece) => piece,
            Err(why) => return Finding::Failed(why.to_owned()),
        };
        let mut events = Vec::new();
        let (bytes, ended) = match &piece {
            Piece::Data(bytes) => (&bytes[..], false),
            Piece::End => (&[][..], true),
        };
        if let Some(finding) = body.write(&mut whole, bytes).await {
            return finding;
        }
        if let Some(splitter) = &mut splitter {
            splitter.push(bytes, &mut events);
            if ended {
                splitter.finish(&mut events);
            }
            if splitter.is_odd() && !std::mem::replace(&mut told, true) {
                let odd = "its parts cannot be told apart: receivers would not agree where each ends";
                if let Some(finding) = body.weigh(Finding::Failed(odd.to_owned())) {
                    return finding;
                }
            }
        }
        for event in events {
            let finding = match event {
                Event::Data(bytes) => body.write(&mut part, &bytes).await,
                Event::End => body.finish(&mut part).await,
            };
            if let Some(finding) = finding {
                return finding;
            }
        }
        if ended && let Some(finding) = body.finish(&mut whole).await {
            return finding;
        }
        if ended || splitter.is_none() && matches!(whole.state, State::Over) {
            return body.passed.unwrap_or(Finding::Clean);
        }
    }
}

impl Body<'_> {
    /// A finding that is final.
    async fn write(&mut self, stream: &mut Stream, bytes: &[u8]) -> Option<Finding> {
        if matches!(stream.state, State::Shut) {
            match self.engine.open(&stream.about, &mut self.wait).await {
                Ok(session) => stream.state = State::Open(session),
                Err(error) => return self.over(stream, self.engine.failed(&stream.about, &error)),
            }
        }
        let State::Open(session) = &mut stream.state else { return None };
        let finding = match session.write(bytes, &mut self.wait).await {
            Ok(finding) => finding?,
            Err(error) => self.engine.failed(&stream.about, &error),
        };
        self.over(stream, finding)
    }

    async fn finish(&mut self, stream: &mut Stream) -> Option<Finding> {
        let State::Open(session) = std::mem::replace(&mut stream.state, State::Shut) else { return None };
        let finished = session.finish(&mut self.wait).await;
        let finding = finished.unwrap_or_else(|error| self.engine.failed(&stream.about, &error));
        self.weigh(finding)
    }

    fn over(&mut self, stream: &mut Stream, finding: Finding) -> Option<Finding> {
        stream.state = State::Over;
        self.weigh(finding)
    }

    fn weigh(&mut self, finding: Finding) -> Option<Finding> {
        if self.config.outcome(&finding) == Outcome::Deny {
            return Some(finding);
        }
        if finding != Finding::Clean {
            self.passed.get_or_insert(finding);
        }
        None
    }
}
