//! Deliveries by LMTP, what was answered, and what must be there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng;
use rand::rngs::StdRng;
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::{Answer, Lmtp};
use redoubt_tests::messages::{message, token, without_trace};
use redoubt_tests::process::Redoubt;

use crate::crash::Report;

/// Accounts that get mail.
pub const ACCOUNTS: [&str; 4] =
    ["d0@example.org", "d1@example.org", "d2@example.org", "d3@example.org"];
const SENDER: &str = "sender@example.net";

/// What is known of one message to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It got its 250.
    Acknowledged,
    /// No answer came, or one that says to try again.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    /// By account and token: size of the message and what is known.
    sent: BTreeMap<(String, String), (usize, Known)>,
    /// By account, UIDVALIDITY and UID: the token that was seen there.
    bindings: HashMap<(String, u64, u32), String>,
    /// By account: the UID up to which bytes were compared.
    compared: HashMap<String, u32>,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<State>);

impl Ledger {
    fn note(&self, account: &str, token: &str, size: usize, known: Known) {
        let key = (account.to_string(), token.to_string());
        self.0.lock().unwrap().sent.insert(key, (size, known));
    }

    fn bind(&self, account: &str, validity: u64, uid: u32, token: &str) {
        let key = (account.to_string(), validity, uid);
        let mut state = self.0.lock().unwrap();
        let bound = state.bindings.entry(key).or_insert_with(|| token.to_string());
        assert_eq!(bound, token, "{account}: UID {uid} stands for two messages");
    }

    /// Sends again what had no answer, as an MTA does: it must be there once from now on.
    pub fn retry_unknown(&self, server: &Redoubt) {
        let mut unknown: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
        for ((account, token), (size, known)) in &self.0.lock().unwrap().sent {
            if *known == Known::Unknown {
                unknown.entry((token.clone(), *size)).or_default().push(account.clone());
            }
        }
        let mut client = Lmtp::connect(server.lmtp()).unwrap();
        // Half are tried again, the others stay unknown for ever.
        for ((token, size), accounts) in unknown.into_iter().step_by(2) {
            let to: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let answers = client.deliver(SENDER, &to, &message(&token, size)).unwrap();
            for (account, answer) in accounts.iter().zip(answers) {
                assert_eq!(answer.code, 250, "{answer:?}");
                self.note(account, &token, size, Known::Acknowledged);
            }
        }
    }

    /// Compares what is there with what was sent.
    pub fn verify(&self, server: &Redoubt, round: u32) {
        for account in ACCOUNTS {
            let present = self.read_all(server, account);
            let state = self.0.lock().unwrap();
            let of_account = state.sent.iter().filter(|((owner, _), _)| owner == account);
            for ((_, token), (_, known)) in of_account {
                match (known, present.get(token).copied().unwrap_or(0)) {
                    (Known::Acknowledged, 1) | (Known::Unknown, 0 | 1) => {}
                    (known, times) => panic!(
                        "after kill {round}: {account} has {token} ({known:?}) {times} times"
                    ),
                }
            }
            for token in present.keys() {
                let key = (account.to_string(), token.clone());
                assert!(state.sent.contains_key(&key), "{account} has {token}, which nobody sent");
            }
        }
    }

    /// How often each token is there; the bytes of what is new are compared.
    fn read_all(&self, server: &Redoubt, account: &str) -> BTreeMap<String, usize> {
        let mut client = Imap::login(server.imap(), account).unwrap();
        let selected = client.ok("EXAMINE INBOX").unwrap();
        let validity = selected.code("UIDVALIDITY").unwrap()[0].parse().unwrap();
        let compared = self.0.lock().unwrap().compared.get(account).copied().unwrap_or(0);
        let mut present = BTreeMap::new();
        let known = client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
        for (_, items) in known.fetches() {
            let uid = item(&items, "UID").unwrap().number() as u32;
            let (_, subject) = items.iter().find(|(name, _)| name.starts_with("BODY[")).unwrap();
            let token = token(subject.octets()).unwrap();
            self.bind(account, validity, uid, &token);
            *present.entry(token).or_insert(0) += 1;
        }
        let new = client.ok(&format!("UID FETCH {}:* (BODY.PEEK[])", compared + 1)).unwrap();
        for (_, items) in new.fetches() {
            let uid = item(&items, "UID").unwrap().number() as u32;
            let body = item(&items, "BODY[]").unwrap().octets();
            self.compare(account, body);
            let mut state = self.0.lock().unwrap();
            let last = state.compared.entry(account.to_string()).or_insert(0);
            *last = uid.max(*last);
        }
        present
    }

    fn compare(&self, account: &str, delivered: &[u8]) {
        let original = without_trace(delivered);
        let token = token(original).unwrap();
        let state = self.0.lock().unwrap();
        let sent = state.sent.get(&(account.to_string(), token.clone()));
        let (size, _) = sent.unwrap_or_else(|| panic!("{account} has {token}, which nobody sent"));
        assert!(
            original == message(&token, *size),
            "{account}: {token} came back with other bytes"
        );
    }

    /// Fills in the numbers of deliveries.
    pub fn count(&self, report: &mut Report) {
        let state = self.0.lock().unwrap();
        let seen: std::collections::HashSet<(&str, &str)> = state
            .bindings
            .iter()
            .map(|((account, _, _), token)| (account.as_str(), token.as_str()))
            .collect();
        for ((account, token), (_, known)) in &state.sent {
            match known {
                Known::Acknowledged => report.acknowledged += 1,
                Known::Unknown => {
                    report.unknown += 1;
                    report.unknown_present += usize::from(seen.contains(&(account, token)));
                }
            }
        }
    }
}

/// Delivers until the server is gone.
pub fn mailer(
    ledger: &Ledger,
    lmtp: SocketAddr,
    name: &str,
    mut chance: StdRng,
    over: &AtomicBool,
) {
    let Ok(mut client) = Lmtp::connect(lmtp) else { return };
    let mut count = 0;
    while !over.load(Ordering::SeqCst) {
        count += 1;
        let token = format!("{name}n{count}");
        let size =
            if chance.random_ratio(1, 20) { 200_000 } else { chance.random_range(500..40_000) };
        let first = chance.random_range(0..ACCOUNTS.len());
        let to = &ACCOUNTS[first..chance.random_range(first..ACCOUNTS.len()) + 1];
        to.iter().for_each(|account| ledger.note(account, &token, size, Known::Unknown));
        match client.deliver(SENDER, to, &message(&token, size)) {
            Ok(answers) => note_answers(ledger, to, &token, size, &answers),
            Err(_) => return,
        }
    }
}

fn note_answers(ledger: &Ledger, to: &[&str], token: &str, size: usize, answers: &[Answer]) {
    assert_eq!(answers.len(), to.len(), "an answer for each recipient: {answers:?}");
    for (account, answer) in to.iter().zip(answers) {
        match answer.code {
            250 => ledger.note(account, token, size, Known::Acknowledged),
            400..500 => {}
            _ => panic!("{account} was refused for good: {answer:?}"),
        }
    }
}

/// Reads new mail, which sets `\Seen`, and remembers which UID stood for what.
pub fn reader(ledger: &Ledger, imap: SocketAddr, account: &str, over: &AtomicBool) {
    let mut read = || -> io::Result<()> {
        let mut client = Imap::login(imap, account)?;
        let selected = client.ok("SELECT INBOX")?;
        let validity = selected.code("UIDVALIDITY").unwrap()[0].parse().unwrap();
        let mut next: u32 = selected.code("UIDNEXT").unwrap()[0].parse().unwrap();
        while !over.load(Ordering::SeqCst) {
            client.ok("NOOP")?;
            let new = client.ok(&format!("UID FETCH {next}:* (BODY[])"))?;
            for (_, items) in new.fetches() {
                let Some(body) = item(&items, "BODY[]") else { continue };
                let uid = item(&items, "UID").unwrap().number() as u32;
                ledger.bind(account, validity, uid, &token(body.octets()).unwrap());
                next = next.max(uid + 1);
            }
        }
        Ok(())
    };
    // The server was killed: what was read stays bound.
    let _ = read();
}
