//! SORT and THREAD (RFC 5256), step by step as the RFC tells them: lists that are searched from
//! their beginning, trees that are walked.

use std::cmp::Ordering;

/// A message as its sender meant it.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    /// The sent date, if the Date field reads.
    pub sent: Option<i64>,
    pub received: i64,
    pub size: u64,
    /// The base subject, in capitals.
    pub base: String,
    /// A reply or forward.
    pub reply: bool,
    pub from: String,
    pub to: String,
    pub cc: String,
    pub id: Option<String>,
    pub references: Vec<String>,
    pub in_reply_to: Vec<String>,
}

impl Letter {
    fn date(&self) -> i64 {
        self.sent.unwrap_or(self.received)
    }
}

/// Sequence numbers in the order of the criteria: a name, and whether it is reversed.
pub fn sort(letters: &[Letter], criteria: &[(&str, bool)]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for at in 0..letters.len() {
        let behind =
            |other: &usize| compare(&letters[*other], &letters[at], criteria) == Ordering::Greater;
        let place = order.iter().position(behind).unwrap_or(order.len());
        order.insert(place, at);
    }
    order.into_iter().map(|at| at + 1).collect()
}

fn compare(a: &Letter, b: &Letter, criteria: &[(&str, bool)]) -> Ordering {
    for (name, reverse) in criteria {
        let order = match *name {
            "ARRIVAL" => a.received.cmp(&b.received),
            "DATE" => a.date().cmp(&b.date()),
            "SIZE" => a.size.cmp(&b.size),
            "SUBJECT" => a.base.cmp(&b.base),
            "FROM" => a.from.cmp(&b.from),
            "TO" => a.to.cmp(&b.to),
            "CC" => a.cc.cmp(&b.cc),
            other => panic!("{other}"),
        };
        let order = if *reverse { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// THREAD=ORDEREDSUBJECT, as it is answered.
pub fn ordered_subject(letters: &[Letter]) -> String {
    let mut rest = sort(letters, &[("SUBJECT", false), ("DATE", false)]);
    let mut threads: Vec<Vec<usize>> = Vec::new();
    while !rest.is_empty() {
        let base = &letters[rest[0] - 1].base;
        let (thread, others) = rest.iter().partition(|n| letters[**n - 1].base == *base);
        threads.push(thread);
        rest = others;
    }
    threads.sort_by_key(|thread| (letters[thread[0] - 1].date(), thread[0]));
    threads.iter().map(|thread| flat(thread)).collect()
}

fn flat(thread: &[usize]) -> String {
    match thread {
        [one] => format!("({one})"),
        [one, two] => format!("({one} {two})"),
        [one, more @ ..] => {
            let more: String = more.iter().map(|n| format!("({n})")).collect();
            format!("({one} {more})")
        }
        [] => String::new(),
    }
}

/// A node of the trees: a message, or one that is only named.
#[derive(Debug, Clone)]
struct Node {
    id: String,
    letter: Option<usize>,
    parent: Option<usize>,
}

struct Trees<'a> {
    letters: &'a [Letter],
    nodes: Vec<Node>,
    gone: Vec<usize>,
}

/// THREAD=REFERENCES, as it is answered.
pub fn references(letters: &[Letter]) -> String {
    let mut trees = Trees { letters, nodes: Vec::new(), gone: Vec::new() };
    trees.link_all();
    for root in trees.children(None) {
        trees.prune(root);
    }
    trees.merge_subjects();
    trees.siblings(None).into_iter().map(|root| format!("({})", trees.print(root))).collect()
}

impl Trees<'_> {
    // Step 1.
    fn link_all(&mut self) {
        for at in 0..self.letters.len() {
            let own = self.own(at);
            let letter = self.letters[at].clone();
            let mut named = letter.references;
            if named.is_empty() {
                named = letter.in_reply_to.into_iter().take(1).collect();
            }
            let named: Vec<usize> = named.iter().map(|id| self.find(id)).collect();
            for pair in named.windows(2) {
                if self.nodes[pair[1]].parent.is_none() {
                    self.link(pair[0], pair[1]);
                }
            }
            self.nodes[own].parent = None;
            if let Some(last) = named.last() {
                self.link(*last, own);
            }
        }
    }

    fn own(&mut self, at: usize) -> usize {
        let id = self.letters[at].id.clone();
        let unique = || format!("unique {at}");
        let node = match id {
            Some(id) => {
                let node = self.find(&id);
                match self.nodes[node].letter {
                    None => node,
                    Some(_) => self.find(&unique()),
                }
            }
            None => self.find(&unique()),
        };
        self.nodes[node].letter = Some(at);
        node
    }

    fn find(&mut self, id: &str) -> usize {
        if let Some(at) = self.nodes.iter().position(|node| node.id == id) {
            return at;
        }
        self.nodes.push(Node { id: id.to_owned(), letter: None, parent: None });
        self.nodes.len() - 1
    }

    fn link(&mut self, parent: usize, child: usize) {
        let mut above = Some(parent);
        while let Some(node) = above {
            if node == child {
                return;
            }
            above = self.nodes[node].parent;
        }
        self.nodes[child].parent = Some(parent);
    }

    fn children(&self, parent: Option<usize>) -> Vec<usize> {
        let mut all = (0..self.nodes.len()).filter(|n| !self.gone.contains(n)).collect::<Vec<_>>();
        all.retain(|node| self.nodes[*node].parent == parent);
        all
    }

    // Step 3, from below.
    fn prune(&mut self, node: usize) {
        for child in self.children(Some(node)) {
            self.prune(child);
        }
        if self.nodes[node].letter.is_some() {
            return;
        }
        let (parent, children) = (self.nodes[node].parent, self.children(Some(node)));
        if children.is_empty() || parent.is_some() || children.len() == 1 {
            for child in children {
                self.nodes[child].parent = parent;
            }
            self.gone.push(node);
        }
    }

    /// By sent date, then by sequence number; one that is not there by its first child.
    fn key(&self, node: usize) -> (i64, usize) {
        match self.nodes[node].letter {
            Some(at) => (self.letters[at].date(), at),
            None => self.children(Some(node)).into_iter().map(|c| self.key(c)).min().unwrap(),
        }
    }

    // Steps 4 and 6.
    fn siblings(&self, parent: Option<usize>) -> Vec<usize> {
        let mut siblings = self.children(parent);
        siblings.sort_by_key(|node| self.key(*node));
        siblings
    }

    fn is_dummy(&self, node: usize) -> bool {
        self.nodes[node].letter.is_none()
    }

    fn is_reply(&self, node: usize) -> bool {
        self.nodes[node].letter.is_some_and(|at| self.letters[at].reply)
    }

    // Step 5.B.i.
    fn subject(&self, node: usize) -> String {
        let at = self.nodes[node].letter;
        let at = at.or_else(|| self.nodes[self.siblings(Some(node))[0]].letter);
        self.letters[at.unwrap()].base.clone()
    }

    // Step 5.
    fn merge_subjects(&mut self) {
        let roots = self.siblings(None);
        let mut table: Vec<(String, usize)> = Vec::new();
        for root in &roots {
            let subject = self.subject(*root);
            if subject.is_empty() {
                continue;
            }
            let Some(place) = table.iter().position(|(known, _)| *known == subject) else {
                table.push((subject, *root));
                continue;
            };
            let kept = table[place].1;
            let better = self.is_reply(kept) && !self.is_reply(*root);
            if !self.is_dummy(kept) && (self.is_dummy(*root) || better) {
                table[place].1 = *root;
            }
        }
        for root in roots {
            let subject = self.subject(root);
            let Some(entry) = table.iter_mut().find(|(known, _)| *known == subject) else {
                continue;
            };
            let kept = entry.1;
            if kept == root {
                continue;
            }
            if self.is_dummy(kept) && self.is_dummy(root) {
                for child in self.children(Some(root)) {
                    self.nodes[child].parent = Some(kept);
                }
                self.gone.push(root);
            } else if self.is_dummy(kept) || (self.is_reply(root) && !self.is_reply(kept)) {
                self.nodes[root].parent = Some(kept);
            } else {
                let id = format!("made for {subject}");
                self.nodes.push(Node { id, letter: None, parent: None });
                let made = self.nodes.len() - 1;
                self.nodes[root].parent = Some(made);
                self.nodes[kept].parent = Some(made);
                entry.1 = made;
            }
        }
    }

    fn print(&self, node: usize) -> String {
        let own = self.nodes[node].letter.map(|at| (at + 1).to_string()).unwrap_or_default();
        let children = self.siblings(Some(node));
        let below = match children.as_slice() {
            [one] => self.print(*one),
            many => many.iter().map(|child| format!("({})", self.print(*child))).collect(),
        };
        let space = if own.is_empty() || below.is_empty() { "" } else { " " };
        format!("{own}{space}{below}")
    }
}
