//! What clients did and what they were answered, with the times of both.

mod file;
mod recorder;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use file::{load, save};
pub use recorder::{Asked, Recorder, next_session};

/// What a client knows of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was refused: it has not happened and will not.
    Refused,
    /// No answer, or one that leaves it open: it may have happened, or may yet.
    Unknown,
}

/// An operation as the report draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dot {
    /// When it was asked, since the start of the run.
    pub asked: Duration,
    /// How long the answer took, or until it was given up.
    pub took: Duration,
    /// What kind: `deliver`, `append`, `store`, `move`, `select` ...
    pub kind: &'static str,
    /// Whom it was asked: the rig's number of the node.
    pub node: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// How STORE changes flags (RFC 9051 section 6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// STORE of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The message.
    pub uid: u32,
    /// What is done with the flags.
    pub how: How,
    /// The flags.
    pub flags: Vec<String>,
    /// Whether the new flags need not be told.
    pub silent: bool,
    /// UNCHANGEDSINCE (RFC 7162 section 3.1.3).
    pub unchanged_since: Option<u64>,
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A connection with LOGIN, and ENABLE where it is wished.
    Login,
    /// One message by LMTP.
    Deliver {
        /// What is in no other message.
        token: String,
        /// Of its octets as they were sent.
        hash: String,
        /// Recipients.
        to: Vec<String>,
    },
    /// APPEND.
    Append {
        /// The mailbox.
        mailbox: String,
        /// What is in no other message.
        token: String,
        /// Of its octets.
        hash: String,
        /// Its flags.
        flags: Vec<String>,
    },
    /// SELECT.
    Select {
        /// The mailbox.
        mailbox: String,
        /// UIDVALIDITY and MODSEQ of QRESYNC (RFC 7162 section 3.2.5).
        since: Option<(u32, u64)>,
    },
    /// NOOP.
    Noop,
    /// IDLE, up to DONE.
    Idle,
    /// UID FETCH of everything from a UID on.
    Fetch {
        /// The first UID.
        from: u32,
    },
    /// UID FETCH of messages' octets.
    Read {
        /// The first UID.
        first: u32,
        /// The last UID.
        last: u32,
    },
    /// UID STORE.
    Store(Store),
    /// UID COPY.
    Copy {
        /// The messages.
        uids: Vec<u32>,
        /// The mailbox.
        to: String,
    },
    /// UID MOVE.
    Move {
        /// The messages.
        uids: Vec<u32>,
        /// The mailbox.
        to: String,
    },
    /// UID EXPUNGE.
    Expunge {
        /// The messages.
        uids: Vec<u32>,
    },
    /// CREATE.
    Create {
        /// Its name.
        name: String,
    },
    /// RENAME.
    Rename {
        /// The name of before.
        from: String,
        /// The new name.
        to: String,
    },
    /// DELETE.
    Delete {
        /// Its name.
        name: String,
    },
    /// LIST of all names.
    List,
    /// STATUS.
    Status {
        /// The mailbox.
        mailbox: String,
    },
}

impl Ask {
    /// Its kind in the report.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Deliver { .. } => "deliver",
            Self::Append { .. } => "append",
            Self::Select { .. } => "select",
            Self::Noop => "noop",
            Self::Idle => "idle",
            Self::Fetch { .. } => "fetch",
            Self::Read { .. } => "read",
            Self::Store(_) => "store",
            Self::Copy { .. } => "copy",
            Self::Move { .. } => "move",
            Self::Expunge { .. } => "expunge",
            Self::Create { .. } => "create",
            Self::Rename { .. } => "rename",
            Self::Delete { .. } => "delete",
            Self::List => "list",
            Self::Status { .. } => "status",
        }
    }
}

/// A FETCH response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The message sequence number.
    pub number: u32,
    /// UID
    pub uid: Option<u32>,
    /// FLAGS without `\Recent`, sorted.
    pub flags: Option<Vec<String>>,
    /// MODSEQ
    pub modseq: Option<u64>,
    /// EMAILID
    pub email: Option<String>,
    /// What BODY[] said of itself.
    pub content: Option<Content>,
}

/// A message's octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Content {
    /// What is in no other message; or what is wrong with the octets.
    pub token: Result<String, String>,
    /// Of the octets as they were sent, without what the delivery put before them.
    pub hash: String,
    /// Of all octets.
    pub whole: String,
}

/// Numbers of a mailbox, as STATUS tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// MESSAGES
    pub messages: u32,
    /// UIDNEXT
    pub next: u32,
    /// UIDVALIDITY
    pub validity: u32,
    /// HIGHESTMODSEQ
    pub highest: u64,
    /// MAILBOXID
    pub id: String,
}

/// A response, or a code of one, in the order in which it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heard {
    /// EXISTS
    Exists(u32),
    /// EXPUNGE
    Expunge(u32),
    /// VANISHED, as ranges of UIDs.
    Vanished {
        /// Of the time before SELECT.
        earlier: bool,
        /// From and to, both included.
        uids: Vec<(u32, u32)>,
    },
    /// FETCH
    Fetch(Fetched),
    /// UIDVALIDITY
    Validity(u32),
    /// UIDNEXT
    Next(u32),
    /// HIGHESTMODSEQ
    Highest(u64),
    /// MAILBOXID
    Id(String),
    /// APPENDUID: validity and UID.
    Appended(u32, u32),
    /// COPYUID: validity, UIDs there, new UIDs.
    Copied(u32, Vec<u32>, Vec<u32>),
    /// MODIFIED
    Modified(Vec<u32>),
    /// LIST: the name, and whether it can be selected.
    Listed(String, bool),
    /// STATUS: the name and its numbers.
    Status(String, Numbers),
    /// LMTP's answer for one recipient.
    Answered(String, u16),
    /// BYE
    Bye(String),
    /// What does not read, or what was not to be said.
    Nonsense(String),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who; the name stays when it connects anew.
    pub client: String,
    /// The connection: no other has this number.
    pub session: u64,
    /// The rig's number of the node.
    pub node: u32,
    /// The account that is logged in; none for LMTP.
    pub account: String,
    /// The mailbox that is selected while it is asked, or empty.
    pub mailbox: String,
    /// What.
    pub ask: Ask,
    /// When, in microseconds since the start of the run, by a clock that never jumps.
    pub asked: u64,
    /// The same by the wall clock, in microseconds since 1970.
    pub wall: u64,
    /// When it was answered or given up.
    pub ended: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The tagged line, or why there is none.
    pub text: String,
    /// What was told meanwhile, also when there is no answer.
    pub heard: Vec<Heard>,
}

impl Operation {
    /// Whether it was acknowledged.
    pub fn done(&self) -> bool {
        self.outcome == Outcome::Done
    }

    /// Whether it may have happened.
    pub fn possible(&self) -> bool {
        self.outcome != Outcome::Refused
    }

    /// Whether it was over before another began, whatever the other is.
    pub fn before(&self, other: &Self) -> bool {
        self.ended < other.asked
    }

    /// FETCH responses.
    pub fn fetched(&self) -> impl Iterator<Item = &Fetched> {
        self.heard.iter().filter_map(|heard| match heard {
            Heard::Fetch(fetched) => Some(fetched),
            _ => None,
        })
    }

    /// For a fact: who, where, when and what.
    pub fn tell(&self) -> String {
        let (from, to) = (seconds(self.asked), seconds(self.ended));
        let Self { client, node, ask, outcome, .. } = self;
        format!("{from:.3}..{to:.3}s {client}@n{node} {} {ask:?}: {outcome:?}", self.mailbox)
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// Everything that was recorded in one run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    /// By the time at which they were asked.
    pub operations: Vec<Operation>,
}

impl History {
    /// In the order in which they were asked.
    pub fn new(mut operations: Vec<Operation>) -> Self {
        operations.sort_by_key(|operation| operation.asked);
        Self { operations }
    }

    /// Adds what another workload recorded.
    pub fn merge(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.operations.sort_by_key(|operation| operation.asked);
    }

    /// Every operation, for the picture. Waiting in IDLE is no latency.
    pub fn dots(&self) -> Vec<Dot> {
        let shown = self.operations.iter().filter(|operation| operation.ask != Ask::Idle);
        shown
            .map(|operation| Dot {
                asked: Duration::from_micros(operation.asked),
                took: Duration::from_micros(operation.ended.saturating_sub(operation.asked)),
                kind: operation.ask.kind(),
                node: operation.node,
                outcome: operation.outcome,
            })
            .collect()
    }
}
