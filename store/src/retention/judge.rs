//! The one evaluation of policies: pure.

use redoubt_log::id::{AccountId, ClassId, MailboxId, PolicyId, Timestamp, Uid};
use redoubt_log::record::{
    Held, PolicyAnchor, PolicyDirection, PolicyMailbox, PolicyScope, PolicySettings, PolicyWhose,
    SpecialUse,
};
use serde::{Deserialize, Serialize};

use super::{Facts, Policy, PolicyVersion, Stands};

/// Until when something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Up to a time.
    Time(Timestamp),
    /// Until something is known that is not known yet: an event, or what a query finds.
    Unknown,
}

impl Until {
    /// Whether it binds at a time.
    pub fn binds(self, now: Timestamp) -> bool {
        match self {
            Self::Time(time) => time > now,
            Self::Unknown => true,
        }
    }
}

/// A floor or a deletion, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which policy.
    pub policy: PolicyId,
    /// Which version of it.
    pub version: u32,
    /// Until when.
    pub until: Until,
}

/// What one policy says of one email.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Which policy.
    pub policy: PolicyId,
    /// Until when it keeps the email, and by which version.
    pub floor: Option<Kept>,
    /// When it takes the email, or the first of its placements, and by which version.
    pub deletion: Option<Kept>,
}

/// What all policies say of one email.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The longest floor.
    pub floor: Option<Kept>,
    /// The shortest deletion that acts.
    pub deletion: Option<Kept>,
    /// What each policy says that says anything.
    pub by: Vec<Judged>,
}

impl Verdict {
    /// The floor that binds at a time.
    pub fn kept_by(&self, now: Timestamp) -> Option<Kept> {
        self.floor.filter(|floor| floor.until.binds(now))
    }

    /// When the email goes by policies: no deletion before the longest floor. `None` is never,
    /// as far as is known.
    pub fn goes(&self) -> Option<Timestamp> {
        let Some(Kept { until: Until::Time(deletion), .. }) = self.deletion else { return None };
        match self.floor.map(|floor| floor.until) {
            None => Some(deletion),
            Some(Until::Time(floor)) => Some(deletion.max(floor)),
            Some(Until::Unknown) => None,
        }
    }
}

/// When an expunged email leaves the history: `max(longest floor, min(expunge + horizon,
/// deletion))`. `None` is never, as far as is known.
pub fn horizon_end(verdict: &Verdict, horizon: Option<Timestamp>) -> Option<Timestamp> {
    let deletion = match verdict.deletion.map(|deletion| deletion.until) {
        Some(Until::Time(time)) => Some(time),
        _ => None,
    };
    let goes = horizon.into_iter().chain(deletion).min()?;
    match verdict.floor.map(|floor| floor.until) {
        None => Some(goes),
        Some(Until::Time(floor)) => Some(goes.max(floor)),
        Some(Until::Unknown) => None,
    }
}

/// What policies say of an email at a time.
pub fn judge<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    facts: &Facts,
    now: Timestamp,
) -> Verdict {
    let mut verdict = Verdict::default();
    for policy in policies {
        let judged = one(policy, facts, now);
        if judged.floor.is_none() && judged.deletion.is_none() {
            continue;
        }
        if let Some(floor) = judged.floor
            && verdict.floor.is_none_or(|longest| floor.until > longest.until)
        {
            verdict.floor = Some(floor);
        }
        if let Some(deletion) = judged.deletion
            && verdict.deletion.is_none_or(|shortest| deletion.until < shortest.until)
        {
            verdict.deletion = Some(deletion);
        }
        verdict.by.push(judged);
    }
    verdict
}

fn one(policy: &Policy, facts: &Facts, now: Timestamp) -> Judged {
    let floors = policy.binding(now).iter().filter_map(|version| floor(policy, version, facts));
    let floor = floors.max_by_key(|floor| floor.until);
    let first = facts.places.iter().filter_map(|place| due(policy, facts, place, now)).min();
    let number = policy.in_force(now).map(|version| version.number);
    let deletion = first.zip(number).map(|(time, version)| Kept {
        policy: policy.id,
        version,
        until: Until::Time(time),
    });
    Judged { policy: policy.id, floor, deletion }
}

/// Placements of an email that a policy takes at a time, whatever floors say. Of one that was
/// expunged: whether it goes from the history, as its last places.
pub fn due_places(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<(MailboxId, Uid)> {
    let due = |place: &&Stands| due(policy, facts, place, now).is_some_and(|time| time <= now);
    facts.places.iter().filter(due).map(|place| (place.mailbox, place.uid)).collect()
}

/// When a policy takes a placement: by the version in force, but not before any that waits
/// behind it says so.
fn due(policy: &Policy, facts: &Facts, place: &Stands, now: Timestamp) -> Option<Timestamp> {
    policy.in_force(now)?;
    let mut latest = None;
    for version in policy.binding(now) {
        let settings = version.settings.as_ref()?;
        let after = settings.delete?;
        let asked = match &settings.scope.query {
            // What it cannot tell of stays.
            Some(_) => answer(policy, version, facts) == Some(Some(Held::Matches)),
            None => true,
        };
        if !asked || !is_over(&settings.scope, facts) || !takes(settings, facts, place) {
            return None;
        }
        let from = match &settings.anchor {
            PolicyAnchor::Received => facts.entered,
            PolicyAnchor::Sent => facts.dated.min(facts.entered),
            PolicyAnchor::Saved => place.saved,
            PolicyAnchor::Labelled => return None,
            PolicyAnchor::Event(name) => event(facts, name)?,
        };
        latest = latest.max(Some(behind(from, after)));
    }
    latest
}

/// Until when a version of a policy keeps an email.
fn floor(policy: &Policy, version: &PolicyVersion, facts: &Facts) -> Option<Kept> {
    let settings = version.settings.as_ref()?;
    let after = settings.floor?;
    let until = match floor_anchor(policy, version, facts)? {
        Until::Time(from) => Until::Time(behind(from, after)),
        Until::Unknown => Until::Unknown,
    };
    Some(Kept { policy: policy.id, version: version.number, until })
}

/// From when on a version's floor counts; `None` where it has none over the email.
pub(crate) fn floor_anchor(
    policy: &Policy,
    version: &PolicyVersion,
    facts: &Facts,
) -> Option<Until> {
    let settings = version.settings.as_ref().filter(|settings| settings.floor.is_some())?;
    if facts.draft && !settings.drafts {
        return None;
    }
    floor_from(policy, version, settings, facts)
}

/// From when on it counts; `None` where it is not over the email.
fn floor_from(
    policy: &Policy,
    version: &PolicyVersion,
    settings: &PolicySettings,
    facts: &Facts,
) -> Option<Until> {
    let captured = facts.captured.iter().filter(|captured| captured.policy == policy.id);
    let captured = captured.map(|captured| captured.anchor).max();
    if settings.anchor == PolicyAnchor::Labelled {
        let labels = facts.labels.iter().filter(|(label, _)| *label == policy.id);
        return labels.map(|(_, at)| Until::Time(*at)).max();
    }
    let left = |(id, until): &&(PolicyId, _)| *id == policy.id && facts.came <= *until;
    let over = is_over(&settings.scope, facts) || facts.left.iter().any(|left_at| left(&left_at));
    let mut here =
        over && facts.places.iter().any(|place| floors(policy.id, settings, facts, place));
    let mut unknown = false;
    if here && settings.scope.query.is_some() {
        let asked = answer(policy, version, facts);
        // What was not asked about yet counts as found.
        unknown = asked.is_none();
        here = asked.is_none_or(|found| found.is_some());
    }
    if captured.is_none() && !here {
        return None;
    }
    if unknown {
        return Some(Until::Unknown);
    }
    let live = here.then(|| anchor_of_floor(policy.id, settings, facts)).flatten();
    if let PolicyAnchor::Event(name) = &settings.anchor {
        return Some(event(facts, name).map_or(Until::Unknown, Until::Time));
    }
    live.into_iter().chain(captured).max().map(Until::Time)
}

/// What a version's query says of an email, once it was asked.
fn answer(policy: &Policy, version: &PolicyVersion, facts: &Facts) -> Option<Option<Held>> {
    let of = |(id, number, _): &&(PolicyId, u32, _)| (*id, *number) == (policy.id, version.number);
    facts.asked.iter().find(of).map(|(_, _, found)| *found)
}

/// Whether a policy's query is still to be asked about an email that it may be over.
pub fn is_unasked(policy: &Policy, facts: &Facts) -> bool {
    let asks = |version: &&PolicyVersion| {
        let said = version.settings.as_ref().map(|settings| &settings.scope);
        said.is_some_and(|scope| scope.query.is_some() && is_over(scope, facts))
    };
    let newest = policy.newest().filter(asks);
    newest.is_some_and(|version| answer(policy, version, facts).is_none())
}

fn anchor_of_floor(id: PolicyId, settings: &PolicySettings, facts: &Facts) -> Option<Timestamp> {
    match settings.anchor {
        // A client chooses the date that it stores with: a floor does not count from it.
        PolicyAnchor::Received | PolicyAnchor::Sent => Some(facts.entered),
        PolicyAnchor::Saved => {
            let over = |place: &&Stands| floors(id, settings, facts, place);
            facts.places.iter().filter(over).map(|place| place.saved).max()
        }
        PolicyAnchor::Labelled | PolicyAnchor::Event(_) => None,
    }
}

/// Whether it is over the account's mail, and the email's way.
fn is_over(scope: &PolicyScope, facts: &Facts) -> bool {
    covers(&scope.whose, facts.account, &facts.domain, facts.class)
}

/// Whether a policy is over an account's mail.
pub(crate) fn covers(
    whose: &PolicyWhose,
    account: AccountId,
    domain: &str,
    class: Option<ClassId>,
) -> bool {
    match whose {
        PolicyWhose::All => true,
        PolicyWhose::Domain(wished) => wished == domain,
        PolicyWhose::Class(wished) => class == Some(*wished),
        PolicyWhose::Account(wished) => *wished == account,
    }
}

/// Whether a floor is over what stands there: also if the mailbox was called otherwise.
fn floors(id: PolicyId, settings: &PolicySettings, facts: &Facts, place: &Stands) -> bool {
    let renamed = place.left.iter().any(|left| left.policy == id && left.place);
    let sent = || facts.places.iter().any(|place| was_sent(id, place));
    (renamed || in_mailbox(settings.scope.mailbox.as_ref(), place))
        && is_tagged(settings, place)
        && goes_way(settings, facts, &sent)
}

/// Whether it is in the mailbox for sent mail, or that was it before it was deleted.
fn was_sent(id: PolicyId, place: &Stands) -> bool {
    place.special_use == Some(SpecialUse::Sent)
        || place.left.iter().any(|left| left.policy == id && left.sent)
}

/// Whether a deletion is over what stands there: as it is now.
fn takes(settings: &PolicySettings, facts: &Facts, place: &Stands) -> bool {
    let sent = || facts.places.iter().any(|place| place.special_use == Some(SpecialUse::Sent));
    in_mailbox(settings.scope.mailbox.as_ref(), place)
        && is_tagged(settings, place)
        && goes_way(settings, facts, &sent)
}

fn is_tagged(settings: &PolicySettings, place: &Stands) -> bool {
    settings
        .scope
        .tag
        .as_ref()
        .is_none_or(|tag| place.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(tag)))
}

fn goes_way(settings: &PolicySettings, facts: &Facts, is_sent: &dyn Fn() -> bool) -> bool {
    match settings.scope.direction {
        None => true,
        Some(PolicyDirection::Received) => facts.delivered,
        Some(PolicyDirection::Sent) => is_sent(),
    }
}

fn in_mailbox(scope: Option<&PolicyMailbox>, place: &Stands) -> bool {
    match scope {
        None => true,
        Some(PolicyMailbox::Use(wished)) => place.special_use == Some(*wished),
        Some(PolicyMailbox::Named(name)) => is_below(name, &place.name),
    }
}

/// Whether a mailbox is the one of this name, or below it.
pub(crate) fn is_below(name: &str, mailbox: &str) -> bool {
    mailbox.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn event(facts: &Facts, name: &str) -> Option<Timestamp> {
    facts.events.iter().find(|(known, _)| known == name).map(|(_, time)| *time)
}

/// So many seconds behind a time.
fn behind(from: Timestamp, seconds: u64) -> Timestamp {
    let millis = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    Timestamp(from.0.saturating_add(millis))
}
