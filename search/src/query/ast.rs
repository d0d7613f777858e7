//! The tree of a query.

use redoubt_log::id::{BlobId, EmailId, ThreadId};

use super::date::When;
use super::media::Media;
use super::pattern::{Chain, Person};

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Everything matches.
    All,
    /// Each of these, two or more.
    And(Vec<Expr>),
    /// Any of these, two or more.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// Words in a text.
    Text(Place, Chain),
    /// `header[Name]:*`: such a field is there.
    HasHeader(String),
    /// Someone in these fields.
    People(Role, Person),
    /// An attachment of a kind.
    Attachment(Media),
    /// `in:` a mailbox.
    In(String),
    /// `under:` a mailbox: in it, or in any below it.
    Under(String),
    /// `account:` by address or id.
    Account(String),
    /// `domain:` of the account.
    Domain(String),
    /// `keyword:` or `tag:`
    Keyword(String),
    /// `is:`
    Is(State),
    /// A time, in milliseconds of Unix time: from the first on, before the second.
    Time(Clock, When, (i64, i64)),
    /// Octets: at least and at most.
    Size(u64, u64),
    /// `msgid:`, without angle brackets.
    MessageId(String),
    /// `emailid:`
    Email(EmailId),
    /// `threadid:`
    Thread(ThreadId),
    /// `blob:`
    Blob(BlobId),
    /// `uid:` ranges, both ends included.
    Uid(Vec<(u32, u32)>),
    /// `modseq:` at least and at most.
    ModSeq(u64, u64),
    /// `deleted:any`
    Gone,
    /// `deletedby:`
    DeletedBy(Who),
    /// `movedfrom:` a mailbox.
    MovedFrom(String),
    /// `held:`
    Held(Held),
    /// `indexed:`
    Indexed(Indexed),
}

/// Which text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Words without an operator: header, bodies, names of attachments, text extracted from them.
    Anywhere,
    /// `content:` bodies and text extracted from attachments.
    Content,
    /// `subject:`
    Subject,
    /// `body:` bodies.
    Body,
    /// `text:` header and bodies, as IMAP's TEXT.
    Text,
    /// `header[Name]:`
    Header(String),
    /// `filename:` names of attachments.
    FileName,
    /// `list:` List-Id (RFC 2919).
    List,
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    From,
    To,
    Cc,
    Bcc,
    ToFrom,
    ToCc,
    FromCc,
    ToFromCc,
    Participants,
    EnvelopeFrom,
    EnvelopeTo,
}

/// `is:`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Read,
    Unread,
    Flagged,
    Unflagged,
    Answered,
    Unanswered,
    Draft,
    Deleted,
    Sent,
    Received,
    ToMe,
    FromMe,
    CcMe,
    Solo,
    Anywhere,
    /// `has:attachment`
    Attached,
}

/// Which time of an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// `date:`: received.
    Date,
    /// `received:`
    Received,
    /// `before:`: received.
    Before,
    /// `after:`: received.
    After,
    /// `since:`: received.
    Since,
    /// `on:`: received.
    On,
    /// `older:`: received.
    Older,
    /// `newer:`: received.
    Newer,
    /// `sent:`: the Date field.
    Sent,
    /// `existed:`: stood in a mailbox.
    Existed,
    /// `deleted:`: was expunged.
    Deleted,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The server itself.
    System,
    /// An MTA.
    Mta,
    /// An administrator on the machine, by uid.
    Uid(u32),
    /// An account, by address or id, for itself or on whose behalf.
    Account(String),
}

/// `held:`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// By any hold, or by none.
    Any(bool),
    /// By this one.
    By(u64),
}

/// `indexed:`: how much text could be had of the attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// All of it.
    Full,
    /// A part, of one of them or more.
    Partial,
    /// Nothing, of one of them or more.
    None,
}

impl Expr {
    /// Whether it, or anything in it, is so.
    pub fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::And(all) | Self::Or(all) => all.iter().any(|expr| expr.any(is)),
                Self::Not(expr) => expr.any(is),
                _ => false,
            }
    }

    /// The operator, where this asks for what may be otherwise tomorrow: where an email stands,
    /// its flags, whose it is, what was done to it.
    pub(super) fn changeable(&self) -> Option<&'static str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().find_map(Self::changeable),
            Self::Not(inner) => inner.changeable(),
            Self::In(_) => Some("in:"),
            Self::Under(_) => Some("under:"),
            Self::Account(_) => Some("account:"),
            Self::Domain(_) => Some("domain:"),
            Self::Keyword(_) => Some("keyword:"),
            Self::Is(State::Attached) => None,
            Self::Is(_) => Some("is:"),
            Self::Time(Clock::Existed, ..) => Some("existed:"),
            Self::Time(Clock::Deleted, ..) | Self::Gone => Some("deleted:"),
            Self::Uid(_) => Some("uid:"),
            Self::ModSeq(..) => Some("modseq:"),
            Self::DeletedBy(_) => Some("deletedby:"),
            Self::MovedFrom(_) => Some("movedfrom:"),
            Self::Held(_) => Some("held:"),
            Self::Indexed(_) => Some("indexed:"),
            Self::All
            | Self::Text(..)
            | Self::HasHeader(_)
            | Self::People(..)
            | Self::Attachment(_)
            | Self::Time(..)
            | Self::Size(..)
            | Self::MessageId(_)
            | Self::Email(_)
            | Self::Thread(_)
            | Self::Blob(_) => None,
        }
    }

    /// What has to be read to judge it: 0 what a listing has, 1 what is known of the account,
    /// 2 the message as it was taken apart, 3 its octets, 4 what was extracted.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().map(Self::cost).max().unwrap_or(0),
            Self::Not(expr) => expr.cost(),
            Self::Text(Place::Subject, _) => 2,
            Self::Text(Place::Anywhere | Place::Content, _) | Self::Indexed(_) => 4,
            Self::Text(Place::FileName, _) | Self::Attachment(_) | Self::MessageId(_) => 2,
            Self::Text(..) | Self::HasHeader(_) => 3,
            Self::People(..) | Self::Time(Clock::Sent, ..) => 2,
            Self::Is(State::Sent | State::ToMe | State::FromMe | State::CcMe) => 2,
            Self::Is(State::Attached) => 2,
            Self::Is(State::Solo | State::Received) | Self::MovedFrom(_) | Self::Blob(_) => 1,
            Self::Account(_) | Self::Domain(_) | Self::DeletedBy(_) | Self::Held(_) => 1,
            _ => 0,
        }
    }
}
