//! The values of the rows that `keys` names.

use redoubt_log::id::{
    AccountId, BlobId, ClassId, EmailId, LogIndex, MailboxId, ModSeq, NodeId, OperationId,
    PolicyId, Sequence, ThreadId, Timestamp, Uid, UidValidity,
};
use redoubt_log::record::{
    AccountSettings, Actor, Address, Arrival, CaptureRule, ClassSettings, DomainSettings,
    EraseReached, Flags, Held, HoldSet, Keyword, Limits, Outcome, Principal, Releasing,
    RestoreCounts, RestoreEnded, RestoreMode, RestoreOptions, Restored, SpecialUse, ThreadKeys,
    Why,
};
use serde::{Deserialize, Serialize};

use crate::retention::Captured;

mod matter;

pub use matter::{
    ApprovalRow, ApprovalState, Decision, JobEnd, JobRow, MatterMemberRow, MatterNoteRow,
    MatterRow, SinceRow,
};

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRow {
    /// Its settings.
    pub settings: DomainSettings,
}

/// A class of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRow {
    /// What people call it.
    pub name: String,
    /// What it says.
    pub settings: ClassSettings,
}

/// An account's class, and what it says above it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClassRow {
    /// Its class; one that is gone counts as none.
    pub class: Option<ClassId>,
    /// What it says above it.
    pub own: Limits,
}

/// A capture rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRow {
    /// What it says.
    pub rule: CaptureRule,
    /// When it was set.
    pub set: Timestamp,
}

/// What was captured of somebody's mail, from the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedRow {
    /// What was delivered.
    pub delivered: Volume,
    /// What was sent.
    pub sent: Volume,
    /// Originals out of journal reports; of archive accounts alone.
    pub journal: Volume,
    /// Journal reports that could not be read and were kept whole; of archive accounts alone.
    pub unread: Volume,
    /// Deliveries and messages sent that were put off, since they could not be captured.
    pub refused: u64,
}

/// Messages, and their octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Messages.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
}

impl Volume {
    /// One message more.
    pub(crate) fn add(&mut self, octets: u64) {
        self.messages = self.messages.saturating_add(1);
        self.octets = self.octets.saturating_add(octets);
    }
}

/// A role that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    /// The record that gave it.
    pub index: LogIndex,
    /// That record's time.
    pub since: Timestamp,
}

/// A personal token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalTokenRow {
    /// Who shows it.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub made: Timestamp,
    /// Who made it: only who did so himself is known by it to be a second person.
    pub by: Principal,
    /// From when on it opens nothing.
    pub expires: Option<Timestamp>,
}

/// A join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// From when on it admits nobody.
    pub expires: Timestamp,
    /// Whether it admits a light voter, and nothing else.
    pub light: bool,
    /// Whom it has admitted.
    pub node: Option<NodeId>,
}

/// A key that signs heads of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadKeyRow {
    /// Whose it is.
    pub node: NodeId,
    /// The record that made it known.
    pub index: LogIndex,
    /// That record's time.
    pub since: Timestamp,
}

/// A node that belongs to the cluster, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// What it called itself before it had an id; the first node never did.
    pub joiner: Option<OperationId>,
    /// Where its peers reached it when it joined.
    pub address: String,
    /// Whether it is a light voter.
    pub light: bool,
    /// When it got its id.
    pub added: Timestamp,
    /// When it was removed.
    pub removed: Option<Timestamp>,
}

/// What an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRow {
    /// Whose it is.
    pub account: AccountId,
    /// Whether it is another name, and not the account's own address.
    pub alias: bool,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its address.
    pub address: Address,
    /// Its settings.
    pub settings: AccountSettings,
    /// When it was made.
    pub created: Timestamp,
    /// What its sequence is above the log index.
    pub base: u64,
    /// The next mailbox's id.
    pub next_mailbox: u32,
    /// Mailboxes that have a name.
    pub mailboxes: u32,
    /// The last UIDVALIDITY that it gave.
    pub last_uid_validity: u32,
}

impl AccountRow {
    /// The account's sequence at an index.
    pub fn sequence(&self, index: LogIndex) -> Sequence {
        Sequence(self.base.saturating_add(index.0))
    }
}

/// What an account uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Octets of live emails, each once.
    pub bytes: u64,
    /// Live emails.
    pub emails: u64,
}

/// A password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRow {
    /// A PHC string; empty in the history.
    pub phc: String,
    /// When it was set.
    pub set: Timestamp,
}

/// What a mailbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailboxState {
    /// It can be selected.
    Live,
    /// A name that only has children.
    NoSelect,
    /// It is gone; placements of it may still be swept.
    Deleted,
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxRow {
    /// Its own name.
    pub name: String,
    /// Its parent.
    pub parent: Option<MailboxId>,
    /// Its use.
    pub special_use: Option<SpecialUse>,
    /// Whether it is there.
    pub state: MailboxState,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// When it was made.
    pub created: Timestamp,
    /// Every keyword used in it so far, as first written.
    pub keywords: Vec<Keyword>,
}

/// What is counted in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// UIDNEXT; 2^32 when the last UID is used.
    pub uid_next: u64,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// Placements.
    pub messages: u32,
    /// Those without `\Seen`.
    pub unseen: u32,
    /// Those with `\Deleted`.
    pub deleted: u32,
    /// Octets of them all.
    pub size: u64,
}

/// A placement, with what FETCH asks for most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRow {
    /// Its email.
    pub email: EmailId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its content.
    pub blob: BlobId,
    /// RFC822.SIZE.
    pub size: u64,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// What can change.
    pub version: PlacementVersion,
}

/// What the history keeps of a placement; the rest is its email's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementVersion {
    /// Its email.
    pub email: EmailId,
    /// SAVEDATE.
    pub saved: Timestamp,
    /// System flags, `\Seen` being the owner's.
    pub flags: Flags,
    /// Keywords as the mailbox writes them, sorted without case.
    pub keywords: Vec<Keyword>,
    /// MODSEQ.
    pub modseq: ModSeq,
}

/// An email, and how many placements it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailRow {
    /// What never changes.
    pub data: EmailData,
    /// Its live placements.
    pub placements: u32,
}

/// What an email is, from its coming to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailData {
    /// The bytes that clients get.
    pub blob: BlobId,
    /// The hash of the bytes as they came, without our trace lines.
    pub original: BlobId,
    /// Octets of `blob`: RFC822.SIZE.
    pub size: u64,
    /// INTERNALDATE and JMAP's receivedAt.
    pub received: Timestamp,
    /// The SMTP envelope, if it was delivered.
    pub envelope: Option<BlobId>,
    /// Its thread.
    pub thread: ThreadId,
    /// What threads it.
    pub keys: ThreadKeys,
}

/// When an email stood in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// From which index.
    pub from: LogIndex,
    /// Until before which index; `None` while it is there.
    pub until: Option<LogIndex>,
}

/// Where a history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorRow {
    /// The oldest index of which there is a view.
    pub floor: LogIndex,
    /// The effective time there.
    pub time: Timestamp,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// What it says.
    pub terms: HoldSet,
    /// When it was set.
    pub set: Timestamp,
    /// Where it was set.
    pub at: LogIndex,
    /// Whether it is being released.
    pub releasing: Option<Releasing>,
}

/// How far a query has judged an account; of a hold without a query only that it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAtRow {
    /// The last email that was judged.
    pub upto: Option<EmailId>,
    /// How many of them are held.
    pub held: u64,
}

/// What policies know of an email beside what the state says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedRow {
    /// The entry into the store, where the email's own date is another.
    pub entered: Option<Timestamp>,
    /// Whether it came as a draft and is one still.
    pub draft: bool,
    /// Floors that it has whatever becomes of it.
    pub captured: Vec<Captured>,
    /// Policies that were put on it, and when.
    pub labels: Vec<(PolicyId, Timestamp)>,
    /// Policies, with the version, whose query found it, or could not tell.
    pub found: Vec<(PolicyId, u32, Held)>,
}

/// What a mailbox was to a policy when it got another name, or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftMailboxRow {
    /// Up to which entry what came into it is under the policy.
    pub upto: LogIndex,
    /// Whether it was where the policy is over.
    pub place: bool,
    /// Whether it was the one for sent mail.
    pub sent: bool,
}

/// How far a policy's query was asked of an account's emails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRow {
    /// Which version's.
    pub version: u32,
    /// Up to which sequence.
    pub upto: Sequence,
}

/// What a policy has taken in a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDayRow {
    /// Days since 1970 (UTC).
    pub day: i64,
    /// Emails that it took on that day.
    pub emails: u64,
    /// Emails that it ever took.
    pub all: u64,
}

/// A blob that was an email's and is nobody's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreferencedRow {
    /// Since which index.
    pub since: LogIndex,
    /// From which index on its bytes may go.
    pub dead: Option<LogIndex>,
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasureState {
    /// It waits for a second person.
    Review,
    /// Emails go, piece by piece.
    Working,
    /// A second person did not want it.
    Declined,
    /// All of its list was looked at: what was to go is in no view.
    Done,
}

/// An erasure: a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRow {
    /// Whose emails.
    pub account: AccountId,
    /// What was asked for and why; `None` of one that a history before this one had.
    pub asked: Option<BlobId>,
    /// The emails.
    pub list: Vec<BlobId>,
    /// Emails of the list.
    pub emails: u64,
    /// Those that were looked at.
    pub done: u64,
    /// Those that were erased.
    pub erased: u64,
    /// Those that a hold or a floor kept.
    pub kept: u64,
    /// How far it is.
    pub state: ErasureState,
    /// Who began it.
    pub actor: Actor,
    /// The record that began it.
    pub index: LogIndex,
    /// When it began.
    pub begun: Timestamp,
    /// The last record of its pieces: what goes because of it is decided from here on.
    pub last: LogIndex,
    /// The first record that made any of what was erased; 0 where that is not known. No image of
    /// a state before it has anything of it.
    pub first: LogIndex,
}

impl ErasureRow {
    /// Whether anything of its list may go yet.
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, ErasureState::Review | ErasureState::Working)
    }
}

/// What stays of an email that was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedRow {
    /// By which erasure.
    pub erasure: OperationId,
}

/// What a node has reached of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseReportRow {
    /// When it said so.
    pub time: Timestamp,
    /// Each place.
    pub places: Vec<EraseReached>,
    /// The first record that says that its views have nothing of it any more: images that it
    /// takes of a later state have nothing either.
    pub cleared: Option<LogIndex>,
}

/// What a row of the change feed says of its UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It came or changed, and is there.
    Live,
    /// It was expunged.
    Vanished,
}

/// The outcome of a record, kept for a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Forgotten from then on.
    pub expires: Timestamp,
    /// What `apply` answered.
    pub outcome: Outcome,
}

/// The outcome of one recipient or one imported message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRow {
    /// Forgotten from then on.
    pub expires: Timestamp,
    /// Where it came to stand.
    pub arrival: Arrival,
}

/// A restore: what was asked for, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRow {
    /// Where things come back.
    pub account: AccountId,
    /// Whose history they come from.
    pub source: AccountId,
    /// How it was asked for.
    pub mode: RestoreMode,
    /// The moment, or the beginning of the interval.
    pub at: Option<LogIndex>,
    /// The end of the interval.
    pub until: Option<LogIndex>,
    /// What was asked for; `None` of one that was done all at once.
    pub wish: Option<BlobId>,
    /// The steps.
    pub plan: Vec<BlobId>,
    /// Steps of the plan.
    pub steps: u64,
    /// Steps taken.
    pub done: u64,
    /// What came of them.
    pub counts: RestoreCounts,
    /// What it may do.
    pub options: RestoreOptions,
    /// Who asked for it.
    pub actor: Actor,
    /// The record that began it.
    pub index: LogIndex,
    /// When it began.
    pub begun: Timestamp,
    /// How it ended; `None` while it goes on.
    pub ended: Option<RestoreEnd>,
}

/// How and when a restore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreEnd {
    /// How.
    pub how: RestoreEnded,
    /// The record that ended it.
    pub index: LogIndex,
    /// When.
    pub time: Timestamp,
    /// Forgotten from then on.
    pub expires: Timestamp,
}

/// Which mailbox a step of a restore found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreMadeRow {
    /// Forgotten from then on.
    pub expires: Timestamp,
    /// The mailbox.
    pub mailbox: MailboxId,
}

/// What came of some steps of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePieceRow {
    /// Forgotten from then on.
    pub expires: Timestamp,
    /// In the order of the steps.
    pub outcomes: Vec<Restored>,
}

/// Who did what a record did, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRow {
    /// The effective time.
    pub time: Timestamp,
    /// The operation.
    pub operation: OperationId,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub why: Why,
    /// The number of the change's kind.
    pub kind: u16,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// From which index it holds, up to the next version's.
    pub from: LogIndex,
    /// The value; `None` from the index at which it went.
    pub value: Option<Vec<u8>>,
}

impl Version {
    /// The bytes in the history.
    pub(crate) fn encode(value: Option<&[u8]>) -> Vec<u8> {
        let Some(value) = value else { return vec![0] };
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.push(1);
        bytes.extend_from_slice(value);
        bytes
    }

    /// What [`Version::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Option<&[u8]>> {
        match bytes.split_first() {
            Some((0, [])) => Some(None),
            Some((1, value)) => Some(Some(value)),
            _ => None,
        }
    }
}

/// The bitmaps of one chunk of the UID map: bit `uid % 1024` of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UidChunk {
    /// UIDs that are there.
    pub present: Bits,
    /// Those with the owner's `\Seen`.
    pub seen: Bits,
    /// Those with `\Deleted`.
    pub deleted: Bits,
}

/// 1,024 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bits(pub [u64; 16]);

impl Bits {
    /// Sets or clears the bit of a UID.
    pub fn set(&mut self, uid: Uid, on: bool) {
        let (word, mask) = Self::at(uid);
        if let Some(word) = self.0.get_mut(word) {
            *word = if on { *word | mask } else { *word & !mask };
        }
    }

    /// The bit of a UID.
    pub fn get(&self, uid: Uid) -> bool {
        let (word, mask) = Self::at(uid);
        self.0.get(word).is_some_and(|word| word & mask != 0)
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
        self
    }

    /// These and those of another.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
        self
    }

    fn at(uid: Uid) -> (usize, u64) {
        let bit = uid.get() % crate::keys::CHUNK_UIDS;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    /// As it stands in a row: 128 bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads 128 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 128 {
            return None;
        }
        let mut bits = Self::default();
        for (word, chunk) in bits.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        Some(bits)
    }
}

impl UidChunk {
    /// As it stands in a row: 384 bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        [self.present, self.seen, self.deleted].into_iter().flat_map(Bits::to_bytes).collect()
    }

    /// Reads 384 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (present, rest) = bytes.split_at_checked(128)?;
        let (seen, deleted) = rest.split_at_checked(128)?;
        Some(Self {
            present: Bits::from_bytes(present)?,
            seen: Bits::from_bytes(seen)?,
            deleted: Bits::from_bytes(deleted)?,
        })
    }
}
