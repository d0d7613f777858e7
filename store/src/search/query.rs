//! A search key made ready: sets resolved, ids read, strings mapped once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use memchr::memmem::Finder;
use redoubt_log::id::{EmailId, ModSeq, ThreadId, Timestamp};
use redoubt_log::record::{Flags, Keyword};

use super::casemap::casemap;
use super::fuzzy::Words;
use super::{Day, SearchKey};
use crate::uids::UidSet;

/// What the sets and times of a key are resolved against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Messages in the mailbox as the session knows it: the highest sequence number.
    pub highest_sequence: u32,
    /// The highest UID; 0 when there is none.
    pub highest_uid: u32,
    /// What OLDER and YOUNGER count from.
    pub now: Timestamp,
}

/// A key made ready to be asked of many messages.
#[derive(Debug, Clone)]
pub struct Query {
    pub(super) root: Node,
    pub(super) needles: Vec<Needle>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) saved: Arc<UidSet>,
}

/// What an index can be asked of a message, as it stands in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A string in a field of this name; an empty one asks whether it is there.
    Header {
        /// The field's name.
        name: String,
        /// What it contains.
        value: String,
    },
    /// A string in bodies.
    Body(String),
    /// A string in headers or bodies.
    Text(String),
    /// The day of the Date field, as [`Day`] counts.
    Sent(RangeInclusive<i64>),
    /// A string, by FUZZY: its words are [`FuzzyWord`](super::FuzzyWord)s.
    Fuzzy(Box<Leaf>),
}

/// What is known of some leaves of a query before messages are opened.
pub trait Hints {
    /// Whether an email matches a leaf, by the leaf's place in [`Query::leaves`]; `None` when it
    /// is not known.
    fn of(&self, leaf: usize, email: EmailId) -> Option<bool>;
}

/// Nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct NoHints;

impl Hints for NoHints {
    fn of(&self, _: usize, _: EmailId) -> Option<bool> {
        None
    }
}

/// A query by what an index can narrow: for who looks for candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outline {
    /// Any email may match.
    Any,
    /// All of these.
    And(Vec<Outline>),
    /// One of these at least.
    Or(Vec<Outline>),
    /// One of [`Query::leaves`].
    Leaf(usize),
    /// INTERNALDATE, in milliseconds.
    Received(RangeInclusive<i64>),
}

/// A string looked for in the text of messages.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    pub(super) finder: Finder<'static>,
    /// TEXT, and not only BODY.
    pub(super) headers: bool,
    /// Instead of `finder`, where it is fuzzy.
    pub(super) words: Option<Words>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Always(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Sequence(Vec<RangeInclusive<u32>>),
    Uid(Vec<RangeInclusive<u32>>),
    Flags(Flags),
    Keyword(Keyword),
    Recent,
    InSaved,
    Received(Days),
    Saved(Days),
    Sent(Days),
    /// INTERNALDATE in milliseconds.
    Instant(RangeInclusive<i64>),
    Size(RangeInclusive<u64>),
    ModSeq(ModSeq),
    Email(EmailId),
    Thread(ThreadId),
    Header {
        name: String,
        finder: Box<Finder<'static>>,
    },
    /// A field that is looked into by FUZZY.
    FuzzyHeader {
        name: String,
        words: Box<Words>,
    },
    /// One of the query's needles.
    Content(usize),
    /// One of the query's leaves.
    Leaf(usize, Box<Node>),
}

/// Days since 1970-01-01.
pub(super) type Days = RangeInclusive<i64>;

fn before(day: &Day) -> Days {
    i64::MIN..=i64::from(day.0) - 1
}

fn on(day: &Day) -> Days {
    i64::from(day.0)..=i64::from(day.0)
}

fn since(day: &Day) -> Days {
    i64::from(day.0)..=i64::MAX
}

impl Query {
    /// Makes a key ready. Its nesting is bounded by the grammar.
    pub fn new(key: &SearchKey, scope: &Scope) -> Self {
        let (mut needles, mut leaves) = (Vec::new(), Vec::new());
        let root =
            Making { scope, needles: &mut needles, leaves: &mut leaves, fuzzy: false }.node(key);
        Self { root, needles, leaves, saved: Arc::default() }
    }

    /// What it asks of the content of messages.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// What can be narrowed of it.
    pub fn outline(&self) -> Outline {
        self.root.outline()
    }

    /// With the messages that `$` stands for (RFC 5182); none without this.
    #[must_use]
    pub fn with_saved(self, saved: Arc<UidSet>) -> Self {
        Self { saved, ..self }
    }

    /// Those of `$` when nothing else can match.
    pub fn saved(&self) -> Option<&UidSet> {
        let asks = |node: &Node| matches!(node, Node::InSaved);
        let only = match &self.root {
            Node::And(nodes) => nodes.iter().any(asks),
            node => asks(node),
        };
        only.then_some(&*self.saved)
    }

    /// Rising ranges of UIDs outside of which nothing can match; `None` when
    /// any UID can. For a caller that need not look at every placement.
    pub fn uids(&self) -> Option<&[RangeInclusive<u32>]> {
        self.root.bound(|node| match node {
            Node::Uid(ranges) => Some(ranges.as_slice()),
            _ => None,
        })
    }

    /// As [`Query::uids`], of message sequence numbers.
    pub fn sequences(&self) -> Option<&[RangeInclusive<u32>]> {
        self.root.bound(|node| match node {
            Node::Sequence(ranges) => Some(ranges.as_slice()),
            _ => None,
        })
    }

    /// The system flags that it asks for, where it asks for nothing else but UIDs, sequence
    /// numbers, `\Recent` and what was saved.
    pub fn flags(&self) -> Option<Flags> {
        self.root.only_flags()
    }

    /// Whether it may have to look into messages, which takes time.
    pub fn opens_messages(&self) -> bool {
        !self.needles.is_empty() || self.root.asks_header()
    }
}

impl Node {
    fn bound<'a>(
        &'a self,
        of: impl Fn(&'a Node) -> Option<&'a [RangeInclusive<u32>]>,
    ) -> Option<&'a [RangeInclusive<u32>]> {
        match self {
            Self::And(nodes) => nodes.iter().find_map(of),
            node => of(node),
        }
    }

    fn only_flags(&self) -> Option<Flags> {
        match self {
            Self::And(nodes) | Self::Or(nodes) => {
                let mut each = nodes.iter().map(Self::only_flags);
                each.try_fold(Flags::NONE, |all, flags| Some(all.with(flags?)))
            }
            Self::Not(node) => node.only_flags(),
            Self::Flags(flags) => Some(*flags),
            Self::Always(_) | Self::Sequence(_) | Self::Uid(_) | Self::Recent | Self::InSaved => {
                Some(Flags::NONE)
            }
            _ => None,
        }
    }

    fn asks_header(&self) -> bool {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(Self::asks_header),
            Self::Not(node) => node.asks_header(),
            Self::FuzzyHeader { .. } => true,
            Self::Leaf(_, node) => {
                matches!(**node, Self::Header { .. } | Self::FuzzyHeader { .. } | Self::Sent(_))
            }
            _ => false,
        }
    }

    fn outline(&self) -> Outline {
        match self {
            Self::And(nodes) => Outline::And(nodes.iter().map(Self::outline).collect()),
            Self::Or(nodes) => Outline::Or(nodes.iter().map(Self::outline).collect()),
            Self::Leaf(leaf, _) => Outline::Leaf(*leaf),
            Self::Received(days) => Outline::Received(millis(days)),
            Self::Instant(times) => Outline::Received(times.clone()),
            _ => Outline::Any,
        }
    }
}

fn millis(days: &Days) -> RangeInclusive<i64> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let first = days.start().saturating_mul(DAY);
    first..=days.end().saturating_add(1).saturating_mul(DAY).saturating_sub(1)
}

struct Making<'a> {
    scope: &'a Scope,
    needles: &'a mut Vec<Needle>,
    leaves: &'a mut Vec<Leaf>,
    /// Within FUZZY.
    fuzzy: bool,
}

impl Making<'_> {
    fn node(&mut self, key: &SearchKey) -> Node {
        match key {
            SearchKey::All | SearchKey::SaveDateSupported => Node::Always(true),
            SearchKey::And(keys) => Node::And(keys.iter().map(|key| self.node(key)).collect()),
            SearchKey::Or(left, right) => Node::Or(vec![self.node(left), self.node(right)]),
            SearchKey::Not(key) => Node::Not(Box::new(self.node(key))),
            SearchKey::Fuzzy(key) => {
                let outside = std::mem::replace(&mut self.fuzzy, true);
                let node = self.node(key);
                self.fuzzy = outside;
                node
            }
            SearchKey::Bcc(value) => self.header("Bcc", value),
            SearchKey::Cc(value) => self.header("Cc", value),
            SearchKey::From(value) => self.header("From", value),
            SearchKey::To(value) => self.header("To", value),
            SearchKey::Subject(value) => self.header("Subject", value),
            SearchKey::Header { name, value } => self.header(name, value),
            SearchKey::SentBefore(day) => self.sent(before(day)),
            SearchKey::SentOn(day) => self.sent(on(day)),
            SearchKey::SentSince(day) => self.sent(since(day)),
            SearchKey::Body(value) => self.content(value, false),
            SearchKey::Text(value) => self.content(value, true),
            key => self.of_placement(key),
        }
    }

    fn of_placement(&self, key: &SearchKey) -> Node {
        match key {
            SearchKey::Sequence(set) => Node::Sequence(set.resolve(self.scope.highest_sequence)),
            SearchKey::Saved => Node::InSaved,
            SearchKey::Uid(set) => Node::Uid(set.resolve(self.scope.highest_uid)),
            SearchKey::Flags(flags) => Node::Flags(*flags),
            SearchKey::Keyword(keyword) => Node::Keyword(keyword.clone()),
            SearchKey::Recent => Node::Recent,
            SearchKey::Before(day) => Node::Received(before(day)),
            SearchKey::On(day) => Node::Received(on(day)),
            SearchKey::Since(day) => Node::Received(since(day)),
            SearchKey::SavedBefore(day) => Node::Saved(before(day)),
            SearchKey::SavedOn(day) => Node::Saved(on(day)),
            SearchKey::SavedSince(day) => Node::Saved(since(day)),
            SearchKey::Older(seconds) => Node::Instant(i64::MIN..=self.ago(*seconds)),
            SearchKey::Younger(seconds) => Node::Instant(self.ago(*seconds)..=i64::MAX),
            SearchKey::Larger(size) => match size.checked_add(1) {
                Some(least) => Node::Size(least..=u64::MAX),
                None => Node::Always(false),
            },
            SearchKey::Smaller(size) => match size.checked_sub(1) {
                Some(most) => Node::Size(0..=most),
                None => Node::Always(false),
            },
            SearchKey::ModSeq(modseq) => Node::ModSeq(*modseq),
            SearchKey::EmailId(id) => id.parse().map_or(Node::Always(false), Node::Email),
            SearchKey::ThreadId(id) => id.parse().map_or(Node::Always(false), Node::Thread),
            // All others are made above.
            _ => Node::Always(false),
        }
    }

    /// RFC 5032 section 2: the interval is of seconds before now.
    fn ago(&self, seconds: u32) -> i64 {
        self.scope.now.0.saturating_sub(i64::from(seconds) * 1000)
    }

    /// An empty string is in every text.
    fn content(&mut self, value: &str, headers: bool) -> Node {
        if value.is_empty() {
            return Node::Always(true);
        }
        let words = self.fuzzy.then(|| Words::of(value));
        let told = words.as_ref().is_none_or(|words| !words.is_empty());
        self.needles.push(Needle { finder: finder(value), headers, words });
        let node = Node::Content(self.needles.len() - 1);
        let value = value.to_owned();
        self.text(if headers { Leaf::Text(value) } else { Leaf::Body(value) }, node, told)
    }

    fn header(&mut self, name: &str, value: &str) -> Node {
        let leaf = Leaf::Header { name: name.to_owned(), value: value.to_owned() };
        if self.fuzzy {
            let words = Box::new(Words::of(value));
            let told = !words.is_empty();
            return self.text(leaf, Node::FuzzyHeader { name: name.to_owned(), words }, told);
        }
        let node = Node::Header { name: name.to_owned(), finder: Box::new(finder(value)) };
        self.leaf(leaf, node)
    }

    /// A string; within FUZZY an index tells nothing where that has no words.
    fn text(&mut self, leaf: Leaf, node: Node, told: bool) -> Node {
        match (self.fuzzy, told) {
            (true, true) => self.leaf(Leaf::Fuzzy(Box::new(leaf)), node),
            (true, false) => node,
            (false, _) => self.leaf(leaf, node),
        }
    }

    fn sent(&mut self, days: Days) -> Node {
        self.leaf(Leaf::Sent(days.clone()), Node::Sent(days))
    }

    fn leaf(&mut self, leaf: Leaf, node: Node) -> Node {
        self.leaves.push(leaf);
        Node::Leaf(self.leaves.len() - 1, Box::new(node))
    }
}

fn finder(value: &str) -> Finder<'static> {
    Finder::new(casemap(value).as_bytes()).into_owned()
}
