//! Response codes, without their brackets.

use bytes::BytesMut;
use redoubt_log::id::{MailboxId, ModSeq, Uid, UidValidity};
use redoubt_log::record::{Flags, Keyword};

use super::{NumberSet, flags};

/// `APPENDUID` (RFC 4315 section 3): the UIDs in the order of the messages.
pub fn append_uid(validity: UidValidity, uids: &[Uid]) -> String {
    format!("APPENDUID {validity} {}", set(uids))
}

/// `COPYUID` (RFC 4315 section 3): pairs of source and new UID. Never for no message:
/// the grammar has no empty set.
pub fn copy_uid(validity: UidValidity, pairs: &[(Uid, Uid)]) -> String {
    let source = NumberSet(pairs.iter().map(|pair| pair.0.get()));
    let new = NumberSet(pairs.iter().map(|pair| pair.1.get()));
    format!("COPYUID {validity} {source} {new}")
}

/// `MODIFIED` (RFC 7162 section 3.1.3): numbers of the kind that the command used.
pub fn modified(numbers: &[u32]) -> String {
    format!("MODIFIED {}", NumberSet(numbers.iter().copied()))
}

/// `HIGHESTMODSEQ` (RFC 7162 section 3.1.2.1)
pub fn highest_modseq(modseq: ModSeq) -> String {
    format!("HIGHESTMODSEQ {modseq}")
}

/// `UIDVALIDITY`
pub fn uid_validity(validity: UidValidity) -> String {
    format!("UIDVALIDITY {validity}")
}

/// `UIDNEXT`; may be 2^32, which only says that there is none.
pub fn uid_next(next: u64) -> String {
    format!("UIDNEXT {next}")
}

/// `UNSEEN` (RFC 3501): the first message without `\Seen`.
pub fn unseen(number: u32) -> String {
    format!("UNSEEN {number}")
}

/// `MAILBOXID` (RFC 8474 section 4.2)
pub fn mailbox_id(mailbox: MailboxId) -> String {
    format!("MAILBOXID ({})", mailbox.object_id())
}

/// `PERMANENTFLAGS`; `\*` when new keywords can be made.
pub fn permanent_flags(system: Flags, keywords: &[Keyword], new: bool) -> String {
    let mut list = BytesMut::new();
    flags(&mut list, system, keywords, false);
    let list = String::from_utf8_lossy(&list);
    let inner = list.trim_start_matches('(').trim_end_matches(')');
    let star = match (new, inner.is_empty()) {
        (false, _) => "",
        (true, true) => "\\*",
        (true, false) => " \\*",
    };
    format!("PERMANENTFLAGS ({inner}{star})")
}

/// `BADCHARSET`, with some that are known.
pub fn bad_charset() -> String {
    "BADCHARSET (US-ASCII UTF-8 ISO-8859-1)".to_owned()
}

fn set(uids: &[Uid]) -> NumberSet<impl Iterator<Item = u32> + Clone> {
    NumberSet(uids.iter().map(|uid| uid.get()))
}
