//! Conditions: candidates against operators, and what has to be looked up while rules run.

use smallvec::SmallVec;

use super::act;
use super::engine::Program;
use super::expand;
use super::operator::Hit;
use super::rule::{Condition, Leaf};
use super::scratch::{Candidate, Matched, Scratch};
use super::trace::{self, Event};
use super::transaction::State;
use super::transformation::Transformation;
use super::variable::Live;
use super::variable::fact;
use super::variable::store::{self, Span};
use super::variable::target::{Role, Selector, Target};
use super::{bits, interest, tx};

/// One rule's condition being evaluated.
pub(crate) struct Evaluation<'a> {
    pub program: &'a Program,
    pub scratch: &'a mut Scratch,
    pub state: &'a mut State,
}

/// A value with its name, both kept in the store.
struct Named {
    name: Span,
    raw: Span,
    /// Its number, when it is a collected value.
    value: Option<u32>,
    excludable: bool,
}

impl Evaluation<'_> {
    pub fn condition(&mut self, condition: &Condition) -> bool {
        match condition {
            Condition::Leaf(index) => self.leaf(*index),
            Condition::All(inner) => {
                let before = self.scratch.matched.len();
                let all = inner.iter().all(|inner| self.condition(inner));
                if !all {
                    self.scratch.matched.truncate(before);
                }
                all
            }
            Condition::Any(inner) => inner.iter().any(|inner| self.condition(inner)),
            Condition::Not(inner) => {
                // What matched inside did not lead to the rule's match.
                let before = self.scratch.matched.len();
                let inner = self.condition(inner);
                self.scratch.matched.truncate(before);
                !inner
            }
        }
    }

    fn leaf(&mut self, index: usize) -> bool {
        let program = self.program;
        let leaf = &program.leaves[index];
        let before = self.scratch.matched.len();
        let traced = self.state.trace.is_some();
        if traced {
            self.tell_comparison(index);
        }
        // A traced exchange was not scanned.
        if leaf.late || traced {
            self.late(index);
        } else {
            self.candidates(index);
        }
        if leaf.live {
            self.live(index);
        }
        let matched = self.scratch.matched.len() > before;
        if traced {
            let rule = program.rules[leaf.rule].id;
            self.state.note(|| Event::Compared { rule, matched });
        }
        matched
    }

    /// The values that passed the prefilter.
    fn candidates(&mut self, index: usize) {
        let program = self.program;
        let leaf = &program.leaves[index];
        let first = self.scratch.candidates.partition_point(|candidate| (candidate.leaf as usize) < index);
        if !self.in_order(leaf, index, first) {
            return;
        }
        let mut at = first;
        let mut last = None;
        while let Some(candidate) =
            self.scratch.candidates.get(at).copied().filter(|c| c.leaf as usize == index)
        {
            at += 1;
            if self.scratch.meter.is_spent() {
                return;
            }
            let value = self.scratch.store.values[candidate.value as usize];
            // Once per value: what its first step leads to does not take away its next ones.
            if last.is_none_or(|(number, _)| number != candidate.value) {
                let key = self.scratch.store.get(value.key);
                let out = self.is_excluded(leaf.rule, |target| target.covers(value.collection, key));
                last = Some((candidate.value, out));
            }
            if last.is_some_and(|(_, out)| out) {
                continue;
            }
            let named = |evaluation: &mut Evaluation| {
                let name = evaluation.spell(leaf, candidate.value);
                let raw = evaluation.scratch.store.raw(candidate.value);
                Named { name, raw, value: Some(candidate.value), excludable: true }
            };
            self.test(index, candidate.span, named);
        }
    }

    /// Values are asked about target by target, as written: which of them matched last is what
    /// captures and `matched_var` tell. Only when one of them matches is the order worth making;
    /// false when none does.
    fn in_order(&mut self, leaf: &Leaf, index: usize, first: usize) -> bool {
        let candidates = &self.scratch.candidates[first..];
        let count = candidates.iter().take_while(|candidate| candidate.leaf as usize == index).count();
        let stored = |target: &&Target| target.role == Role::Include && target.live().is_none();
        if count < 2 || leaf.targets.iter().filter(stored).count() < 2 {
            return count > 0;
        }
        let matches =
            |candidate: &Candidate| self.ask(leaf, self.scratch.store.get(candidate.span)).is_some();
        if !candidates[..count].iter().any(matches) {
            return false;
        }
        let Scratch { candidates, store, .. } = &mut *self.scratch;
        candidates[first..first + count].sort_by_cached_key(|candidate| {
            let value = &store.values[candidate.value as usize];
            let key = store.get(value.key);
            let covers =
                |target: &Target| target.role == Role::Include && target.covers(value.collection, key);
            (leaf.targets.iter().position(covers), candidate.order())
        });
        true
    }

    /// The values of a leaf that nothing asked about before its rule got to it: the same values in
    /// the same order as if they had been candidates.
    fn late(&mut self, index: usize) {
        let program = self.program;
        let leaf = &program.leaves[index];
        let mut numbers = std::mem::take(&mut self.scratch.numbers);
        numbers.clear();
        for (at, target) in leaf.targets.iter().enumerate().filter(|(_, target)| target.role == Role::Include)
        {
            let from = numbers.len();
            for collection in target.collections() {
                let store = &self.scratch.store;
                let before = |key: &[u8]| {
                    let mut others = leaf.targets[..at].iter().filter(|other| other.role == Role::Include);
                    others.any(|other| other.covers(*collection, key))
                };
                let taken = store.of(*collection).filter(|(_, value)| {
                    let key = store.get(value.key);
                    target.takes(key) && !before(key)
                });
                let taken: SmallVec<[u32; 32]> = taken.map(|(number, _)| number).collect();
                for number in taken {
                    program.sifting.family(self.scratch, leaf, number, &mut numbers);
                }
            }
            let store = &self.scratch.store;
            numbers[from..].sort_unstable_by_key(|number| (store.root(*number), *number));
        }
        for number in &numbers {
            if self.scratch.meter.is_spent() {
                break;
            }
            self.stored(index, *number);
        }
        self.scratch.numbers = numbers;
    }

    /// The operator's answer about a transformed value, turned round where the leaf says so.
    fn ask(&self, leaf: &Leaf, value: &[u8]) -> Option<Hit> {
        let answer = match &leaf.dynamic {
            None => leaf.operator.evaluate(value),
            Some(dynamic) => {
                let rule = &self.program.rules[leaf.rule];
                let argument = expand::text(&dynamic.template, rule, self.scratch, self.state);
                dynamic.evaluate(&argument, value)
            }
        };
        match answer {
            Some(_) if leaf.negate => None,
            None if leaf.negate => Some(Hit::at(0..value.len())),
            answer => answer,
        }
    }

    /// Asks the operator about one transformed value.
    fn test(&mut self, index: usize, span: Span, named: impl Fn(&mut Evaluation) -> Named) {
        let leaf = &self.program.leaves[index];
        self.scratch.spend(span.len());
        let hit = self.ask(leaf, self.scratch.store.get(span));
        if self.state.trace.is_some() {
            let Named { name, .. } = named(self);
            let store = &self.scratch.store;
            let (name, value) = (store.get(name).to_vec(), trace::value(store.get(span)));
            self.state.note(|| Event::Asked { name, value, matched: hit.is_some() });
        }
        if let Some(hit) = hit {
            self.found(index, span, hit, named);
        }
    }

    /// A value matches: what the leaf leaves behind.
    fn found(&mut self, index: usize, span: Span, hit: Hit, named: impl Fn(&mut Evaluation) -> Named) {
        let leaf = &self.program.leaves[index];
        let Hit { span: hit, captures, note } = hit;
        let hit = span.part(&hit);
        if leaf.capture && !leaf.negate {
            let Scratch { tx, store, .. } = &mut *self.scratch;
            let whole = note.as_ref().map_or(store.get(hit), |note| note.as_bytes());
            let groups = captures.iter().map(|group| store.get(span.part(group)));
            let mut texts = std::iter::once(whole).chain(groups);
            for group in 0..tx::CAPTURES {
                // Groups of an older match must not be taken for this one's.
                match texts.next() {
                    Some(text) => {
                        tx.set(group as u32, text);
                        self.state.note(|| Event::Captured { group, text: text.to_vec() });
                    }
                    None => tx.remove(group as u32),
                }
            }
        }
        let Named { name, raw, value, excludable } = named(self);
        self.scratch.matched.push(Matched {
            leaf: index,
            name,
            raw,
            value,
            transformed: span,
            hit,
            note,
            excludable,
        });
        if !leaf.on_match.is_empty() {
            let rule = &self.program.rules[leaf.rule];
            act::on_match(self.program, rule, &leaf.on_match, self.scratch, self.state);
        }
    }

    /// `multi_match` of a live value: as it is and after each transformation that changed it.
    fn each_step(&mut self, index: usize, raw: Span, named: impl Fn(&mut Evaluation) -> Named) {
        self.test(index, raw, &named);
        let mut span = raw;
        let program = self.program;
        for transformation in &program.leaves[index].steps {
            self.scratch.spend(span.len());
            let mut out = std::mem::take(&mut self.scratch.temporary[0]);
            if (transformation.apply)(self.scratch.store.get(span), &mut out) {
                span = self.scratch.store.keep(&out);
                self.test(index, span, &named);
            }
            self.scratch.temporary[0] = out;
            self.tell_transformed(transformation, span);
        }
    }

    /// The targets that are looked up now: live ones and counts.
    fn live(&mut self, index: usize) {
        let program = self.program;
        let leaf = &program.leaves[index];
        let in_place = leaf.steps.is_empty() && self.state.trace.is_none();
        for target in &leaf.targets {
            match target.role {
                Role::Exclude => {}
                // Collected values were candidates, or were asked about late.
                Role::Include if target.live().is_none() => {}
                Role::Count => {
                    let count = self.count(index, target);
                    let name = |evaluation: &mut Evaluation| {
                        evaluation.scratch.store.keep_text(format_args!("&{}", target.text))
                    };
                    if in_place {
                        let mut room = [0; store::DIGITS];
                        self.try_in_place(index, store::digits(count as u64, &mut room), name);
                    } else {
                        let raw = self.scratch.store.keep_number(count as u64);
                        self.try_live(index, raw, name);
                    }
                }
                Role::Include => {
                    if in_place && let (Some(number), Selector::Key(key)) = (target.number, &target.selector)
                    {
                        self.tx(index, number, key);
                        continue;
                    }
                    for (name, raw) in self.live_values(index, target) {
                        self.try_live(index, raw, |_| name);
                    }
                }
            }
        }
    }

    /// One variable of `tx`, whose bytes are copied only when they match.
    fn tx(&mut self, index: usize, number: u32, key: &[u8]) {
        let leaf = &self.program.leaves[index];
        let Some(length) = self.scratch.tx.get(number).map(<[u8]>::len) else { return };
        self.scratch.spend(length);
        let value = self.scratch.tx.get(number).unwrap_or_default();
        if !self.is_variable_taken_out(leaf, Live::Tx, key)
            && let Some(hit) = self.ask(leaf, value)
        {
            let Scratch { tx, store, .. } = &mut *self.scratch;
            let name = store.keep(b"tx:").start;
            let name = Span { start: name, end: store.keep(key).end };
            let raw = store.keep(tx.get(number).unwrap_or_default());
            self.found(index, raw, hit, |_| Named { name, raw, value: None, excludable: false });
        }
    }

    /// A value that is kept only when it matches.
    fn try_in_place(&mut self, index: usize, value: &[u8], name: impl Fn(&mut Evaluation) -> Span) {
        self.scratch.spend(value.len());
        if let Some(hit) = self.ask(&self.program.leaves[index], value) {
            let raw = self.scratch.store.keep(value);
            self.found(index, raw, hit, |evaluation| Named {
                name: name(evaluation),
                raw,
                value: None,
                excludable: false,
            });
        }
    }

    /// A value that lies in the store and has not been scanned for this leaf.
    fn stored(&mut self, index: usize, number: u32) {
        let leaf = &self.program.leaves[index];
        let value = self.scratch.store.values[number as usize];
        let key = self.scratch.store.get(value.key);
        if leaf.targets.iter().any(|t| t.role == Role::Exclude && t.covers(value.collection, key))
            || self.is_excluded(leaf.rule, |target| target.covers(value.collection, key))
        {
            return;
        }
        let looked_at = value.value;
        let named = |evaluation: &mut Evaluation| {
            let name = evaluation.spell(leaf, number);
            let raw = evaluation.scratch.store.raw(number);
            Named { name, raw, value: Some(number), excludable: true }
        };
        if leaf.multi_match {
            self.each_step(index, looked_at, named);
        } else {
            let span = self.transform(&leaf.steps, looked_at);
            self.test(index, span, named);
        }
    }

    fn try_live(&mut self, index: usize, raw: Span, name: impl Fn(&mut Evaluation) -> Span) {
        let named = |evaluation: &mut Evaluation| Named {
            name: name(evaluation),
            raw,
            value: None,
            excludable: false,
        };
        let leaf = &self.program.leaves[index];
        if leaf.multi_match {
            return self.each_step(index, raw, named);
        }
        let span = self.transform(&leaf.steps, raw);
        self.test(index, span, named);
    }

    fn transform(&mut self, steps: &[&Transformation], raw: Span) -> Span {
        let mut span = raw;
        for transformation in steps {
            self.scratch.spend(span.len());
            let mut out = std::mem::take(&mut self.scratch.temporary[0]);
            if (transformation.apply)(self.scratch.store.get(span), &mut out) {
                span = self.scratch.store.keep(&out);
            }
            self.scratch.temporary[0] = out;
            self.tell_transformed(transformation, span);
        }
        span
    }

    /// Names and values of a live target, less what is taken out.
    fn live_values(&mut self, index: usize, target: &Target) -> Vec<(Span, Span)> {
        let Some(live) = target.live() else { return Vec::new() };
        let matched = |scratch: &Scratch, of: fn(&Matched) -> Span| -> Vec<(Span, Span)> {
            scratch.matched.iter().map(|matched| (matched.name, of(matched))).collect()
        };
        match live {
            Live::MatchedVars => {
                let all = matched(self.scratch, |matched| matched.transformed);
                all.into_iter().filter(|(name, _)| target.takes(self.scratch.store.get(*name))).collect()
            }
            Live::MatchedVarsNames => {
                let all = matched(self.scratch, |matched| matched.name);
                all.into_iter().filter(|(name, _)| target.takes(self.scratch.store.get(*name))).collect()
            }
            Live::MatchedVar => {
                matched(self.scratch, |matched| matched.transformed).pop().into_iter().collect()
            }
            Live::MatchedVarName => matched(self.scratch, |matched| matched.name).pop().into_iter().collect(),
            Live::Tx => self.variables(index, target, live, b"tx:"),
            Live::Persistent(kind) => {
                let prefix = format!("{}:", kind.name());
                self.variables(index, target, live, prefix.as_bytes())
            }
            Live::Rule => {
                let rule = &self.program.rules[self.program.leaves[index].rule];
                let facts = expand::facts(rule).into_iter().filter(|(key, _)| target.takes(key.as_bytes()));
                let store = &mut self.scratch.store;
                facts
                    .map(|(key, value)| (store.keep_text(format_args!("rule:{key}")), store.keep(&value)))
                    .collect()
            }
            Live::HighestSeverity => {
                let value = expand::severity(self.state);
                let store = &mut self.scratch.store;
                vec![(store.keep(b"highest_severity"), store.keep(&value))]
            }
            Live::Fact(fact) => {
                let Some(value) = fact::value(fact, self.scratch, self.state) else { return Vec::new() };
                let value = value.into_owned();
                let store = &mut self.scratch.store;
                vec![(store.keep(target.variable.name.as_bytes()), store.keep(&value))]
            }
        }
    }

    /// Variables that rules set, less what is taken out.
    fn variables(&mut self, index: usize, target: &Target, live: Live, prefix: &[u8]) -> Vec<(Span, Span)> {
        let leaf = &self.program.leaves[index];
        let wanted = |key: &[u8]| target.takes(key) && !self.is_variable_taken_out(leaf, live, key);
        let taken: Vec<(Vec<u8>, Vec<u8>)> = match live {
            Live::Persistent(kind) => match &self.scratch.opened[kind as usize] {
                Some(opened) => {
                    let all = opened.variables.iter().filter(|(key, _)| wanted(key));
                    all.map(|(key, value)| (key.clone(), value.clone())).collect()
                }
                None => return Vec::new(),
            },
            _ => {
                let all = self.scratch.tx.all(&self.program.names, wanted).into_iter();
                all.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
            }
        };
        let store = &mut self.scratch.store;
        taken
            .into_iter()
            .map(|(key, value)| {
                let name = store.keep(prefix);
                let end = store.keep(&key).end;
                (Span { start: name.start, end }, store.keep(&value))
            })
            .collect()
    }

    /// True when the leaf, or an exclusion, does without this variable that rules set.
    fn is_variable_taken_out(&self, leaf: &Leaf, live: Live, key: &[u8]) -> bool {
        let out = |other: &Target| other.live() == Some(live) && other.takes(key);
        leaf.targets.iter().any(|other| other.role == Role::Exclude && out(other))
            || self.is_excluded(leaf.rule, out)
    }

    /// How many values a target has; exclusions come first.
    fn count(&mut self, index: usize, target: &Target) -> usize {
        let leaf = &self.program.leaves[index];
        if let (Some(number), Selector::Key(key)) = (target.number, &target.selector) {
            let set = self.scratch.tx.get(number).is_some();
            return usize::from(set && !self.is_variable_taken_out(leaf, Live::Tx, key));
        }
        if target.live().is_some() {
            return self.live_values(index, target).len();
        }
        let store = &self.scratch.store;
        let values = target.collections().iter().flat_map(|collection| store.of(*collection));
        values
            .filter(|(_, value)| {
                let key = store.get(value.key);
                target.takes(key)
                    && !leaf
                        .targets
                        .iter()
                        .any(|t| t.role == Role::Exclude && t.covers(value.collection, key))
                    && !self.is_excluded(leaf.rule, |target| target.covers(value.collection, key))
            })
            .count()
    }

    fn is_excluded(&self, rule: usize, covers: impl Fn(&Target) -> bool) -> bool {
        self.scratch
            .exclusions
            .iter()
            .any(|exclusion| bits::contains(&exclusion.rules, rule) && exclusion.targets.iter().any(&covers))
    }

    /// The value's name as this leaf's targets spell it.
    fn spell(&mut self, leaf: &Leaf, value: u32) -> Span {
        let store = &mut self.scratch.store;
        let value = store.values[value as usize];
        let key = store.get(value.key);
        let target = leaf
            .targets
            .iter()
            .find(|target| target.role == Role::Include && target.covers(value.collection, key));
        let xml = target.filter(|target| target.variable.keys == super::variable::Keys::Xml);
        let base = match (xml, target) {
            (Some(xml), _) => xml.text.as_str(),
            (None, Some(target)) => target.variable.name,
            (None, None) => super::variable::name_of(value.collection),
        };
        debug_assert!(interest::takes(&leaf.targets, value.collection, key));
        let start = store.keep(base.as_bytes()).start;
        if value.key.len() > 0 {
            store.keep(b":");
            store.bytes.extend_from_within(value.key.start..value.key.end);
        }
        Span { start, end: store.bytes.len() }
    }
}
