//! Threads as they are told.

use super::trees::NONE;

/// Threads: messages, and some that are not there (those from `count` on), in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forest {
    count: u32,
    roots: Siblings,
    children: Vec<Siblings>,
    next: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Siblings {
    first: u32,
    last: u32,
}

impl Default for Siblings {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

/// What comes next in a THREAD response (RFC 5256 section 5, thread-data).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `(`
    Open,
    /// `)`
    Close,
    /// A space.
    Space,
    /// A message, by its place among those that were threaded (from 0).
    Message(u32),
}

impl Forest {
    /// From the messages by rank and each one's parent.
    pub(super) fn new(count: u32, ranked: &[u32], parents: &[u32]) -> Self {
        let highest = parents.iter().filter(|parent| **parent != NONE).max();
        let nodes = highest.map_or(count, |highest| count.max(highest.saturating_add(1))) as usize;
        let mut forest = Self {
            count,
            roots: Siblings::default(),
            children: vec![Siblings::default(); nodes],
            next: vec![NONE; nodes],
        };
        for at in ranked {
            let parent = parents.get(*at as usize).copied().unwrap_or(NONE);
            // One that is not there stands where its first child does.
            if parent != NONE && parent >= count && !forest.has_children(parent) {
                forest.append(NONE, parent);
            }
            forest.append(parent, *at);
        }
        forest
    }

    /// Goes through it in the order of the response.
    pub fn walk(&self) -> Walk<'_> {
        Walk { forest: self, open: vec![Task::List(self.roots.first)] }
    }

    fn has_children(&self, node: u32) -> bool {
        self.siblings(node).first != NONE
    }

    fn siblings(&self, parent: u32) -> Siblings {
        self.children.get(parent as usize).copied().unwrap_or_default()
    }

    fn next(&self, node: u32) -> u32 {
        self.next.get(node as usize).copied().unwrap_or(NONE)
    }

    fn append(&mut self, parent: u32, node: u32) {
        let siblings = match parent {
            NONE => Some(&mut self.roots),
            parent => self.children.get_mut(parent as usize),
        };
        let Some(siblings) = siblings else { return };
        let last = std::mem::replace(&mut siblings.last, node);
        if last == NONE {
            siblings.first = node;
        } else if let Some(next) = self.next.get_mut(last as usize) {
            *next = node;
        }
    }
}

/// Goes through threads. Needs no more of the stack however deep they are.
#[derive(Debug)]
pub struct Walk<'a> {
    forest: &'a Forest,
    open: Vec<Task>,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    /// A node and all of its siblings behind it, each in parentheses.
    List(u32),
    Node(u32),
    Say(Step),
}

impl Walk<'_> {
    fn list(&mut self, node: u32) -> Option<Step> {
        if node == NONE {
            return None;
        }
        self.open.push(Task::List(self.forest.next(node)));
        self.open.push(Task::Say(Step::Close));
        self.open.push(Task::Node(node));
        Some(Step::Open)
    }

    fn node(&mut self, node: u32) -> Option<Step> {
        let first = self.forest.siblings(node).first;
        if node >= self.forest.count {
            self.open.push(Task::List(first));
            return None;
        }
        if first != NONE {
            let alone = self.forest.next(first) == NONE;
            self.open.push(if alone { Task::Node(first) } else { Task::List(first) });
            self.open.push(Task::Say(Step::Space));
        }
        Some(Step::Message(node))
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let step = match self.open.pop()? {
                Task::List(node) => self.list(node),
                Task::Node(node) => self.node(node),
                Task::Say(step) => Some(step),
            };
            if step.is_some() {
                return step;
            }
        }
    }
}
