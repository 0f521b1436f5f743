//! The transformation tree: each node is a list of transformations, its parent the same list
//! without the last. Rules that begin alike share the work.

use super::bits::Bits;
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
    /// Leaves that look at this node's values, and those at or below it.
    pub leaves: Bits,
    pub subtree: Bits,
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

    /// The node's transformations in order.
    pub fn steps(&self, node: usize) -> Vec<&'static Transformation> {
        let mut steps = Vec::new();
        let mut at = node;
        while let Some(step) = self.nodes[at].step {
            steps.push(step.transformation);
            at = self.nodes[at].parent;
        }
        steps.reverse();
        steps
    }

    /// Tells each node which leaves it serves: `leaves` are (leaf, node).
    pub fn assign(&mut self, count: usize, leaves: impl Iterator<Item = (usize, usize)>) {
        for node in &mut self.nodes {
            node.leaves = Bits::none(count);
            node.subtree = Bits::none(count);
        }
        for (leaf, mut at) in leaves {
            self.nodes[at].leaves.insert(leaf);
            loop {
                self.nodes[at].subtree.insert(leaf);
                if at == 0 {
                    break;
                }
                at = self.nodes[at].parent;
            }
        }
    }
}

impl Node {
    fn new(parent: usize, step: Option<Step>) -> Node {
        Node { parent, step, children: Vec::new(), leaves: Bits::default(), subtree: Bits::default() }
    }
}
