//! Trees that grow and are cut while somebody asks for their roots: link-cut trees. A chain of a
//! million replies is walked in some twenty steps, so that no mail makes threading slow.
//!
//! Invariants: each tree is split into paths, each path is a splay tree ordered by depth;
//! `up` of a path's topmost splay node names the node that the path hangs from.

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The trees.
#[derive(Debug, Default)]
pub(super) struct Trees {
    nodes: Vec<Links>,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    up: u32,
    /// Of the path: what lies above, and what lies below.
    sides: [u32; 2],
}

/// A node that is alone.
const ALONE: Links = Links { up: NONE, sides: [NONE; 2] };
const ABOVE: usize = 0;
const BELOW: usize = 1;

impl Trees {
    /// Adds a node that is alone: its number.
    pub(super) fn add(&mut self) -> u32 {
        self.nodes.push(ALONE);
        u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
    }

    /// Hangs a root under a node of another tree.
    pub(super) fn link(&mut self, root: u32, parent: u32) {
        self.access(root);
        self.access(parent);
        self.set_up(root, parent);
    }

    /// Makes a node the root of what lies below it.
    pub(super) fn cut(&mut self, node: u32) {
        self.access(node);
        let above = self.side(node, ABOVE);
        if above != NONE {
            self.set_up(above, NONE);
            self.set_side(node, ABOVE, NONE);
        }
    }

    /// The root of a node's tree.
    pub(super) fn root(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut top = node;
        while self.side(top, ABOVE) != NONE {
            top = self.side(top, ABOVE);
        }
        self.splay(top);
        top
    }

    /// Makes the way from the root to a node one path that ends with it, the node on top.
    fn access(&mut self, node: u32) {
        let (mut below, mut at) = (NONE, node);
        while at != NONE {
            self.splay(at);
            self.set_side(at, BELOW, below);
            (below, at) = (at, self.up(at));
        }
        self.splay(node);
    }

    fn splay(&mut self, node: u32) {
        while let Some(side) = self.place(node) {
            let up = self.up(node);
            match self.place(up) {
                Some(other) if other == side => self.rotate(up),
                Some(_) => self.rotate(node),
                None => {}
            }
            self.rotate(node);
        }
    }

    /// Lifts a node above the one over it, in the same path.
    fn rotate(&mut self, node: u32) {
        let Some(side) = self.place(node) else { return };
        let up = self.up(node);
        let inner = self.side(node, 1 - side);
        let (over, place) = (self.up(up), self.place(up));
        self.set_side(up, side, inner);
        if inner != NONE {
            self.set_up(inner, up);
        }
        self.set_side(node, 1 - side, up);
        self.set_up(up, node);
        self.set_up(node, over);
        if let Some(place) = place {
            self.set_side(over, place, node);
        }
    }

    /// On which side of the node above it, in the same path; `None` on top of its path.
    fn place(&self, node: u32) -> Option<usize> {
        let up = self.up(node);
        [ABOVE, BELOW].into_iter().find(|side| up != NONE && self.side(up, *side) == node)
    }

    fn up(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NONE, |links| links.up)
    }

    fn side(&self, node: u32, side: usize) -> u32 {
        let links = self.nodes.get(node as usize);
        links.and_then(|links| links.sides.get(side)).copied().unwrap_or(NONE)
    }

    fn set_up(&mut self, node: u32, to: u32) {
        if let Some(links) = self.nodes.get_mut(node as usize) {
            links.up = to;
        }
    }

    fn set_side(&mut self, node: u32, side: usize, to: u32) {
        let links = self.nodes.get_mut(node as usize);
        if let Some(link) = links.and_then(|links| links.sides.get_mut(side)) {
            *link = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slow_root(parents: &[u32], mut node: u32) -> u32 {
        while parents[node as usize] != NONE {
            node = parents[node as usize];
        }
        node
    }

    proptest! {
        #[test]
        fn roots_are_those_of_the_plain_parents(steps in prop::collection::vec((0..24_u32, 0..24_u32, any::<bool>()), 0..300)) {
            let mut trees = Trees::default();
            let mut parents = vec![NONE; 24];
            (0..24).for_each(|n| assert_eq!(trees.add(), n));
            for (node, parent, cut) in steps {
                if cut {
                    trees.cut(node);
                    parents[node as usize] = NONE;
                } else if parents[node as usize] == NONE && slow_root(&parents, parent) != node {
                    trees.link(node, parent);
                    parents[node as usize] = parent;
                }
                for at in [node, parent] {
                    prop_assert_eq!(trees.root(at), slow_root(&parents, at));
                }
            }
        }
    }

    #[test]
    fn a_chain_of_many_has_one_root() {
        let mut trees = Trees::default();
        let last = (0..100_000).map(|_| trees.add()).last().unwrap();
        (1..=last).for_each(|node| trees.link(node, node - 1));
        assert_eq!((trees.root(last), trees.root(last / 2)), (0, 0));
    }
}
