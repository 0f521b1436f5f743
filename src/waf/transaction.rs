//! One exchange walked phase by phase. The caller shows heads and bodies in order; each phase
//! answers with a decision, and `finish` tells everything.

use std::sync::Arc;
use std::time::Duration;

use super::act::{self, Effect};
use super::before::Before;
use super::engine::{Engine, Mode, Program};
use super::evaluate::Evaluation;
use super::example::Outcome;
use super::exclusion;
use super::input::{Body, ConnectionFacts, End, Extent, Message, RequestHead, ResponseHead};
use super::lang::ast::{BodyProcessor, RequestBodies, Severity};
use super::meter::{Clock, Meter};
use super::report::{Decision, Disruption, Interruption, Ledger, PhaseName, Report};
use super::rule::Action;
use super::scratch::{self, ActiveExclusion, Candidate, Scratch};
use super::trace::{self, Because, Event, Trace, Traced};
use super::variable::Collection;
use super::variable::collect::{self, Notes, Reading, Slices};
use super::variable::store::Store;
use super::{bits, body, scan, settled};

/// One exchange. It may wait between phases for as long as the exchange lasts.
#[derive(Debug)]
pub struct Transaction {
    engine: Arc<Engine>,
    /// Taken only when the transaction ends.
    scratch: Option<Box<Scratch>>,
    pub(super) state: State,
}

/// A change that a rule makes to a head on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// All fields of this name (lower case) leave the request.
    StripRequest(Arc<str>),
    /// All fields of this name (lower case) leave the response.
    StripResponse(Arc<str>),
}

/// What has come of the exchange so far.
#[derive(Debug)]
pub(super) struct State {
    pub notes: Notes,
    pub began_unix_ms: u64,
    /// Now, as far as the caller told.
    pub unix_ms: u64,
    request_bodies: RequestBodies,
    pub mode: Mode,
    /// A rule switched the engine off: nothing is looked at any more.
    pub off: bool,
    pub request_body_access: bool,
    pub response_body_access: bool,
    /// How a rule wants the request body to be read.
    pub processor: Option<BodyProcessor>,
    pub force_body: bool,
    pub highest_severity: Option<Severity>,
    /// Values that were scanned already.
    scanned: usize,
    pub inbound: i64,
    pub outbound: i64,
    /// Who sent the message that is looked at.
    pub message_from: Option<End>,
    /// Points and index of the highest scoring rule, inbound and outbound.
    pub highest: [Option<(i64, usize)>; 2],
    pub interruption: Option<Interruption>,
    pub allowed: Allowed,
    pub edits: Vec<HeaderEdit>,
    pub matches_dropped: u32,
    /// None while nobody looks on.
    pub trace: Option<Box<Trace>>,
    /// The rules did not come to their end.
    out_of_time: bool,
    /// What a body's phase began with, when more of the body may come.
    before: Option<Box<Before>>,
}

/// What a rule let pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Allowed {
    #[default]
    Nothing,
    /// The rest of the request phases.
    Request,
    /// Everything.
    Exchange,
}

impl State {
    fn new(program: &Program, unix_ms: u64) -> State {
        State {
            notes: Notes::default(),
            began_unix_ms: unix_ms,
            unix_ms,
            request_bodies: program.request_bodies,
            mode: program.mode,
            off: program.off,
            request_body_access: program.request_body_access,
            response_body_access: program.response_body_access,
            processor: None,
            force_body: false,
            highest_severity: None,
            scanned: 0,
            inbound: 0,
            outbound: 0,
            message_from: None,
            highest: [None; 2],
            interruption: None,
            allowed: Allowed::Nothing,
            edits: Vec::new(),
            matches_dropped: 0,
            trace: None,
            out_of_time: false,
            before: None,
        }
    }

    /// Tells the trace, if there is one.
    pub fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(trace) = &mut self.trace {
            trace.push(event());
        }
    }

    /// How the request body will be read, as far as rules have decided.
    pub fn processor(&self, store: &Store) -> Option<body::Processor> {
        self.notes.processor(store, self.request_bodies, self.reading().processor)
    }

    fn reading(&self) -> Reading {
        let processor = self.processor.map(|processor| match processor {
            BodyProcessor::Urlencoded => body::Processor::Urlencoded,
            BodyProcessor::Multipart => body::Processor::Multipart,
            BodyProcessor::Json => body::Processor::Json,
            BodyProcessor::Xml => body::Processor::Xml,
        });
        Reading { processor, forced: self.force_body }
    }
}

impl Transaction {
    pub(super) fn begin(engine: Arc<Engine>, facts: &ConnectionFacts) -> Transaction {
        let mut scratch = scratch::take();
        scratch.awake.extend_from_slice(&engine.program.unconditional);
        scratch.off.resize(engine.program.unconditional.len(), 0);
        scratch.tx.begin(&engine.program.names);
        collect::connection(&mut scratch.store, facts);
        let state = State::new(&engine.program, facts.unix_ms);
        Transaction { engine, scratch: Some(scratch), state }
    }

    /// How long its rules may compute, by this clock: so long, and as long again for every 64 KiB of a body. Beyond that
    /// every answer is [`Decision::OutOfTime`], unless what was found by then is enough to stop the exchange.
    pub fn bound(&mut self, clock: Clock, time: Duration) {
        if let Some(scratch) = &mut self.scratch {
            scratch.meter = Meter::new(clock, time);
        }
    }

    /// Tells the time before a phase, for durations and for what expires.
    pub fn at(&mut self, unix_ms: u64) {
        self.state.unix_ms = unix_ms;
    }

    /// From here on everything is noted, and [`Transaction::finish_traced`] tells it.
    pub fn trace(&mut self) {
        self.state.trace = Some(Box::default());
        if let Some(scratch) = &mut self.scratch {
            scratch.awake.fill(u64::MAX);
        }
    }

    pub fn request_headers(&mut self, head: &RequestHead) -> Decision {
        let Transaction { engine, scratch: Some(scratch), state } = self else { return Decision::Continue };
        collect::request_head(&mut scratch.store, head, &engine.program, &mut state.notes);
        if !engine.program.exclusions.is_empty() {
            let path = scratch.store.first(Collection::RequestFilename).unwrap_or_default().to_vec();
            let place = exclusion::Place { host: head.host, path: &path, unix_ms: state.unix_ms };
            exclusion::activate(&engine.program.exclusions, &place, scratch);
        }
        self.run(PhaseName::RequestHeaders)
    }

    /// True when some rule looks at what only a request body can hold, so that the body is worth
    /// collecting before it is let go. Of large bodies in formats that are not taken apart, as
    /// uploads mostly are, no rule sees more than the length, and their heads tell that.
    pub fn wants_request_body(&self) -> bool {
        self.is_watching()
            && self.state.request_body_access
            && (self.engine.program.looks_at_request_body || self.state.trace.is_some())
            && self.scratch.as_ref().is_some_and(|scratch| {
                let (program, reading) = (&self.engine.program, self.state.reading());
                self.state.notes.opaque_length(&scratch.store, program, reading).is_none()
            })
    }

    /// True when a parser will read the request body, by its Content-Type or because a rule said
    /// so: it is worth having whole.
    pub fn takes_request_body_apart(&self) -> bool {
        self.scratch.as_ref().is_some_and(|scratch| self.state.processor(&scratch.store).is_some())
    }

    /// How slices of the body are read that follow its beginning, as [`Transaction::request_part`] does; `None` where
    /// that tells rules nothing.
    pub fn slices(&self) -> Option<Slices> {
        let scratch = self.scratch.as_ref()?;
        let reading = self.state.reading();
        self.state.notes.slices(&scratch.store, &self.engine.program, reading)
    }

    /// Why the request's arguments or its body could not be read as what they say they are.
    pub fn request_body_problem(&self) -> Option<String> {
        let message = self.scratch.as_ref()?.store.first(Collection::ReqbodyErrorMsg)?;
        (!message.is_empty()).then(|| String::from_utf8_lossy(message).into_owned())
    }

    /// Called with an empty body when there is none.
    pub fn request_body(&mut self, body: &Body) -> Decision {
        if !self.is_watching() {
            return self.decision();
        }
        let Transaction { engine, scratch: Some(scratch), state } = self else { return Decision::Continue };
        // Without access there is no body, whatever the caller has.
        let none = Body { bytes: b"", extent: Extent::Whole, coding_error: None };
        let body = if state.request_body_access { body } else { &none };
        scratch.meter.allow(body.bytes.len());
        let reading = state.reading();
        collect::request_body(&mut scratch.store, body, &engine.program, reading, &mut state.notes);
        if state.trace.is_some() {
            tell_body(scratch, state);
        }
        self.mark(PhaseName::RequestBody, body.extent);
        self.run(PhaseName::RequestBody)
    }

    /// A slice of a body whose beginning another transaction was shown, cut where a value ends.
    pub fn request_part(&mut self, part: &Body) -> Decision {
        if !self.is_watching() || !self.state.request_body_access {
            return self.decision();
        }
        let Transaction { engine, scratch: Some(scratch), state } = self else { return Decision::Continue };
        scratch.meter.allow(part.bytes.len());
        let reading = state.reading();
        collect::request_part(&mut scratch.store, part, &engine.program, reading, &mut state.notes);
        self.run(PhaseName::RequestBody)
    }

    pub fn response_headers(&mut self, head: &ResponseHead) -> Decision {
        if !self.is_watching() {
            return self.decision();
        }
        let Some(scratch) = &mut self.scratch else { return Decision::Continue };
        collect::response_head(&mut scratch.store, head);
        self.run(PhaseName::ResponseHeaders)
    }

    /// True when rules look at response bodies and this one is text, as far as its head says.
    pub fn wants_response_body(&self) -> bool {
        self.looks_at_responses()
            && (self.engine.program.looks_at_response_body || self.state.trace.is_some())
            && self.scratch.as_ref().is_some_and(|scratch| {
                let content_type = scratch.store.first(Collection::ResponseContentType);
                match &self.engine.program.response_body_types {
                    None => content_type.is_none_or(|it| body::is_textual(it) || body::holds_strings(it)),
                    Some(types) => types
                        .iter()
                        .any(|known| body::media_type(content_type.unwrap_or_default()) == known.as_bytes()),
                }
            })
    }

    /// How many of the first bytes of the body rules look at, whatever its type: file formats are
    /// told by them.
    pub fn wants_response_start(&self) -> Option<usize> {
        let mentioned = self.engine.program.mentions(Collection::ResponseBodyStart);
        (mentioned && self.looks_at_responses()).then_some(Collection::START_BYTES)
    }

    fn looks_at_responses(&self) -> bool {
        self.is_watching() && self.state.response_body_access
    }

    pub fn response_body(&mut self, body: &Body) -> Decision {
        if !self.is_watching() {
            return self.decision();
        }
        let (wanted, start) = (self.wants_response_body(), self.wants_response_start());
        let Some(scratch) = &mut self.scratch else { return Decision::Continue };
        if wanted {
            self.state.notes.outbound_cut = body.extent == Extent::Partial;
        }
        if scratch.store.first(Collection::ResponseContentLength).is_none()
            && self.engine.program.mentions(Collection::ResponseContentLength)
        {
            scratch.store.add_number(Collection::ResponseContentLength, body.bytes.len() as u64);
        }
        if wanted && !body.bytes.is_empty() {
            scratch.meter.allow(body.bytes.len());
            let content_type = scratch.store.first(Collection::ResponseContentType).unwrap_or_default();
            let text = body::answer_text(content_type, body.bytes, body.extent);
            scratch.store.add_bytes(Collection::ResponseBody, text.as_deref().unwrap_or(body.bytes));
        }
        // Of a body in parts, the first part has its start.
        if let Some(most) = start.filter(|_| scratch.store.first(Collection::ResponseBodyStart).is_none()) {
            let start = body.bytes.get(..most).unwrap_or(body.bytes);
            scratch.store.add_bytes(Collection::ResponseBodyStart, start);
        }
        self.mark(PhaseName::ResponseBody, body.extent);
        self.run(PhaseName::ResponseBody)
    }

    /// A server-sent event behind the heads of its exchange: it is looked at as the response's body, then the rules on
    /// events have their turn. One transaction takes one event.
    pub fn event(&mut self, event: &Body) -> Decision {
        let decision = self.response_body(event);
        if decision != Decision::Continue || !self.is_watching() || !self.state.response_body_access {
            return decision;
        }
        let Transaction { engine, scratch: Some(scratch), .. } = self else { return Decision::Continue };
        if engine.program.phases[PhaseName::Event as usize].rules.is_empty() {
            return Decision::Continue;
        }
        let read = body::events::Event::read(event.bytes);
        scratch.store.add_bytes(Collection::EventData, &read.data);
        scratch.store.add_bytes(Collection::EventName, &read.name);
        scratch.store.add_bytes(Collection::EventId, &read.id);
        self.run(PhaseName::Event)
    }

    /// A message of a WebSocket whose opening request was shown by `request_headers`. A client's is
    /// looked at as that request's body first, an origin's as a response's body, so that rules on
    /// bodies see it; then the rules on messages have their turn. One transaction takes one message.
    pub fn websocket_message(&mut self, message: &Message) -> Decision {
        if !self.is_watching() {
            return self.decision();
        }
        let decision = match message.from {
            End::Client => self.client_message(message),
            End::Origin => {
                let none = Body { bytes: b"", extent: Extent::Whole, coding_error: None };
                let whole = Body { bytes: message.bytes, extent: message.extent, coding_error: None };
                self.response_body(if self.state.response_body_access { &whole } else { &none })
            }
        };
        if decision != Decision::Continue {
            return decision;
        }
        let Some(scratch) = &mut self.scratch else { return Decision::Continue };
        self.state.message_from = Some(message.from);
        scratch.store.add_bytes(Collection::WebsocketDirection, message.from.name().as_bytes());
        scratch.store.add_bytes(Collection::WebsocketOpcode, message.opcode.name().as_bytes());
        if self.engine.program.mentions(Collection::WebsocketMessage) {
            scratch.store.add_bytes(Collection::WebsocketMessage, message.bytes);
        }
        self.run(PhaseName::WebsocketMessage)
    }

    fn client_message(&mut self, message: &Message) -> Decision {
        let Transaction { engine, scratch: Some(scratch), state } = self else { return Decision::Continue };
        if state.request_body_access {
            scratch.meter.allow(message.bytes.len());
            let reading = state.reading();
            collect::client_message(&mut scratch.store, message, &engine.program, reading, &mut state.notes);
        }
        if state.trace.is_some() {
            tell_body(scratch, state);
        }
        self.run(PhaseName::RequestBody)
    }

    /// Goes back to where a body's phase began, or writes down where it begins.
    fn mark(&mut self, phase: PhaseName, extent: Extent) {
        let Transaction { scratch: Some(scratch), state, .. } = self else { return };
        match state.before.take() {
            Some(before) if before.phase == phase => {
                before.restore(scratch, state);
                state.before = Some(before);
            }
            _ if extent == Extent::Whole => {}
            _ => state.before = Some(Box::new(Before::of(phase, scratch, state))),
        }
    }

    /// What rules want changed in the heads; ask after each phase.
    pub fn header_edits(&self) -> &[HeaderEdit] {
        &self.state.edits
    }

    /// Runs the logging phase and ends the exchange.
    pub fn finish(self) -> Report {
        self.finish_with_matches().report
    }

    /// [`Transaction::finish`], with all that happened since [`Transaction::trace`].
    pub fn finish_traced(mut self) -> Traced {
        self.log();
        let trace = self.state.trace.take().map(|trace| *trace).unwrap_or_default();
        Traced { report: self.outcome().report, trace }
    }

    /// [`Transaction::finish`], with all rules that matched, also those that do not log.
    pub fn finish_with_matches(mut self) -> Outcome {
        self.log();
        self.outcome()
    }

    fn log(&mut self) {
        self.state.allowed = Allowed::Nothing;
        // The status that the client got, when it is ours.
        if let (Decision::Interrupt(interruption), Some(scratch)) = (self.decision(), &mut self.scratch)
            && let Disruption::Deny { status } | Disruption::Redirect { status, .. } = interruption.action
            && scratch.store.first(Collection::ResponseStatus).is_none()
        {
            scratch.store.add_number(Collection::ResponseStatus, u64::from(status));
        }
        self.run(PhaseName::Logging);
    }

    fn outcome(&mut self) -> Outcome {
        let program = &self.engine.program;
        let ledger = Ledger {
            inbound: self.state.inbound,
            inbound_threshold: program.inbound_threshold,
            outbound: self.state.outbound,
            outbound_threshold: program.outbound_threshold,
            paranoia_level: program.paranoia_level,
        };
        let scratch = self.scratch.as_mut();
        let (matches, matched) = scratch
            .map(|scratch| (std::mem::take(&mut scratch.report), std::mem::take(&mut scratch.matched_rules)))
            .unwrap_or_default();
        Outcome {
            matched,
            report: Report {
                interruption: self.state.interruption.take(),
                detection_only: self.state.mode == Mode::Detect,
                ledger,
                matches,
                matches_dropped: self.state.matches_dropped,
            },
        }
    }

    /// Shows what the prefilters let through so far.
    pub(super) fn candidates_seen(&self, mut see: impl FnMut(&Program, &Store, &Candidate)) {
        if let Some(scratch) = &self.scratch {
            scratch
                .candidates
                .iter()
                .for_each(|candidate| see(&self.engine.program, &scratch.store, candidate));
        }
    }

    /// Bytes that prefilters, transformations and operators were given so far, and bytes that are
    /// kept: what the exchange costs, told without a clock.
    pub fn work(&self) -> u64 {
        self.scratch.as_ref().map_or(0, |scratch| scratch.work + scratch.store.bytes.len() as u64)
    }

    /// How many times a prefilter let a value through.
    #[cfg(test)]
    pub(super) fn candidates(&self) -> usize {
        self.scratch.as_ref().map_or(0, |scratch| scratch.candidates.len())
    }

    /// False once a rule allowed or stopped the exchange, or switched the engine off.
    fn is_watching(&self) -> bool {
        self.state.allowed != Allowed::Exchange && !self.state.off && self.decision() == Decision::Continue
    }

    /// What was decided so far.
    fn decision(&self) -> Decision {
        match &self.state.interruption {
            Some(interruption) if self.state.mode == Mode::Block => Decision::Interrupt(interruption.clone()),
            _ if self.state.out_of_time => Decision::OutOfTime(self.state.mode),
            _ => Decision::Continue,
        }
    }

    fn run(&mut self, name: PhaseName) -> Decision {
        let Transaction { engine, scratch: Some(scratch), state } = self else { return Decision::Continue };
        let program = &engine.program;
        let request = name <= PhaseName::RequestBody;
        if state.off || state.allowed == Allowed::Exchange || (request && state.allowed == Allowed::Request) {
            return Decision::Continue;
        }
        if state.out_of_time {
            return self.decision();
        }
        scratch.meter.resume();
        let phase = &program.phases[name as usize];
        if state.trace.is_some() {
            tell_values(scratch, state, name);
        } else {
            if name == PhaseName::RequestBody {
                settle(program, scratch, state);
            }
            scan::scan(program, scratch, state.scanned, phase.first_leaf);
            scratch.candidates.sort_unstable_by_key(Candidate::order);
        }
        state.scanned = scratch.store.values.len();
        let mut from = phase.rules.start;
        while let Some(index) = bits::next(&scratch.awake, from).filter(|index| *index < phase.rules.end) {
            from = index + 1;
            if scratch.meter.is_spent() {
                break;
            }
            let rule = &program.rules[index];
            if bits::contains(&scratch.off, index) {
                state.note(|| Event::Skipped { rule: rule.id, because: Because::Excluded });
                continue;
            }
            state.note(|| Event::Rule { rule: rule.id, conditional: rule.condition.is_some() });
            scratch.matched.clear();
            let matched = match &rule.condition {
                None => true,
                Some(condition) => Evaluation { program, scratch, state }.condition(condition),
            };
            if !matched || scratch.meter.is_spent() {
                continue;
            }
            match act::act(program, index, scratch, state) {
                Effect::GoOn => {}
                Effect::Go(target) => {
                    let marker = rule.then.iter().any(|then| matches!(then, Action::Go { marker: true, .. }));
                    let because = if marker { Because::Marker } else { Because::Skip };
                    tell_skipped(program, from..target, because, state);
                    from = target.max(from);
                }
                Effect::Stop => {
                    if state.interruption.is_none() || state.mode == Mode::Detect {
                        tell_skipped(program, from..phase.rules.end, Because::Allowed, state);
                    }
                    break;
                }
            }
            if state.off {
                break;
            }
        }
        scratch.meter.pause();
        state.out_of_time = scratch.meter.is_spent();
        if !state.off && state.allowed == Allowed::Nothing {
            self.weigh(name);
        }
        self.decision()
    }

    /// At the end of a phase the score is held against its threshold.
    fn weigh(&mut self, phase: PhaseName) {
        let program = &self.engine.program;
        let (score, threshold, highest) = match phase {
            PhaseName::RequestHeaders | PhaseName::RequestBody => {
                (self.state.inbound, program.inbound_threshold, self.state.highest[0])
            }
            PhaseName::ResponseHeaders | PhaseName::ResponseBody | PhaseName::Event => {
                (self.state.outbound, program.outbound_threshold, self.state.highest[1])
            }
            PhaseName::WebsocketMessage if self.state.message_from == Some(End::Client) => {
                (self.state.inbound, program.inbound_threshold, self.state.highest[0])
            }
            PhaseName::WebsocketMessage => {
                (self.state.outbound, program.outbound_threshold, self.state.highest[1])
            }
            PhaseName::Logging => return,
        };
        if score < threshold || self.state.interruption.is_some() {
            return;
        }
        let rule = highest.and_then(|(_, index)| program.rules.get(index));
        let message = rule.map_or_else(String::new, |rule| rule.message.written());
        self.state.interruption = Some(Interruption {
            phase,
            action: Disruption::Deny { status: 403 },
            rule: rule.map_or(0, |rule| rule.id),
            by_score: true,
            reason: format!("{message} (anomaly score {score}, the threshold is {threshold})"),
        });
    }
}

/// Notes what need not be looked for in the body, being read as it is.
fn settle(program: &Program, scratch: &mut Scratch, state: &mut State) {
    let bodies = [Collection::RequestBody, Collection::FilesTmpContent];
    let exempt = |it: &ActiveExclusion| it.targets.iter().any(settled::is_processor);
    if bodies.iter().all(|collection| scratch.store.index[*collection as usize].is_empty())
        || scratch.exclusions.iter().any(exempt)
    {
        return;
    }
    for (guard, leaves) in &program.settled.guards {
        if !(Evaluation { program, scratch: &mut *scratch, state: &mut *state }).condition(guard) {
            scratch.unwanted.resize(leaves.words.len(), 0);
            for (word, leaves) in scratch.unwanted.iter_mut().zip(&leaves.words) {
                *word |= leaves;
            }
        }
        scratch.matched.clear();
    }
}

/// Tells a trace how the request body was read.
fn tell_body(scratch: &Scratch, state: &mut State) {
    let error = scratch.store.first(Collection::ReqbodyErrorMsg).unwrap_or_default();
    let event = Event::Body {
        processor: state.processor(&scratch.store).map(body::Processor::name),
        error: String::from_utf8_lossy(error).into_owned(),
        flaws: body::MultipartFlaw::ALL
            .iter()
            .filter(|flaw| state.notes.flaws & flaw.bit() != 0)
            .copied()
            .collect(),
    };
    state.note(|| event);
}

/// Tells a trace what the phase brings.
fn tell_values(scratch: &Scratch, state: &mut State, phase: PhaseName) {
    state.note(|| Event::Phase(phase));
    let collected = |value: &&super::variable::store::Value| value.origin.is_none();
    for value in scratch.store.values[state.scanned..].iter().filter(collected) {
        let mut name = super::variable::name_of(value.collection).as_bytes().to_vec();
        if value.key.len() > 0 {
            name.push(b':');
            name.extend_from_slice(scratch.store.get(value.key));
        }
        state.note(|| Event::Collected { name, value: trace::value(scratch.store.get(value.value)) });
    }
}

/// Tells a trace which rules have no turn.
fn tell_skipped(program: &Program, rules: std::ops::Range<usize>, because: Because, state: &mut State) {
    for rule in program.rules.get(rules).unwrap_or_default() {
        state.note(|| Event::Skipped { rule: rule.id, because });
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            scratch::give_back(scratch);
        }
    }
}
