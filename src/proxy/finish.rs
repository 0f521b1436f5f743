//! Outcome to audit record, exactly once: an [`Ending`] is opened when something begins and
//! written when it is dropped, whatever happened in between. It names the stage reached.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::classify::Unclear;
use super::respond::{self, Problem};
use super::{Client, Gateway};
use crate::audit::record::{Inspection, OriginLeg};
use crate::audit::{Kind, Record, Stage, Submitted, Verdict};
use crate::inspect::{Case, ScanNote, StreamNote, Tell};
use crate::message::body::{BodyError, Refusal};
use crate::message::reason::Code;
use crate::net::{Authority, ClientAddr, ConnectionId, ReceiptId};
use crate::origin::dial::OriginFacts;
use crate::policy::{Denial, Permit, Reason};
use crate::scan::Direction;
use crate::tls::ClientAuth;
use crate::waf::input::End;
use crate::waf::report::Report;

/// The open end of an exchange, a tunnel or a connection.
pub struct Ending {
    gateway: Arc<Gateway>,
    record: Option<Box<Record>>,
    started: Instant,
    case: Option<Case>,
    /// Scans of the request's and the response's body.
    scans: [Option<ScanNote>; 2],
    /// Messages that are judged one by one.
    messages: Option<StreamNote>,
}

/// An unguessable id, from random bytes that are fetched for many at a time.
fn receipt() -> ReceiptId {
    const BATCH: usize = 64;
    thread_local! {
        static BYTES: RefCell<(usize, [u8; 10 * BATCH])> = const { RefCell::new((BATCH, [0; 10 * BATCH])) };
    }
    BYTES.with_borrow_mut(|(used, bytes)| {
        if *used == BATCH {
            // Without a source of randomness ids repeat; that is visible, and nothing else hangs on it.
            if getrandom::fill(bytes).is_err() {
                tracing::error!("the system has no random bytes; receipt ids are not unique");
            }
            *used = 0;
        }
        let mut id = [0; 10];
        id.copy_from_slice(&bytes[*used * 10..][..10]);
        *used += 1;
        ReceiptId::from_random(id)
    })
}

impl Ending {
    pub fn begin(gateway: &Arc<Gateway>, client: &Client, kind: Kind) -> Ending {
        let mut ending = Ending::anonymous(gateway, client.id, client.addr, kind);
        if let Some(record) = &mut ending.record {
            record.entry = Some(client.entry);
            record.identity = client.identity.as_ref().map(|identity| identity.name().to_owned());
        }
        ending
    }

    fn anonymous(gateway: &Arc<Gateway>, id: ConnectionId, addr: ClientAddr, kind: Kind) -> Ending {
        let mut record = Record::new(receipt(), SystemTime::now(), kind, id, addr);
        record.keys_logged = gateway.keys_logged;
        Ending {
            gateway: gateway.clone(),
            record: Some(Box::new(record)),
            started: Instant::now(),
            case: None,
            scans: [None, None],
            messages: None,
        }
    }

    /// A record of its own about a part of this one's exchange, which goes on.
    pub fn part(&self) -> Ending {
        let record = self.record.as_ref().map(|record| {
            let (id, time) = (receipt(), SystemTime::now());
            Box::new(Record { id, time, waf: None, ..(**record).clone() })
        });
        Ending {
            gateway: self.gateway.clone(),
            record,
            started: Instant::now(),
            case: None,
            scans: Default::default(),
            messages: None,
        }
    }

    /// What becomes of the messages that are judged one by one stands in this record, whenever it does.
    pub fn messages(&mut self) -> StreamNote {
        self.messages.get_or_insert_default().clone()
    }

    /// Tells, in records of their own, of messages that pass because rules stop nothing in this mode.
    pub fn tell(&self) -> Tell {
        let gateway = self.gateway.clone();
        let record = self.record.as_ref().map(|record| Record { waf: None, ..(**record).clone() });
        Box::new(move |from, report| {
            let Some(record) = &record else { return };
            let mut part = Ending {
                gateway: gateway.clone(),
                record: Some(Box::new(record.clone())),
                started: Instant::now(),
                case: None,
                scans: Default::default(),
                messages: None,
            };
            part.note(|record| (record.id, record.time) = (receipt(), SystemTime::now()));
            part.would_block(format!("a message from the {} would not have passed", from.name()), report);
        })
    }

    /// What stopped the exchange: a message, where one did.
    pub fn stopped(&mut self) -> Option<(End, Problem)> {
        let (from, stop) = self.messages.as_ref()?.take()?;
        Some((
            from,
            match from {
                End::Client => Problem::Request(stop),
                End::Origin => Problem::Response(stop),
            },
        ))
    }

    /// A message passed only because rules stop nothing in this mode.
    pub fn would_block(mut self, sentence: String, report: Box<Report>) {
        self.gateway.metrics.would_block.increment();
        self.note(|record| {
            record.verdict = Verdict::WouldBlock;
            record.sentence = sentence.into();
            record.waf = Some(report);
        });
    }

    pub fn id(&self) -> ReceiptId {
        self.record.as_ref().map_or(ReceiptId::from_random([0; 10]), |record| record.id)
    }

    /// When it began, by the wall clock.
    pub fn began(&self) -> SystemTime {
        self.record.as_ref().map_or(SystemTime::UNIX_EPOCH, |record| record.time)
    }

    pub fn stage(&mut self, stage: Stage) {
        self.note(|record| record.stage = stage);
    }

    /// Writes into the record.
    pub fn note(&mut self, write: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            write(record);
        }
    }

    /// The rules' transaction ends with this record.
    pub fn case(&mut self, case: Case) {
        self.case = Some(case);
    }

    /// `resent` is why the request went out once more, if it did.
    pub fn origin(&mut self, facts: &OriginFacts, pooled: bool, resent: &'static str) {
        self.note(|record| {
            record.origin_leg = OriginLeg {
                address: Some(facts.addr),
                tls: facts.tls.as_ref().map(super::intercept::facts),
                certificate: facts.shown.clone(),
                marks: facts.marks.clone(),
                client_certificate: match facts.client_auth {
                    ClientAuth::NotAsked => "",
                    ClientAuth::NoneGiven => "none_given",
                    ClientAuth::Given => "given",
                }
                .into(),
                pooled,
                resent: resent.into(),
                ..OriginLeg::default()
            };
            record.protection =
                record.client_leg.tls.as_ref().and_then(|client| super::intercept::protection(client, facts));
        });
    }

    /// What a scan finds stands in this record, whenever it does.
    pub fn scan(&mut self, direction: Direction) -> ScanNote {
        let note = ScanNote::default();
        self.scans[usize::from(direction == Direction::Download)] = Some(note.clone());
        note
    }

    /// A check that is no rule stopped the rest of the answer.
    pub fn refused(&mut self, refusal: Refusal) {
        let verdict = refusal_verdict(refusal.code);
        match verdict {
            Verdict::Blocked => self.gateway.metrics.blocked.increment(),
            _ => self.gateway.metrics.denied.increment(),
        }
        self.note(|record| {
            record.verdict = verdict;
            record.reason = refusal.code.as_str().into();
            record.sentence = refusal.sentence.into();
        });
    }

    /// It went all the way.
    pub fn passed(&mut self, verdict: Verdict) {
        self.note(|record| {
            record.verdict = verdict;
            record.stage = Stage::Done;
        });
    }

    /// It broke off, after the head of the answer was on its way or where there is no answer.
    pub fn broke(&mut self, code: Code, sentence: String) {
        self.note(|record| {
            record.verdict = Verdict::Failed;
            record.reason = code.as_str().into();
            record.sentence = sentence.into();
        });
    }

    /// It was refused or failed.
    pub fn problem(&mut self, problem: &Problem) {
        let explained = problem.explain();
        let verdict = match problem {
            Problem::Request(stop) | Problem::Response(stop) => match stop {
                crate::inspect::Stop::Body(BodyError::Stopped) => Verdict::Blocked,
                crate::inspect::Stop::Body(BodyError::Refused(refusal)) => refusal_verdict(refusal.code),
                crate::inspect::Stop::Body(_)
                | crate::inspect::Stop::Engine
                | crate::inspect::Stop::OutOfTime => Verdict::Failed,
                _ => Verdict::Blocked,
            },
            denied if denied.is_denial() => Verdict::Denied,
            _ => Verdict::Failed,
        };
        match verdict {
            Verdict::Blocked => self.gateway.metrics.blocked.increment(),
            Verdict::Denied => self.gateway.metrics.denied.increment(),
            _ if matches!(problem, Problem::Origin(_) | Problem::FirstByte { .. } | Problem::Exchange(_)) => {
                self.gateway.metrics.origin_errors.increment();
            }
            _ => {}
        }
        self.note(|record| {
            record.verdict = verdict;
            record.reason = explained.code.as_str().into();
            record.sentence = explained.sentence.into();
            record.policy_rule = explained.rule;
        });
    }

    /// Nothing to tell after all: what follows has records of its own.
    pub fn forget(mut self) {
        self.record = None;
    }

    /// A problem that has no answer to carry it.
    pub fn fail(mut self, problem: &Problem) {
        self.problem(problem);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.duration = self.started.elapsed();
        if let Some(messages) = self.messages.take() {
            self.case = messages.case().or(self.case.take());
            tell_messages(&mut record, &messages);
        }
        let case = self.case.take();
        let unseen = match &case {
            Some(case) if case.has_failed() => Some("the rule engine failed"),
            Some(case) if case.is_out_of_time() => Some("the rules took too long"),
            _ => None,
        };
        if let Some(why) = unseen {
            record.request_inspection = Some(Inspection::partial(why));
            record.response_inspection = record.response_inspection.map(|_| Inspection::partial(why));
        }
        if let Some(report) = case.and_then(|case| case.finish()) {
            if record.verdict == Verdict::Passed && report.interruption.is_some() {
                record.verdict = Verdict::WouldBlock;
                self.gateway.metrics.would_block.increment();
            }
            if !report.matches.is_empty() || report.interruption.is_some() {
                record.waf = Some(Box::new(report));
            }
        }
        let [request, response] =
            std::mem::take(&mut self.scans).map(|note| note.and_then(|note| note.take()));
        for scan in request.iter().chain(&response) {
            self.gateway.metrics.scans.increment();
            match &*scan.result {
                "found" => self.gateway.metrics.scans_found.increment(),
                "failed" => self.gateway.metrics.scans_failed.increment(),
                _ => {}
            }
        }
        (record.request_scan, record.response_scan) = (request, response);
        if record.verdict == Verdict::Failed && record.reason.is_empty() {
            record.reason = Code::ClientGone.as_str().into();
        }
        tell(&record);
        if self.gateway.audit.submit(record) == Submitted::Dropped {
            tracing::debug!("the audit queue is full; a record was lost and counted");
        }
    }
}

/// What is to be told of an exchange's messages.
fn tell_messages(record: &mut Record, messages: &StreamNote) {
    if let Some(words) = messages.in_words() {
        let sentence = std::mem::take(&mut record.sentence);
        record.sentence = if sentence.is_empty() { words } else { format!("{sentence}; {words}") }.into();
    }
    const CUT: &str = "a message was not inspected to its end";
    if messages.is_partial(End::Client) {
        record.request_inspection = Some(Inspection::partial(CUT));
    }
    if messages.is_partial(End::Origin) {
        record.response_inspection = Some(Inspection::partial(CUT));
    }
}

fn refusal_verdict(code: Code) -> Verdict {
    match code {
        Code::Malware | Code::Uninspectable => Verdict::Blocked,
        _ => Verdict::Denied,
    }
}

/// One line in the log for what an operator may want to look at, at debug for the course of things.
fn tell(record: &Record) {
    let (id, client, verdict) = (record.id, record.client, record.verdict);
    match record.verdict {
        Verdict::Blocked | Verdict::WouldBlock => {
            tracing::info!(receipt = %id, %client, ?verdict, target = ?record.target.as_ref().map(ToString::to_string), "{}", record.sentence);
        }
        _ => {
            tracing::debug!(receipt = %id, %client, ?verdict, reason = %record.reason, "{}", record.sentence)
        }
    }
}

/// A client that policy does not serve.
pub fn refused_connection(gateway: &Arc<Gateway>, client: &Client, denial: &Denial) {
    gateway.metrics.denied.increment();
    let (_, code) = respond::denial(denial);
    let mut ending = Ending::begin(gateway, client, Kind::Connection);
    ending.note(|record| {
        record.verdict = Verdict::Denied;
        record.reason = code.as_str().into();
        record.sentence = denial.to_string().into();
    });
}

/// A redirected client where every client must say who it is.
pub fn unasked(gateway: &Arc<Gateway>, client: &Client) {
    let mut ending = Ending::begin(gateway, client, Kind::Connection);
    ending.problem(&Problem::AuthRequired);
}

/// A client with too many connections.
pub fn over_limit(gateway: &Arc<Gateway>, addr: ClientAddr) {
    let mut ending = Ending::anonymous(gateway, ConnectionId::next(), addr, Kind::Connection);
    ending.note(|record| {
        record.verdict = Verdict::Denied;
        record.reason = Code::Overloaded.as_str().into();
        record.sentence = "the client has as many connections as one client may".into();
    });
}

/// A connection that could not be classified. One that was opened and closed unused (a port
/// check, a browser's spare) is no event.
pub fn unclear(gateway: &Arc<Gateway>, unclear: &Unclear) {
    if unclear.code == Code::ClientGone {
        tracing::debug!(client = %unclear.client.addr, "{}", unclear.sentence);
        return;
    }
    let mut ending = Ending::begin(gateway, &unclear.client, Kind::Connection);
    ending.stage(Stage::Classify);
    ending.broke(unclear.code, unclear.sentence.clone());
}

/// A target that policy denies, on a way that has no answer to say so.
pub fn denied(gateway: &Arc<Gateway>, client: &Client, target: &Authority, denial: &Denial) {
    let mut ending = Ending::begin(gateway, client, Kind::Connect);
    ending.note(|record| record.target = Some(target.clone()));
    ending.stage(Stage::Connect);
    ending.problem(&Problem::Denied(denial.clone()));
}

/// An opaque tunnel begins.
pub fn tunnel(gateway: &Arc<Gateway>, client: &Client, permit: &Permit, reason: &Reason) -> Ending {
    let mut ending = Ending::begin(gateway, client, Kind::Tunnel);
    ending.note(|record| {
        record.target = Some(permit.target().clone());
        record.reason = reason.code().into();
        record.sentence = reason.to_string().into();
        record.policy_rule = reason.rule().cloned();
        record.stage = Stage::Dial;
    });
    ending
}

/// The verdict of a tunnel that was relayed.
pub fn tunnel_verdict(reason: &str) -> Verdict {
    if reason == "bypass" { Verdict::Bypassed } else { Verdict::Tunnelled }
}
