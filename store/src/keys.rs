//! The key of every row. Numbers are big-endian, so that keys sort as they
//! count; what belongs to an account begins with the account.

use redoubt_log::id::{
    AccountId, BlobId, CaptureId, ClassId, EmailId, Hash, HoldId, LogIndex, MailboxId, MatterId,
    ModSeq, NodeId, OperationId, PolicyId, ThreadKey, Timestamp, Uid,
};
use redoubt_log::record::{Address, Approves, Role};

use crate::storage::{KeyRange, Table};

mod ranges;

pub(crate) use ranges::*;

/// UIDs in one row of the UID map.
pub const CHUNK_UIDS: u32 = 1024;

/// Stands for all mailboxes of a deleted account in [`Table::Deleting`]; no mailbox has this id.
pub const SWEPT_ACCOUNT: MailboxId = MailboxId(0);

/// The chunk of a UID in the UID map.
pub fn chunk_of(uid: Uid) -> u32 {
    uid.get() / CHUNK_UIDS
}

/// What the history keeps versions of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A domain.
    Domain(String),
    /// A class of service.
    Class(ClassId),
    /// A capture rule.
    Capture(CaptureId),
    /// The class of a domain's accounts.
    DomainClass(String),
    /// An account's class, and what it says above it.
    AccountClass(AccountId),
    /// An address, of an account or an alias.
    Address(Address),
    /// An account.
    Account(AccountId),
    /// What an account uses.
    Usage(AccountId),
    /// A credential: that it changed, never its hash.
    Credential(AccountId, String),
    /// A mailbox: name, parent, use, keywords.
    Mailbox(AccountId, MailboxId),
    /// A mailbox's UIDNEXT, HIGHESTMODSEQ and counts.
    Counters(AccountId, MailboxId),
    /// A subscription.
    Subscription(AccountId, String),
    /// A placement.
    Placement(AccountId, MailboxId, Uid),
    /// An email.
    Email(AccountId, EmailId),
    /// The `\Seen` of another reader than the owner, by chunk of 1,024 UIDs.
    Seen(AccountId, MailboxId, u32, AccountId),
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// A row of [`Table::Meta`].
    Meta(Meta),
    /// A domain.
    Domain(&'a str),
    /// A class of service.
    Class(ClassId),
    /// A capture rule.
    Capture(CaptureId),
    /// What was captured of an account's mail.
    Captured(AccountId),
    /// What was captured of the mail of a domain's addresses.
    DomainCaptured(&'a str),
    /// The class of a domain's accounts.
    DomainClass(&'a str),
    /// An account's class, and what it says above it.
    AccountClass(AccountId),
    /// That an account has a role, over a domain or all.
    Grant(AccountId, Role, Option<&'a str>),
    /// A personal token, by the hash of its secret: at most 10,000.
    PersonalToken(Hash),
    /// A matter.
    Matter(MatterId),
    /// A member of a matter.
    MatterMember(MatterId, AccountId),
    /// Whose mail a matter is about.
    MatterCustodian(MatterId, AccountId),
    /// A note of a matter, by its number.
    MatterNote(MatterId, u64),
    /// That a search or export is of a matter.
    MatterJob(MatterId, OperationId),
    /// A search or export.
    Job(OperationId),
    /// What a second person has to decide: one for each reviewed export, erasure and version of
    /// a policy, and for each hold that was ever released.
    Approval(Approves),
    /// An address.
    Address(&'a Address),
    /// An account.
    Account(AccountId),
    /// What an account uses.
    Usage(AccountId),
    /// A credential.
    Credential(AccountId, &'a str),
    /// An alias of an account.
    Alias(AccountId, &'a Address),
    /// A mailbox.
    Mailbox(AccountId, MailboxId),
    /// A mailbox's counters.
    Counters(AccountId, MailboxId),
    /// A mailbox by its parent and own name.
    Name(AccountId, Option<MailboxId>, &'a str),
    /// A subscription.
    Subscription(AccountId, &'a str),
    /// A placement.
    Placement(AccountId, MailboxId, Uid),
    /// An email.
    Email(AccountId, EmailId),
    /// Where an email stood.
    EmailPlacement(AccountId, EmailId, MailboxId, Uid),
    /// A chunk of the UID map.
    UidMap(AccountId, MailboxId, u32),
    /// A chunk of a reader's `\Seen`.
    Seen(AccountId, MailboxId, u32, AccountId),
    /// A change.
    Change(AccountId, MailboxId, ModSeq, Uid),
    /// A thread, by message-id and base subject.
    Thread(AccountId, ThreadKey, ThreadKey),
    /// The outcome of a record.
    Operation(OperationId),
    /// The outcome for one item of a record.
    Item(OperationId, AccountId, MailboxId),
    /// An outcome's end: when, and the key of the row that goes.
    Expiry(Timestamp, &'a [u8]),
    /// Who did what and when.
    Record(LogIndex),
    /// A version of an object.
    History(&'a Object, LogIndex),
    /// A mailbox to be swept.
    Deleting(AccountId, MailboxId),
    /// A restore.
    Restore(OperationId),
    /// The restore of an account that is not done.
    Restoring(AccountId),
    /// What mailbox a number in a restore's plan is.
    RestoreMade(OperationId, u32),
    /// What came of a restore's steps, from a place in its plan on.
    RestorePiece(OperationId, u64),
    /// A join token, by the hash of its secret.
    Token(Hash),
    /// A node that got its id from the log.
    Node(NodeId),
    /// A key that signs heads of the log, by its public half: at most 1,000.
    HeadKey(Hash),
    /// Where the history of an account, or of the directory, begins.
    Floor(AccountId),
    /// The same by floor.
    FloorOrder(LogIndex, AccountId),
    /// A hold, under account 0; that it is over an account, which it names or which has left the
    /// domain that it names, under that.
    Hold(AccountId, HoldId),
    /// That a hold is over a domain; with an empty name over all.
    HoldOn(&'a str, HoldId),
    /// How far a query's hold has judged an account; also that an account has left a domain.
    HoldAt(HoldId, AccountId),
    /// That a query holds an email.
    HoldMark(HoldId, AccountId, EmailId),
    /// That a blob is an email's content or envelope, while the email is in the history.
    Referrer(BlobId, AccountId, EmailId),
    /// A blob that was an email's and is nobody's any more.
    Unreferenced(BlobId),
    /// A retention policy: at most 1,000.
    Policy(PolicyId),
    /// What policies know of an email beside the state; while it is in the history.
    Retained(AccountId, EmailId),
    /// That a policy was over an account which it is not over any more.
    LeftAccount(AccountId, PolicyId),
    /// The same of a domain's accounts.
    LeftDomain(&'a str, PolicyId),
    /// The same of a mailbox.
    LeftMailbox(AccountId, MailboxId, PolicyId),
    /// Something that happened to an account and that policies count from: at most 1,000 each.
    RetentionEvent(AccountId, &'a str),
    /// How far a policy's query was asked of an account.
    Asked(AccountId, PolicyId),
    /// What a policy has taken today.
    PolicyDay(PolicyId),
    /// Where a label or an event of an account was last set.
    Labelled(AccountId),
    /// Where a policy took something of an account last.
    Purged(AccountId),
    /// An erasure, for ever.
    Erasure(OperationId),
    /// That an email was erased: all that stays of it.
    Erased(AccountId, EmailId),
    /// Why an email of an erasure's list was not erased.
    EraseKept(OperationId, EmailId),
    /// A blob that an erased email had.
    ErasedBlob(OperationId, BlobId),
    /// What a node has reached of an erasure.
    EraseReport(OperationId, NodeId),
}

/// The rows of [`Table::Meta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meta {
    /// The effective time of the last record.
    Clock,
    /// The state's hash. Not part of it.
    StateHash,
    /// The caller's own bytes for the applied entry. Not part of the state's hash.
    Mark,
    /// The next account's id.
    NextAccount,
    /// Up to where expired outcomes are swept.
    Swept,
    /// What `apply` does: the highest `Version` record.
    Version,
    /// The next node's id.
    NextNode,
    /// The next class's id.
    NextClass,
    /// Where a class, or who has which, changed last.
    Classes,
    /// The next capture rule's id.
    NextCapture,
    /// Roles that somebody was ever given, as bits by their number.
    RolesGiven,
    /// The next matter's id.
    NextMatter,
    /// The next hold's id.
    NextHold,
    /// Where the newest hold was set.
    LastHold,
    /// Accounts that have a history floor.
    Floors,
    /// The next policy's id.
    NextPolicy,
    /// Where a policy changed last.
    Policies,
    /// The email up to which references to blobs are counted, in a state that began without.
    Counting,
    /// From which index on every reference to a blob is counted.
    Counted,
    /// How far the backup repository holds the log: an `Archived` record's index and chain.
    Archived,
    /// The history that this one was made from, if it was.
    Lineage,
}

impl Meta {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Clock => b"clock",
            Self::StateHash => b"state-hash",
            Self::Mark => b"mark",
            Self::NextAccount => b"next-account",
            Self::Swept => b"swept",
            Self::Version => b"version",
            Self::NextNode => b"next-node",
            Self::NextClass => b"next-class",
            Self::Classes => b"classes",
            Self::NextCapture => b"next-capture",
            Self::RolesGiven => b"roles-given",
            Self::NextMatter => b"next-matter",
            Self::NextHold => b"next-hold",
            Self::LastHold => b"last-hold",
            Self::Floors => b"floors",
            Self::NextPolicy => b"next-policy",
            Self::Policies => b"policies",
            Self::Counting => b"counting",
            Self::Counted => b"counted",
            Self::Archived => b"archived",
            Self::Lineage => b"lineage",
        }
    }
}

/// Builds keys, part by part.
#[derive(Debug, Default)]
pub(crate) struct Bytes(Vec<u8>);

impl Bytes {
    pub(crate) fn account(account: AccountId) -> Self {
        Self::default().u64(account.0)
    }
    pub(crate) fn mailbox(account: AccountId, mailbox: MailboxId) -> Self {
        Self::account(account).u32(mailbox.0)
    }
    pub(crate) fn u8(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }
    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
    pub(crate) fn email(self, email: EmailId) -> Self {
        self.u64(email.sequence.0).u32(email.ordinal)
    }
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn address(self, address: &Address) -> Self {
        self.raw(address.domain.as_bytes()).u8(0).raw(address.local.as_bytes())
    }
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
    /// All keys that begin so.
    pub(crate) fn range(self) -> KeyRange {
        KeyRange::prefix(&self.0)
    }
}

/// Times sort as they pass, those before 1970 too.
pub(crate) fn ordered(time: Timestamp) -> u64 {
    time.0.cast_unsigned() ^ (1 << 63)
}

impl Key<'_> {
    /// Where the row stands.
    pub fn table(&self) -> Table {
        match self {
            Self::Meta(_) => Table::Meta,
            Self::Domain(_) | Self::Address(_) | Self::Token(_) | Self::Node(_) => Table::Directory,
            Self::HeadKey(_) | Self::Class(_) | Self::DomainClass(_) => Table::Directory,
            Self::Grant(..) | Self::PersonalToken(_) | Self::HoldOn(..) => Table::Directory,
            Self::Capture(_) | Self::DomainCaptured(_) => Table::Directory,
            Self::Matter(_) | Self::MatterMember(..) | Self::MatterCustodian(..) => {
                Table::Directory
            }
            Self::MatterNote(..) | Self::MatterJob(..) | Self::Job(_) | Self::Approval(_) => {
                Table::Directory
            }
            Self::Account(_)
            | Self::Usage(_)
            | Self::Credential(..)
            | Self::Alias(..)
            | Self::AccountClass(_)
            | Self::Captured(_)
            | Self::Floor(_)
            | Self::FloorOrder(..)
            | Self::Policy(_)
            | Self::LeftAccount(..)
            | Self::LeftDomain(..)
            | Self::LeftMailbox(..)
            | Self::RetentionEvent(..)
            | Self::Asked(..)
            | Self::PolicyDay(_)
            | Self::Labelled(_)
            | Self::Purged(_)
            | Self::Hold(..)
            | Self::HoldAt(..)
            | Self::Erasure(_)
            | Self::Erased(..)
            | Self::EraseKept(..)
            | Self::ErasedBlob(..)
            | Self::EraseReport(..) => Table::Account,
            Self::Mailbox(..) | Self::Counters(..) | Self::Name(..) | Self::Subscription(..) => {
                Table::Mailbox
            }
            Self::Placement(..) => Table::Placement,
            Self::Email(..) => Table::Email,
            Self::EmailPlacement(..) | Self::Referrer(..) => Table::EmailPlacement,
            Self::Unreferenced(_) | Self::Retained(..) | Self::HoldMark(..) => {
                Table::EmailPlacement
            }
            Self::UidMap(..) => Table::UidMap,
            Self::Seen(..) => Table::Seen,
            Self::Change(..) => Table::Change,
            Self::Thread(..) => Table::Thread,
            Self::Operation(_) | Self::Item(..) | Self::Expiry(..) => Table::Operation,
            Self::Restore(_) | Self::Restoring(_) => Table::Operation,
            Self::RestoreMade(..) | Self::RestorePiece(..) => Table::Operation,
            Self::Record(_) => Table::Record,
            Self::History(..) => Table::History,
            Self::Deleting(..) => Table::Deleting,
        }
    }

    /// The key's bytes in its table.
    pub fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Meta(meta) => meta.name().to_vec(),
            Self::Domain(name) => Bytes::default().u8(b'd').raw(name.as_bytes()).done(),
            Self::Address(address) => Bytes::default().u8(b'n').address(address).done(),
            Self::Class(class) => classes().u64(class.0).done(),
            Self::DomainClass(name) => Bytes::default().u8(b'c').raw(name.as_bytes()).done(),
            Self::AccountClass(a) => Bytes::account(a).u8(b'l').done(),
            Self::Capture(rule) => captures().u64(rule.0).done(),
            Self::Captured(a) => Bytes::account(a).u8(b's').done(),
            Self::DomainCaptured(name) => captured_domains().raw(name.as_bytes()).done(),
            Self::Grant(a, role, domain) => {
                let domain = domain.unwrap_or_default().as_bytes();
                grants_of(a).u8(role.number()).raw(domain).done()
            }
            Self::PersonalToken(token) => personal_tokens().raw(&token.0).done(),
            Self::Matter(matter) => matters().u64(matter.0).done(),
            Self::MatterMember(matter, a) => members_of(matter).u64(a.0).done(),
            Self::MatterCustodian(matter, a) => custodians_of(matter).u64(a.0).done(),
            Self::MatterNote(matter, number) => notes_of(matter).u64(number).done(),
            Self::MatterJob(matter, job) => jobs_of(matter).raw(&job.0).done(),
            Self::Job(job) => Bytes::default().raw(b"Mo").raw(&job.0).done(),
            Self::Approval(of) => approval(of).done(),
            Self::Account(a) => Bytes::account(a).u8(b'a').done(),
            Self::Usage(a) => Bytes::account(a).u8(b'u').done(),
            Self::Credential(a, name) => Bytes::account(a).u8(b'c').raw(name.as_bytes()).done(),
            Self::Alias(a, alias) => Bytes::account(a).u8(b'i').address(alias).done(),
            Self::Mailbox(a, m) => Bytes::account(a).u8(b'm').u32(m.0).done(),
            Self::Counters(a, m) => Bytes::account(a).u8(b'k').u32(m.0).done(),
            Self::Name(a, parent, name) => names_under(a, parent).raw(name.as_bytes()).done(),
            Self::Subscription(a, name) => Bytes::account(a).u8(b's').raw(name.as_bytes()).done(),
            Self::Placement(a, m, uid) => Bytes::mailbox(a, m).u32(uid.get()).done(),
            Self::Email(a, email) => Bytes::account(a).email(email).done(),
            Self::EmailPlacement(a, email, m, uid) => {
                Bytes::account(a).email(email).u32(m.0).u32(uid.get()).done()
            }
            Self::UidMap(a, m, chunk) => Bytes::mailbox(a, m).u32(chunk).done(),
            Self::Seen(a, m, chunk, reader) => Bytes::mailbox(a, m).u32(chunk).u64(reader.0).done(),
            Self::Change(a, m, modseq, uid) => {
                Bytes::mailbox(a, m).u64(modseq.0).u32(uid.get()).done()
            }
            Self::Thread(a, id, subject) => Bytes::account(a).raw(&id.0).raw(&subject.0).done(),
            Self::Operation(op) => Bytes::default().u8(b'r').raw(&op.0).done(),
            Self::Item(op, a, m) => items_of(op, a).u32(m.0).done(),
            Self::Expiry(time, key) => Bytes::default().u8(b'x').u64(ordered(time)).raw(key).done(),
            Self::Restore(id) => Bytes::default().u8(b'q').raw(&id.0).done(),
            Self::Restoring(a) => Bytes::default().u8(b'a').u64(a.0).done(),
            Self::RestoreMade(id, slot) => Bytes::default().u8(b'm').raw(&id.0).u32(slot).done(),
            Self::RestorePiece(id, first) => restore_pieces(id).u64(first).done(),
            Self::Record(index) => Bytes::default().u64(index.0).done(),
            Self::History(object, index) => Bytes(object.bytes()).u64(index.0).done(),
            Self::Deleting(a, m) => Bytes::mailbox(a, m).done(),
            Self::Token(token) => Bytes::default().u8(b't').raw(&token.0).done(),
            Self::Node(node) => Bytes::default().u8(b'o').u64(node.0).done(),
            Self::HeadKey(key) => Bytes::default().u8(b'k').raw(&key.0).done(),
            Self::Floor(a) => Bytes::account(a).u8(b'f').done(),
            Self::FloorOrder(floor, a) => floors().u64(floor.0).u64(a.0).done(),
            Self::Hold(a, hold) => holds_over(a).u64(hold.0).done(),
            Self::HoldOn(domain, hold) => holds_on(domain).u64(hold.0).done(),
            Self::HoldAt(hold, a) => judged_by(hold).u64(a.0).done(),
            Self::HoldMark(hold, a, email) => marks_of(hold).u64(a.0).email(email).done(),
            Self::Referrer(blob, a, email) => referrers_of(&blob).u64(a.0).email(email).done(),
            Self::Unreferenced(blob) => unreferenced().raw(&blob.0).done(),
            Self::Policy(policy) => policies().u64(policy.0).done(),
            Self::Retained(a, email) => retained_of(a).email(email).done(),
            Self::LeftAccount(a, policy) => left_account(a).u64(policy.0).done(),
            Self::LeftDomain(name, policy) => left_domain(name).u64(policy.0).done(),
            Self::LeftMailbox(a, m, policy) => left_mailbox(a, m).u64(policy.0).done(),
            Self::RetentionEvent(a, name) => events_of(a).raw(name.as_bytes()).done(),
            Self::Asked(a, policy) => asked_of(a).u64(policy.0).done(),
            Self::PolicyDay(policy) => shared(b'd').u64(policy.0).done(),
            Self::Labelled(a) => shared(b'n').u64(a.0).done(),
            Self::Purged(a) => shared(b'p').u64(a.0).done(),
            Self::Erasure(id) => erasures().raw(&id.0).done(),
            Self::Erased(a, email) => erased_of(a).email(email).done(),
            Self::EraseKept(id, email) => erase_kept(id).email(email).done(),
            Self::ErasedBlob(id, blob) => erased_blobs(id).raw(&blob.0).done(),
            Self::EraseReport(id, node) => erase_reports(id).u64(node.0).done(),
        }
    }
}

/// The beginning of the keys of names under one parent.
pub(crate) fn names_under(account: AccountId, parent: Option<MailboxId>) -> Bytes {
    Bytes::account(account).u8(b'n').u32(parent.map_or(0, |p| p.0))
}

/// The beginning of the keys of an operation's items in one account.
pub(crate) fn items_of(operation: OperationId, account: AccountId) -> Bytes {
    Bytes::default().u8(b'i').raw(&operation.0).u64(account.0)
}

/// The keys of all restores.
pub(crate) fn restores() -> KeyRange {
    KeyRange::prefix(b"q")
}

/// The keys of restores that are not done, by account.
pub(crate) fn restoring() -> KeyRange {
    KeyRange::prefix(b"a")
}

/// The beginning of the keys of what came of a restore's steps.
pub(crate) fn restore_pieces(restore: OperationId) -> Bytes {
    Bytes::default().u8(b'p').raw(&restore.0)
}

/// Expired outcomes: from behind `after` (where given) up to `now`.
pub(crate) fn expired(after: Option<&[u8]>, now: Timestamp) -> KeyRange {
    let from = after.map_or_else(|| vec![b'x'], <[u8]>::to_vec);
    KeyRange { from, to: Some(Bytes::default().u8(b'x').u64(ordered(now)).done()) }
}

/// The kinds of [`Object`], as they stand in keys.
pub(crate) mod kind {
    pub(crate) const DOMAIN: u8 = b'd';
    pub(crate) const ADDRESS: u8 = b'n';
    pub(crate) const CLASS: u8 = b'g';
    pub(crate) const CAPTURE: u8 = b'v';
    pub(crate) const DOMAIN_CLASS: u8 = b'j';
    pub(crate) const ACCOUNT_CLASS: u8 = b'l';
    pub(crate) const ACCOUNT: u8 = b'a';
    pub(crate) const USAGE: u8 = b'u';
    pub(crate) const CREDENTIAL: u8 = b'c';
    pub(crate) const MAILBOX: u8 = b'm';
    pub(crate) const COUNTERS: u8 = b'k';
    pub(crate) const SUBSCRIPTION: u8 = b's';
    pub(crate) const PLACEMENT: u8 = b'p';
    pub(crate) const EMAIL: u8 = b'e';
    pub(crate) const SEEN: u8 = b'r';
}

/// The directory's objects stand before all accounts, whose ids begin at 1.
pub(crate) const DIRECTORY: AccountId = AccountId(0);

/// The beginning of the history keys of an account's objects of one kind.
pub(crate) fn objects(account: AccountId, kind: u8) -> Bytes {
    Bytes::account(account).u8(kind)
}

impl Object {
    /// Its bytes in the history's keys. Texts end with a zero, which none contains.
    pub fn bytes(&self) -> Vec<u8> {
        let text = |account, kind, text: &str| objects(account, kind).raw(text.as_bytes()).u8(0);
        let bytes = match self {
            Self::Domain(name) => text(DIRECTORY, kind::DOMAIN, name),
            Self::Class(class) => objects(DIRECTORY, kind::CLASS).u64(class.0),
            Self::Capture(rule) => objects(DIRECTORY, kind::CAPTURE).u64(rule.0),
            Self::DomainClass(name) => text(DIRECTORY, kind::DOMAIN_CLASS, name),
            Self::AccountClass(a) => objects(*a, kind::ACCOUNT_CLASS),
            Self::Address(address) => objects(DIRECTORY, kind::ADDRESS).address(address).u8(0),
            Self::Account(a) => objects(*a, kind::ACCOUNT),
            Self::Usage(a) => objects(*a, kind::USAGE),
            Self::Credential(a, name) => text(*a, kind::CREDENTIAL, name),
            Self::Mailbox(a, m) => objects(*a, kind::MAILBOX).u32(m.0),
            Self::Counters(a, m) => objects(*a, kind::COUNTERS).u32(m.0),
            Self::Subscription(a, name) => text(*a, kind::SUBSCRIPTION, name),
            Self::Placement(a, m, uid) => objects(*a, kind::PLACEMENT).u32(m.0).u32(uid.get()),
            Self::Email(a, email) => objects(*a, kind::EMAIL).email(*email),
            Self::Seen(a, m, chunk, reader) => {
                objects(*a, kind::SEEN).u32(m.0).u32(*chunk).u64(reader.0)
            }
        };
        bytes.done()
    }

    /// Whose it is; account 0 is the directory.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Domain(_) | Self::Address(_) | Self::Class(_) => DIRECTORY,
            Self::DomainClass(_) | Self::Capture(_) => DIRECTORY,
            Self::Account(a)
            | Self::AccountClass(a)
            | Self::Usage(a)
            | Self::Credential(a, _)
            | Self::Mailbox(a, _)
            | Self::Counters(a, _)
            | Self::Subscription(a, _)
            | Self::Placement(a, ..)
            | Self::Email(a, _)
            | Self::Seen(a, ..) => *a,
        }
    }

    /// The keys of all its versions.
    pub fn versions(&self) -> KeyRange {
        KeyRange::prefix(&self.bytes())
    }

    /// The keys of its versions up to an index.
    pub fn versions_to(&self, index: LogIndex) -> KeyRange {
        let mut range = self.versions();
        if let Some(next) = index.0.checked_add(1) {
            range.to = Some(Key::History(self, LogIndex(next)).bytes());
        }
        range
    }
}

/// Takes keys apart. Every method is `None` when too little is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    pub(crate) fn new(key: &'a [u8]) -> Self {
        Self(key)
    }
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    pub(crate) fn account(&mut self) -> Option<AccountId> {
        self.u64().map(AccountId)
    }
    pub(crate) fn mailbox(&mut self) -> Option<MailboxId> {
        self.u32().map(MailboxId)
    }
    pub(crate) fn uid(&mut self) -> Option<Uid> {
        self.u32().and_then(Uid::new)
    }
    pub(crate) fn email(&mut self) -> Option<EmailId> {
        let sequence = self.u64()?.into();
        Some(EmailId { sequence, ordinal: self.u32()? })
    }
    pub(crate) fn operation(&mut self) -> Option<OperationId> {
        self.array().map(OperationId)
    }
    pub(crate) fn blob(&mut self) -> Option<BlobId> {
        self.array().map(BlobId)
    }
    pub(crate) fn thread_key(&mut self) -> Option<ThreadKey> {
        self.array().map(ThreadKey)
    }
    /// Text up to the end.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.rest()).ok()
    }
    /// Text up to a zero (not taken along) or the end.
    pub(crate) fn text_to_zero(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.unwrap_or(self.0.len()))?;
        if end.is_some() {
            self.take(1)?;
        }
        std::str::from_utf8(text).ok()
    }
    pub(crate) fn address(&mut self) -> Option<Address> {
        let domain = self.text_to_zero()?.to_owned();
        Some(Address { local: self.text_to_zero()?.to_owned(), domain })
    }
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
    /// `Some` when nothing is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The object and the index of a history key.
pub(crate) fn parse_history(key: &[u8]) -> Option<(Object, LogIndex)> {
    let (object, index) = split_history(key)?;
    Some((parse_object(object)?, index))
}

/// The same, the object as bytes.
pub(crate) fn split_history(key: &[u8]) -> Option<(&[u8], LogIndex)> {
    let (object, index) = key.split_at_checked(key.len().checked_sub(8)?)?;
    Some((object, LogIndex(Parts::new(index).u64()?)))
}

/// Reads what [`Object::bytes`] wrote.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Object> {
    let mut parts = Parts::new(bytes);
    let a = parts.account()?;
    let object = match parts.u8()? {
        kind::DOMAIN => Object::Domain(parts.text_to_zero()?.to_owned()),
        kind::ADDRESS => Object::Address(parts.address()?),
        kind::CLASS => Object::Class(ClassId(parts.u64()?)),
        kind::CAPTURE => Object::Capture(CaptureId(parts.u64()?)),
        kind::DOMAIN_CLASS => Object::DomainClass(parts.text_to_zero()?.to_owned()),
        kind::ACCOUNT_CLASS => Object::AccountClass(a),
        kind::ACCOUNT => Object::Account(a),
        kind::USAGE => Object::Usage(a),
        kind::CREDENTIAL => Object::Credential(a, parts.text_to_zero()?.to_owned()),
        kind::MAILBOX => Object::Mailbox(a, parts.mailbox()?),
        kind::COUNTERS => Object::Counters(a, parts.mailbox()?),
        kind::SUBSCRIPTION => Object::Subscription(a, parts.text_to_zero()?.to_owned()),
        kind::PLACEMENT => Object::Placement(a, parts.mailbox()?, parts.uid()?),
        kind::EMAIL => Object::Email(a, parts.email()?),
        kind::SEEN => Object::Seen(a, parts.mailbox()?, parts.u32()?, parts.account()?),
        _ => return None,
    };
    parts.end().map(|()| object)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn objects_read_back() {
        let address = Address { local: "a".into(), domain: "example.org".into() };
        let email = EmailId { sequence: 7.into(), ordinal: 2 };
        let (a, m, uid) = (AccountId(3), MailboxId(4), Uid::new(5).unwrap());
        for object in [
            Object::Domain("example.org".into()),
            Object::Address(address),
            Object::Class(ClassId(1 << 40)),
            Object::Capture(CaptureId(1 << 40)),
            Object::DomainClass("example.org".into()),
            Object::AccountClass(a),
            Object::Account(a),
            Object::Usage(a),
            Object::Credential(a, "phone".into()),
            Object::Mailbox(a, m),
            Object::Counters(a, m),
            Object::Subscription(a, "A/b".into()),
            Object::Placement(a, m, uid),
            Object::Email(a, email),
            Object::Seen(a, m, 1, AccountId(9)),
        ] {
            let key = Key::History(&object, LogIndex(77)).bytes();
            assert!(object.versions().contains(&key));
            assert!(object.versions_to(LogIndex(77)).contains(&key));
            assert!(!object.versions_to(LogIndex(76)).contains(&key));
            assert_eq!(parse_history(&key), Some((object, LogIndex(77))));
        }
    }

    #[test]
    fn times_sort() {
        let times = [i64::MIN, -5, 0, 5, i64::MAX].map(|t| ordered(Timestamp(t)));
        assert!(times.is_sorted());
    }
}
