//! What must be there, judged slowly and plainly: after each record it is asked of each email and
//! each policy whether the one has the other's floor by now, and that is never forgotten. It
//! shares no rule with `store`.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::sim::Applied;
use redoubt_store::view::View;

pub const DAY: i64 = 24 * 3600 * 1000;
/// What waits waits for seven days.
const WAIT: i64 = 7 * DAY;

#[derive(Debug, Default)]
pub struct Ledger {
    pub now: i64,
    pub index: u64,
    pub times: Vec<(u64, i64)>,
    pub accounts: BTreeMap<AccountId, AccountL>,
    pub domain_classes: BTreeMap<String, ClassId>,
    pub policies: BTreeMap<PolicyId, PolicyL>,
    pub holds: BTreeMap<HoldId, HoldL>,
    pub mails: BTreeMap<(AccountId, EmailId), MailL>,
    /// What queries of holds and policies find.
    pub mergers: BTreeSet<BlobId>,
    pub floors: BTreeMap<AccountId, u64>,
    /// What went that must not have.
    pub wrong: Vec<String>,
    pub purged: u64,
    /// Those of these that a query has found.
    pub found: u64,
}

#[derive(Debug)]
pub struct AccountL {
    pub domain: String,
    pub class: Option<ClassId>,
    pub deleted_at: Option<u64>,
    pub mailboxes: BTreeMap<MailboxId, MailboxL>,
    pub events: BTreeMap<String, i64>,
}

#[derive(Debug, Clone)]
pub struct MailboxL {
    pub name: String,
    pub special_use: Option<SpecialUse>,
    pub made: u64,
    pub gone: Option<u64>,
}

#[derive(Debug)]
pub struct PolicyL {
    pub settings: PolicySettings,
    pub locked: bool,
    pub versions: Vec<VersionL>,
    pub taken: BTreeMap<i64, u64>,
    /// Accounts that it was over once and is not any more.
    pub left: BTreeSet<AccountId>,
    /// By which version its query was asked last of an account's emails, and up to which.
    asked: BTreeMap<AccountId, (u32, Sequence)>,
    over: BTreeSet<AccountId>,
}

#[derive(Debug)]
pub struct VersionL {
    number: u32,
    said: Option<PolicySettings>,
    acts: i64,
}

#[derive(Debug)]
pub struct HoldL {
    pub scope: HoldScope,
    pub releasing: bool,
    stays: BTreeSet<AccountId>,
    judged: BTreeMap<AccountId, EmailId>,
    marks: BTreeSet<(AccountId, EmailId)>,
}

#[derive(Debug)]
pub struct MailL {
    pub email: EmailId,
    pub blob: BlobId,
    pub entered: i64,
    pub dated: i64,
    pub delivered: bool,
    pub draft: bool,
    pub places: Vec<PlaceL>,
    pub labels: BTreeMap<PolicyId, i64>,
    /// Floors that it has had, with the latest time that they count from.
    pub acquired: BTreeMap<PolicyId, i64>,
    pub gone: Gone,
    /// It stood in a mailbox that was called otherwise, or went.
    pub moved_about: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    No,
    Purged,
    Trimmed,
}

#[derive(Debug, Clone)]
pub struct PlaceL {
    pub mailbox: MailboxId,
    pub uid: Uid,
    pub saved: i64,
    pub tagged: bool,
    pub drafted: bool,
    pub from: u64,
    pub until: Option<u64>,
}

impl PolicyL {
    /// Versions that count: those behind which none acts yet.
    pub fn counting(&self, now: i64) -> Vec<&VersionL> {
        let acts = |version: &VersionL| version.acts <= now;
        let later = |n: usize| self.versions.iter().skip(n + 1).any(acts);
        let all = self.versions.iter().enumerate().filter(|(n, _)| !later(*n));
        all.map(|(_, version)| version).collect()
    }

    fn any_acts(&self, now: i64) -> bool {
        self.versions.iter().any(|version| version.acts <= now)
    }

    fn add(&mut self, said: Option<PolicySettings>, acts: i64) {
        let number = self.versions.len() as u32 + 1;
        self.versions.push(VersionL { number, said, acts });
    }

    /// The version whose query is to be asked.
    pub fn asks(&self) -> Option<u32> {
        let newest = self.versions.last()?;
        newest.said.as_ref()?.scope.query.as_ref().map(|_| newest.number)
    }

    fn keeps_anything(&self, now: i64) -> bool {
        let keeps = |said: &PolicySettings| said.floor.is_some();
        self.counting(now).into_iter().any(|version| version.said.as_ref().is_some_and(keeps))
    }

    pub fn has_ended(&self) -> bool {
        self.versions.last().is_none_or(|version| version.said.is_none())
    }

    fn most(&self, now: i64) -> Option<u32> {
        let said = self.counting(now);
        said.into_iter().filter_map(|version| version.said.as_ref()?.daily).min()
    }

    pub fn is_exhausted(&self, now: i64) -> bool {
        let taken = self.taken.get(&(now / DAY)).copied().unwrap_or(0);
        self.most(now).is_some_and(|most| taken >= u64::from(most))
    }
}

impl MailL {
    pub fn is_live(&self) -> bool {
        self.places.iter().any(|place| place.until.is_none())
    }

    /// When its last place went.
    pub fn expunged(&self) -> Option<u64> {
        let last = self.places.iter().filter_map(|place| place.until).max();
        last.filter(|_| !self.is_live())
    }

    /// Where it stands, or stood last.
    pub fn last_places(&self) -> Vec<&PlaceL> {
        let last = self.expunged();
        self.places.iter().filter(|place| place.until == last).collect()
    }
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap() * 1000
}

impl Ledger {
    // ------------------------------------------------------------------ judged

    /// Whether a version is over what an email is, whatever its place: `None` while its query was
    /// not asked.
    fn finds(
        &self,
        policy: &PolicyL,
        version: &VersionL,
        (a, email): (AccountId, EmailId),
    ) -> Option<bool> {
        let asks = version.said.as_ref().is_some_and(|said| said.scope.query.is_some());
        if !asks {
            return Some(true);
        }
        let (by, upto) = policy.asked.get(&a)?;
        let asked = *by == version.number && email.sequence <= *upto;
        asked.then(|| self.mergers.contains(&self.mails[&(a, email)].blob))
    }

    pub fn covers(&self, whose: &PolicyWhose, id: AccountId) -> bool {
        let account = &self.accounts[&id];
        match whose {
            PolicyWhose::All => true,
            PolicyWhose::Account(wished) => *wished == id,
            PolicyWhose::Domain(domain) => account.domain == *domain,
            PolicyWhose::Class(class) => {
                let of_domain = self.domain_classes.get(&account.domain).copied();
                account.class.or(of_domain) == Some(*class)
            }
        }
    }

    fn is_in_sent(&self, a: AccountId, mail: &MailL) -> bool {
        mail.last_places().iter().any(|place| {
            self.accounts[&a].mailboxes[&place.mailbox].special_use == Some(SpecialUse::Sent)
        })
    }

    fn fits(&self, scope: &PolicyScope, a: AccountId, mail: &MailL, place: &PlaceL) -> bool {
        let mailbox = &self.accounts[&a].mailboxes[&place.mailbox];
        let there = match &scope.mailbox {
            None => true,
            Some(PolicyMailbox::Use(wished)) => mailbox.special_use == Some(*wished),
            Some(PolicyMailbox::Named(name)) => {
                mailbox.name == *name || mailbox.name.starts_with(&format!("{name}/"))
            }
        };
        let way = match scope.direction {
            None => true,
            Some(PolicyDirection::Received) => mail.delivered,
            Some(PolicyDirection::Sent) => self.is_in_sent(a, mail),
        };
        there && way && (scope.tag.is_none() || place.tagged)
    }

    /// Floors that emails have from now on.
    fn acquire(&mut self) {
        let mut got = Vec::new();
        for (id, policy) in &self.policies {
            let said = &policy.settings;
            if !policy.keeps_anything(self.now) || said.anchor == PolicyAnchor::Labelled {
                continue;
            }
            for (key, mail) in self.mails.iter().filter(|(_, mail)| mail.gone == Gone::No) {
                if (mail.draft && !said.drafts) || !self.covers(&said.scope.whose, key.0) {
                    continue;
                }
                let places = mail.last_places().into_iter();
                let under = places.filter(|place| self.fits(&said.scope, key.0, mail, place));
                let anchor = under.map(|place| match said.anchor {
                    PolicyAnchor::Saved => place.saved,
                    _ => mail.entered,
                });
                got.extend(anchor.max().map(|anchor| (*key, *id, anchor)));
            }
        }
        for (key, policy, anchor) in got {
            let known = self.mails.get_mut(&key).unwrap().acquired.entry(policy).or_insert(anchor);
            *known = (*known).max(anchor);
        }
        for policy in self.policies.keys().copied().collect::<Vec<_>>() {
            let whose = self.policies[&policy].settings.scope.whose.clone();
            let ids = self.accounts.keys().copied();
            let over: BTreeSet<_> = ids.filter(|id| self.covers(&whose, *id)).collect();
            let known = self.policies.get_mut(&policy).unwrap();
            known.left.extend(known.over.difference(&over).copied());
            known.over = over;
        }
    }

    /// A policy by which an email must be there.
    pub fn kept_by(&self, (a, email): (AccountId, EmailId)) -> Option<PolicyId> {
        let mail = &self.mails[&(a, email)];
        let keeps = |id: &PolicyId, policy: &PolicyL| {
            let anchor = match &policy.settings.anchor {
                PolicyAnchor::Labelled => mail.labels.get(id).copied(),
                PolicyAnchor::Event(name) if mail.acquired.contains_key(id) => {
                    Some(self.accounts[&a].events.get(name).copied().unwrap_or(i64::MAX / 2))
                }
                PolicyAnchor::Event(_) => None,
                _ => mail.acquired.get(id).copied(),
            };
            let Some(anchor) = anchor else { return false };
            policy.counting(self.now).into_iter().any(|version| {
                let Some(said) = &version.said else { return false };
                let found = self.finds(policy, version, (a, email)) != Some(false);
                let keeps = found && (!mail.draft || said.drafts);
                keeps && said.floor.is_some_and(|floor| anchor + seconds(floor) > self.now)
            })
        };
        let mut all = self.policies.iter();
        all.find(|(id, policy)| keeps(id, policy)).map(|(id, _)| *id)
    }

    /// Whether the product may keep it for longer than is said here: it came before something
    /// that a policy was over became another's, and nobody says it was under it; or a query was
    /// not asked of it, or not before it left a place.
    pub fn may_be_kept(&self, (a, email): (AccountId, EmailId)) -> bool {
        let mail = &self.mails[&(a, email)];
        self.policies.iter().any(|(id, policy)| {
            let keeps = policy.keeps_anything(self.now);
            let scope = &policy.settings.scope;
            let placed = scope.mailbox.is_some()
                || scope.tag.is_some()
                || scope.direction == Some(PolicyDirection::Sent)
                || policy.settings.anchor == PolicyAnchor::Saved;
            let unsure = policy.counting(self.now).into_iter().any(|version| {
                match self.finds(policy, version, (a, email)) {
                    None => true,
                    Some(found) => !found && placed,
                }
            });
            if keeps && unsure {
                return true;
            }
            let about = policy.left.contains(&a) || mail.moved_about;
            // What was saved anew behind that counts from there.
            let saved = policy.settings.anchor == PolicyAnchor::Saved;
            keeps && about && (saved || !mail.acquired.contains_key(id))
        })
    }

    /// Whether a policy takes a placement now, whatever keeps the email.
    pub fn takes(&self, by: PolicyId, a: AccountId, mail: &MailL, place: &PlaceL) -> bool {
        let policy = &self.policies[&by];
        policy.any_acts(self.now)
            && policy.counting(self.now).into_iter().all(|version| {
                let Some(said) = &version.said else { return false };
                let Some(delete) = said.delete else { return false };
                let from = match &said.anchor {
                    PolicyAnchor::Received => Some(mail.entered),
                    PolicyAnchor::Sent => Some(mail.entered.min(mail.dated)),
                    PolicyAnchor::Saved => Some(place.saved),
                    PolicyAnchor::Event(name) => self.accounts[&a].events.get(name).copied(),
                    PolicyAnchor::Labelled => None,
                };
                self.finds(policy, version, (a, mail.email)) == Some(true)
                    && self.covers(&said.scope.whose, a)
                    && self.fits(&said.scope, a, mail, place)
                    && from.is_some_and(|from| from + seconds(delete) <= self.now)
            })
    }

    fn is_over(&self, hold: &HoldL, a: AccountId) -> bool {
        let domain = &self.accounts[&a].domain;
        hold.stays.contains(&a)
            || match &hold.scope {
                HoldScope::Account(account) => *account == a,
                HoldScope::Domain(wished) => wished == domain,
                HoldScope::Query(query) => match &query.over {
                    HoldOver::All => true,
                    HoldOver::Domain(wished) => wished == domain,
                    HoldOver::Accounts(accounts) => accounts.contains(&a),
                },
            }
    }

    pub fn over(&self, a: AccountId) -> impl Iterator<Item = (&HoldId, &HoldL)> {
        self.holds.iter().filter(move |(_, hold)| self.is_over(hold, a))
    }

    /// Whether an email is held: also what no query has judged.
    pub fn is_held(&self, (a, email): (AccountId, EmailId)) -> bool {
        self.over(a).any(|(_, hold)| match &hold.scope {
            HoldScope::Query(_) => {
                hold.judged.get(&a).is_none_or(|upto| email > *upto)
                    || hold.marks.contains(&(a, email))
            }
            _ => true,
        })
    }

    /// Whether nothing of an account's history may go; and whether it may stay.
    pub fn account_held(&self, a: AccountId) -> (bool, bool) {
        let own = |gone_too: bool| {
            let mails = self.mails.range((a, EmailId::default())..).take_while(|(k, _)| k.0 == a);
            let mut mails = mails.filter(|(_, mail)| gone_too || mail.gone == Gone::No);
            mails.any(|(key, _)| self.is_held(*key))
        };
        let whole = self.over(a).any(|(_, hold)| !matches!(hold.scope, HoldScope::Query(_)));
        let marked = self.over(a).any(|(_, hold)| hold.marks.iter().any(|(of, _)| *of == a));
        (whole || own(false), whole || marked || own(true))
    }

    /// A moment at or behind which a history begins that goes back to a time.
    pub fn index_at(&self, time: i64) -> Option<u64> {
        self.times.iter().rev().find(|(_, at)| *at <= time).map(|(index, _)| *index)
    }

    // ----------------------------------------------------------------- applied

    /// Takes in what was done; what it made is read where only the store names it.
    pub fn take(&mut self, applied: &Applied, view: &dyn Fn() -> View) {
        (self.index, self.now) = (applied.outcome.index.0, applied.outcome.time.0);
        if let Ok(done) = &applied.outcome.result {
            // Where nothing changed no history begins.
            if matches!(applied.change, Change::Deliver(_) | Change::Append(_)) {
                self.times.push((self.index, self.now));
            }
            self.change(&applied.change, done, view);
            self.acquire();
        }
    }

    fn change(&mut self, change: &Change, done: &Done, view: &dyn Fn() -> View) {
        match (change, done) {
            (Change::AccountAdd(r), Done::Account(id)) => self.account(*id, r, &view()),
            (Change::AccountDelete(r), _) => {
                self.accounts.get_mut(&r.account).unwrap().deleted_at = Some(self.index);
            }
            (Change::AccountRename(r), _) => self.renamed(r),
            (Change::AccountClass(r), _) => {
                self.accounts.get_mut(&r.account).unwrap().class = r.class;
            }
            (Change::DomainClass(r), _) => {
                self.domain_classes.remove(&r.domain);
                self.domain_classes.extend(r.class.map(|class| (r.domain.clone(), class)));
            }
            (Change::Deliver(r), Done::Delivered(answers)) => {
                for (to, arrival) in r.recipients.iter().zip(answers) {
                    if let Ok(arrival) = arrival {
                        let dated = (r.received.0, r.received.0);
                        self.came(to.account, arrival, r.message.blob, dated, Flags::NONE, &[]);
                        self.mail(to.account, arrival.email).delivered = true;
                    }
                }
            }
            (Change::Append(r), Done::Arrived(answers)) => {
                for (item, arrival) in r.items.iter().zip(answers) {
                    let arrival = arrival.as_ref().unwrap();
                    let times = (self.now, item.received.0);
                    let (flags, keywords) = (item.flags, &item.keywords);
                    self.came(r.account, arrival, item.message.blob, times, flags, keywords);
                }
            }
            (Change::Move(r), Done::Arrived(answers)) => {
                self.placed((r.account, r.from), &r.items, answers, true);
            }
            (Change::Copy(r), Done::Arrived(answers)) => {
                self.placed((r.account, r.from), &r.items, answers, false);
            }
            (Change::SetFlags(r), _) => self.flagged(r),
            (Change::Expunge(r), _) => {
                r.uids.iter().for_each(|uid| self.leaves((r.account, r.mailbox), *uid));
            }
            (Change::AccountSweep(r), _) => {
                r.uids.iter().for_each(|uid| self.leaves((r.account, r.mailbox), *uid));
            }
            (Change::MailboxCreate(r), Done::Mailbox(id, _)) => {
                let account = self.accounts.get_mut(&r.account).unwrap();
                let above = r.parent.map(|id| format!("{}/", account.mailboxes[&id].name));
                let name = format!("{}{}", above.unwrap_or_default(), r.name);
                let (special_use, made) = (r.special_use, self.index);
                account.mailboxes.insert(*id, MailboxL { name, special_use, made, gone: None });
            }
            (Change::MailboxRename(r), _) => self.mailbox_renamed(r),
            (Change::MailboxDelete(r), _) => {
                self.wandered(r.account, r.mailbox);
                let account = self.accounts.get_mut(&r.account).unwrap();
                let mailbox = account.mailboxes.get_mut(&r.mailbox).unwrap();
                (mailbox.gone, mailbox.special_use) = (Some(self.index), None);
            }
            (Change::Label(r), _) => {
                let now = self.now;
                for email in &r.emails {
                    self.mail(r.account, *email).labels.insert(r.policy, now);
                }
            }
            (Change::Unlabel(r), _) => {
                for email in &r.emails {
                    self.mail(r.account, *email).labels.remove(&r.policy);
                }
            }
            (Change::RetentionEvent(r), _) => {
                let account = self.accounts.get_mut(&r.account).unwrap();
                account.events.insert(r.name.clone(), r.time.0);
            }
            (Change::PurgePolicy(r), Done::Purged(answers)) => self.purge(r, answers),
            (Change::HistoryFloor(r), _) => self.floor(r),
            _ => self.ruled(change, done),
        }
    }

    fn ruled(&mut self, change: &Change, done: &Done) {
        match (change, done) {
            (Change::PolicySet(r), Done::Policy(id, _)) => self.policy_set(r, *id),
            (Change::PolicyRemove(r), Done::Policy(..)) => {
                let acts = self.now + WAIT;
                let policy = self.policies.get_mut(&r.policy).unwrap();
                if policy.locked {
                    self.wrong.push(format!("policy {} was locked and is removed", r.policy));
                }
                policy.add(None, acts);
            }
            (Change::PolicyLock(r), _) => {
                self.policies.get_mut(&r.policy).unwrap().locked = true;
            }
            (Change::PolicyMatched(r), _) => {
                let policy = self.policies.get_mut(&r.policy).unwrap();
                policy.asked.insert(r.account, (r.version, r.upto));
            }
            (Change::HoldSet(r), Done::Hold(id)) => {
                let (stays, judged, marks) = Default::default();
                let scope = r.scope.clone();
                self.holds.insert(*id, HoldL { scope, releasing: false, stays, judged, marks });
            }
            (Change::HoldRelease(r), Done::Unit) => {
                self.holds.get_mut(&r.hold).unwrap().releasing = true;
            }
            (Change::HoldStays(r), _) => {
                self.holds.get_mut(&r.hold).unwrap().releasing = false;
            }
            (Change::HoldEnd(r), Done::More(false)) => drop(self.holds.remove(&r.hold)),
            (Change::HoldMarks(r), Done::Marked(answers)) => {
                let hold = self.holds.get_mut(&r.hold).unwrap();
                let taken = r.judged.iter().zip(answers).filter(|(_, answer)| answer.is_ok());
                for (judged, _) in taken {
                    hold.judged.insert(judged.account, judged.upto);
                    hold.marks.extend(judged.marks.iter().map(|(id, _)| (judged.account, *id)));
                }
            }
            _ => {}
        }
    }

    fn policy_set(&mut self, r: &PolicySet, id: PolicyId) {
        let (said, acts) = (Some(r.settings.clone()), self.now + WAIT);
        let policy = self.policies.entry(id).or_insert_with(|| PolicyL {
            settings: r.settings.clone(),
            locked: false,
            versions: Vec::new(),
            taken: BTreeMap::new(),
            left: BTreeSet::new(),
            asked: BTreeMap::new(),
            over: BTreeSet::new(),
        });
        if policy.locked {
            let old = &policy.settings;
            let new = &r.settings;
            let shorter = new.floor < old.floor
                || new.delete.is_some_and(|new| old.delete.is_none_or(|old| new < old));
            if shorter {
                self.wrong.push(format!("policy {id} was locked and is shorter"));
            }
        }
        policy.settings = r.settings.clone();
        policy.add(said, acts);
    }

    fn account(&mut self, id: AccountId, r: &AccountAdd, view: &View) {
        let mailboxes = view.mailboxes(id).unwrap().into_iter().map(|mailbox| {
            let (name, special_use, made) = (mailbox.name, mailbox.special_use, self.index);
            (mailbox.id, MailboxL { name, special_use, made, gone: None })
        });
        let mailboxes = mailboxes.collect();
        let (domain, events) = (r.address.domain.clone(), BTreeMap::new());
        let account = AccountL { domain, class: None, deleted_at: None, mailboxes, events };
        self.accounts.insert(id, account);
    }

    fn renamed(&mut self, r: &AccountRename) {
        let old = self.accounts[&r.account].domain.clone();
        for hold in self.holds.values_mut().filter(|_| old != r.address.domain) {
            let domain = match &hold.scope {
                HoldScope::Domain(domain) => Some(domain),
                HoldScope::Query(HoldQuery { over: HoldOver::Domain(domain), .. }) => Some(domain),
                _ => None,
            };
            if domain == Some(&old) {
                hold.stays.insert(r.account);
            }
        }
        self.accounts.get_mut(&r.account).unwrap().domain = r.address.domain.clone();
    }

    fn mail(&mut self, a: AccountId, email: EmailId) -> &mut MailL {
        self.mails.get_mut(&(a, email)).unwrap()
    }

    fn came(
        &mut self,
        a: AccountId,
        arrival: &Arrival,
        blob: BlobId,
        (entered, dated): (i64, i64),
        flags: Flags,
        keywords: &[Keyword],
    ) {
        let drafted = flags.contains(Flags::DRAFT);
        let place = self.place(arrival, !keywords.is_empty(), drafted);
        let mail = MailL {
            email: arrival.email,
            blob,
            entered,
            dated,
            delivered: false,
            draft: drafted,
            places: vec![place],
            labels: BTreeMap::new(),
            acquired: BTreeMap::new(),
            gone: Gone::No,
            moved_about: false,
        };
        self.mails.insert((a, arrival.email), mail);
    }

    fn place(&self, arrival: &Arrival, tagged: bool, drafted: bool) -> PlaceL {
        let (mailbox, uid, saved) = (arrival.mailbox, arrival.uid, self.now);
        PlaceL { mailbox, uid, saved, tagged, drafted, from: self.index, until: None }
    }

    fn placed(
        &mut self,
        (a, from): (AccountId, MailboxId),
        items: &[Placed],
        answers: &[Result<Arrival, Rejection>],
        moves: bool,
    ) {
        for (item, arrival) in items.iter().zip(answers) {
            let Ok(arrival) = arrival else { continue };
            let mail = &self.mails[&(a, item.email)];
            let old = mail.places.iter().find(|p| (p.mailbox, p.uid) == (from, item.uid)).unwrap();
            let new = self.place(arrival, old.tagged, old.drafted);
            self.mail(a, item.email).places.push(new);
            if moves {
                self.leaves((a, from), item.uid);
            }
        }
    }

    fn leaves(&mut self, (a, m): (AccountId, MailboxId), uid: Uid) {
        let index = self.index;
        for ((of, _), mail) in &mut self.mails {
            for place in &mut mail.places {
                if (*of, place.mailbox, place.uid) == (a, m, uid) && place.until.is_none() {
                    place.until = Some(index);
                }
            }
        }
    }

    fn flagged(&mut self, r: &SetFlags) {
        for ((of, _), mail) in &mut self.mails {
            let mut finished = false;
            for place in mail.places.iter_mut().filter(|place| place.until.is_none()) {
                if *of == r.account && place.mailbox == r.mailbox && r.uids.contains(&place.uid) {
                    let adds = r.how == FlagChange::Add;
                    if !r.keywords.is_empty() {
                        place.tagged = adds;
                    }
                    if r.flags.contains(Flags::DRAFT) {
                        finished |= place.drafted && !adds;
                        place.drafted = adds;
                    }
                }
            }
            mail.draft &= !finished;
        }
    }

    /// Policies know mailboxes by their names.
    fn wandered(&mut self, a: AccountId, m: MailboxId) {
        for ((of, _), mail) in &mut self.mails {
            if *of == a && mail.places.iter().any(|place| place.mailbox == m) {
                mail.moved_about = true;
            }
        }
    }

    fn mailbox_renamed(&mut self, r: &MailboxRename) {
        let account = self.accounts.get_mut(&r.account).unwrap();
        let old = account.mailboxes[&r.mailbox].name.clone();
        let mut changed = Vec::new();
        for (id, mailbox) in &mut account.mailboxes {
            let below = mailbox.name.strip_prefix(&format!("{old}/")).map(str::to_owned);
            if *id == r.mailbox {
                mailbox.name = r.name.clone();
                changed.push(*id);
            } else if let Some(rest) = below {
                mailbox.name = format!("{}/{rest}", r.name);
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|mailbox| self.wandered(r.account, mailbox));
    }

    // -------------------------------------------------------------------- went

    fn purge(&mut self, r: &PurgePolicy, answers: &[Result<u32, Rejection>]) {
        for (item, answer) in r.items.iter().zip(answers) {
            if answer.is_err() {
                continue;
            }
            let key = (r.account, item.email);
            let wrong = self.wrongly_taken(r, item);
            self.wrong.extend(wrong.map(|why| format!("{key:?} at {}: {why}", self.index)));
            for (mailbox, uid) in &item.placements {
                self.leaves((r.account, *mailbox), *uid);
            }
            let mail = self.mail(key.0, key.1);
            if !mail.is_live() {
                mail.gone = Gone::Purged;
            }
            let day = self.now / DAY;
            *self.policies.get_mut(&r.policy).unwrap().taken.entry(day).or_default() += 1;
            self.purged += 1;
            self.found += u64::from(self.policies[&r.policy].asks().is_some());
        }
    }

    fn wrongly_taken(&self, r: &PurgePolicy, item: &PurgeItem) -> Option<String> {
        let key = (r.account, item.email);
        let mail = &self.mails[&key];
        let is_named = |place: &&PlaceL| item.placements.contains(&(place.mailbox, place.uid));
        let named: Vec<&PlaceL> = match item.placements.is_empty() {
            true => mail.last_places(),
            false => mail.places.iter().filter(is_named).collect(),
        };
        let policy = &self.policies[&r.policy];
        let due = |place: &&PlaceL| self.takes(r.policy, r.account, mail, place);
        if self.is_held(key) {
            return Some("it is held, and was taken".to_owned());
        }
        if let Some(floor) = self.kept_by(key) {
            return Some(format!("policy {floor} keeps it, and {} took it", r.policy));
        }
        if policy.is_exhausted(self.now) {
            return Some(format!("policy {} has taken more than it may in a day", r.policy));
        }
        let all = match item.placements.is_empty() {
            true => !mail.is_live() && named.iter().any(due),
            false => named.len() == item.placements.len() && named.iter().all(due),
        };
        (!all).then(|| format!("policy {} took it and does not take it yet", r.policy))
    }

    fn floor(&mut self, r: &HistoryFloor) {
        if r.account.0 > 0 {
            if self.account_held(r.account).0 {
                self.wrong.push(format!("account {} is held, and its history goes", r.account));
            }
            self.floors.insert(r.account, r.floor.0);
        }
    }

    /// Once all that is below floors was looked at: what was to go has gone. Where more may be kept
    /// than is known here, the store is asked.
    pub fn trimmed(&mut self, view: &View) {
        let keys: Vec<_> = self.mails.keys().copied().collect();
        for key in keys {
            let floor = self.floors.get(&key.0).copied().unwrap_or(0);
            let below = self.mails[&key].expunged().is_some_and(|at| at <= floor);
            let (held, may_be) = self.account_held(key.0);
            let gone = self.mails[&key].gone != Gone::No;
            if gone || !below || held || self.kept_by(key).is_some() {
                continue;
            }
            let unsure = may_be || self.may_be_kept(key);
            if !unsure || view.email_ever(key.0, key.1).unwrap().is_none() {
                self.mail(key.0, key.1).gone = Gone::Trimmed;
            }
        }
    }

    /// An email that should have gone by a policy.
    pub fn overdue(&self) -> Option<((AccountId, EmailId), String)> {
        for (key, mail) in &self.mails {
            if mail.gone != Gone::No || self.is_held(*key) || self.may_be_kept(*key) {
                continue;
            }
            let mailboxes = &self.accounts[&key.0].mailboxes;
            let places = mail.last_places();
            let there = places.iter().all(|place| mailboxes[&place.mailbox].gone.is_none());
            let due: Vec<&PolicyId> = self
                .policies
                .keys()
                .filter(|id| places.iter().any(|place| self.takes(**id, key.0, mail, place)))
                .collect();
            let exhausted = due.iter().any(|id| self.policies[*id].is_exhausted(self.now));
            if !due.is_empty() && there && !exhausted && self.kept_by(*key).is_none() {
                let what = format!("{key:?} stays, and policy {} takes it: {mail:?}", due[0]);
                return Some((*key, what));
            }
        }
        None
    }
}
