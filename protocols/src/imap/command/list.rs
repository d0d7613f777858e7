//! LIST (RFC 9051 section 6.3.9) with RFC 5258's options, STATUS (RFC 5819) and uses (RFC 6154).

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, LogIndex};
use redoubt_store::mailstore::StoreError;
use redoubt_store::view::{Mailbox, View};

use crate::imap::command::status;
use crate::imap::encode::{Attribute, list};
use crate::imap::history::{self, PastName};
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::Session;
use crate::imap::types::{List, ListPattern, StatusItem};

/// Octets of all patterns of a command: what they cost grows with their product with the names.
const MAX_PATTERNS: usize = 4096;

/// An account's names.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) subscriptions: Vec<String>,
}

/// One line of the answer.
#[derive(Debug, PartialEq)]
struct Entry {
    name: String,
    attributes: Vec<Attribute>,
    child_info: bool,
    mailbox: Option<Mailbox>,
}

/// Names that match, with what was asked about them.
pub(crate) async fn run(session: &mut Session, list_: List) -> Answer {
    let account = session.user()?.account;
    if let [ListPattern(pattern)] = list_.patterns.as_slice()
        && pattern.is_empty()
        && !list_.extended
    {
        list(session.conn.output(), &[Attribute::NoSelect], "", false, false);
        return Ok(Reply::ok("LIST done"));
    }
    let size = list_.patterns.iter().map(|p| p.0.len() + list_.reference.len()).sum::<usize>();
    if size > MAX_PATTERNS {
        return Ok(Reply::no(
            "LIMIT",
            format!("The patterns are longer than {MAX_PATTERNS} octets"),
        ));
    }
    let status_items = list_.returns.status.clone().unwrap_or_default();
    let (past, list_) = past_patterns(list_)?;
    if !list_.patterns.is_empty() {
        let job = move |view: &View| Ok(entries(&read(view, account)?, &list_));
        let found = session.read(job).await?;
        tell(session, account, found, None, &status_items).await?;
    }
    let past = if session.shows_history() { past } else { Vec::new() };
    for (name, list_) in past {
        let index = session.resolve(name.moment).await?;
        let job = move |view: &View| Ok(past_entries(&read(view, account)?, &list_, &name));
        let found = session.read_at(Some(index), job).await?;
        tell(session, account, found, Some(index), &status_items).await?;
    }
    Ok(Reply::ok("LIST done"))
}

async fn tell(
    session: &mut Session,
    account: AccountId,
    entries: Vec<Entry>,
    past: Option<LogIndex>,
    status_items: &[StatusItem],
) -> Result<(), Trouble> {
    for entry in entries {
        list(session.conn.output(), &entry.attributes, &entry.name, false, entry.child_info);
        if let Some(mailbox) = entry.mailbox.filter(|m| m.selectable && !status_items.is_empty()) {
            status::tell(session, account, &mailbox, past, status_items).await?;
        }
        session.conn.relieve().await?;
    }
    Ok(())
}

/// The patterns that name a moment, each with what is asked of its mailboxes; and the others. A
/// wildcard in the place of the moment stands for none.
fn past_patterns(mut list: List) -> Result<(Vec<(PastName, List)>, List), Reply> {
    let whole = |pattern: &ListPattern| format!("{}{}", list.reference, pattern.0);
    let (past, now): (Vec<_>, Vec<_>) =
        list.patterns.iter().cloned().partition(|pattern| history::is_past(&whole(pattern)));
    let mut named = Vec::new();
    for pattern in past {
        let whole = whole(&pattern);
        let moment = whole.split('/').nth(1).unwrap_or_default();
        if moment.is_empty() || moment.contains(['%', '*']) {
            continue;
        }
        let Some(name) = history::parse(&whole)? else { continue };
        let patterns = vec![ListPattern(name.rest.clone())];
        named.push((name, List { reference: String::new(), patterns, ..list.clone() }));
    }
    list.patterns = now;
    Ok((named, list))
}

/// Mailboxes of then. Nobody subscribes to them, and they have no use: a client must not file
/// anything there.
fn past_entries(names: &Names, list: &List, past: &PastName) -> Vec<Entry> {
    if list.selection.subscribed || list.selection.special_use {
        return Vec::new();
    }
    if past.rest.is_empty() {
        let attributes = vec![Attribute::NoSelect, Attribute::HasChildren];
        let name = history::written(&past.label, "");
        return vec![Entry { name, attributes, child_info: false, mailbox: None }];
    }
    let mut entries = entries(names, list);
    for entry in &mut entries {
        entry.name = history::written(&past.label, &entry.name);
        entry.attributes.retain(|a| !matches!(a, Attribute::Use(_) | Attribute::Subscribed));
        if let Some(mailbox) = &mut entry.mailbox {
            mailbox.name.clone_from(&entry.name);
        }
    }
    entries
}

/// Reads an account's names.
pub(crate) async fn names_of(session: &Session, account: AccountId) -> Result<Names, Trouble> {
    session.read(move |view| read(view, account)).await
}

fn read(view: &View, account: AccountId) -> Result<Names, StoreError> {
    let subscriptions = view.subscriptions(account)?;
    Ok(Names { mailboxes: view.mailboxes(account)?, subscriptions })
}

/// What LIST answers. Pure.
fn entries(names: &Names, list: &List) -> Vec<Entry> {
    let subscribed: BTreeSet<&str> = names.subscriptions.iter().map(String::as_str).collect();
    let candidates = candidates(names, list);
    let is_selected = |name: &str, mailbox: Option<&Mailbox>| {
        let selection = &list.selection;
        let asked = selection.subscribed || mailbox.is_some();
        asked
            && (!selection.subscribed || subscribed.contains(name))
            && (!selection.special_use || mailbox.is_some_and(|m| m.special_use.is_some()))
    };
    let above = match list.selection.recursive_match {
        true => ancestors(candidates.iter().filter(|(n, m)| is_selected(n, **m)).map(|(n, _)| *n)),
        false => BTreeSet::new(),
    };
    let existing = ancestors(names.mailboxes.iter().map(|mailbox| mailbox.name.as_str()));
    let patterns: Vec<String> =
        list.patterns.iter().map(|pattern| format!("{}{}", list.reference, pattern.0)).collect();
    let entry = |(name, mailbox): (&str, Option<&Mailbox>)| {
        let has_selected_below = above.contains(name);
        if !(has_selected_below || is_selected(name, mailbox))
            || !patterns.iter().any(|pattern| matches(pattern, name))
        {
            return None;
        }
        let shows = list.returns.subscribed || list.selection.subscribed;
        let is_subscribed = shows && subscribed.contains(name);
        Some(Entry {
            name: name.to_owned(),
            attributes: attributes(mailbox, existing.contains(name), is_subscribed),
            child_info: has_selected_below && list.selection.subscribed,
            mailbox: mailbox.cloned(),
        })
    };
    candidates.into_iter().filter_map(entry).collect()
}

/// Every name that could be told of: mailboxes, and with SUBSCRIBED what is subscribed to and,
/// with RECURSIVEMATCH, what stands above that.
fn candidates<'a>(names: &'a Names, list: &List) -> BTreeMap<&'a str, Option<&'a Mailbox>> {
    let mut candidates: BTreeMap<&str, Option<&Mailbox>> = BTreeMap::new();
    if list.selection.subscribed {
        let subscribed = || names.subscriptions.iter().map(String::as_str);
        candidates.extend(subscribed().map(|name| (name, None)));
        if list.selection.recursive_match {
            candidates.extend(ancestors(subscribed()).into_iter().map(|name| (name, None)));
        }
    }
    candidates.extend(names.mailboxes.iter().map(|m| (m.name.as_str(), Some(m))));
    candidates
}

/// All names above these.
fn ancestors<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names
        .flat_map(|name| name.match_indices('/').filter_map(move |(at, _)| name.get(..at)))
        .collect()
}

fn attributes(mailbox: Option<&Mailbox>, has_children: bool, subscribed: bool) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    match mailbox {
        None => attributes.push(Attribute::NonExistent),
        Some(mailbox) if !mailbox.selectable => attributes.push(Attribute::NoSelect),
        Some(_) => {}
    }
    attributes.push(match has_children {
        true => Attribute::HasChildren,
        false => Attribute::HasNoChildren,
    });
    if subscribed {
        attributes.push(Attribute::Subscribed);
    }
    attributes.extend(mailbox.and_then(|mailbox| mailbox.special_use).map(Attribute::Use));
    attributes
}

/// Whether a name matches: `*` is anything, `%` anything without a separator. INBOX is matched
/// without case (RFC 9051 section 5.1). Work is bounded by the product of both lengths.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let inbox = name == "INBOX" || name.starts_with("INBOX/");
    match pattern.get(..5) {
        Some(first) if inbox && first.eq_ignore_ascii_case("INBOX") => {
            let rest = pattern.get(5..).unwrap_or_default();
            wildcard(format!("INBOX{rest}").as_bytes(), name.as_bytes())
        }
        _ => wildcard(pattern.as_bytes(), name.as_bytes()),
    }
}

fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    // states[i]: the first i octets of the pattern match what was read of the name.
    let mut states = vec![false; pattern.len() + 1];
    if let Some(start) = states.first_mut() {
        *start = true;
    }
    skip_wildcards(&mut states, pattern);
    for octet in name {
        let mut next = vec![false; pattern.len() + 1];
        for (at, symbol) in pattern.iter().enumerate() {
            if !states.get(at).copied().unwrap_or(false) {
                continue;
            }
            let stays = *symbol == b'*' || (*symbol == b'%' && *octet != b'/');
            let to = if stays { at } else { at + 1 };
            let passes = stays || (symbol == octet && !matches!(symbol, b'*' | b'%'));
            if let Some(state) = next.get_mut(to).filter(|_| passes) {
                *state = true;
            }
        }
        skip_wildcards(&mut next, pattern);
        if !next.contains(&true) {
            return false;
        }
        states = next;
    }
    states.last().copied().unwrap_or(false)
}

/// A wildcard may stand for nothing.
fn skip_wildcards(states: &mut [bool], pattern: &[u8]) {
    let mut before = false;
    for (at, state) in states.iter_mut().enumerate() {
        let skipped = at.checked_sub(1).and_then(|at| pattern.get(at));
        *state |= before && skipped.is_some_and(|symbol| matches!(symbol, b'*' | b'%'));
        before = *state;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::imap::types::{ListReturn, ListSelection};
    use redoubt_log::id::{MailboxId, ModSeq, UidValidity};
    use redoubt_log::record::SpecialUse;

    fn mailbox(name: &str) -> Mailbox {
        Mailbox {
            id: MailboxId(1),
            name: name.into(),
            parent: None,
            special_use: (name == "Sent").then_some(SpecialUse::Sent),
            selectable: name != "old",
            has_children: false,
            uid_validity: UidValidity::MIN,
            uid_next: 1,
            highest_modseq: ModSeq(1),
            messages: 0,
            unseen: 0,
            deleted: 0,
            size: 0,
            keywords: Vec::new(),
        }
    }

    fn names() -> Names {
        Names {
            mailboxes: ["INBOX", "Sent", "a", "a/b", "a/b/c", "old", "old/x"]
                .into_iter()
                .map(mailbox)
                .collect(),
            subscriptions: ["INBOX", "a/b", "gone/here"].map(str::to_owned).into(),
        }
    }

    fn list_of(pattern: &str, selection: ListSelection) -> Vec<(String, Vec<Attribute>, bool)> {
        let list = List {
            selection,
            reference: String::new(),
            patterns: vec![ListPattern(pattern.into())],
            returns: ListReturn::default(),
            extended: true,
        };
        let told = |entry: Entry| (entry.name, entry.attributes, entry.child_info);
        entries(&names(), &list).into_iter().map(told).collect()
    }

    fn only(pattern: &str) -> Vec<String> {
        list_of(pattern, ListSelection::default()).into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn wildcards_match_as_rfc_9051_says() {
        assert_eq!(only("%"), ["INBOX", "Sent", "a", "old"]);
        assert_eq!(only("a/%"), ["a/b"]);
        assert_eq!(only("a/*"), ["a/b", "a/b/c"]);
        assert_eq!(only("a*"), ["a", "a/b", "a/b/c"]);
        assert_eq!(only("*/%"), ["a/b", "a/b/c", "old/x"]);
        assert_eq!(only("iNBox"), ["INBOX"]);
        assert_eq!(only("sent"), Vec::<String>::new());
        assert_eq!(only("%%%*%*"), only("*"));
        assert!(matches("*b*", "abc") && !matches("a%c", "a/c") && matches("", ""));
    }

    #[test]
    fn attributes_tell_children_and_uses() {
        use Attribute::*;
        let all = list_of("%", ListSelection::default());
        let of = |name: &str| all.iter().find(|(n, ..)| n == name).unwrap().1.clone();
        assert_eq!(of("a"), [HasChildren]);
        assert_eq!(of("old"), [NoSelect, HasChildren]);
        assert_eq!(of("Sent"), [HasNoChildren, Use(SpecialUse::Sent)]);
    }

    #[test]
    fn subscribed_names_need_no_mailbox() {
        use Attribute::*;
        let selection = ListSelection { subscribed: true, ..ListSelection::default() };
        assert_eq!(
            list_of("*", selection),
            [
                ("INBOX".into(), vec![HasNoChildren, Subscribed], false),
                ("a/b".into(), vec![HasChildren, Subscribed], false),
                ("gone/here".into(), vec![NonExistent, HasNoChildren, Subscribed], false),
            ]
        );
    }

    #[test]
    fn a_recursive_match_names_what_stands_above() {
        let selection =
            ListSelection { subscribed: true, recursive_match: true, ..ListSelection::default() };
        let told: Vec<_> =
            list_of("%", selection).into_iter().map(|(name, _, info)| (name, info)).collect();
        let expected = [("INBOX", false), ("a", true), ("gone", true)];
        assert_eq!(told, expected.map(|(name, info)| (name.to_owned(), info)));
    }

    #[test]
    fn uses_are_selected() {
        let selection = ListSelection { special_use: true, ..ListSelection::default() };
        let told = list_of("*", selection);
        assert_eq!(told.len(), 1);
        assert_eq!(told.first().unwrap().0, "Sent");
    }
}
