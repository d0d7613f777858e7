//! Several sessions make, rename and delete mailboxes of the same names.

use std::time::Instant;

use super::client::{Client, Shared};
use super::imap::Style;
use super::{Running, Threads, Workload};
use crate::history::Ask;
use crate::target::Targets;

const ACCOUNTS: u32 = 2;
const CLIENTS: u32 = 2;
const LETTERS: [&str; 3] = ["a", "b", "c"];
/// After so many microseconds names of another time are used, so that an operation whose
/// outcome is unknown does not stay in the way for ever.
const EPOCH: u64 = 6_000_000;

/// CREATE, RENAME and DELETE of mailboxes, with LIST and STATUS between them.
#[derive(Debug, Default)]
pub struct Names;

fn account(number: u32) -> String {
    format!("n{number}@example.org")
}

impl Workload for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn accounts(&self) -> Vec<String> {
        (0..ACCOUNTS).map(account).collect()
    }

    fn start(&self, targets: &Targets, origin: Instant, seed: u64) -> Box<dyn Running> {
        let shared = Shared::new(targets, origin);
        let mut threads = Threads::new(&shared);
        for number in 0..ACCOUNTS * CLIENTS {
            let of = number % ACCOUNTS;
            let name = format!("names-n{of}-{}", number / ACCOUNTS);
            let seed = seed ^ u64::from(number + 400) << 8;
            let client = Client::new(&shared, &name, &account(of), Style::CondStore, seed);
            threads.write(client, work);
        }
        Box::new(threads)
    }
}

fn work(mut client: Client) {
    while !client.is_over() {
        step(&mut client);
        client.pause(60, 300);
    }
}

/// A name of these seconds: `t3-b`.
fn name(client: &mut Client) -> String {
    let epoch = client.shared().recorder.now() / EPOCH;
    let letter = client.one(&LETTERS).unwrap_or_default();
    format!("t{epoch}-{letter}")
}

fn step(client: &mut Client) -> Option<()> {
    let (one, other) = (name(client), name(client));
    let ask = match client.below(20) {
        0 => {
            client.leave();
            return Some(());
        }
        1..7 => Ask::Create { name: one },
        7..11 if one != other => Ask::Rename { from: one, to: other },
        11..15 => Ask::Delete { name: one },
        15..17 => Ask::Status { mailbox: one },
        _ => return list(client),
    };
    client.ask(ask).map(|_| ())
}

/// LIST; what is left of earlier times is deleted.
fn list(client: &mut Client) -> Option<()> {
    let listed = client.ask(Ask::List)?;
    let now = client.shared().recorder.now() / EPOCH;
    let old = listed.heard.into_iter().find_map(|heard| match heard {
        crate::history::Heard::Listed(name, true) if epoch(&name)? + 2 < now => Some(name),
        _ => None,
    });
    match old {
        Some(name) => client.ask(Ask::Delete { name }).map(|_| ()),
        None => Some(()),
    }
}

/// The time that a name is of.
pub fn epoch(name: &str) -> Option<u64> {
    name.strip_prefix('t')?.split_once('-')?.0.parse().ok()
}
