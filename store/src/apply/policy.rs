//! Retention policies: what they say, who may shorten it, and what stays under them when an
//! account, a domain or a mailbox is no longer what they are over.

use std::sync::Arc;

use redoubt_log::id::{AccountId, ClassId, EmailId, LogIndex, MailboxId, PolicyId, Timestamp};
use redoubt_log::record::{
    Actor, Approves, Done, KeptPolicy, PoliciesKept, PolicyAnchor, PolicyDirection, PolicyLock,
    PolicyMailbox, PolicyMatched, PolicyRemove, PolicySet, PolicySettings, PolicyWhose, Rejection,
    SpecialUse,
};
use redoubt_log::world::{self, Mutation};

use super::tx::Tx;
use super::work::Work;
use super::{Ruled, approval, domain};
use crate::account::check_text;
use crate::keys::{Key, Meta, left_domain};
use crate::mailbox::MAX_NAME as MAX_MAILBOX;
use crate::retention::{
    AccountFacts, Kept, MAX_POLICIES, MAX_VERSIONS, Policy, PolicyVersion, Rows, WAIT,
    account_facts, captured, covers, email_facts, hangs_on_place, judge, left_under, policies,
};
use crate::rows::{AccountClassRow, AskedRow, LeftMailboxRow, RetainedRow};
use crate::storage::{KeyRange, Row, StorageError, Table};

const MAX_NAME: usize = 100;
const MAX_QUERY: usize = 4096;
/// A thousand years, in seconds.
const MAX_TIME: u64 = 1000 * 366 * 24 * 3600;

impl Rows for Tx<'_> {
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.value(table, key)
    }

    fn all(&self, table: Table, range: &KeyRange) -> Result<Vec<Row>, StorageError> {
        self.scan(table, range, usize::MAX)
    }
}

fn refused(why: &str) -> Rejection {
    Rejection::Policy(why.to_owned())
}

/// All policies, read once for a record.
pub(crate) fn all(work: &mut Work<'_>) -> Ruled<Arc<[Policy]>> {
    if let Some(known) = &work.policies {
        return Ok(known.clone());
    }
    // Almost always there is none: one look tells.
    let all: Arc<[Policy]> = match work.tx.get_raw(&Key::Meta(Meta::Policies))? {
        Some(_) => policies(&work.tx)?.into(),
        None => Arc::new([]),
    };
    work.policies = Some(all.clone());
    Ok(all)
}

fn need(work: &Work<'_>, id: PolicyId) -> Ruled<Policy> {
    let missing = || Rejection::NotFound(format!("policy {id}"));
    Ok(work.tx.get(&Key::Policy(id))?.ok_or_else(missing)?)
}

fn save(work: &mut Work<'_>, policy: &Policy) -> Ruled<Done> {
    work.tx.put(&Key::Policy(policy.id), policy)?;
    work.tx.put(&Key::Meta(Meta::Policies), &work.index)?;
    let version = policy.newest().map_or(0, |version| version.number);
    Ok(Done::Policy(policy.id, version))
}

pub(crate) fn set(work: &mut Work<'_>, actor: &Actor, record: &PolicySet) -> Ruled<Done> {
    let settings = &record.settings;
    check(work, settings)?;
    free_name(work, record.policy, &settings.name)?;
    let mut policy = match record.policy {
        Some(id) => need(work, id)?,
        None => new(work)?,
    };
    match policy.settings() {
        None if record.policy.is_some() => {
            return Err(refused("the policy was removed: make a new one").into());
        }
        Some(old) if policy.locked => only_longer(old, settings)?,
        _ => {}
    }
    add_version(work, &mut policy, actor, Some(settings.clone()))?;
    save(work, &policy)
}

fn new(work: &mut Work<'_>) -> Ruled<Policy> {
    if all(work)?.iter().filter(|policy| policy.settings().is_some()).count() >= MAX_POLICIES {
        return Err(Rejection::Limit(format!("{MAX_POLICIES} policies")).into());
    }
    let key = Key::Meta(Meta::NextPolicy);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("policy ids".to_owned()))?;
    work.tx.put(&key, &next)?;
    Ok(Policy { id: PolicyId(id), locked: false, versions: Vec::new() })
}

/// Who shortens waits, and who asked for a second person cannot take that back alone.
fn add_version(
    work: &mut Work<'_>,
    policy: &mut Policy,
    actor: &Actor,
    settings: Option<PolicySettings>,
) -> Ruled<()> {
    let asked = policy.settings().is_some_and(|old| old.review);
    let review = asked || settings.as_ref().is_some_and(|new| new.review);
    let number = policy.newest().map_or(1, |old| old.number.saturating_add(1));
    let acts = Timestamp(work.time.0.saturating_add(WAIT));
    let (index, set, by) = (work.index, work.time, actor.principal);
    let version = PolicyVersion { number, settings, index, set, by, acts, approved: None, review };
    policy.versions.push(version);
    let first = policy.versions.len() - policy.binding(work.time).len();
    let old = policy.versions.len().saturating_sub(MAX_VERSIONS);
    for gone in policy.versions.drain(..old.min(first)) {
        approval::over(work, Approves::Policy { policy: policy.id, version: gone.number })?;
    }
    match review {
        true => approval::ask(work, Approves::Policy { policy: policy.id, version: number }, by),
        false => Ok(()),
    }
}

/// A locked policy keeps longer and takes later, of the same mail.
fn only_longer(old: &PolicySettings, new: &PolicySettings) -> Result<(), Rejection> {
    let shorter =
        |what: &str| Err(refused(&format!("the policy is locked: it can be extended, and {what}")));
    if (&old.scope, &old.anchor) != (&new.scope, &new.anchor) {
        return shorter("this changes what it is over, or from when on it counts");
    }
    if new.floor < old.floor {
        return shorter("this keeps less long");
    }
    let earlier = match (old.delete, new.delete) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
    };
    let more = match (old.daily, new.daily) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(old), Some(new)) => new > old,
    };
    if earlier || more {
        return shorter("this takes earlier, or more at a time");
    }
    if (old.drafts && !new.drafts) || (old.review && !new.review) {
        return shorter("this keeps no drafts any more, or asks nobody");
    }
    Ok(())
}

fn check(work: &Work<'_>, settings: &PolicySettings) -> Ruled<()> {
    let PolicySettings { scope, anchor, floor, delete, daily, .. } = settings;
    let wrong = |why: &str| Err(refused(why).into());
    if floor.is_none() && delete.is_none() {
        return wrong("a policy says for how long mail is kept, or when it goes");
    }
    if [*floor, *delete].into_iter().flatten().any(|time| time > MAX_TIME) {
        return wrong("a thousand years are the most");
    }
    if *daily == Some(0) {
        return wrong("a daily maximum of none takes nothing: leave the deletion out");
    }
    if *anchor == PolicyAnchor::Labelled && delete.is_some() {
        return wrong("a label lengthens: it has no deletion");
    }
    if let PolicyAnchor::Event(name) = anchor {
        check_event(name)?;
    }
    match &scope.whose {
        PolicyWhose::All => {}
        PolicyWhose::Domain(name) => domain::need(work, name)?,
        PolicyWhose::Class(class) if work.tx.get_raw(&Key::Class(*class))?.is_none() => {
            return Err(Rejection::NotFound(format!("class {class}")).into());
        }
        PolicyWhose::Account(account) if work.tx.get_raw(&Key::Account(*account))?.is_none() => {
            return Err(Rejection::NoSuchAccount.into());
        }
        PolicyWhose::Class(_) | PolicyWhose::Account(_) => {}
    }
    if let Some(PolicyMailbox::Named(name)) = &scope.mailbox {
        check_some("a mailbox's name", name, MAX_MAILBOX)?;
    }
    if let Some(tag) = &scope.tag {
        check_some("a keyword", tag, MAX_NAME)?;
    }
    match &scope.query {
        Some(query) => check_some("a query", query, MAX_QUERY),
        None => Ok(()),
    }
}

fn check_some(what: &str, text: &str, most: usize) -> Ruled<()> {
    check_text(what, text, most)?;
    match text.is_empty() {
        true => Err(Rejection::InvalidName(format!("{what} that is empty")).into()),
        false => Ok(()),
    }
}

pub(crate) fn check_event(name: &str) -> Ruled<()> {
    check_some("an event's name", name, MAX_NAME)
}

/// A name that no other policy has. A number would read as an id.
fn free_name(work: &mut Work<'_>, own: Option<PolicyId>, name: &str) -> Ruled<()> {
    check_some("a policy's name", name, MAX_NAME)?;
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejection::InvalidName(format!("{name:?} for a policy")).into());
    }
    let has = |policy: &Policy| policy.settings().is_some_and(|settings| settings.name == name);
    match all(work)?.iter().any(|policy| Some(policy.id) != own && has(policy)) {
        true => Err(Rejection::Exists(format!("policy {name}")).into()),
        false => Ok(()),
    }
}

pub(crate) fn lock(work: &mut Work<'_>, record: PolicyLock) -> Ruled<Done> {
    let mut policy = need(work, record.policy)?;
    if policy.settings().is_none() {
        return Err(refused("the policy was removed").into());
    }
    policy.locked = true;
    save(work, &policy)
}

pub(crate) fn remove(work: &mut Work<'_>, actor: &Actor, record: PolicyRemove) -> Ruled<Done> {
    let mut policy = need(work, record.policy)?;
    if policy.locked {
        return Err(refused("the policy is locked: it cannot be removed").into());
    }
    if policy.settings().is_none() {
        return Err(refused("the policy was removed before").into());
    }
    add_version(work, &mut policy, actor, None)?;
    save(work, &policy)
}

/// A second person has decided a version that waits.
pub(super) fn decided(work: &mut Work<'_>, id: PolicyId, version: u32, given: bool) -> Ruled<Done> {
    let mut policy = need(work, id)?;
    let Some(decided) = policy.versions.iter_mut().find(|it| it.number == version) else {
        return Err(Rejection::NotFound(format!("version {version} of policy {id}")).into());
    };
    decided.approved = Some(given);
    save(work, &policy)
}

/// Who goes back to a moment before a locked policy was set is bound by it all the same. It
/// keeps at once; what goes by it waits anew.
pub(crate) fn keep(work: &mut Work<'_>, actor: &Actor, record: &PoliciesKept) -> Ruled<Done> {
    let key = Key::Meta(Meta::NextPolicy);
    let mut next: u64 = work.tx.get(&key)?.unwrap_or(1).max(record.next.0);
    for KeptPolicy { policy: id, settings, locked } in &record.policies {
        next = next.max(id.0.saturating_add(1));
        let old: Option<Policy> = work.tx.get(&Key::Policy(*id))?;
        let none = Policy { id: *id, locked: false, versions: Vec::new() };
        let mut policy = old.unwrap_or(none);
        policy.locked = *locked;
        if policy.settings() != Some(settings) {
            add_version(work, &mut policy, actor, Some(settings.clone()))?;
        }
        save(work, &policy)?;
    }
    work.tx.put(&key, &next)?;
    Ok(Done::Unit)
}

/// What a policy's query has found.
pub(crate) fn matched(work: &mut Work<'_>, record: &PolicyMatched) -> Ruled<Done> {
    let policy = need(work, record.policy)?;
    let newest = policy.newest().filter(|version| version.number == record.version);
    let asks = newest.and_then(|version| version.settings.as_ref());
    if asks.is_none_or(|settings| settings.scope.query.is_none()) {
        return Err(Rejection::DecidedBefore.into());
    }
    let (a, version, upto) = (record.account, record.version, record.upto);
    let key = Key::Asked(a, record.policy);
    let old: Option<AskedRow> = work.tx.get(&key)?;
    if old.is_some_and(|old| old.version > version || (old.version == version && old.upto > upto)) {
        return Err(Rejection::DecidedBefore.into());
    }
    work.tx.put(&key, &AskedRow { version, upto })?;
    for (email, how) in &record.emails {
        let key = Key::Retained(a, *email);
        if is_known(work, a, *email)? {
            let mut row: RetainedRow = work.tx.get(&key)?.unwrap_or_default();
            row.found.retain(|(id, ..)| *id != record.policy);
            row.found.push((record.policy, version, *how));
            work.tx.put(&key, &row)?;
        }
    }
    Ok(Done::Unit)
}

/// Whether an email is in the history.
pub(crate) fn is_known(work: &Work<'_>, a: AccountId, email: EmailId) -> Ruled<bool> {
    let range = crate::keys::Object::Email(a, email).versions();
    let rows = work.tx.scan(Table::History, &range, 2)?;
    Ok(rows.iter().any(|(_, value)| crate::rows::Version::decode(value).flatten().is_some()))
}

/// The floor that binds an email now, if any does.
pub(crate) fn floor(work: &mut Work<'_>, a: AccountId, email: EmailId) -> Ruled<Option<Kept>> {
    let all = all(work)?;
    if all.is_empty() {
        return Ok(None);
    }
    let Some(of) = account_facts(&work.tx, a)? else { return Ok(None) };
    let Some(facts) = email_facts(&work.tx, &of, email)? else { return Ok(None) };
    Ok(judge(all.iter(), &facts, work.time).kept_by(work.time))
}

/// An email is about to leave a place, or to lose a mark: floors that hang on that stay.
pub(crate) fn capture(work: &mut Work<'_>, a: AccountId, email: EmailId) -> Ruled<()> {
    if cfg!(feature = "sim") && world::breaks(Mutation::FloorLeaves) {
        return Ok(());
    }
    let all = all(work)?;
    let hangs = |policy: &Policy| {
        let mut binding = policy.binding(work.time).iter();
        binding.any(|version| version.settings.as_ref().is_some_and(hangs_on_place))
    };
    if !all.iter().any(hangs) {
        return Ok(());
    }
    let Some(of) = account_facts(&work.tx, a)? else { return Ok(()) };
    let Some(facts) = email_facts(&work.tx, &of, email)? else { return Ok(()) };
    let captured = captured(&all, &facts, work.time);
    if captured != facts.captured {
        let key = Key::Retained(a, email);
        let row: RetainedRow = work.tx.get(&key)?.unwrap_or_default();
        work.tx.put(&key, &RetainedRow { captured, ..row })?;
    }
    Ok(())
}

/// It is a draft no more.
pub(crate) fn finished(work: &mut Work<'_>, a: AccountId, email: EmailId) -> Ruled<()> {
    let key = Key::Retained(a, email);
    if let Some(row) = work.tx.get::<RetainedRow>(&key)?.filter(|row| row.draft) {
        work.tx.put(&key, &RetainedRow { draft: false, ..row })?;
    }
    Ok(())
}

/// Policies that keep something and bind.
fn keeping(work: &mut Work<'_>) -> Ruled<Vec<(PolicyId, PolicySettings)>> {
    let time = work.time;
    let all = all(work)?;
    let of = |policy: &Policy| {
        let id = policy.id;
        let settings = policy.binding(time).iter().filter_map(|version| version.settings.clone());
        settings.filter(|said| said.floor.is_some()).map(|said| (id, said)).collect::<Vec<_>>()
    };
    Ok(all.iter().flat_map(of).collect())
}

/// An account gets another class or domain: what policies kept of its mail they keep.
pub(crate) fn account_moves(
    work: &mut Work<'_>,
    a: AccountId,
    domain: &str,
    own: Option<ClassId>,
) -> Ruled<()> {
    let keeping = keeping(work)?;
    if keeping.is_empty() {
        return Ok(());
    }
    let Some(now) = account_facts(&work.tx, a)? else { return Ok(()) };
    inherit(work, a, &now, domain, own)?;
    let class = match own {
        Some(class) => Some(class),
        None => work.tx.get(&Key::DomainClass(domain))?,
    };
    for (id, settings) in keeping {
        let was = covers(&settings.scope.whose, a, now.domain(), now.class());
        if was && !covers(&settings.scope.whose, a, domain, class) {
            work.tx.put(&Key::LeftAccount(a, id), &work.index)?;
        }
    }
    Ok(())
}

/// What its domain has left, an account that had no class of its own takes along when it goes, or
/// gets one.
fn inherit(
    work: &mut Work<'_>,
    a: AccountId,
    now: &AccountFacts,
    domain: &str,
    own: Option<ClassId>,
) -> Ruled<()> {
    let old: AccountClassRow = work.tx.get(&Key::AccountClass(a))?.unwrap_or_default();
    if old.class.is_some() || (own.is_none() && domain == now.domain()) {
        return Ok(());
    }
    for (policy, upto) in left_under(&work.tx, left_domain(now.domain()))? {
        let key = Key::LeftAccount(a, policy);
        let known: Option<LogIndex> = work.tx.get(&key)?;
        work.tx.put(&key, &known.map_or(upto, |known| known.max(upto)))?;
    }
    Ok(())
}

/// The same of an account that gets another address.
pub(crate) fn account_renamed(work: &mut Work<'_>, a: AccountId, domain: &str) -> Ruled<()> {
    let own: AccountClassRow = work.tx.get(&Key::AccountClass(a))?.unwrap_or_default();
    account_moves(work, a, domain, own.class)
}

/// The same of a domain's accounts that have no class of their own.
pub(crate) fn domain_moves(work: &mut Work<'_>, domain: &str, class: Option<ClassId>) -> Ruled<()> {
    let old: Option<ClassId> = work.tx.get(&Key::DomainClass(domain))?;
    if old == class {
        return Ok(());
    }
    for (id, settings) in keeping(work)? {
        if old.is_some_and(|old| settings.scope.whose == PolicyWhose::Class(old)) {
            work.tx.put(&Key::LeftDomain(domain, id), &work.index)?;
        }
    }
    Ok(())
}

/// A class that a policy is over stays.
pub(crate) fn class_is_free(work: &mut Work<'_>, class: ClassId) -> Ruled<()> {
    let time = work.time;
    let over = |policy: &&Policy| {
        let mut binding = policy.binding(time).iter().filter_map(|v| v.settings.as_ref());
        binding.any(|settings| settings.scope.whose == PolicyWhose::Class(class))
    };
    match all(work)?.iter().find(over) {
        Some(policy) => {
            Err(refused(&format!("policy {} is over this class: end that first", policy.id)).into())
        }
        None => Ok(()),
    }
}

/// A mailbox is about to be called otherwise, or to go: what policies kept in it they keep.
/// `to` is its whole name from now on.
pub(crate) fn mailbox_leaves(
    work: &mut Work<'_>,
    a: AccountId,
    m: MailboxId,
    to: Option<&str>,
) -> Ruled<()> {
    let by_place = |(_, settings): &(PolicyId, PolicySettings)| {
        settings.scope.mailbox.is_some() || settings.scope.direction == Some(PolicyDirection::Sent)
    };
    let keeping: Vec<_> = keeping(work)?.into_iter().filter(by_place).collect();
    if keeping.is_empty() {
        return Ok(());
    }
    let (name, special_use) = crate::retention::mailbox_named(&work.tx, a, m)?;
    for (id, settings) in keeping {
        let by_way = settings.scope.direction == Some(PolicyDirection::Sent);
        let sent = by_way && special_use == Some(SpecialUse::Sent) && to.is_none();
        let leaves = match &settings.scope.mailbox {
            Some(PolicyMailbox::Use(wished)) => special_use == Some(*wished) && to.is_none(),
            Some(PolicyMailbox::Named(wished)) => {
                let within = |name: &str| crate::retention::is_below(wished, name);
                within(&name) && !to.is_some_and(within)
            }
            None => false,
        };
        if leaves || sent {
            let key = Key::LeftMailbox(a, m, id);
            let old: Option<LeftMailboxRow> = work.tx.get(&key)?;
            let place = leaves || old.is_some_and(|old| old.place);
            let sent = sent || old.is_some_and(|old| old.sent);
            work.tx.put(&key, &LeftMailboxRow { upto: work.index, place, sent })?;
        }
    }
    Ok(())
}
