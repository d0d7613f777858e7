//! The identifiers, each a type of its own: a [`Uid`] is not a `u32`.
//!
//! Text forms are what users and clients see (IMAP OBJECTID, RFC 8474; JMAP Id,
//! RFC 8620 section 1.2) and are fixed for good.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An identifier's text that does not read as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        Self { text, expected }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| ParseIdError::new(text, "a number"))
            }
        }
    };
}

number!(
    /// A node of the cluster; never used again once the node is removed.
    NodeId(u64)
);
number!(
    /// One Raft group and the accounts it owns. The directory is shard 0.
    ShardId(u32)
);
number!(
    /// A hold; never used again once it is released.
    HoldId(u64)
);
number!(
    /// A class of service; never used again once it is removed.
    ClassId(u64)
);
number!(
    /// A capture rule; never used again once it is removed.
    CaptureId(u64)
);
number!(
    /// A matter of discovery; it is closed, and never removed.
    MatterId(u64)
);
number!(
    /// A retention policy; never used again once it is removed.
    PolicyId(u64)
);
number!(
    /// A Raft term.
    Term(u64)
);
number!(
    /// The position of an entry in a shard's log; the first is 0.
    LogIndex(u64)
);
number!(
    /// An account, never reused: a later holder of the address inherits nothing.
    AccountId(u64)
);
number!(
    /// A position in an account's own numbering: the account's base plus the log index.
    Sequence(u64)
);
number!(
    /// A mailbox of an account, never reused in it. As MAILBOXID (RFC 8474) it is written `m<n>`.
    MailboxId(u32)
);
number!(
    /// A modification sequence (RFC 7162): the [`Sequence`] of the record that made the change.
    ModSeq(u64)
);

impl MailboxId {
    /// The MAILBOXID of RFC 8474, for example `m3`.
    pub fn object_id(self) -> String {
        format!("m{}", self.0)
    }

    /// Reads what [`MailboxId::object_id`] writes.
    ///
    /// # Errors
    /// When the text is not `m` and a number.
    pub fn from_object_id(text: &str) -> Result<Self, ParseIdError> {
        text.strip_prefix('m')
            .and_then(|n| n.parse().ok())
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "a mailbox id such as m3"))
    }
}

impl From<Sequence> for ModSeq {
    fn from(sequence: Sequence) -> Self {
        Self(sequence.0)
    }
}

/// A message's number in its mailbox (RFC 9051 section 2.3.1.1): assigned in
/// `apply`, strictly rising, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid(pub NonZeroU32);

/// What makes UIDs unambiguous (RFC 9051 section 2.3.1.1): changes only where a
/// UID could mean two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UidValidity(pub NonZeroU32);

macro_rules! nonzero {
    ($name:ident) => {
        impl $name {
            /// The smallest value.
            pub const MIN: Self = Self(NonZeroU32::MIN);
            /// The largest value.
            pub const MAX: Self = Self(NonZeroU32::MAX);

            /// `None` for 0, which no message has.
            pub fn new(value: u32) -> Option<Self> {
                NonZeroU32::new(value).map(Self)
            }

            /// The plain number.
            pub fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

nonzero!(Uid);
nonzero!(UidValidity);

/// An email of an account: the [`Sequence`] of the record that brought it and
/// its ordinal in that record. Unique for ever in the account. As EMAILID
/// (RFC 8474) it is written `e<sequence>-<ordinal>`, both in hexadecimal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct EmailId {
    /// The account's sequence at which the email came.
    pub sequence: Sequence,
    /// Its place in the record, rejected ones counted too.
    pub ordinal: u32,
}

impl fmt::Display for EmailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{:x}-{:x}", self.sequence.0, self.ordinal)
    }
}

impl FromStr for EmailId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_pair(text, 'e').ok_or_else(|| ParseIdError::new(text, "an email id such as e1f-0"))
    }
}

fn parse_pair(text: &str, prefix: char) -> Option<EmailId> {
    let (sequence, ordinal) = text.strip_prefix(prefix)?.split_once('-')?;
    Some(EmailId {
        sequence: Sequence(u64::from_str_radix(sequence, 16).ok()?),
        ordinal: u32::from_str_radix(ordinal, 16).ok()?,
    })
}

/// A thread of an account: the [`EmailId`] of the email that began it. As
/// THREADID (RFC 8474) it is written `t<sequence>-<ordinal>`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ThreadId(pub EmailId);

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{:x}-{:x}", self.0.sequence.0, self.0.ordinal)
    }
}

impl FromStr for ThreadId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_pair(text, 't')
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "a thread id such as t1f-0"))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The wall clock. Never called from `apply`.
    pub fn now() -> Self {
        crate::world::now()
    }

    /// Whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                from_hex(text).map(Self).ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; $len]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

bytes_id!(
    /// The BLAKE3 hash of a blob's uncompressed bytes.
    BlobId, 32, "a blob id of 64 hexadecimal digits"
);
bytes_id!(
    /// A BLAKE3 hash over log entries or state: a leaf, a chain head, a Merkle root, a state hash.
    Hash, 32, "a hash of 64 hexadecimal digits"
);
bytes_id!(
    /// What makes a retry safe: the second record with it gets the first one's outcome.
    OperationId, 16, "an operation id of 32 hexadecimal digits"
);
bytes_id!(
    /// A keyed hash of a message-id or of a base subject, for threading (RFC 8621 section 3).
    ThreadKey, 16, "a thread key of 32 hexadecimal digits"
);

impl BlobId {
    /// The id of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl OperationId {
    /// For what is not retried: 16 random bytes.
    pub fn random() -> Self {
        Self(crate::world::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        let email = EmailId { sequence: Sequence(0x1f), ordinal: 2 };
        assert_eq!(email.to_string(), "e1f-2");
        assert_eq!("e1f-2".parse(), Ok(email));
        assert_eq!("t1f-2".parse(), Ok(ThreadId(email)));
        assert_eq!(MailboxId::from_object_id("m3"), Ok(MailboxId(3)));
        let blob = BlobId::of(b"x");
        assert_eq!(blob.to_string().parse(), Ok(blob));
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "e", "e1", "e1-", "x1-2", "e1-2-3", "e-1", "é1-2"] {
            assert!(text.parse::<EmailId>().is_err(), "{text}");
        }
        assert!("é".repeat(32).parse::<BlobId>().is_err());
        assert!(Uid::new(0).is_none());
    }
}
