//! LSUB (RFC 3501 section 6.3.9).

use std::collections::BTreeMap;

use crate::imap::command::list::{matches, names_of};
use crate::imap::encode::{Attribute, lsub};
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::ListPattern;

/// Names that are subscribed to.
pub(crate) async fn run(session: &mut Session, reference: String, pattern: ListPattern) -> Answer {
    let account = session.user()?.account;
    let names = names_of(session, account).await?;
    let pattern = format!("{reference}{}", pattern.0);
    let there = |name: &str| names.mailboxes.iter().any(|m| m.selectable && m.name == name);
    for (name, subscribed) in answers(&names.subscriptions, &pattern) {
        let attributes: &[Attribute] =
            if subscribed && there(&name) { &[] } else { &[Attribute::NoSelect] };
        lsub(session.conn.output(), attributes, &name, false);
    }
    Ok(Reply::ok("LSUB done"))
}

/// Subscribed names that match; and with `%`, names that are not subscribed to but stand above
/// one that is.
fn answers(subscriptions: &[String], pattern: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    for name in subscriptions {
        if matches(pattern, name) {
            found.insert(name.clone(), true);
        } else if pattern.ends_with('%') {
            let mut above = name.rmatch_indices('/').filter_map(|(at, _)| name.get(..at));
            if let Some(parent) = above.find(|parent| matches(pattern, parent)) {
                found.entry(parent.to_owned()).or_insert(false);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_names_what_stands_above() {
        let subscriptions = ["news/comp/mail".to_owned(), "INBOX".to_owned()];
        let all = |pattern| answers(&subscriptions, pattern).into_iter().collect::<Vec<_>>();
        assert_eq!(all("%"), [("INBOX".to_owned(), true), ("news".to_owned(), false)]);
        assert_eq!(all("news/*"), [("news/comp/mail".to_owned(), true)]);
        assert_eq!(all("news/%"), [("news/comp".to_owned(), false)]);
    }
}
