//! A mailstore in a few lines, right or with one bug, for histories to be made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::replay::changed;
use crate::check::state::{Email, Mailbox, NodeState};
use crate::history::{Content, Fetched, Heard, How, Numbers, Store};

/// What is wrong with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    LostDelivery,
    DoubledDelivery,
    ChangedOctets,
    Phantom,
    LostAppend,
    ReusedUid,
    UidNextBack,
    ModSeqBack,
    LostStore,
    StaleFlags,
    StaleSelect,
    IgnoredUnchangedSince,
    NeedlessConflict,
    MoveInBoth,
    MoveInNeither,
    ExpungeComesBack,
    UntoldExists,
    UntoldExpunge,
    WrongNumber,
    UntoldFlags,
    OtherReplica,
    CreatedTwice,
    RenameForgotten,
    ValidityTwice,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) id: String,
    pub(super) validity: u32,
    pub(super) next: u32,
    pub(super) highest: u64,
    pub(super) emails: BTreeMap<u32, Email>,
}

/// One account.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) folders: BTreeMap<String, Folder>,
    created: u32,
}

/// One connection's mailbox.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) mailbox: String,
    pub(super) uids: Vec<u32>,
    pub(super) synced: u64,
    pub(super) qresync: bool,
}

/// The whole store.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) bug: Bug,
    /// Operations until the bug strikes again.
    fuse: u32,
    pub(super) accounts: BTreeMap<String, Account>,
    log: u64,
    emails: u32,
}

fn content(token: &str) -> Content {
    Content { token: Ok(token.into()), hash: format!("h-{token}"), whole: format!("w-{token}") }
}

impl Model {
    pub(super) fn new(bug: Bug, names: &[(&str, &[&str])]) -> Self {
        let mut model = Self { bug, fuse: 4, accounts: BTreeMap::new(), log: 10, emails: 0 };
        for (account, folders) in names {
            folders.iter().for_each(|name| {
                drop(model.create(account, name));
            });
        }
        model
    }

    /// Whether the bug strikes here: now and then, if it is this one.
    fn strikes(&mut self, bug: Bug) -> bool {
        if self.bug != bug {
            return false;
        }
        self.fuse = self.fuse.saturating_sub(1);
        self.fuse == 0 && {
            self.fuse = 3;
            true
        }
    }

    pub(super) fn folder(&mut self, account: &str, name: &str) -> &mut Folder {
        self.accounts.entry(account.into()).or_default().folders.entry(name.into()).or_default()
    }

    fn put(
        &mut self,
        account: &str,
        name: &str,
        id: &str,
        content: Content,
        flags: Vec<String>,
    ) -> u32 {
        self.log += 1;
        let (log, reuse) = (self.log, self.strikes(Bug::ReusedUid));
        let folder = self.folder(account, name);
        let uid = if reuse { folder.next.saturating_sub(1).max(1) } else { folder.next };
        folder.next = folder.next.max(uid + 1);
        folder.highest = log;
        folder.emails.insert(uid, Email { modseq: log, flags, id: id.into(), content });
        uid
    }

    fn email(&mut self) -> String {
        self.emails += 1;
        format!("e{}", self.emails)
    }

    pub(super) fn deliver(&mut self, account: &str, token: &str) {
        if self.strikes(Bug::LostDelivery) {
            return;
        }
        let mut content = content(token);
        if self.strikes(Bug::ChangedOctets) {
            content.hash.push('x');
        }
        if self.strikes(Bug::Phantom) {
            content.token = Ok("nobody's".into());
        }
        let there = self.folder(account, "INBOX").emails.values().any(|e| e.content == content);
        let again = self.strikes(Bug::DoubledDelivery);
        for _ in 0..if again { 2 } else { u32::from(!there) } {
            let id = self.email();
            self.put(account, "INBOX", &id, content.clone(), Vec::new());
        }
    }

    pub(super) fn append(
        &mut self,
        account: &str,
        name: &str,
        token: &str,
        flags: &[String],
    ) -> Heard {
        let id = self.email();
        let uid = self.put(account, name, &id, content(token), flags.to_vec());
        if self.strikes(Bug::LostAppend) {
            self.folder(account, name).emails.remove(&uid);
        }
        Heard::Appended(self.folder(account, name).validity, uid)
    }

    /// COPY and MOVE of one message.
    pub(super) fn transfer(
        &mut self,
        account: &str,
        (from, uid, to): (&str, u32, &str),
        moves: bool,
    ) -> Option<Heard> {
        let email = self.folder(account, from).emails.get(&uid)?.clone();
        if moves && !self.strikes(Bug::MoveInBoth) {
            self.folder(account, from).emails.remove(&uid);
            self.folder(account, from).highest = self.log + 1;
        }
        let new = self.put(account, to, &email.id, email.content, email.flags);
        if moves && self.strikes(Bug::MoveInNeither) {
            self.folder(account, to).emails.remove(&new);
        }
        Some(Heard::Copied(self.folder(account, to).validity, vec![uid], vec![new]))
    }

    pub(super) fn expunge(&mut self, account: &str, name: &str, uid: u32) {
        let log = self.log + 1;
        let marked = |email: &Email| email.flags.contains(&"\\Deleted".to_string());
        let folder = self.folder(account, name);
        if folder.emails.get(&uid).is_some_and(marked) {
            folder.emails.remove(&uid);
            folder.highest = log;
            self.log = log;
        }
    }

    pub(super) fn store(
        &mut self,
        account: &str,
        name: &str,
        store: &Store,
        view: &View,
    ) -> Vec<Heard> {
        let lost = self.strikes(Bug::LostStore);
        let now = self.folder(account, name).emails.get(&store.uid).map(|email| email.modseq);
        let late = store.unchanged_since.zip(now).is_some_and(|(since, now)| now > since);
        let ignored = late && self.strikes(Bug::IgnoredUnchangedSince);
        let back = self.strikes(Bug::ModSeqBack);
        let needless = store.unchanged_since.is_some() && self.strikes(Bug::NeedlessConflict);
        let log = self.log + 1;
        let folder = self.folder(account, name);
        let Some(email) = folder.emails.get_mut(&store.uid) else { return Vec::new() };
        if late && !ignored || needless {
            return vec![Heard::Modified(vec![store.uid])];
        }
        let after = changed(&email.flags, store.how, &store.flags);
        if after != email.flags && !lost {
            (email.flags, email.modseq) = (after, if back { email.modseq - 1 } else { log });
            folder.highest = log;
        }
        let told = email.clone();
        self.log = log;
        let number = view.uids.iter().position(|uid| *uid == store.uid);
        let Some(number) = number else { return Vec::new() };
        let mut fetched = fetched(number as u32 + 1, store.uid, &told);
        fetched.email = None;
        if store.silent {
            fetched.flags = None;
        }
        vec![Heard::Fetch(fetched)]
    }

    pub(super) fn select(
        &mut self,
        account: &str,
        name: &str,
        view: &mut View,
        since: Option<u64>,
    ) -> Vec<Heard> {
        let mut folder = self.folder(account, name).clone();
        if self.strikes(Bug::StaleSelect) {
            folder.emails.pop_last();
        }
        let next_back = u32::from(self.strikes(Bug::UidNextBack)) * 2;
        view.mailbox = name.into();
        view.uids = folder.emails.keys().copied().collect();
        view.synced = folder.highest;
        view.qresync = since.is_some();
        let mut heard = vec![
            Heard::Exists(view.uids.len() as u32),
            Heard::Validity(folder.validity),
            Heard::Next(folder.next.saturating_sub(next_back)),
            Heard::Highest(folder.highest),
            Heard::Id(folder.id.clone()),
        ];
        let Some(since) = since else { return heard };
        let absent = (1..folder.next).filter(|uid| !folder.emails.contains_key(uid));
        let absent: Vec<(u32, u32)> = absent.map(|uid| (uid, uid)).collect();
        if !absent.is_empty() {
            heard.push(Heard::Vanished { earlier: true, uids: absent });
        }
        heard.extend(lines(&folder, &view.uids, |email| email.modseq > since));
        heard
    }

    /// What happened since the session looked last.
    pub(super) fn sync(&mut self, account: &str, view: &mut View) -> Vec<Heard> {
        if view.mailbox.is_empty() {
            return Vec::new();
        }
        let folder = self.folder(account, &view.mailbox).clone();
        let mut heard = Vec::new();
        let gone: Vec<u32> =
            view.uids.iter().copied().filter(|uid| !folder.emails.contains_key(uid)).collect();
        for uid in gone.into_iter().rev() {
            if self.strikes(Bug::UntoldExpunge) {
                continue;
            }
            let at = view.uids.iter().position(|known| *known == uid).unwrap();
            view.uids.remove(at);
            let wrong = u32::from(self.strikes(Bug::WrongNumber));
            heard.push(match view.qresync {
                true => Heard::Vanished { earlier: false, uids: vec![(uid, uid)] },
                false => Heard::Expunge(at as u32 + 1 + wrong),
            });
        }
        let since = view.synced;
        let quiet = self.strikes(Bug::UntoldFlags);
        if !quiet {
            heard.extend(lines(&folder, &view.uids, |email| email.modseq > since));
        }
        let new: Vec<u32> = folder
            .emails
            .keys()
            .copied()
            .filter(|uid| Some(uid) > view.uids.last().as_ref().copied())
            .collect();
        if !new.is_empty() && !self.strikes(Bug::UntoldExists) {
            view.uids.extend(new);
            heard.push(Heard::Exists(view.uids.len() as u32));
        }
        view.synced = folder.highest;
        heard
    }

    pub(super) fn fetch(&mut self, account: &str, view: &View, from: u32) -> Vec<Heard> {
        let mut folder = self.folder(account, &view.mailbox).clone();
        if self.strikes(Bug::StaleFlags) {
            let all = ["\\Seen".to_string()];
            folder.emails.values_mut().for_each(|email| {
                email.flags = changed(&email.flags, How::Add, &all);
            });
        }
        let uids = &view.uids;
        lines(&folder, uids, |_| true)
            .into_iter()
            .filter(|heard| matches!(heard, Heard::Fetch(one) if one.uid >= Some(from)))
            .collect()
    }

    pub(super) fn create(&mut self, account: &str, name: &str) -> Result<String, ()> {
        let twice = self.strikes(Bug::CreatedTwice);
        let old = self.strikes(Bug::ValidityTwice);
        let account = self.accounts.entry(account.into()).or_default();
        if account.folders.contains_key(name) && !twice {
            return Err(());
        }
        account.created += 1;
        let id = format!("m{}", account.created);
        let validity = 1000 + account.created - u32::from(old);
        let folder = Folder { id: id.clone(), validity, next: 1, highest: 1, ..Folder::default() };
        account.folders.insert(name.into(), folder);
        Ok(id)
    }

    pub(super) fn rename(&mut self, account: &str, from: &str, to: &str) -> Result<(), ()> {
        let forgotten = self.strikes(Bug::RenameForgotten);
        let folders = &mut self.accounts.entry(account.into()).or_default().folders;
        if !folders.contains_key(from) || folders.contains_key(to) {
            return Err(());
        }
        if !forgotten {
            let folder = folders.remove(from).unwrap();
            folders.insert(to.into(), folder);
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, account: &str, name: &str) -> Result<(), ()> {
        let folders = &mut self.accounts.entry(account.into()).or_default().folders;
        folders.remove(name).map(|_| ()).ok_or(())
    }

    pub(super) fn names(&mut self, account: &str) -> BTreeSet<String> {
        self.accounts.entry(account.into()).or_default().folders.keys().cloned().collect()
    }

    pub(super) fn status(&mut self, account: &str, name: &str) -> Option<Heard> {
        let folder = self.accounts.get(account)?.folders.get(name)?;
        let messages = folder.emails.len() as u32;
        let Folder { id, validity, next, highest, .. } = folder.clone();
        Some(Heard::Status(name.into(), Numbers { messages, next, validity, highest, id }))
    }

    /// What two nodes say in the end.
    pub(super) fn finals(&mut self) -> Vec<(u32, NodeState)> {
        let mut state = NodeState::default();
        for (account, of) in &self.accounts {
            let mailboxes = of.folders.iter().map(|(name, folder)| (name.clone(), end(folder)));
            state.accounts.insert(account.clone(), mailboxes.collect());
        }
        let mut other = state.clone();
        if self.bug == Bug::OtherReplica {
            let mut mailboxes = other.accounts.values_mut().flat_map(|of| of.values_mut());
            let mailbox = mailboxes.find(|mailbox| !mailbox.emails.is_empty());
            mailbox.into_iter().for_each(|mailbox| mailbox.next += 1);
        }
        if self.bug == Bug::ExpungeComesBack {
            self.come_back(&mut state, &mut other);
        }
        vec![(1, state), (2, other)]
    }

    /// Everything below UIDNEXT is there again.
    fn come_back(&self, state: &mut NodeState, other: &mut NodeState) {
        for node in [state, other] {
            let mailboxes = node.accounts.values_mut().flat_map(|of| of.values_mut());
            for mailbox in mailboxes {
                let Some(email) = mailbox.emails.values().next().cloned() else { continue };
                for uid in 1..mailbox.next {
                    mailbox.emails.entry(uid).or_insert_with(|| email.clone());
                }
            }
        }
    }
}

fn end(folder: &Folder) -> Mailbox {
    let Folder { id, validity, next, highest, emails } = folder.clone();
    Mailbox { selectable: true, validity, next, highest, id, emails }
}

fn fetched(number: u32, uid: u32, email: &Email) -> Fetched {
    Fetched {
        number,
        uid: Some(uid),
        flags: Some(email.flags.clone()),
        modseq: Some(email.modseq),
        email: Some(email.id.clone()),
        content: None,
    }
}

fn lines(folder: &Folder, uids: &[u32], which: impl Fn(&Email) -> bool) -> Vec<Heard> {
    let line = |(number, uid): (u32, &u32)| {
        let email = folder.emails.get(uid).filter(|email| which(email))?;
        Some(Heard::Fetch(fetched(number, *uid, email)))
    };
    (1..).zip(uids).filter_map(line).collect()
}
