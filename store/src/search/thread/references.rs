//! Who is whose parent (RFC 5256 section 3, REFERENCES, steps 1 to 3).
//!
//! Invariants: a node is a message or stands for one that is not there; `parents` are links as
//! the messages added so far made them, and have no loop.

use std::collections::HashMap;

use super::TooMuch;
use super::trees::{NONE, Trees};

/// Nodes of one command: messages and others that they name.
const MAX_NODES: usize = 4_000_000;
/// What a node takes in memory, about.
pub(super) const NODE: usize = 32;

/// Messages, and what their headers say of each other.
#[derive(Debug)]
pub(super) struct References {
    /// The node of each Message-ID.
    known: Vec<u32>,
    parents: Vec<u32>,
    /// How many children each node has.
    children: Vec<u32>,
    /// Which message each node is.
    messages: Vec<u32>,
    /// The node of each message.
    nodes: Vec<u32>,
    trees: Trees,
}

impl References {
    /// Nothing yet; Message-IDs are numbers below `ids`.
    pub(super) fn new(ids: usize, messages: usize) -> Self {
        Self {
            known: vec![NONE; ids],
            parents: Vec::with_capacity(messages),
            children: Vec::with_capacity(messages),
            messages: Vec::with_capacity(messages),
            nodes: Vec::with_capacity(messages),
            trees: Trees::default(),
        }
    }

    /// Adds the next message.
    pub(super) fn push(&mut self, id: Option<u32>, references: &[u32]) -> Result<(), TooMuch> {
        let own = self.own(id);
        let mut last = NONE;
        for reference in references {
            let node = self.named(*reference);
            // Step 1.A: a link that is there stays.
            if last != NONE && get(&self.parents, node) == NONE {
                self.link(node, last);
            }
            last = node;
        }
        self.adopt(own, last);
        if self.parents.len() > MAX_NODES { Err(TooMuch) } else { Ok(()) }
    }

    /// Of messages with one Message-ID the first has it, and the others have none.
    fn own(&mut self, id: Option<u32>) -> u32 {
        let message = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let known = id.map(|id| self.named(id));
        let node = known.filter(|node| get(&self.messages, *node) == NONE);
        let node = node.unwrap_or_else(|| self.add());
        set(&mut self.messages, node, message);
        self.nodes.push(node);
        node
    }

    fn named(&mut self, id: u32) -> u32 {
        let known = get(&self.known, id);
        if known != NONE {
            return known;
        }
        let node = self.add();
        set(&mut self.known, id, node);
        node
    }

    fn add(&mut self) -> u32 {
        self.parents.push(NONE);
        self.children.push(0);
        self.messages.push(NONE);
        self.trees.add()
    }

    /// Step 1.B: the last reference is the parent, whatever others said.
    fn adopt(&mut self, own: u32, parent: u32) {
        let before = get(&self.parents, own);
        if before != NONE && before != parent {
            self.trees.cut(own);
            set(&mut self.parents, own, NONE);
            change(&mut self.children, before, |count| count.saturating_sub(1));
        }
        if parent != NONE && get(&self.parents, own) == NONE {
            self.link(own, parent);
        }
    }

    /// Links a node without a parent, unless that made a loop.
    fn link(&mut self, node: u32, parent: u32) {
        let leaf = get(&self.children, node) == 0;
        if node == parent || (!leaf && self.trees.root(parent) == node) {
            return;
        }
        self.trees.link(node, parent);
        set(&mut self.parents, node, parent);
        change(&mut self.children, parent, |count| count.saturating_add(1));
    }

    /// The parent of each message: another one, or, from `count` on, one that is not there and
    /// has two children at least. Steps 2 and 3: others that are not there go, and what was
    /// below them is below what they were below of.
    pub(super) fn parents(mut self, count: u32) -> Vec<u32> {
        let nodes = std::mem::take(&mut self.nodes);
        let tops: Vec<u32> = nodes.iter().map(|node| self.anchor(*node)).collect();
        let mut below = vec![0_u32; self.parents.len()];
        for top in &tops {
            change(&mut below, *top, |count| count.saturating_add(1));
        }
        let mut dummies: HashMap<u32, u32> = HashMap::new();
        let parent = |top: &u32| match (get(&self.messages, *top), get(&below, *top)) {
            (NONE, 2..) if *top != NONE => {
                let next = count + u32::try_from(dummies.len()).unwrap_or(0);
                *dummies.entry(*top).or_insert(next)
            }
            (NONE, _) => NONE,
            (message, _) => message,
        };
        tops.iter().map(parent).collect()
    }

    /// The nearest message above a node, or the topmost node there where there is none.
    fn anchor(&mut self, node: u32) -> u32 {
        let mut top = get(&self.parents, node);
        while top != NONE && get(&self.messages, top) == NONE && get(&self.parents, top) != NONE {
            top = get(&self.parents, top);
        }
        // Whoever comes this way again shall not go it all.
        self.shorten(node, top);
        top
    }

    /// Links all nodes that are not there, on the way to `top`, with it.
    fn shorten(&mut self, node: u32, top: u32) {
        let mut at = get(&self.parents, node);
        while at != top && at != NONE {
            let next = get(&self.parents, at);
            set(&mut self.parents, at, top);
            at = next;
        }
    }
}

fn get(list: &[u32], at: u32) -> u32 {
    list.get(at as usize).copied().unwrap_or(NONE)
}

fn set(list: &mut [u32], at: u32, value: u32) {
    change(list, at, |_| value);
}

fn change(list: &mut [u32], at: u32, to: impl FnOnce(u32) -> u32) {
    if let Some(value) = list.get_mut(at as usize) {
        *value = to(*value);
    }
}
