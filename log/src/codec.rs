//! Versioned bytes of records, and plain bytes of views' values: the only place
//! that knows bincode.
//!
//! A record is `[kind u16 LE][version u16 LE][body]`; the kind names the
//! [`Change`], the version names the shape of the body. Old versions decode for
//! ever (`tests/golden`). docs/format.md, "Records", has it byte by byte.
//!
//! Invariants: what [`encode_record`] takes, [`decode_record`] gives back; both
//! refuse more than [`MAX_RECORD_BYTES`] and [`MAX_CHANGES`]; no length in the
//! bytes makes more than a few megabytes be allocated; nothing is left over
//! behind a body.

use bincode::config::{self, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::{Change, MAX_CHANGES, MAX_RECORD_BYTES, Record, RestoreStep};

/// Octets before a record's body: kind and version.
pub const RECORD_HEADER_BYTES: usize = 4;
/// The most bytes that [`to_bytes`] makes and [`from_bytes`] takes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// bincode's limit counts the width of each number, not what it takes in the
/// bytes, where a `u64` may be one byte: hence a factor of eight.
const RECORD_LIMIT: usize = MAX_RECORD_BYTES * 8;
const SMALL_VALUE: usize = 64 * 1024;
const SMALL_LIMIT: usize = SMALL_VALUE * 8;
const VALUE_LIMIT: usize = MAX_VALUE_BYTES * 8;

/// Why a record or value was not encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too few bytes for a kind and a version.
    #[error("a record of {bytes} bytes has no room for its header of {RECORD_HEADER_BYTES}")]
    NoHeader {
        /// Bytes that there are.
        bytes: usize,
    },
    /// A newer program wrote it.
    #[error(
        "record kind {kind:#06x} is not known to this version of the program: \
         run the version that the other members run"
    )]
    UnknownKind {
        /// Its kind.
        kind: u16,
        /// Its version.
        version: u16,
    },
    /// A newer program wrote it.
    #[error(
        "version {version} of record kind {kind:#06x} is not known to this version of the \
         program: run the version that the other members run"
    )]
    UnknownVersion {
        /// Its kind.
        kind: u16,
        /// Its version.
        version: u16,
    },
    /// More than a record or value may have.
    #[error("{bytes} bytes are more than the {max} allowed")]
    TooLong {
        /// Bytes that there are.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More items than a record may change.
    #[error("{changes} changes in one record are more than the {max} allowed")]
    TooManyChanges {
        /// Items that there are.
        changes: usize,
        /// Items allowed.
        max: usize,
    },
    /// Something stands behind the body.
    #[error("{bytes} bytes are left over behind a complete value")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// The body does not read as what it claims to be.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The value cannot be written at all.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
}

/// The bytes of a record, in its kind's newest version.
///
/// # Errors
/// [`CodecError::TooManyChanges`] and [`CodecError::TooLong`]: cut the work into
/// several records.
pub fn encode_record(record: &Record) -> Result<Vec<u8>, CodecError> {
    check_changes(&record.change)?;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&record.change.kind().to_le_bytes());
    bytes.extend_from_slice(&NEWEST.to_le_bytes());
    encode_body(record, &mut bytes)?;
    match bytes.len() {
        len if len > MAX_RECORD_BYTES => {
            Err(CodecError::TooLong { bytes: len, max: MAX_RECORD_BYTES })
        }
        _ => Ok(bytes),
    }
}

/// Reads what [`encode_record`], of this or an older program, has written.
///
/// # Errors
/// All of [`CodecError`]; any of them stops the shard on this node.
pub fn decode_record(bytes: &[u8]) -> Result<Record, CodecError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(CodecError::TooLong { bytes: bytes.len(), max: MAX_RECORD_BYTES });
    }
    let (kind, version, body) = split_header(bytes)?;
    let record = decode_body(kind, version, body)?;
    check_changes(&record.change)?;
    Ok(record)
}

/// The kind and version of a record, without reading its body.
///
/// # Errors
/// [`CodecError::NoHeader`].
pub fn record_kind(bytes: &[u8]) -> Result<(u16, u16), CodecError> {
    split_header(bytes).map(|(kind, version, _)| (kind, version))
}

fn split_header(bytes: &[u8]) -> Result<(u16, u16, &[u8]), CodecError> {
    let none = CodecError::NoHeader { bytes: bytes.len() };
    let (kind, rest) = bytes.split_first_chunk().ok_or(none.clone())?;
    let (version, body) = rest.split_first_chunk().ok_or(none)?;
    Ok((u16::from_le_bytes(*kind), u16::from_le_bytes(*version), body))
}

fn check_changes(change: &Change) -> Result<(), CodecError> {
    let changes = match change {
        Change::Deliver(deliver) => deliver.recipients.len(),
        Change::DeliverCaptured(r) => r.deliver.recipients.len().saturating_add(r.archives.len()),
        Change::Capture(capture) => capture.archives.len(),
        Change::Append(append) => append.items.len(),
        Change::Copy(copy) => copy.items.len(),
        Change::Move(moved) => moved.items.len(),
        Change::SetFlags(flags) => flags.uids.len(),
        Change::Expunge(expunge) => expunge.uids.len(),
        Change::AccountSweep(sweep) => sweep.uids.len(),
        Change::RestorePiece(piece) => piece.steps.iter().map(RestoreStep::changes).sum(),
        Change::RestoreNow(now) => now.steps.iter().map(RestoreStep::changes).sum(),
        Change::HistoryTrim(trim) => trim.rows.len(),
        Change::BlobsDead(dead) => dead.blobs.len(),
        Change::Renumber(renumber) => renumber.mailboxes.len(),
        Change::ErasePiece(piece) => piece.emails.len(),
        Change::ErasuresKept(kept) => kept.emails.len(),
        Change::HoldsKept(kept) => kept.changes(),
        Change::HoldMarks(marks) => marks.changes(),
        Change::RightsKept(kept) => kept.rights.len(),
        Change::HoldSet(set) => set.changes(),
        _ => 1,
    };
    match changes > MAX_CHANGES {
        true => Err(CodecError::TooManyChanges { changes, max: MAX_CHANGES }),
        false => Ok(()),
    }
}

/// The version in which every kind is written today.
const NEWEST: u16 = 1;

/// One line a kind: version 1 of each body is the record's frame (stamp,
/// operation, actor, why), then the change's own struct. A new version gets a
/// struct of the old shape, kept here, and a line of its own.
macro_rules! bodies {
    ($($kind:literal => $variant:ident,)*) => {
        /// Every kind that this program knows.
        pub const KINDS: &[u16] = &[$($kind),*];

        fn encode_body(record: &Record, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
            let Record { stamp, operation, actor, why, change } = record;
            match change {
                $(Change::$variant(body) => {
                    write((stamp, operation, actor, why, body), bytes, limited::<RECORD_LIMIT>())
                })*
            }
        }

        fn decode_body(kind: u16, version: u16, body: &[u8]) -> Result<Record, CodecError> {
            match (kind, version) {
                $(($kind, 1) => {
                    let (stamp, operation, actor, why, body) =
                        read(body, limited::<RECORD_LIMIT>())?;
                    Ok(Record { stamp, operation, actor, why, change: Change::$variant(body) })
                })*
                $(($kind, _) => Err(CodecError::UnknownVersion { kind, version }),)*
                _ => Err(CodecError::UnknownKind { kind, version }),
            }
        }
    };
}

bodies! {
    0x0101 => DomainAdd,
    0x0102 => DomainSet,
    0x0103 => DomainRemove,
    0x0110 => AccountAdd,
    0x0111 => AccountSet,
    0x0112 => AccountRename,
    0x0113 => AccountDelete,
    0x0114 => AccountSweep,
    0x0120 => AliasAdd,
    0x0121 => AliasRemove,
    0x0130 => CredentialSet,
    0x0131 => CredentialRemove,
    0x0140 => ClassAdd,
    0x0141 => ClassSet,
    0x0142 => ClassRemove,
    0x0143 => AccountClass,
    0x0144 => DomainClass,
    0x0150 => RoleGrant,
    0x0151 => RoleRevoke,
    0x0152 => PersonalTokenAdd,
    0x0153 => PersonalTokenRevoke,
    0x0160 => CaptureSet,
    0x0161 => CaptureRemove,
    0x0201 => MailboxCreate,
    0x0202 => MailboxRename,
    0x0203 => MailboxDelete,
    0x0204 => Subscribe,
    0x0205 => MailboxNamed,
    0x0301 => Deliver,
    0x0302 => Append,
    0x0303 => Copy,
    0x0304 => Move,
    0x0305 => SetFlags,
    0x0306 => Expunge,
    0x0310 => Capture,
    0x0311 => DeliverCaptured,
    0x0501 => RestoreBegin,
    0x0502 => RestorePiece,
    0x0503 => RestoreNow,
    0x0601 => RestoreAudit,
    0x0602 => DiscoveryBegin,
    0x0603 => DiscoveryEnd,
    0x0604 => HeadKey,
    0x0605 => DiscoveryRemove,
    0x0606 => MailRead,
    0x0607 => Logins,
    0x0608 => DiscoveryLook,
    0x0609 => Refused,
    0x0610 => MatterAdd,
    0x0611 => MatterSet,
    0x0612 => MatterMember,
    0x0613 => MatterCustodian,
    0x0614 => MatterNote,
    0x0620 => Approval,
    0x0401 => HistoryFloor,
    0x0402 => HistoryTrim,
    0x0403 => HoldSet,
    0x0404 => HoldRelease,
    0x0405 => CountReferences,
    0x0406 => BlobsDead,
    0x0407 => HoldsKept,
    0x0408 => HoldMarks,
    0x0409 => HoldStays,
    0x040a => HoldEnd,
    0x040b => HoldMove,
    0x0410 => PolicySet,
    0x0411 => PolicyLock,
    0x0412 => PolicyRemove,
    0x0414 => Label,
    0x0415 => Unlabel,
    0x0416 => RetentionEvent,
    0x0417 => PurgePolicy,
    0x0418 => PolicyMatched,
    0x0419 => PoliciesKept,
    0x0420 => EraseBegin,
    0x0422 => ErasePiece,
    0x0423 => EraseReport,
    0x0424 => ErasuresKept,
    0x0701 => Version,
    0x0702 => CheckpointMark,
    0x0703 => TokenAdd,
    0x0704 => NodeAdd,
    0x0705 => NodeRemove,
    0x0706 => Archived,
    0x0707 => NewLineage,
    0x0708 => Renumber,
    0x0709 => RightsKept,
}

/// The bytes of a view's value or a cache's: no version of its own, its holder
/// knows what it is.
///
/// # Errors
/// [`CodecError::TooLong`] above [`MAX_VALUE_BYTES`]; [`CodecError::Unencodable`].
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    write(value, &mut bytes, limited::<VALUE_LIMIT>())?;
    match bytes.len() {
        len if len > MAX_VALUE_BYTES => {
            Err(CodecError::TooLong { bytes: len, max: MAX_VALUE_BYTES })
        }
        _ => Ok(bytes),
    }
}

/// Reads what [`to_bytes`] has written, all of it.
///
/// # Errors
/// [`CodecError::TooLong`], [`CodecError::Trailing`], [`CodecError::Malformed`].
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.len() {
        len if len > MAX_VALUE_BYTES => {
            Err(CodecError::TooLong { bytes: len, max: MAX_VALUE_BYTES })
        }
        len if len > SMALL_VALUE => read(bytes, limited::<VALUE_LIMIT>()),
        _ => read(bytes, limited::<SMALL_LIMIT>()),
    }
}

fn limited<const N: usize>() -> impl Config {
    config::standard().with_limit::<N>()
}

fn write<T: Serialize>(
    value: T,
    bytes: &mut Vec<u8>,
    config: impl Config,
) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, bytes, config)
        .map(|_| ())
        .map_err(|error| CodecError::Unencodable(error.to_string()))
}

fn read<T: DeserializeOwned>(bytes: &[u8], config: impl Config) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        bytes => Err(CodecError::Trailing { bytes }),
    }
}
