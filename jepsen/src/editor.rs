//! A session that changes the mailboxes of an account that is its alone, so
//! that after a kill they must be as before or as after its last command.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redoubt_tests::imap::{Imap, Reply, item};
use redoubt_tests::messages::{message, token};
use redoubt_tests::process::Redoubt;

const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Trash"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Flagged", "\\Answered", "$Work", "Blue"];
const SIZE: usize = 2_000;

/// A message as it stands in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    token: String,
    flags: Vec<String>,
}

type Mailbox = BTreeMap<u32, Entry>;

/// What an unanswered command would do.
#[derive(Debug, Clone, Default)]
struct Pending {
    /// Which mailbox loses these.
    gone: Option<(usize, u32)>,
    /// Which mailbox gets it, with a UID that is not known yet.
    arrived: Option<(usize, Entry)>,
    /// Which entry gets these flags.
    flags: Option<(usize, u32, Vec<String>)>,
}

/// One account's editor.
#[derive(Debug)]
pub struct Editor {
    address: String,
    chance: StdRng,
    mailboxes: [Mailbox; 3],
    /// The highest UID ever seen in each mailbox.
    highest: [u32; 3],
    /// UIDVALIDITY of each mailbox, once it is known.
    validity: [Option<u64>; 3],
    pending: Option<Pending>,
    appended: u64,
    count: u64,
}

impl Editor {
    /// The editor with this number.
    pub fn new(number: u64, seed: u64) -> Self {
        Self {
            address: Self::address(number),
            chance: StdRng::seed_from_u64(seed ^ (number << 32)),
            mailboxes: Default::default(),
            highest: [0; 3],
            validity: [None; 3],
            pending: None,
            appended: 0,
            count: 0,
        }
    }

    /// The account of the editor with this number.
    pub fn address(number: u64) -> String {
        format!("e{number}@example.org")
    }

    /// Commands that were answered.
    pub fn done(&self) -> u64 {
        self.count
    }

    /// Works until the server is gone.
    pub fn edit(&mut self, imap: SocketAddr, over: &AtomicBool) {
        let Ok(mut client) = Imap::login(imap, &self.address) else { return };
        while !over.load(Ordering::SeqCst) {
            if self.step(&mut client).is_err() {
                return;
            }
            self.pending = None;
            self.count += 1;
        }
    }

    fn step(&mut self, client: &mut Imap) -> io::Result<()> {
        let from = self.chance.random_range(0..MAILBOXES.len());
        let to = (from + self.chance.random_range(1..MAILBOXES.len())) % MAILBOXES.len();
        let Some(uid) = self.any(from) else { return self.append(client, from) };
        match self.chance.random_range(0..10) {
            0..4 => self.append(client, from),
            4..6 => self.store(client, from, uid),
            6..7 => self.transfer(client, "COPY", from, uid, to),
            7..9 => self.transfer(client, "MOVE", from, uid, to),
            _ => self.expunge(client, from, uid),
        }
    }

    fn any(&mut self, mailbox: usize) -> Option<u32> {
        let uids: Vec<u32> = self.mailboxes[mailbox].keys().copied().collect();
        (!uids.is_empty()).then(|| uids[self.chance.random_range(0..uids.len())])
    }

    fn some_flags(&mut self) -> Vec<String> {
        let mut flags: Vec<String> =
            FLAGS.iter().filter(|_| self.chance.random()).map(|f| (*f).into()).collect();
        flags.sort();
        flags
    }

    fn append(&mut self, client: &mut Imap, to: usize) -> io::Result<()> {
        let flags = self.some_flags();
        self.appended += 1;
        let token = format!("{}c{}", self.address.split('@').next().unwrap(), self.appended);
        let entry = Entry { token: token.clone(), flags };
        self.pending = Some(Pending { arrived: Some((to, entry.clone())), ..Pending::default() });
        let options = format!("({}) ", entry.flags.join(" "));
        let reply = client.append(MAILBOXES[to], &options, &message(&token, SIZE))?;
        let uid = accepted(&reply, "APPENDUID")[1].parse().unwrap();
        self.arrive(to, uid, entry);
        Ok(())
    }

    fn arrive(&mut self, mailbox: usize, uid: u32, entry: Entry) {
        assert!(uid > self.highest[mailbox], "{}: UID {uid} came again", self.address);
        self.highest[mailbox] = uid;
        self.mailboxes[mailbox].insert(uid, entry);
    }

    fn store(&mut self, client: &mut Imap, mailbox: usize, uid: u32) -> io::Result<()> {
        let flags = self.some_flags();
        client.ok(&format!("SELECT {}", MAILBOXES[mailbox]))?;
        self.pending =
            Some(Pending { flags: Some((mailbox, uid, flags.clone())), ..Pending::default() });
        ok(&client.command(&format!("UID STORE {uid} FLAGS.SILENT ({})", flags.join(" ")))?);
        self.mailboxes[mailbox].get_mut(&uid).unwrap().flags = flags;
        Ok(())
    }

    fn transfer(
        &mut self,
        client: &mut Imap,
        verb: &str,
        from: usize,
        uid: u32,
        to: usize,
    ) -> io::Result<()> {
        client.ok(&format!("SELECT {}", MAILBOXES[from]))?;
        let entry = self.mailboxes[from][&uid].clone();
        let gone = (verb == "MOVE").then_some((from, uid));
        self.pending = Some(Pending { gone, arrived: Some((to, entry.clone())), flags: None });
        let reply = client.command(&format!("UID {verb} {uid} {}", MAILBOXES[to]))?;
        let new = accepted(&reply, "COPYUID")[2].parse().unwrap();
        if gone.is_some() {
            self.mailboxes[from].remove(&uid);
        }
        self.arrive(to, new, entry);
        Ok(())
    }

    fn expunge(&mut self, client: &mut Imap, mailbox: usize, uid: u32) -> io::Result<()> {
        client.ok(&format!("SELECT {}", MAILBOXES[mailbox]))?;
        let mut flags = self.mailboxes[mailbox][&uid].flags.clone();
        flags.push("\\Deleted".into());
        flags.sort();
        self.pending =
            Some(Pending { flags: Some((mailbox, uid, flags.clone())), ..Pending::default() });
        ok(&client.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?);
        self.mailboxes[mailbox].get_mut(&uid).unwrap().flags = flags;
        self.pending = Some(Pending { gone: Some((mailbox, uid)), ..Pending::default() });
        ok(&client.command(&format!("UID EXPUNGE {uid}"))?);
        self.mailboxes[mailbox].remove(&uid);
        Ok(())
    }

    /// Compares the mailboxes with what they must be, and goes on from what they are.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&mut self, server: &Redoubt) -> Result<(), String> {
        let mut client = Imap::login(server.imap(), &self.address).unwrap();
        let found = [0, 1, 2].map(|mailbox| read(&mut client, MAILBOXES[mailbox]));
        for (known, (now, _)) in self.validity.iter_mut().zip(&found) {
            if *known.get_or_insert(*now) != *now {
                return Err(format!("{}: UIDVALIDITY changed to {now}", self.address));
            }
        }
        self.judge(found.map(|(_, mailbox)| mailbox))
    }

    fn judge(&mut self, found: [Mailbox; 3]) -> Result<(), String> {
        let pending = self.pending.take().unwrap_or_default();
        let without = differences(&found, &self.mailboxes, &Pending::default(), &self.highest);
        if let Err(without) = without {
            let after = applied(&self.mailboxes, &pending);
            let with = differences(&found, &after, &pending, &self.highest);
            if let Err(with) = with {
                return Err(format!(
                    "{}: {without}; nor is {pending:?} done: {with}",
                    self.address
                ));
            }
        }
        for (highest, mailbox) in self.highest.iter_mut().zip(&found) {
            *highest = mailbox.keys().next_back().copied().unwrap_or(0).max(*highest);
        }
        self.mailboxes = found;
        Ok(())
    }
}

fn ok(reply: &Reply) {
    assert!(reply.is_ok(), "{reply:?}");
}

fn accepted(reply: &Reply, code: &str) -> Vec<String> {
    ok(reply);
    reply.code(code).unwrap_or_else(|| panic!("no {code}: {reply:?}"))
}

fn applied(before: &[Mailbox; 3], pending: &Pending) -> [Mailbox; 3] {
    let mut after = before.clone();
    if let Some((mailbox, uid)) = &pending.gone {
        after[*mailbox].remove(uid);
    }
    if let Some((mailbox, uid, flags)) = &pending.flags {
        after[*mailbox].get_mut(uid).unwrap().flags.clone_from(flags);
    }
    after
}

/// Everything expected is there; beyond it only what arrived, with a UID above all before.
fn differences(
    found: &[Mailbox; 3],
    expected: &[Mailbox; 3],
    pending: &Pending,
    highest: &[u32; 3],
) -> Result<(), String> {
    for (number, name) in MAILBOXES.iter().enumerate() {
        for (uid, entry) in &expected[number] {
            if found[number].get(uid) != Some(entry) {
                return Err(format!("{name} {uid} is {:?}, not {entry:?}", found[number].get(uid)));
            }
        }
        let extra: Vec<_> =
            found[number].iter().filter(|(uid, _)| !expected[number].contains_key(uid)).collect();
        let arrived = pending
            .arrived
            .as_ref()
            .filter(|(mailbox, _)| *mailbox == number)
            .map(|(_, entry)| entry);
        match (extra.as_slice(), arrived) {
            ([], None) => {}
            ([(uid, entry)], Some(arrived)) if *entry == arrived && **uid > highest[number] => {}
            (extra, arrived) => return Err(format!("{name} has {extra:?} too, not {arrived:?}")),
        }
    }
    Ok(())
}

fn read(client: &mut Imap, mailbox: &str) -> (u64, Mailbox) {
    let examined = client.ok(&format!("EXAMINE {mailbox}")).unwrap();
    let validity = examined.code("UIDVALIDITY").unwrap()[0].parse().unwrap();
    let reply = client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])").unwrap();
    let entry = |(_, items): (u32, Vec<_>)| {
        let body = item(&items, "BODY[]").unwrap().octets();
        let token = token(body).unwrap();
        assert!(body == message(&token, SIZE), "{token} came back with other bytes");
        let flags = item(&items, "FLAGS").unwrap().list().iter().map(|flag| flag.text());
        let mut flags: Vec<String> = flags.filter(|flag| flag != "\\Recent").collect();
        flags.sort();
        (item(&items, "UID").unwrap().number() as u32, Entry { token, flags })
    };
    (validity, reply.fetches().into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &str, flags: &[&str]) -> Entry {
        Entry { token: token.into(), flags: flags.iter().map(|flag| (*flag).into()).collect() }
    }

    fn mailbox(entries: &[(u32, &str)]) -> Mailbox {
        entries.iter().map(|(uid, token)| (*uid, entry(token, &[]))).collect()
    }

    /// Two messages in INBOX; in Archive UID 4 was used once.
    fn editor(pending: Option<Pending>) -> Editor {
        let mut editor = Editor::new(0, 0);
        editor.mailboxes = [mailbox(&[(1, "a"), (2, "b")]), mailbox(&[]), mailbox(&[])];
        editor.highest = [2, 4, 0];
        editor.pending = pending;
        editor
    }

    fn moving() -> Option<Pending> {
        let arrived = Some((1, entry("b", &[])));
        Some(Pending { gone: Some((0, 2)), arrived, flags: None })
    }

    fn verdict(
        pending: Option<Pending>,
        inbox: &[(u32, &str)],
        archive: &[(u32, &str)],
    ) -> Result<(), String> {
        editor(pending).judge([mailbox(inbox), mailbox(archive), mailbox(&[])])
    }

    #[test]
    fn a_move_is_done_or_not() {
        assert_eq!(verdict(moving(), &[(1, "a"), (2, "b")], &[]), Ok(()));
        assert_eq!(verdict(moving(), &[(1, "a")], &[(5, "b")]), Ok(()));
    }

    #[test]
    fn a_half_done_move_is_caught() {
        verdict(moving(), &[(1, "a")], &[]).unwrap_err();
        verdict(moving(), &[(1, "a"), (2, "b")], &[(5, "b")]).unwrap_err();
        verdict(moving(), &[(1, "a")], &[(5, "a")]).unwrap_err();
    }

    #[test]
    fn loss_doubling_and_reuse_are_caught() {
        verdict(None, &[(1, "a")], &[]).unwrap_err();
        verdict(None, &[(1, "a"), (2, "b"), (3, "b")], &[]).unwrap_err();
        verdict(None, &[(1, "b"), (2, "a")], &[]).unwrap_err();
        let reused = verdict(moving(), &[(1, "a")], &[(4, "b")]);
        assert!(reused.unwrap_err().contains("Archive has"));
    }

    #[test]
    fn flags_are_as_before_or_as_wished() {
        let wished = vec!["\\Seen".to_string()];
        let pending = Some(Pending { flags: Some((0, 1, wished)), ..Pending::default() });
        let with = |flags: &[&str]| {
            let inbox = [(1, entry("a", flags)), (2, entry("b", &[]))].into();
            editor(pending.clone()).judge([inbox, mailbox(&[]), mailbox(&[])])
        };
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&["\\Seen"]), Ok(()));
        with(&["\\Flagged"]).unwrap_err();
    }
}
