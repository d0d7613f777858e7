//! IMAP SEARCH by an index: what is known of a query's leaves, and which emails can match at all.

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::search::{Hints, Leaf, Named, Outline, Query};

use super::{Index, Reader};
use crate::ask::{Ask, Field, Needle};

/// What an index knows of a query, at one moment, in one account. An email that it says nothing
/// about is to be looked through.
#[derive(Debug, Default)]
pub struct Narrowed {
    through: Option<EmailId>,
    leaves: Vec<Option<Known>>,
    candidates: Option<Vec<EmailId>>,
}

/// Rising, and each email in one of them at most.
#[derive(Debug)]
struct Known {
    sure: Vec<EmailId>,
    maybe: Vec<EmailId>,
}

impl Hints for Narrowed {
    fn of(&self, leaf: usize, email: EmailId) -> Option<bool> {
        if Some(email) > self.through {
            return None;
        }
        let known = self.leaves.get(leaf)?.as_ref()?;
        if known.sure.binary_search(&email).is_ok() {
            return Some(true);
        }
        known.maybe.binary_search(&email).is_err().then_some(false)
    }
}

impl Narrowed {
    /// The last email that is indexed; those behind it are to be looked through.
    pub fn through(&self) -> Option<EmailId> {
        self.through
    }

    /// The indexed emails that can match, rising; `None` when any can.
    pub fn candidates(&self) -> Option<&[EmailId]> {
        self.candidates.as_deref()
    }

    /// Whether no message that is indexed has to be opened.
    pub fn settles(&self) -> bool {
        self.leaves.iter().all(|known| known.as_ref().is_some_and(|known| known.maybe.is_empty()))
    }
}

impl Index {
    /// What is known of a query in one account. Blocks.
    pub fn narrow(&self, account: AccountId, query: &Query) -> Narrowed {
        let reader = self.reader(account);
        let leaves: Vec<Option<Known>> =
            query.leaves().iter().map(|leaf| known(&reader, leaf)).collect();
        let candidates = bound(&reader, &leaves, &query.outline());
        Narrowed { through: reader.through(), leaves, candidates }
    }

    /// A search had to look through emails that are not indexed: they are next.
    pub fn want(&self, account: AccountId) {
        self.inner.state.want(account);
    }
}

fn known(reader: &Reader, leaf: &Leaf) -> Option<Known> {
    let (ask, told) = ask(leaf);
    let found = reader.answer(&ask)?;
    if told {
        return Some(Known { sure: found.sure, maybe: found.maybe });
    }
    let mut maybe = found.maybe;
    maybe.extend(found.sure);
    maybe.sort_unstable();
    Some(Known { sure: Vec::new(), maybe })
}

/// What is asked for a leaf, and whether what matches that matches the leaf.
fn ask(leaf: &Leaf) -> (Ask, bool) {
    match leaf {
        Leaf::Fuzzy(leaf) => (asked(leaf, Needle::Fuzzy).0, false),
        leaf => asked(leaf, Needle::Casemapped),
    }
}

fn asked(leaf: &Leaf, needle: fn(String) -> Needle) -> (Ask, bool) {
    let text = |fields: &[Field], text: &str| Ask::Text {
        fields: fields.to_vec(),
        needle: needle(text.to_owned()),
    };
    match leaf {
        // One within another is not made.
        Leaf::Fuzzy(_) => (Ask::All, false),
        Leaf::Body(value) => (text(&[Field::Body], value), true),
        Leaf::Text(value) => (text(&[Field::Header, Field::Body], value), true),
        Leaf::Sent(days) => (Ask::Sent(*days.start(), days.end().saturating_add(1)), true),
        // RFC 9051 section 6.4.4: an empty string asks whether the field is there.
        Leaf::Header { name, value } if value.is_empty() => {
            (text(&[Field::Header], &format!("{name}:")), false)
        }
        Leaf::Header { name, value } => match Named::of(name) {
            Some(named) => (text(&[field(named)], value), true),
            None => (text(&[Field::Header], value), false),
        },
    }
}

fn field(named: Named) -> Field {
    match named {
        Named::Subject => Field::Subject,
        Named::From => Field::From,
        Named::To => Field::To,
        Named::Cc => Field::Cc,
        Named::Bcc => Field::Bcc,
    }
}

/// The emails outside of which nothing that is indexed matches.
fn bound(reader: &Reader, leaves: &[Option<Known>], outline: &Outline) -> Option<Vec<EmailId>> {
    match outline {
        Outline::Any => None,
        Outline::Leaf(leaf) => {
            let known = leaves.get(*leaf)?.as_ref()?;
            let mut emails = [known.sure.as_slice(), known.maybe.as_slice()].concat();
            emails.sort_unstable();
            Some(emails)
        }
        Outline::Received(times) => {
            let ask = Ask::Received(*times.start(), times.end().saturating_add(1));
            let found = reader.answer(&ask)?;
            Some(found.sure)
        }
        Outline::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(bound(reader, leaves, part)?);
            }
            all.sort_unstable();
            all.dedup();
            Some(all)
        }
        Outline::And(parts) => parts
            .iter()
            .filter_map(|part| bound(reader, leaves, part))
            .reduce(|one, other| common(&one, &other)),
    }
}

/// What two rising lists have in common.
fn common(one: &[EmailId], other: &[EmailId]) -> Vec<EmailId> {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.iter().filter(|email| long.binary_search(email).is_ok()).copied().collect()
}
