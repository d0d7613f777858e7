//! The operators.

use super::ast::{Clock, Place, Role};

/// An operator.
#[derive(Debug)]
pub(super) struct Op {
    /// What stands before the colon.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) kind: Kind,
    /// How it is used.
    pub(super) example: &'static str,
}

/// What an operator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text(Place),
    People(Role),
    Time(Clock),
    Attachment,
    Has,
    Is,
    Flag,
    In,
    Under,
    MovedFrom,
    Account,
    Domain,
    Keyword,
    Size,
    Larger,
    Smaller,
    MessageId,
    EmailId,
    ThreadId,
    Blob,
    Uid,
    ModSeq,
    DeletedBy,
    Held,
    Indexed,
    AsOf,
    Zone,
    /// What it asks for is not kept yet, and what that waits for.
    Later(&'static str),
}

const fn op(name: &'static str, kind: Kind, example: &'static str) -> Op {
    Op { name, kind, example }
}

/// `header[Name]:` is one too.
pub(super) static HEADER: Op =
    op("header", Kind::Text(Place::Header(String::new())), "header[X-Mailer]:mutt");

/// All others.
pub(super) static OPS: &[Op] = &[
    op("content", Kind::Text(Place::Content), "content:invoice"),
    op("subject", Kind::Text(Place::Subject), "subject:\"annual report\""),
    op("body", Kind::Text(Place::Body), "body:invoice"),
    op("text", Kind::Text(Place::Text), "text:invoice"),
    op("filename", Kind::Text(Place::FileName), "filename:report.pdf"),
    op("list", Kind::Text(Place::List), "list:dev.lists.example.org"),
    op("attachment", Kind::Attachment, "attachment:pdf or attachment:image/png"),
    op("has", Kind::Has, "has:attachment"),
    op("from", Kind::People(Role::From), "from:bob"),
    op("to", Kind::People(Role::To), "to:alice@example.org"),
    op("cc", Kind::People(Role::Cc), "cc:@example.org"),
    op("bcc", Kind::People(Role::Bcc), "bcc:carol"),
    op("tofrom", Kind::People(Role::ToFrom), "tofrom:bob"),
    op("tocc", Kind::People(Role::ToCc), "tocc:bob"),
    op("fromcc", Kind::People(Role::FromCc), "fromcc:bob"),
    op("tofromcc", Kind::People(Role::ToFromCc), "tofromcc:bob"),
    op("participants", Kind::People(Role::Participants), "participants:bob"),
    op("envfrom", Kind::People(Role::EnvelopeFrom), "envfrom:bob@example.org"),
    op("envto", Kind::People(Role::EnvelopeTo), "envto:alice@example.org"),
    op("in", Kind::In, "in:INBOX"),
    op("under", Kind::Under, "under:Work"),
    op("account", Kind::Account, "account:alice@example.org"),
    op("domain", Kind::Domain, "domain:example.org"),
    op("tag", Kind::Keyword, "tag:urgent"),
    op("keyword", Kind::Keyword, "keyword:$Forwarded"),
    op("is", Kind::Is, "is:unread"),
    op("flag", Kind::Flag, "flag:seen"),
    op("date", Kind::Time(Clock::Date), "date:2026-11-01..2026-11-20"),
    op("sent", Kind::Time(Clock::Sent), "sent:2026-11-20"),
    op("received", Kind::Time(Clock::Received), "received:2026-11"),
    op("before", Kind::Time(Clock::Before), "before:2026-11-20"),
    op("after", Kind::Time(Clock::After), "after:2026-11-20"),
    op("on", Kind::Time(Clock::On), "on:yesterday"),
    op("since", Kind::Time(Clock::Since), "since:-7d"),
    op("older", Kind::Time(Clock::Older), "older:1y"),
    op("newer", Kind::Time(Clock::Newer), "newer:12h"),
    op("size", Kind::Size, "size:1m..5m"),
    op("larger", Kind::Larger, "larger:10m"),
    op("smaller", Kind::Smaller, "smaller:20k"),
    op("msgid", Kind::MessageId, "msgid:a1b2@example.org"),
    op("emailid", Kind::EmailId, "emailid:e1f-0"),
    op("threadid", Kind::ThreadId, "threadid:t1f-0"),
    op("blob", Kind::Blob, "blob:HASH, 64 digits as `redoubt ls --json` shows them"),
    op("uid", Kind::Uid, "uid:7,10..20"),
    op("modseq", Kind::ModSeq, "modseq:1200.."),
    op("asof", Kind::AsOf, "asof:2026-11-20"),
    op("existed", Kind::Time(Clock::Existed), "existed:2026-11-01..2026-11-20"),
    op("deleted", Kind::Time(Clock::Deleted), "deleted:-7d.. or deleted:any"),
    op("deletedby", Kind::DeletedBy, "deletedby:alice@example.org"),
    op("movedfrom", Kind::MovedFrom, "movedfrom:INBOX"),
    op("held", Kind::Held, "held:yes"),
    op("indexed", Kind::Indexed, "indexed:none"),
    op("zone", Kind::Zone, "zone:Europe/Berlin"),
    op("label", Kind::Later("labels of retention come with policies"), "label:contract"),
    op("custodian", Kind::Later("custodians come with matters"), "custodian:alice@example.org"),
    op("cos", Kind::Later("there are no classes of service yet"), "cos:standard"),
];

impl Op {
    /// By its name, in any case.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        OPS.iter().find(|op| op.name.eq_ignore_ascii_case(name))
    }

    /// All names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OPS.iter().map(|op| op.name).chain(["header"])
    }

    /// The text that it looks at; `header` is the name in `header[Name]:`.
    pub(super) fn place(&self, header: &str) -> Option<Place> {
        match &self.kind {
            Kind::Text(Place::Header(_)) => Some(Place::Header(header.to_owned())),
            Kind::Text(place) => Some(place.clone()),
            _ => None,
        }
    }
}
