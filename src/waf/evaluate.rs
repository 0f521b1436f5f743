//! Conditions: candidates against operators, and what has to be looked up while rules run.

use super::act;
use super::engine::Program;
use super::expand;
use super::operator::Hit;
use super::rule::{Condition, Leaf};
use super::scratch::{Matched, Scratch};
use super::trace::{self, Event};
use super::transaction::State;
use super::transformation::Transformation;
use super::variable::Live;
use super::variable::fact;
use super::variable::store::Span;
use super::variable::target::{Role, Target};
use super::{bits, interest};

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
        let first = self.scratch.candidates.partition_point(|candidate| (candidate.leaf as usize) < index);
        let mut at = first;
        let traced = self.state.trace.is_some();
        if traced {
            self.tell_comparison(index);
            self.plainly(index);
        }
        while let Some(candidate) =
            self.scratch.candidates.get(at).copied().filter(|c| c.leaf as usize == index)
        {
            at += 1;
            let value = self.scratch.store.values[candidate.value as usize];
            let key = self.scratch.store.get(value.key);
            if self.is_excluded(leaf.rule, |target| target.covers(value.collection, key)) {
                continue;
            }
            let named = |evaluation: &mut Evaluation| {
                let name = evaluation.spell(leaf, candidate.value);
                Named { name, raw: value.value, excludable: true }
            };
            self.test(index, candidate.span, named);
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

    fn tell_comparison(&mut self, index: usize) {
        let leaf = &self.program.leaves[index];
        let rule = &self.program.rules[leaf.rule];
        let first = index.checked_sub(1).is_none_or(|before| self.program.leaves[before].rule != leaf.rule);
        let argument = leaf
            .dynamic
            .as_ref()
            .map(|dynamic| expand::template(&dynamic.template, rule, self.scratch, self.state, None));
        self.state.note(|| Event::comparison(rule.id, leaf, first, argument));
    }

    /// Every stored value that the leaf looks at, in the order in which a scan makes candidates.
    fn plainly(&mut self, index: usize) {
        let leaf = &self.program.leaves[index];
        if leaf.dynamic.is_some() {
            return;
        }
        for number in 0..self.scratch.store.values.len() {
            let value = self.scratch.store.values[number];
            if interest::takes(&leaf.targets, value.collection, self.scratch.store.get(value.key)) {
                self.stored_value(index, number as u32);
            }
        }
    }

    /// Asks the operator about one transformed value.
    fn test(&mut self, index: usize, span: Span, named: impl Fn(&mut Evaluation) -> Named) {
        let leaf = &self.program.leaves[index];
        let answer = match &leaf.dynamic {
            None => leaf.operator.evaluate(self.scratch.store.get(span)),
            Some(dynamic) => {
                let rule = &self.program.rules[leaf.rule];
                let argument = expand::template(&dynamic.template, rule, self.scratch, self.state, None);
                dynamic.evaluate(&argument, self.scratch.store.get(span))
            }
        };
        if self.state.trace.is_some() {
            let Named { name, .. } = named(self);
            let store = &self.scratch.store;
            let (name, value) = (store.get(name).to_vec(), trace::value(store.get(span)));
            self.state.note(|| Event::Asked { name, value, matched: answer.is_some() != leaf.negate });
        }
        let (hit, captures, note) = match answer {
            Some(_) if leaf.negate => return,
            None if !leaf.negate => return,
            Some(Hit { span, captures, note }) => (span, captures, note),
            None => (0..span.len(), Default::default(), None),
        };
        let hit = span.part(&hit);
        if leaf.capture && !leaf.negate {
            let whole = match &note {
                Some(note) => note.clone().into_bytes(),
                None => self.scratch.store.get(hit).to_vec(),
            };
            self.state.note(|| Event::Captured { group: 0, text: whole.clone() });
            self.scratch.tx.insert(b"0".to_vec(), whole);
            for group in 1..=9usize {
                // Groups of an older match must not be taken for this one's.
                match captures.get(group - 1) {
                    Some(range) => {
                        let text = self.scratch.store.get(span.part(range)).to_vec();
                        self.state.note(|| Event::Captured { group, text: text.clone() });
                        self.scratch.tx.insert(group.to_string().into_bytes(), text);
                    }
                    None => {
                        self.scratch.tx.remove(group.to_string().as_bytes());
                    }
                }
            }
        }
        let Named { name, raw, excludable } = named(self);
        self.scratch.matched.push(Matched {
            leaf: index,
            name,
            raw,
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
        for target in &program.leaves[index].targets {
            match target.role {
                Role::Exclude => {}
                Role::Count => {
                    let count = self.count(index, target);
                    let raw = self.scratch.store.keep_number(count as u64);
                    // Counts seldom match, and only matches are named.
                    self.try_live(index, raw, |evaluation| {
                        evaluation.scratch.store.keep_text(format_args!("&{}", target.text))
                    });
                }
                Role::Include if target.live().is_some() => {
                    for (name, raw) in self.live_values(index, target) {
                        self.try_live(index, raw, |_| name);
                    }
                }
                Role::Include if program.leaves[index].dynamic.is_some() => self.stored(index, target),
                // The scan made candidates of these.
                Role::Include => {}
            }
        }
    }

    /// Values that lie in the store, for a leaf that could not be asked before its rule runs.
    fn stored(&mut self, index: usize, target: &Target) {
        let program = self.program;
        let leaf = &program.leaves[index];
        for collection in target.collections() {
            for at in 0..self.scratch.store.index[*collection as usize].len() {
                let number = self.scratch.store.index[*collection as usize][at];
                let value = self.scratch.store.values[number as usize];
                let key = self.scratch.store.get(value.key);
                if target.takes(key)
                    && !leaf
                        .targets
                        .iter()
                        .any(|t| t.role == Role::Exclude && t.covers(value.collection, key))
                {
                    self.stored_value(index, number);
                }
            }
        }
    }

    fn stored_value(&mut self, index: usize, number: u32) {
        let leaf = &self.program.leaves[index];
        let value = self.scratch.store.values[number as usize];
        let key = self.scratch.store.get(value.key);
        if self.is_excluded(leaf.rule, |target| target.covers(value.collection, key)) {
            return;
        }
        let raw = value.value;
        let named = |evaluation: &mut Evaluation| {
            let name = evaluation.spell(leaf, number);
            Named { name, raw, excludable: true }
        };
        if leaf.multi_match {
            self.each_step(index, raw, named);
        } else {
            let span = self.transform(&leaf.steps, raw);
            self.test(index, span, named);
        }
    }

    fn try_live(&mut self, index: usize, raw: Span, name: impl Fn(&mut Evaluation) -> Span) {
        let named = |evaluation: &mut Evaluation| Named { name: name(evaluation), raw, excludable: false };
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
            let mut out = std::mem::take(&mut self.scratch.temporary[0]);
            if (transformation.apply)(self.scratch.store.get(span), &mut out) {
                span = self.scratch.store.keep(&out);
            }
            self.scratch.temporary[0] = out;
            self.tell_transformed(transformation, span);
        }
        span
    }

    fn tell_transformed(&mut self, transformation: &Transformation, span: Span) {
        let Scratch { store, .. } = &*self.scratch;
        self.state
            .note(|| Event::Transformed { name: transformation.name, result: trace::value(store.get(span)) });
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
        let rule = self.program.leaves[index].rule;
        let out = |key: &[u8], other: &Target| other.live() == Some(live) && other.takes(key);
        let targets = &self.program.leaves[index].targets;
        let Scratch { tx, opened, store, exclusions, .. } = &mut *self.scratch;
        let variables = match live {
            Live::Persistent(kind) => match &opened[kind as usize] {
                Some(opened) => &opened.variables,
                None => return Vec::new(),
            },
            _ => &*tx,
        };
        let taken = variables.iter().filter(|(key, _)| {
            target.takes(key)
                && !targets.iter().any(|other| other.role == Role::Exclude && out(key, other))
                && !exclusions
                    .iter()
                    .any(|e| bits::contains(&e.rules, rule) && e.targets.iter().any(|t| out(key, t)))
        });
        taken
            .map(|(key, value)| {
                let name = store.keep(prefix);
                let end = store.keep(key).end;
                (Span { start: name.start, end }, store.keep(value))
            })
            .collect()
    }

    /// How many values a target has; exclusions come first.
    fn count(&mut self, index: usize, target: &Target) -> usize {
        if target.live().is_some() {
            return self.live_values(index, target).len();
        }
        let leaf = &self.program.leaves[index];
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
