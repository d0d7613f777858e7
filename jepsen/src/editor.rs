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
    pending: Option<Pending>,
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
            pending: None,
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
        let token = format!("{}c{}", self.address.split('@').next().unwrap(), self.count);
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
    pub fn verify(&mut self, server: &Redoubt) {
        let mut client = Imap::login(server.imap(), &self.address).unwrap();
        let found = [0, 1, 2].map(|mailbox| read(&mut client, MAILBOXES[mailbox]));
        let pending = self.pending.take().unwrap_or_default();
        let without = differences(&found, &self.mailboxes, &Pending::default(), &self.highest);
        if let Err(without) = without {
            let after = applied(&self.mailboxes, &pending);
            let with = differences(&found, &after, &pending, &self.highest);
            if let Err(with) = with {
                panic!("{}: {without}; nor is {pending:?} done: {with}", self.address);
            }
        }
        for (highest, mailbox) in self.highest.iter_mut().zip(&found) {
            *highest = mailbox.keys().next_back().copied().unwrap_or(0).max(*highest);
        }
        self.mailboxes = found;
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

fn read(client: &mut Imap, mailbox: &str) -> Mailbox {
    client.ok(&format!("EXAMINE {mailbox}")).unwrap();
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
    reply.fetches().into_iter().map(entry).collect()
}
