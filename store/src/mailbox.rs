//! The rules of mailboxes: names, limits, keywords, UIDVALIDITY.

use redoubt_log::id::{MailboxId, Timestamp, UidValidity};
use redoubt_log::record::{Keyword, Rejection};

use crate::account::{invalid, is_control};
use crate::rows::MailboxRow;

/// INBOX of every account.
pub const INBOX: MailboxId = MailboxId(1);
/// The most octets of one level of a name.
pub const MAX_LEVEL: usize = 255;
/// The most octets of a whole name.
pub const MAX_NAME: usize = 2048;
/// The most levels of a name.
pub const MAX_LEVELS: usize = 32;
/// The most mailboxes of an account.
pub const MAX_MAILBOXES: u32 = 10_000;
/// The most subscriptions of an account.
pub const MAX_SUBSCRIPTIONS: usize = 20_000;
/// The most keywords that one mailbox knows.
pub const MAX_KEYWORDS: usize = 256;
/// The most octets of a keyword.
pub const MAX_KEYWORD: usize = 100;

/// The keyword in an archive of what was delivered.
pub const KEYWORD_DELIVERED: &str = "$CapturedDelivered";
/// The keyword in an archive of what was sent.
pub const KEYWORD_SENT: &str = "$CapturedSent";
/// The keyword in an archive of an original out of a journal report.
pub const KEYWORD_JOURNAL: &str = "$CapturedJournal";
/// The keyword in an archive of a journal report that could not be read, and is kept whole.
pub const KEYWORD_UNREAD: &str = "$JournalUnread";

/// Whether a whole name is INBOX (RFC 9051 section 5.1).
pub fn is_inbox(name: &str) -> bool {
    name.eq_ignore_ascii_case("INBOX")
}

/// What records may have as one level of a name. NFC is the proposer's work:
/// a table of Unicode differs between builds, and `apply` must not.
pub(crate) fn check_level(parent: Option<MailboxId>, name: &str) -> Result<(), Rejection> {
    let wrong = |c: char| c == '/' || is_control(c) || matches!(c, '\u{2028}' | '\u{2029}');
    if !(1..=MAX_LEVEL).contains(&name.len()) || name.contains(wrong) {
        return Err(invalid("a mailbox", name));
    }
    if parent.is_none() && is_inbox(name) {
        return Err(Rejection::Inbox);
    }
    // RFC 9051 section 5.1.1: these are namespaces.
    if parent.is_none() && name.starts_with('#') {
        return Err(invalid("names that begin with # are reserved", name));
    }
    Ok(())
}

/// What records may have as a whole name.
pub(crate) fn check_name(name: &str) -> Result<(), Rejection> {
    if name.len() > MAX_NAME || name.split('/').count() > MAX_LEVELS {
        return Err(invalid("a mailbox", name));
    }
    name.split('/').try_for_each(|level| check_level(Some(INBOX), level))
}

/// What a keyword may be: an atom (RFC 9051 section 9, flag-keyword).
fn check_keyword(keyword: &str) -> Result<(), Rejection> {
    let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    if (1..=MAX_KEYWORD).contains(&keyword.len()) && keyword.bytes().all(atom) {
        return Ok(());
    }
    Err(invalid("a keyword", keyword))
}

/// Keywords as a mailbox writes them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct KeywordPlan {
    /// All, each once, sorted without case.
    pub(crate) keywords: Vec<Keyword>,
    /// Those that the mailbox does not know yet.
    pub(crate) new: Vec<Keyword>,
}

/// Spells keywords as the mailbox does; finds those that are new to it.
pub(crate) fn plan_keywords(
    mailbox: &MailboxRow,
    wished: &[Keyword],
) -> Result<KeywordPlan, Rejection> {
    let mut plan = KeywordPlan::default();
    for keyword in wished {
        check_keyword(keyword)?;
        if find(&plan.keywords, keyword).is_some() {
            continue;
        }
        let known = find(&mailbox.keywords, keyword);
        if known.is_none() {
            plan.new.push(keyword.clone());
        }
        plan.keywords.push(known.unwrap_or(keyword).clone());
    }
    if !plan.new.is_empty() && mailbox.keywords.len() + plan.new.len() > MAX_KEYWORDS {
        return Err(Rejection::Limit(format!("{MAX_KEYWORDS} keywords in a mailbox")));
    }
    sort(&mut plan.keywords);
    Ok(plan)
}

/// A keyword in a list, compared without case.
pub(crate) fn find<'a>(list: &'a [Keyword], keyword: &str) -> Option<&'a Keyword> {
    list.iter().find(|known| known.eq_ignore_ascii_case(keyword))
}

/// Sorts without case; no two are equal so.
pub(crate) fn sort(keywords: &mut [Keyword]) {
    keywords.sort_by_cached_key(|keyword| keyword.to_ascii_lowercase());
}

/// The next UIDVALIDITY: max(log seconds, the account's last + 1).
pub(crate) fn next_uid_validity(last: u32, time: Timestamp) -> Result<UidValidity, Rejection> {
    let next = last.checked_add(1).ok_or(Rejection::UidsExhausted)?;
    let clock = u32::try_from(time.seconds().max(0)).unwrap_or(u32::MAX);
    UidValidity::new(next.max(clock)).ok_or(Rejection::UidsExhausted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names() {
        let under = Some(MailboxId(7));
        for (parent, name) in [(None, "A"), (under, "inbox"), (under, "#x"), (None, "caf\u{e9}")] {
            assert_eq!(check_level(parent, name), Ok(()), "{name}");
        }
        assert_eq!(check_level(None, "inBox"), Err(Rejection::Inbox));
        for name in ["", "a/b", "a\n", "a\u{85}", "a\u{2028}", &"x".repeat(MAX_LEVEL + 1)] {
            assert!(check_level(under, name).is_err(), "{name:?}");
        }
        assert!(check_level(None, "#history").is_err());
        assert!(check_name("a/b").is_ok() && check_name("a//b").is_err());
    }

    #[test]
    fn uid_validity_rises() {
        let at = |last, seconds| next_uid_validity(last, Timestamp(seconds * 1000));
        assert_eq!(at(5, 100).unwrap().get(), 100);
        assert_eq!(at(100, 100).unwrap().get(), 101);
        assert_eq!(at(0, -3).unwrap().get(), 1);
        assert_eq!(at(u32::MAX, 1), Err(Rejection::UidsExhausted));
        assert_eq!(at(7, i64::MAX / 1000).unwrap().get(), u32::MAX);
    }
}
