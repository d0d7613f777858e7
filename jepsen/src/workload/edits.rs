//! Several sessions on several nodes change the same mailboxes at one time.

use std::time::{Duration, Instant};

use super::client::{Client, Shared};
use super::imap::Style;
use super::messages::{Make, hash};
use super::{Running, Threads, Workload, last_look};
use crate::history::{Ask, How, Store};
use crate::target::Targets;

const ACCOUNTS: u32 = 2;
const EDITORS: u32 = 3;
const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Trash"];
const FLAGS: [&str; 6] = ["$Work", "Blue", "\\Answered", "\\Deleted", "\\Flagged", "\\Seen"];
/// Above so many messages a mailbox is rather made smaller.
const MANY: usize = 20;
const TEXT: usize = 400;

/// APPEND, STORE, COPY, MOVE and EXPUNGE in mailboxes that sessions share; others listen.
#[derive(Debug, Default)]
pub struct Edits;

fn account(number: u32) -> String {
    format!("s{number}@example.org")
}

impl Workload for Edits {
    fn name(&self) -> &'static str {
        "edits"
    }

    fn accounts(&self) -> Vec<String> {
        (0..ACCOUNTS).map(account).collect()
    }

    fn start(&self, targets: &Targets, origin: Instant, seed: u64) -> Box<dyn Running> {
        let shared = Shared::new(targets, origin);
        let mut threads = Threads::new(&shared);
        let styles = [Style::Qresync, Style::CondStore, Style::Plain];
        for number in 0..ACCOUNTS * EDITORS {
            let (of, which) = (number % ACCOUNTS, number / ACCOUNTS);
            let style = styles[which as usize % styles.len()];
            let name = format!("edit-s{of}-{which}");
            let seed = seed ^ u64::from(number + 200) << 8;
            threads.write(Client::new(&shared, &name, &account(of), style, seed), edit);
        }
        for (number, style) in (0..ACCOUNTS).zip([Style::Qresync, Style::Plain]) {
            let name = format!("watch-s{number}");
            let seed = seed ^ u64::from(number + 300) << 8;
            let client = Client::new(&shared, &name, &account(number), style, seed).listening();
            threads.listen(client, watch);
        }
        Box::new(threads)
    }
}

/// Listens to one mailbox.
fn watch(mut client: Client) {
    let mailbox = MAILBOXES[0];
    while !client.is_over() {
        listen(&mut client, mailbox);
        client.pause(20, 200);
    }
    last_look(&mut client, mailbox);
}

fn listen(client: &mut Client, mailbox: &str) -> Option<()> {
    client.select(mailbox)?;
    client.learn()?;
    match client.below(30) {
        0 => client.leave(),
        1..12 => {
            client.ask(Ask::Noop)?;
        }
        _ => {
            let time = 200 + u64::from(client.below(1_000));
            client.idle(Duration::from_millis(time))?;
        }
    }
    Some(())
}

/// Works in one mailbox, and now and then goes to another one, or to another node.
fn edit(mut client: Client) {
    let mut mailbox = MAILBOXES[0];
    let mut appended = 0;
    while !client.is_over() {
        match client.below(60) {
            0 => client.leave(),
            1..4 => mailbox = client.one(&MAILBOXES).unwrap_or(mailbox),
            _ => {}
        }
        step(&mut client, mailbox, &mut appended);
        client.pause(40, 200);
    }
    last_look(&mut client, mailbox);
}

fn step(client: &mut Client, mailbox: &str, appended: &mut u32) -> Option<()> {
    client.select(mailbox)?;
    client.learn()?;
    let uids: Vec<u32> = client.cache.slots.iter().flatten().copied().collect();
    let Some(uid) = client.one(&uids) else { return append(client, mailbox, appended) };
    let other = client.one(&MAILBOXES).unwrap_or(mailbox).to_string();
    let full = uids.len() > MANY;
    let what = client.below(100);
    match what {
        0..16 if !full => return append(client, mailbox, appended),
        0..25 => return expunge(client, uid),
        25..60 => return store(client, uid),
        _ => {}
    }
    let ask = match what {
        60..70 => Ask::Fetch { from: 1 },
        70..80 => Ask::Noop,
        80..83 => Ask::Read { first: uid, last: uid },
        83..86 if client.condstore() && other != mailbox => Ask::Status { mailbox: other },
        86..91 if !full && other != mailbox => Ask::Copy { uids: vec![uid], to: other },
        91..100 if other != mailbox => Ask::Move { uids: some(client, uid, &uids), to: other },
        _ => Ask::Noop,
    };
    client.ask(ask).map(|_| ())
}

/// A UID, and now and then one more.
fn some(client: &mut Client, uid: u32, uids: &[u32]) -> Vec<u32> {
    let more = (client.below(5) == 0).then(|| client.one(uids)).flatten();
    let mut some: Vec<u32> = more.into_iter().chain([uid]).collect();
    some.sort_unstable();
    some.dedup();
    some
}

fn append(client: &mut Client, mailbox: &str, appended: &mut u32) -> Option<()> {
    *appended += 1;
    let token = format!("{}-{appended}", client.name);
    let make = Make { token: token.clone(), text: TEXT, attachment: None };
    let octets = make.octets();
    let flags = flags(client, 4);
    let ask = Ask::Append { mailbox: mailbox.into(), token, hash: hash(&octets), flags };
    client.append(ask, &octets).map(|_| ())
}

fn flags(client: &mut Client, one_in: u32) -> Vec<String> {
    let flags = FLAGS.iter().filter(|flag| **flag != "\\Deleted" && client.below(one_in) == 0);
    flags.map(|flag| (*flag).to_string()).collect()
}

fn store(client: &mut Client, uid: u32) -> Option<()> {
    let how = client.one(&[How::Replace, How::Add, How::Remove, How::Add, How::Remove])?;
    let mut flags = flags(client, 3);
    if how == How::Remove && client.below(3) == 0 {
        flags.push("\\Deleted".into());
    }
    if flags.is_empty() && how != How::Replace {
        flags = client
            .one(&FLAGS)
            .filter(|flag| *flag != "\\Deleted")
            .map(String::from)
            .into_iter()
            .collect();
    }
    flags.sort();
    let modseq = client.cache.known.get(&uid).and_then(|known| known.modseq);
    let unchanged_since = modseq.filter(|_| client.condstore() && client.below(3) == 0);
    let silent = client.below(5) < 2;
    client.ask(Ask::Store(Store { uid, how, flags, silent, unchanged_since })).map(|_| ())
}

fn expunge(client: &mut Client, uid: u32) -> Option<()> {
    let flags = vec!["\\Deleted".to_string()];
    let store = Store { uid, how: How::Add, flags, silent: true, unchanged_since: None };
    client.ask(Ask::Store(store))?;
    client.pause(10, 60);
    client.ask(Ask::Expunge { uids: vec![uid] }).map(|_| ())
}
