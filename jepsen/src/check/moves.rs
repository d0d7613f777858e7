//! MOVE leaves an email in one of two mailboxes, never in both or in neither; COPY yields one or
//! none; what was appended stays until somebody removes it; what is gone comes back for nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::index::{Facts, Index, Place};
use super::report::Report;
use super::state::NodeState;
use crate::history::{Ask, History, Operation, Outcome};

/// An email in a mailbox: account, mailbox, EMAILID.
type Spot = (String, String, String);

/// An operation without an answer that may have put an email somewhere.
struct Maker<'a> {
    by: &'a Operation,
    /// Of COPY and MOVE.
    from: Option<Place>,
}

/// The checker.
pub fn check(history: &History, index: &Index<'_>, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("moves");
    let places = || index.places.iter().filter(|(p, _)| index.edited.contains(p.account.as_str()));
    if finals.is_empty() && places().next().is_some() {
        report.unsure("no node's final state was read");
    }
    for (place, facts) in places() {
        report.count("placements", 1);
        gone_stays_gone(&mut report, place, facts);
    }
    for (node, state) in finals {
        for (place, facts) in places() {
            kept(&mut report, *node, state, place, facts);
        }
        arrivals(&mut report, *node, state, history, index);
    }
    report.checked()
}

fn there(state: &NodeState, place: &Place) -> bool {
    let mailbox = state.mailbox(&place.account, &place.mailbox);
    mailbox.is_some_and(|mailbox| mailbox.emails.contains_key(&place.uid))
}

/// Nobody sees it who asks after somebody was told that it is gone.
fn gone_stays_gone(report: &mut Report, place: &Place, facts: &Facts<'_>) {
    let Some(first) = facts.gone.iter().min_by_key(|operation| operation.ended) else { return };
    report.count("placements that went", 1);
    let after = facts.seen.iter().find(|seen| first.before(seen.by));
    if let Some(seen) = after {
        let (gone, seen) = (first.tell(), seen.by.tell());
        report.wrong(format!("{place} was gone ({gone}) and came back ({seen})"));
    }
}

/// What was acknowledged to be there is there, unless somebody may have removed it; what is gone
/// is not.
fn kept(report: &mut Report, node: u32, state: &NodeState, place: &Place, facts: &Facts<'_>) {
    let there = there(state, place);
    if let (Some(gone), true) = (facts.gone.first(), there) {
        let both = matches!(gone.ask, Ask::Move { .. });
        let what =
            if both { "was moved away and is there all the same" } else { "was gone and is there" };
        report.wrong(format!("node {node}: {place} {what}: {}", gone.tell()));
    }
    let seen = facts.seen.iter().map(|seen| seen.by);
    let Some(known) = facts.made.iter().map(|made| made.by).chain(seen).next() else { return };
    report.count(&format!("known by {}", known.ask.kind()), 1);
    if !there && facts.removals.is_empty() {
        let known = known.tell();
        report.wrong(format!("node {node}: {place} is gone, though nobody removed it: {known}"));
    }
}

/// Emails that nobody was told of must come from operations without an answer, one from each; and
/// an email that only such a MOVE may have taken must have arrived.
fn arrivals(
    report: &mut Report,
    node: u32,
    state: &NodeState,
    history: &History,
    index: &Index<'_>,
) {
    let tokens = tokens(history, index, state);
    let makers = makers(history, index, &tokens);
    let unexplained = unexplained(index, state);
    let open = history.operations.iter().filter(|by| by.outcome == Outcome::Unknown);
    report.count("operations without an answer", open.count() as u64);
    for (spot, places) in &unexplained {
        let none = Vec::new();
        let makers = makers.get(spot).unwrap_or(&none);
        // A MOVE whose email is where it was has not happened.
        let able = |maker: &&Maker<'_>| match (&maker.by.ask, &maker.from) {
            (Ask::Move { .. }, Some(from)) => !there(state, from),
            _ => true,
        };
        let able = makers.iter().filter(able).count() + usize::from(tokens.may_be_new(spot));
        report.count("arrivals without an answer", places.len() as u64);
        if places.len() > able {
            let tell: Vec<String> = makers.iter().map(|maker| maker.by.tell()).collect();
            let (account, mailbox, email) = spot;
            report.wrong(format!(
                "node {node}: {account} {mailbox} has {email} as UIDs {places:?} of which nobody was \
                 told; of {} only {} can have put it there",
                tell.join("; "),
                able
            ));
        }
    }
    for (place, facts) in &index.places {
        neither(report, (node, state), (place, facts), (index, &tokens), &unexplained);
    }
}

fn neither(
    report: &mut Report,
    (node, state): (u32, &NodeState),
    (place, facts): (&Place, &Facts<'_>),
    (index, tokens): (&Index<'_>, &Tokens<'_>),
    unexplained: &BTreeMap<Spot, BTreeSet<u32>>,
) {
    let existed = !facts.made.is_empty() || !facts.seen.is_empty();
    let open =
        |by: &&Operation| matches!(by.ask, Ask::Move { .. }) && by.outcome == Outcome::Unknown;
    let only_moves = !facts.removals.is_empty() && facts.removals.iter().all(open);
    if !existed || !only_moves || there(state, place) {
        return;
    }
    let email = tokens.email(facts);
    let is_it = |spot: &Spot, to: &str| {
        let (account, mailbox, id) = spot;
        let it = email.as_ref().map_or(!tokens.known.contains(id.as_str()), |email| email == id);
        *account == place.account && mailbox == to && it
    };
    report.count("moves without an answer that happened", 1);
    let arrived = facts.removals.iter().any(|by| {
        let Ask::Move { to, .. } = &by.ask else { return false };
        unexplained.keys().any(|spot| is_it(spot, to))
            || nameless_removal(index, &place.account, to)
    });
    if !arrived {
        let tell: Vec<String> = facts.removals.iter().map(|by| by.tell()).collect();
        report.wrong(format!("node {node}: {place} is in neither: {}", tell.join("; ")));
    }
}

/// Whether something may have been removed of which nobody knows which email it was.
fn nameless_removal(index: &Index<'_>, account: &str, mailbox: &str) -> bool {
    index.places.iter().any(|(place, facts)| {
        place.account == account
            && place.mailbox == mailbox
            && facts.emails.is_empty()
            && (!facts.removals.is_empty() || !facts.gone.is_empty())
    })
}

/// Placements of which no arrival was acknowledged.
fn unexplained(index: &Index<'_>, state: &NodeState) -> BTreeMap<Spot, BTreeSet<u32>> {
    let mut spots: BTreeMap<Spot, BTreeSet<u32>> = BTreeMap::new();
    for (place, facts) in &index.places {
        let edited = index.edited.contains(place.account.as_str());
        let exists = !facts.seen.is_empty() || there(state, place);
        if let (true, true, true, Some(email)) =
            (edited, exists, facts.made.is_empty(), facts.email())
        {
            let spot = (place.account.clone(), place.mailbox.clone(), email.to_string());
            spots.entry(spot).or_default().insert(place.uid);
        }
    }
    spots
}

/// Which email is of which APPEND.
#[derive(Default)]
struct Tokens<'a> {
    emails: BTreeMap<&'a str, &'a str>,
    /// Emails of which it is known.
    known: BTreeSet<&'a str>,
    /// Account and mailbox where something of which nobody knows the EMAILID may have arrived.
    nameless: BTreeSet<(&'a str, &'a str)>,
}

impl Tokens<'_> {
    /// The EMAILID of a placement, also where only its APPEND is known.
    fn email(&self, facts: &Facts<'_>) -> Option<String> {
        let token = facts.made.iter().find_map(|made| match &made.by.ask {
            Ask::Append { token, .. } => Some(token.as_str()),
            _ => None,
        });
        let by_token = || token.and_then(|token| self.emails.get(token)).copied();
        facts.email().or_else(by_token).map(String::from)
    }

    /// Whether an email may have come by an APPEND without an answer, as far as is known.
    fn may_be_new(&self, (account, mailbox, email): &Spot) -> bool {
        !self.known.contains(email.as_str())
            && self.nameless.contains(&(account.as_str(), mailbox.as_str()))
    }
}

fn tokens<'a>(history: &'a History, index: &'a Index<'_>, state: &'a NodeState) -> Tokens<'a> {
    let mut tokens = Tokens::default();
    for (_, _, mailbox) in state.mailboxes() {
        for email in mailbox.emails.values() {
            if let Ok(token) = &email.content.token {
                tokens.emails.insert(token, &email.id);
            }
        }
    }
    for facts in index.places.values() {
        let Some(email) = facts.email() else { continue };
        let read =
            facts.seen.iter().filter_map(|seen| seen.what.content.as_ref()?.token.as_deref().ok());
        let made = facts.made.iter().filter_map(|made| match &made.by.ask {
            Ask::Append { token, .. } => Some(token.as_str()),
            _ => None,
        });
        tokens.emails.extend(read.chain(made).map(|token| (token, email)));
    }
    tokens.known = tokens.emails.values().copied().collect();
    for by in history.operations.iter().filter(|by| by.outcome == Outcome::Unknown) {
        let (to, nameless) = match &by.ask {
            Ask::Append { mailbox, token, .. } => {
                (mailbox, !tokens.emails.contains_key(token.as_str()))
            }
            Ask::Copy { uids, to } | Ask::Move { uids, to } => {
                let known = |uid: &u32| {
                    index.places.get(&Place::of(by, *uid)).and_then(|facts| tokens.email(facts))
                };
                (to, !uids.iter().all(|uid| known(uid).is_some()))
            }
            _ => continue,
        };
        if nameless {
            tokens.nameless.insert((&by.account, to));
        }
    }
    tokens
}

fn makers<'a>(
    history: &'a History,
    index: &Index<'_>,
    tokens: &Tokens<'_>,
) -> BTreeMap<Spot, Vec<Maker<'a>>> {
    let mut makers: BTreeMap<Spot, Vec<Maker<'a>>> = BTreeMap::new();
    let open = history.operations.iter().filter(|by| by.outcome == Outcome::Unknown);
    for by in open {
        let (to, from) = match &by.ask {
            Ask::Append { mailbox, token, .. } => {
                let email = tokens.emails.get(token.as_str());
                let spot = email.map(|email| (mailbox.clone(), email.to_string(), None));
                add(&mut makers, by, spot);
                continue;
            }
            Ask::Copy { uids, to } | Ask::Move { uids, to } => (to, uids),
            _ => continue,
        };
        for uid in from {
            let place = Place::of(by, *uid);
            let email = index.places.get(&place).and_then(|facts| tokens.email(facts));
            let spot = email.map(|email| (to.clone(), email, Some(place.clone())));
            add(&mut makers, by, spot);
        }
    }
    makers
}

fn add<'a>(
    makers: &mut BTreeMap<Spot, Vec<Maker<'a>>>,
    by: &'a Operation,
    spot: Option<(String, String, Option<Place>)>,
) {
    if let Some((mailbox, email, from)) = spot {
        let spot = (by.account.clone(), mailbox, email);
        makers.entry(spot).or_default().push(Maker { by, from });
    }
}
