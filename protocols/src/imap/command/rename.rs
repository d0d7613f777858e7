//! RENAME (RFC 9051 section 6.3.6).

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::MailboxName;

/// Gives a mailbox another name. INBOX's mail moves into a new mailbox instead.
pub(crate) async fn run(session: &mut Session, from: MailboxName, to: MailboxName) -> Answer {
    let user = session.user()?;
    let store = &session.imap.store;
    store.rename_mailbox(&user.actor, user.account, from.as_str(), to.as_str()).await?;
    if let Some(selected) = &mut session.selected
        && !from.is_inbox()
        && let Some(name) = renamed(&selected.name, from.as_str(), to.as_str())
    {
        selected.name = name;
    }
    Ok(Reply::ok("RENAME done"))
}

/// What a name became: the mailbox itself, or one below it.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_follow() {
        assert_eq!(renamed("a/b", "a", "c"), Some("c/b".into()));
        assert_eq!(renamed("a", "a", "c"), Some("c".into()));
        assert_eq!(renamed("ab", "a", "c"), None);
    }
}
