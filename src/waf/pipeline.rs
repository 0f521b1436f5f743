//! The transformation tree: each node is a list of transformations, its parent the same list
//! without the last. Rules that begin alike share the work.

use super::bits::Bits;
use super::bytes::ByteSet;
use super::operator;
use super::prefilter::{self, Guard};
use super::rule::Leaf;
use super::transformation::Transformation;

#[derive(Debug)]
pub(crate) struct Pipelines {
    /// Node 0 is the value as it is.
    pub nodes: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub parent: usize,
    pub step: Option<Step>,
    pub children: Vec<usize>,
    /// Leaves that look at this node's values.
    pub leaves: Bits,
    /// Multi-match leaves that look at this node's values on their way to their own node.
    pub passing: Bits,
    /// Leaves of either kind at this node or below it.
    pub subtree: Bits,
    /// A value without any of these bytes stays as it is below this node, but for its case.
    pub triggers: ByteSet,
    /// A value with none of these bytes in either case, before this node's step, has no match at
    /// this node or below.
    pub demand: ByteSet,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub transformation: &'static Transformation,
    /// `lowercase`, which the prefilter sees through: it need not be carried out before
    /// something asks for the value.
    pub folds: bool,
}

impl Pipelines {
    pub fn new() -> Pipelines {
        Pipelines { nodes: vec![Node::new(0, None)] }
    }

    /// The node for this list, made if need be.
    pub fn node(&mut self, steps: impl IntoIterator<Item = &'static Transformation>) -> usize {
        let mut at = 0;
        for transformation in steps {
            let same = |child: &&usize| {
                self.nodes[**child].step.is_some_and(|step| step.transformation.name == transformation.name)
            };
            at = match self.nodes[at].children.iter().find(same) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.len();
                    let folds = transformation.name == "lowercase";
                    self.nodes.push(Node::new(at, Some(Step { transformation, folds })));
                    self.nodes[at].children.push(child);
                    child
                }
            };
        }
        at
    }

    /// Tells each node which leaves it serves, what can change below it, and what a value needs.
    pub fn assign(&mut self, leaves: &[Leaf], plain: bool) {
        // Children come after their parents.
        for index in (1..self.nodes.len()).rev() {
            let node = &self.nodes[index];
            let own =
                node.step.filter(|step| !step.folds).map_or(ByteSet::EMPTY, |s| s.transformation.triggers);
            let (triggers, parent) = (node.triggers.union(own), node.parent);
            self.nodes[parent].triggers = self.nodes[parent].triggers.union(triggers);
        }
        for node in &mut self.nodes {
            node.leaves = Bits::none(leaves.len());
            node.passing = Bits::none(leaves.len());
            node.subtree = Bits::none(leaves.len());
        }
        for (index, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| !leaf.late) {
            let mut at = leaf.pipeline;
            let mut made = ByteSet::EMPTY;
            if !leaf.multi_match {
                self.nodes[at].leaves.insert(index);
            }
            loop {
                let node = &mut self.nodes[at];
                node.subtree.insert(index);
                if leaf.multi_match {
                    node.passing.insert(index);
                }
                made = made.union(node.step.map_or(ByteSet::EMPTY, |step| step.transformation.makes()));
                // Of what the operator needs, that which no step from here on makes.
                let sets = leaf.need.bytes.iter().filter(|set| !set.intersects(&made));
                let rarest = sets.min_by_key(|set| operator::commonness(set)).copied();
                let rarest = rarest.filter(|_| !plain && prefilter::guard(leaf, plain) != Guard::Nothing);
                node.demand = node.demand.union(rarest.unwrap_or(ByteSet::FULL));
                if at == 0 {
                    break;
                }
                at = node.parent;
            }
        }
    }
}

impl Node {
    fn new(parent: usize, step: Option<Step>) -> Node {
        let none = Bits::default();
        Node {
            parent,
            step,
            children: Vec::new(),
            leaves: none.clone(),
            passing: none.clone(),
            subtree: none,
            triggers: ByteSet::EMPTY,
            demand: ByteSet::EMPTY,
        }
    }
}
