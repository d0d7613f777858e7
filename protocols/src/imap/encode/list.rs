//! LIST, LSUB and STATUS responses.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use redoubt_log::record::SpecialUse;

use super::mailbox;
use crate::imap::types::StatusItem;

/// A mailbox's attribute (RFC 9051 section 7.3.1, RFC 5258, RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// `\NonExistent`: implies `\Noselect`.
    NonExistent,
    /// `\Noselect`
    NoSelect,
    /// `\Noinferiors`
    NoInferiors,
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Subscribed`
    Subscribed,
    /// `\Archive`, `\Drafts` …
    Use(SpecialUse),
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Self::NonExistent => "\\NonExistent",
            Self::NoSelect => "\\Noselect",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::Use(SpecialUse::Archive) => "\\Archive",
            Self::Use(SpecialUse::Drafts) => "\\Drafts",
            Self::Use(SpecialUse::Junk) => "\\Junk",
            Self::Use(SpecialUse::Sent) => "\\Sent",
            Self::Use(SpecialUse::Trash) => "\\Trash",
        }
    }
}

/// `* LIST (…) "/" name`. With `child_info`, CHILDINFO of SUBSCRIBED: a child is
/// subscribed that the patterns do not match (RFC 5258 section 3.5). The name
/// `""` is the answer to an empty pattern.
pub fn list(
    out: &mut BytesMut,
    attributes: &[Attribute],
    name: &str,
    utf8: bool,
    child_info: bool,
) {
    line(out, "LIST", attributes, name, utf8);
    out.put_slice(if child_info { b" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n" } else { b"\r\n" });
}

/// `* LSUB (…) "/" name` (RFC 3501 section 7.2.3)
pub fn lsub(out: &mut BytesMut, attributes: &[Attribute], name: &str, utf8: bool) {
    line(out, "LSUB", attributes, name, utf8);
    out.put_slice(b"\r\n");
}

fn line(out: &mut BytesMut, response: &str, attributes: &[Attribute], name: &str, utf8: bool) {
    let _ = write!(out, "* {response} (");
    let mut before = "";
    for attribute in attributes {
        let _ = write!(out, "{before}{}", attribute.name());
        before = " ";
    }
    out.put_slice(b") \"/\" ");
    mailbox(out, name, utf8);
}

/// A status item with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusValue {
    /// An item that is a number.
    Number(StatusItem, u64),
    /// MAILBOXID (RFC 8474 section 4.3)
    MailboxId(String),
}

/// `* STATUS name (…)`
pub fn status(out: &mut BytesMut, name: &str, utf8: bool, values: &[StatusValue]) {
    out.put_slice(b"* STATUS ");
    mailbox(out, name, utf8);
    out.put_slice(b" (");
    let mut before = "";
    for value in values {
        let _ = match value {
            StatusValue::Number(item, value) => write!(out, "{before}{} {value}", item_name(*item)),
            StatusValue::MailboxId(id) => write!(out, "{before}MAILBOXID ({id})"),
        };
        before = " ";
    }
    out.put_slice(b")\r\n");
}

fn item_name(item: StatusItem) -> &'static str {
    match item {
        StatusItem::Messages => "MESSAGES",
        StatusItem::Recent => "RECENT",
        StatusItem::UidNext => "UIDNEXT",
        StatusItem::UidValidity => "UIDVALIDITY",
        StatusItem::Unseen => "UNSEEN",
        StatusItem::Deleted => "DELETED",
        StatusItem::Size => "SIZE",
        StatusItem::HighestModSeq => "HIGHESTMODSEQ",
        StatusItem::MailboxId => "MAILBOXID",
    }
}
