//! What `$` stands for (RFC 5182) while another session expunges: whatever happens in between, it
//! is what was found, without what is gone, and its numbers are those that the client counts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use redoubt_tests::imap::{Imap, Reply, item};
use redoubt_tests::messages::message;
use redoubt_tests::programs::Scene;

const ALICE: &str = "alice@example.org";
const MESSAGES: u32 = 60;

/// A client that counts messages as it is told.
struct Client {
    imap: Imap,
    uids: Vec<u32>,
    saved: BTreeSet<u32>,
}

impl Client {
    fn command(&mut self, command: &str) -> Reply {
        let reply = self.imap.ok(command).unwrap();
        for line in reply.untagged.iter().map(|line| String::from_utf8_lossy(line)) {
            if let Some(number) = line.strip_suffix(" EXPUNGE") {
                let uid = self.uids.remove(number.parse::<usize>().unwrap() - 1);
                self.saved.remove(&uid);
            }
        }
        reply
    }

    fn check(&mut self, gone: &BTreeSet<u32>) {
        let expected: Vec<u32> = self.saved.difference(gone).copied().collect();
        assert_eq!(self.command("UID SEARCH $").search(), expected);
        let before = self.uids.clone();
        let fetched = self.imap.command("FETCH $ (UID)").unwrap().fetches();
        let fetched: Vec<u32> = fetched
            .into_iter()
            .map(|(number, items)| {
                let uid = u32::try_from(item(&items, "UID").unwrap().number()).unwrap();
                assert_eq!(before[number as usize - 1], uid);
                uid
            })
            .collect();
        assert_eq!(fetched, expected);
    }
}

/// A generator of numbers that is the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn it_follows_what_others_expunge() {
    let scene = Scene::new();
    for n in 0..MESSAGES {
        scene.deliver(&[ALICE], &message(&format!("m{n}"), 300));
    }
    let mut other = scene.imap(ALICE);
    other.ok("SELECT INBOX").unwrap();
    let mut client =
        Client { imap: scene.imap(ALICE), uids: (1..=MESSAGES).collect(), saved: BTreeSet::new() };
    client.command("SELECT INBOX");
    let (mut chance, mut gone) = (Chance(7), BTreeSet::new());
    while gone.len() < MESSAGES as usize - 5 {
        match chance.below(5) {
            0 => {
                let (a, b) = (chance.below(60) + 1, chance.below(60) + 1);
                // Before a command that counts by UID expunges may be told, but not by SEARCH's
                // own answer: what it saves is there.
                client.command(&format!("UID SEARCH RETURN (SAVE) UID {a}:{b}"));
                let (a, b) = (a.min(b) as u32, a.max(b) as u32);
                let known = client.uids.iter().filter(|uid| !gone.contains(*uid));
                client.saved = known.copied().filter(|uid| (a..=b).contains(uid)).collect();
            }
            1 => drop(client.command("NOOP")),
            2 => client.check(&gone),
            _ => {
                let uid = chance.below(60) as u32 + 1;
                other.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).unwrap();
                other.ok(&format!("UID EXPUNGE {uid}")).unwrap();
                gone.insert(uid);
            }
        }
    }
    client.command("NOOP");
    client.check(&gone);
}
