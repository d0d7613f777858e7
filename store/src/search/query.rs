//! A search key made ready: sets resolved, ids read, strings mapped once.

use std::ops::RangeInclusive;

use memchr::memmem::Finder;
use redoubt_log::id::{EmailId, ModSeq, ThreadId, Timestamp};
use redoubt_log::record::{Flags, Keyword};

use super::casemap::casemap;
use super::{Day, SearchKey};

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
}

/// A string looked for in the text of messages.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    pub(super) finder: Finder<'static>,
    /// TEXT, and not only BODY.
    pub(super) headers: bool,
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
    /// One of the query's needles.
    Content(usize),
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
        let mut needles = Vec::new();
        let root = Making { scope, needles: &mut needles }.node(key);
        Self { root, needles }
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

    fn asks_header(&self) -> bool {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(Self::asks_header),
            Self::Not(node) => node.asks_header(),
            Self::Header { .. } | Self::Sent(_) => true,
            _ => false,
        }
    }
}

struct Making<'a> {
    scope: &'a Scope,
    needles: &'a mut Vec<Needle>,
}

impl Making<'_> {
    fn node(&mut self, key: &SearchKey) -> Node {
        match key {
            SearchKey::All | SearchKey::SaveDateSupported => Node::Always(true),
            SearchKey::And(keys) => Node::And(keys.iter().map(|key| self.node(key)).collect()),
            SearchKey::Or(left, right) => Node::Or(vec![self.node(left), self.node(right)]),
            SearchKey::Not(key) => Node::Not(Box::new(self.node(key))),
            SearchKey::Bcc(value) => header("Bcc", value),
            SearchKey::Cc(value) => header("Cc", value),
            SearchKey::From(value) => header("From", value),
            SearchKey::To(value) => header("To", value),
            SearchKey::Subject(value) => header("Subject", value),
            SearchKey::Header { name, value } => header(name, value),
            SearchKey::Body(value) => self.content(value, false),
            SearchKey::Text(value) => self.content(value, true),
            key => self.of_placement(key),
        }
    }

    fn of_placement(&self, key: &SearchKey) -> Node {
        match key {
            SearchKey::Sequence(set) => Node::Sequence(set.resolve(self.scope.highest_sequence)),
            SearchKey::Uid(set) => Node::Uid(set.resolve(self.scope.highest_uid)),
            SearchKey::Flags(flags) => Node::Flags(*flags),
            SearchKey::Keyword(keyword) => Node::Keyword(keyword.clone()),
            SearchKey::Recent => Node::Recent,
            SearchKey::Before(day) => Node::Received(before(day)),
            SearchKey::On(day) => Node::Received(on(day)),
            SearchKey::Since(day) => Node::Received(since(day)),
            SearchKey::SentBefore(day) => Node::Sent(before(day)),
            SearchKey::SentOn(day) => Node::Sent(on(day)),
            SearchKey::SentSince(day) => Node::Sent(since(day)),
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
        self.needles.push(Needle { finder: finder(value), headers });
        Node::Content(self.needles.len() - 1)
    }
}

fn header(name: &str, value: &str) -> Node {
    Node::Header { name: name.to_owned(), finder: Box::new(finder(value)) }
}

fn finder(value: &str) -> Finder<'static> {
    Finder::new(casemap(value).as_bytes()).into_owned()
}
