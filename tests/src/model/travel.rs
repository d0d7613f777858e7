//! Whether time travel tells what the model remembers: the life of each email, what records
//! changed, what is different between two moments, and what can be found that went.

use redoubt_store::mailstore::StoreError;
use redoubt_store::travel::{
    self, Change, Cursor, Difference, Gone, Judge, MailboxWhat, Names, Place, Scope, Search, What,
    Which, flag_names,
};
use redoubt_store::view::{Placement, View};

use super::*;

/// Pairs of moments that are compared.
const PAIRS: usize = 6;

/// Where something stands, with what can change of it.
pub(super) type Shown = BTreeMap<(MailboxId, Uid), (EmailId, Vec<String>)>;

/// One account at all moments up to one.
pub(super) struct Story<'a> {
    pub(super) id: AccountId,
    pub(super) moments: Vec<(LogIndex, &'a AccountM)>,
}

/// Panics where the history and the model's memory differ.
pub fn travels(now: &View, model: &Model) {
    let indexes: Vec<LogIndex> = model.past.keys().copied().collect();
    for (n, index) in indexes.iter().enumerate() {
        if n % (indexes.len() / PAIRS).max(1) != 0 && n + 1 != indexes.len() {
            continue;
        }
        for id in model.past[index].accounts.keys() {
            let Some(story) = story(model, *id, *index) else { continue };
            let view = now.at(*index);
            lives(&view, &story);
            records(&view, &story);
            found(&view, &story);
            let earlier = story.moments.len() / 3;
            for (from, _) in [&story.moments[0], &story.moments[earlier]] {
                differs(&now.at(*from), &view, &story, *from);
            }
        }
    }
}

/// `None` for an account that was away meanwhile, or whose history begins later than itself.
pub(super) fn story(model: &Model, id: AccountId, index: LogIndex) -> Option<Story<'_>> {
    if model.floors.contains_key(&id) {
        return None;
    }
    let all = model.past.range(..=index).map(|(at, state)| (*at, state.accounts.get(&id)));
    let since: Vec<_> = all.skip_while(|(_, account)| account.is_none()).collect();
    let there = |account: &AccountM| account.settings.state != AccountState::Deleted;
    let moments = since.into_iter().map(|(at, account)| Some((at, account.filter(|a| there(a))?)));
    Some(Story { id, moments: moments.collect::<Option<_>>()? })
}

pub(super) fn shown(account: &AccountM) -> Shown {
    let live = account.mailboxes.iter().filter(|m| m.stage == Stage::Live);
    let all = live.flat_map(|m| {
        m.messages
            .iter()
            .map(|p| ((m.id, p.uid), (p.email, flag_names(Flags(p.flags), &p.keywords))))
    });
    all.collect()
}

pub(super) fn is_live(account: &AccountM, mailbox: MailboxId) -> bool {
    account.mailboxes.iter().any(|m| m.id == mailbox && m.stage == Stage::Live)
}

fn sorted(mut flags: Vec<String>) -> Vec<String> {
    flags.sort();
    flags
}

impl Story<'_> {
    /// What each record showed before and after.
    pub(super) fn steps(&self) -> impl Iterator<Item = (LogIndex, Shown, Shown, &AccountM)> {
        let before = self.moments.iter().map(|(_, account)| shown(account));
        let before = std::iter::once(Shown::new()).chain(before);
        before.zip(&self.moments).map(|(was, (at, is))| (*at, was, shown(is), *is))
    }

    pub(super) fn now(&self) -> &AccountM {
        self.moments.last().unwrap().1
    }
}

// ---------------------------------------------------------------------- lives

/// What happened, in the model's words.
type Told = BTreeSet<(LogIndex, EmailId, String)>;

fn lives(view: &View, story: &Story<'_>) {
    let names = Names::read(view, story.id).unwrap();
    let mut expected = Told::new();
    let mut emails = BTreeSet::new();
    for (at, was, is, account) in story.steps() {
        for (place, (email, flags)) in &is {
            emails.insert(*email);
            match was.get(place) {
                None => expected.insert((at, *email, format!("came {place:?}"))),
                Some((_, old)) if sorted(old.clone()) != sorted(flags.clone()) => {
                    expected.insert((at, *email, format!("flags {place:?}")))
                }
                Some(_) => false,
            };
        }
        for (place, (email, _)) in was.iter().filter(|(place, _)| !is.contains_key(place)) {
            let how = if is_live(account, place.0) { "went" } else { "went with its mailbox" };
            expected.insert((at, *email, format!("{how} {place:?}")));
        }
    }
    let mut told = Told::new();
    for email in emails {
        for event in travel::life(view, story.id, email, &names).unwrap() {
            let at = |place: &Place| (place.mailbox, place.uid);
            let mut tell = |what: String| told.insert((event.by.index, email, what));
            match &event.what {
                What::Came { place, .. } => tell(format!("came {:?}", at(place))),
                What::Flags { place, .. } => tell(format!("flags {:?}", at(place))),
                What::Expunged { place } => tell(format!("went {:?}", at(place))),
                What::MailboxDeleted { place } => {
                    tell(format!("went with its mailbox {:?}", at(place)))
                }
                What::Moved { from, to } => {
                    tell(format!("went {:?}", at(from)));
                    tell(format!("came {:?}", at(to)))
                }
            };
        }
    }
    assert_eq!(told, expected, "account {}", story.id);
}

// -------------------------------------------------------------------- records

fn records(view: &View, story: &Story<'_>) {
    let (mut after, mut told) = (LogIndex(0), Vec::<Change>::new());
    loop {
        let page = travel::changes(view, story.id, None, after, view.index(), 7).unwrap();
        told.extend(page.changes);
        match page.next {
            Some(next) => after = LogIndex(next.0 + 1),
            None => break,
        }
    }
    let of = |at: LogIndex, mailbox: MailboxId| {
        let record = told.iter().filter(|change| change.by.index == at);
        let all = record.flat_map(|change| &change.mailboxes);
        all.filter(|change| change.mailbox == mailbox).map(|c| c.what.clone()).collect::<Vec<_>>()
    };
    for pair in story.moments.windows(2) {
        let ((_, was), (at, is)) = (&pair[0], &pair[1]);
        for mailbox in is.mailboxes.iter().filter(|m| m.stage == Stage::Live) {
            let told = of(*at, mailbox.id);
            let Some(before) = was.mailboxes.iter().find(|m| m.id == mailbox.id) else {
                assert!(told.contains(&MailboxWhat::Created), "{told:?}");
                continue;
            };
            let count = |m: &MailboxM| m.messages.len() as u32;
            if count(before) != count(mailbox) {
                let counted = told.iter().any(|what| {
                    matches!(what, MailboxWhat::Content { messages, .. }
                        if *messages == (count(before), count(mailbox)))
                });
                assert!(counted, "{told:?}");
            }
            let (from, to) = (was.whole_name(mailbox.id), is.whole_name(mailbox.id));
            let renamed = told.contains(&MailboxWhat::Renamed { from: from.clone() });
            assert_eq!(renamed, from != to, "{from} {to}: {told:?}");
        }
        for mailbox in was.mailboxes.iter().filter(|m| m.stage == Stage::Live) {
            let gone = !is_live(is, mailbox.id);
            let told = of(*at, mailbox.id);
            let says =
                told.contains(&MailboxWhat::Deleted) || told.contains(&MailboxWhat::OnlyName);
            assert_eq!(says, gone, "{told:?}");
        }
    }
}

// ----------------------------------------------------------------------- find

/// Looks for everything.
struct Everything;

impl Judge for Everything {
    type Error = StoreError;

    fn opens_messages(&self) -> bool {
        false
    }

    fn is_meant(
        &mut self,
        _: MailboxId,
        _: &Placement,
        _: Option<&Gone>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

fn found(view: &View, story: &Story<'_>) {
    let mut gone = BTreeMap::new();
    for (at, was, is, account) in story.steps() {
        for (place, (email, flags)) in was.iter().filter(|(place, _)| !is.contains_key(place)) {
            let with_mailbox = !is_live(account, place.0);
            let came = |(other, (id, _)): (&(MailboxId, Uid), &(EmailId, Vec<String>))| {
                id == email && !was.contains_key(other)
            };
            if with_mailbox || !is.iter().any(came) {
                gone.insert(*place, (*email, sorted(flags.clone()), Some((at, with_mailbox))));
            }
        }
    }
    let there = shown(story.now());
    let there = there.into_iter().map(|(place, (email, f))| (place, (email, sorted(f), None)));
    let there: BTreeMap<_, _> = there.collect();
    let look = |which| {
        let search = Search { view, account: story.id, mailboxes: &[], which, among: None };
        let (mut all, mut after) = (BTreeMap::new(), None::<Cursor>);
        loop {
            let page = search.piece(&mut Everything, after, 3).unwrap();
            for hit in page.hits {
                let flags = sorted(flag_names(hit.placement.flags, &hit.placement.keywords));
                let gone = hit.gone.map(|gone| (gone.by.index, gone.with_mailbox));
                let place = (hit.place.mailbox, hit.place.uid);
                assert_eq!(all.insert(place, (hit.placement.email, flags, gone)), None);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    };
    assert_eq!(look(Which::There), there);
    assert_eq!(look(Which::Expunged), gone);
    gone.extend(there);
    assert_eq!(look(Which::Both), gone);
}

// ----------------------------------------------------------------------- diff

/// What is different, as text that compares.
type Lines = BTreeSet<String>;

fn differs(old: &View, new: &View, story: &Story<'_>, from: LogIndex) {
    let was = story.moments.iter().find(|(at, _)| *at == from).unwrap().1;
    let is = story.now();
    assert_eq!(told(old, new, story.id, Scope::Account), expected(was, is, None));
    for mailbox in is.mailboxes.iter().filter(|m| m.stage == Stage::Live) {
        let scope = Scope::Mailbox(mailbox.id);
        assert_eq!(told(old, new, story.id, scope), expected(was, is, Some(mailbox.id)));
    }
}

fn told(old: &View, new: &View, id: AccountId, scope: Scope) -> Lines {
    let mailboxes = travel::mailbox_differences(old, new, id, scope).unwrap();
    let (mut all, mut after) = (mailboxes, None);
    loop {
        let (some, next) = travel::diff(old, new, id, scope, after, 2).unwrap();
        all.extend(some);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let count = all.len();
    let lines: Lines = all.into_iter().map(line).collect();
    assert_eq!(lines.len(), count, "something is told twice");
    lines
}

fn line(difference: Difference) -> String {
    let at = |place: &Place| format!("{:?} {}", (place.mailbox, place.uid), place.name);
    match difference {
        Difference::MailboxAdded { name } => format!("+ {name}"),
        Difference::MailboxRemoved { name } => format!("- {name}"),
        Difference::MailboxMoved { from, to } => format!("> {from} {to}"),
        Difference::Added { place, email, flags } => {
            format!("+ {} {email} {:?}", at(&place), sorted(flags))
        }
        Difference::Removed { place, email, flags } => {
            format!("- {} {email} {:?}", at(&place), sorted(flags))
        }
        Difference::Flags { place, email, added, removed } => {
            format!("M {} {email} {:?} {:?}", at(&place), sorted(added), sorted(removed))
        }
        Difference::Moved { from, to, email, flags } => {
            format!("> {} {} {email} {:?}", at(&from), at(&to), sorted(flags))
        }
    }
}

fn expected(was: &AccountM, is: &AccountM, only: Option<MailboxId>) -> Lines {
    let in_scope = |mailbox: &MailboxId| only.is_none_or(|only| only == *mailbox);
    let mut lines = Lines::new();
    let names = |account: &AccountM| -> BTreeMap<MailboxId, String> {
        let named = account.mailboxes.iter().filter(|m| m.stage != Stage::Deleted);
        named.map(|m| (m.id, account.whole_name(m.id))).filter(|(id, _)| in_scope(id)).collect()
    };
    let (old, new) = (names(was), names(is));
    for (id, name) in &old {
        match new.get(id) {
            None => lines.insert(format!("- {name}")),
            Some(to) if to != name => lines.insert(format!("> {name} {to}")),
            Some(_) => true,
        };
    }
    lines.extend(new.iter().filter(|(id, _)| !old.contains_key(id)).map(|(_, n)| format!("+ {n}")));
    let (before, after) = (shown(was), shown(is));
    let at = |account: &AccountM, place: &(MailboxId, Uid)| {
        format!("{place:?} {}", account.whole_name(place.0))
    };
    let emails: BTreeSet<EmailId> =
        before.values().chain(after.values()).map(|(email, _)| *email).collect();
    for email in emails {
        let only_in = |here: &Shown, there: &Shown| -> Vec<((MailboxId, Uid), Vec<String>)> {
            let of = here.iter().filter(|(place, e)| e.0 == email && !there.contains_key(place));
            of.map(|(place, (_, flags))| (*place, sorted(flags.clone()))).collect()
        };
        let (gone, come) = (only_in(&before, &after), only_in(&after, &before));
        for n in 0..gone.len().max(come.len()) {
            match (gone.get(n), come.get(n)) {
                (Some((from, _)), Some((to, flags))) if in_scope(&from.0) || in_scope(&to.0) => {
                    let (from, to) = (at(was, from), at(is, to));
                    lines.insert(format!("> {from} {to} {email} {flags:?}"));
                }
                (Some((place, flags)), None) if in_scope(&place.0) => {
                    lines.insert(format!("- {} {email} {flags:?}", at(was, place)));
                }
                (None, Some((place, flags))) if in_scope(&place.0) => {
                    lines.insert(format!("+ {} {email} {flags:?}", at(is, place)));
                }
                _ => {}
            }
        }
    }
    for (place, (email, flags)) in after.iter().filter(|(place, _)| in_scope(&place.0)) {
        let Some((_, old)) = before.get(place) else { continue };
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            sorted(a.iter().filter(|flag| !b.contains(flag)).cloned().collect())
        };
        let (added, removed) = (only(flags, old), only(old, flags));
        if !(added.is_empty() && removed.is_empty()) {
            lines.insert(format!("M {} {email} {added:?} {removed:?}", at(is, place)));
        }
    }
    lines
}
