//! Conditions on how a request body is read. They are settled before anything looks at the body
//! (`"not": {"variables": ["reqbody_processor"], ...}`), so that what stands behind one that does not
//! hold need not be looked for: a form is not searched for what only bodies in unknown formats are
//! asked about. Refuses everything else that a rule may ask, for only the order of rules settles it.

use super::bits::Bits;
use super::report::PhaseName;
use super::rule::{Action, Condition, Leaf, Rule};
use super::variable::Live;
use super::variable::fact::Fact;
use super::variable::target::{Role, Target};

/// Of the rules that look at request bodies.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Each with the leaves that are asked only where it holds.
    pub guards: Vec<(Condition, Bits)>,
}

impl Settled {
    pub fn build(rules: &[Rule], leaves: &[Leaf]) -> Settled {
        let in_phase = || rules.iter().filter(|rule| rule.phase == PhaseName::RequestBody);
        // A rule that chooses how the body is read would unsettle it, and so would one that keeps
        // others from asking.
        let mut actions = in_phase().flat_map(|rule| &rule.then);
        let mut on_match = leaves.iter().flat_map(|leaf| &leaf.on_match);
        let chooses = |action: &Action| match action {
            Action::BodyProcessor(_) => true,
            Action::Exclude { targets, .. } => targets.iter().any(is_processor),
            _ => false,
        };
        if actions.any(chooses) || on_match.any(chooses) {
            return Settled::default();
        }
        let mut settled = Settled::default();
        for rule in in_phase() {
            let Some(Condition::All(parts)) = &rule.condition else { continue };
            let Some(at) = parts.iter().position(|part| is_settled(part, leaves)) else { continue };
            let mut behind = Bits::none(leaves.len());
            parts[at + 1..].iter().for_each(|part| gather(part, &mut behind));
            match settled.guards.iter_mut().find(|(guard, _)| same(guard, &parts[at], leaves)) {
                Some((_, known)) => known.union(&behind),
                None => settled.guards.push((copy(&parts[at]), behind)),
            }
        }
        settled
    }
}

pub(crate) fn is_processor(target: &Target) -> bool {
    target.live() == Some(Live::Fact(Fact::ReqbodyProcessor))
}

/// True for a condition on the body's processor alone that leaves nothing behind.
fn is_settled(condition: &Condition, leaves: &[Leaf]) -> bool {
    let about =
        |leaf: &Leaf| leaf.targets.iter().all(|target| target.role == Role::Include && is_processor(target));
    match condition {
        Condition::Leaf(leaf) => {
            let leaf = &leaves[*leaf];
            about(leaf) && !leaf.has_effects() && leaf.dynamic.is_none()
        }
        Condition::Not(inner) => is_settled(inner, leaves),
        Condition::All(_) | Condition::Any(_) => false,
    }
}

/// True for two settled conditions that ask the same.
fn same(one: &Condition, other: &Condition, leaves: &[Leaf]) -> bool {
    match (one, other) {
        (Condition::Not(one), Condition::Not(other)) => same(one, other, leaves),
        (Condition::Leaf(one), Condition::Leaf(other)) => {
            let (one, other) = (&leaves[*one], &leaves[*other]);
            let steps = |leaf: &Leaf| leaf.steps.iter().map(|step| step.name).collect::<Vec<_>>();
            one.operator.describe() == other.operator.describe()
                && (one.negate, one.multi_match) == (other.negate, other.multi_match)
                && steps(one) == steps(other)
        }
        _ => false,
    }
}

fn copy(condition: &Condition) -> Condition {
    match condition {
        Condition::Leaf(leaf) => Condition::Leaf(*leaf),
        Condition::All(inner) => Condition::All(inner.iter().map(copy).collect()),
        Condition::Any(inner) => Condition::Any(inner.iter().map(copy).collect()),
        Condition::Not(inner) => Condition::Not(Box::new(copy(inner))),
    }
}

fn gather(condition: &Condition, leaves: &mut Bits) {
    match condition {
        Condition::Leaf(leaf) => leaves.insert(*leaf),
        Condition::All(inner) | Condition::Any(inner) => inner.iter().for_each(|inner| gather(inner, leaves)),
        Condition::Not(inner) => gather(inner, leaves),
    }
}
