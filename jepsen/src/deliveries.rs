//! Deliveries by LMTP, what was answered, and what must be there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

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
/// A server that acknowledges less than is waited for within this time hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is known of one message to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It got its 250.
    Acknowledged,
    /// No answer came, or one that says to try again.
    Unknown,
    /// The same, and it is not tried again.
    GivenUp,
}

/// A message as it is found in an INBOX.
#[derive(Debug, Clone)]
struct Found {
    uid: u32,
    token: String,
    /// Its bytes, if they were read this time.
    octets: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    /// By account and token: size of the message and what is known.
    sent: BTreeMap<(String, String), (usize, Known)>,
    /// By account, UIDVALIDITY and UID: the token that was seen there.
    bindings: HashMap<(String, u64, u32), String>,
    /// By account: the UID up to which bytes were compared.
    compared: HashMap<String, u32>,
    /// Messages of the mailers that were acknowledged.
    acknowledged: u64,
}

impl State {
    fn note(&mut self, account: &str, token: &str, size: usize, known: Known) {
        self.sent.insert((account.to_string(), token.to_string()), (size, known));
    }

    fn bind(&mut self, account: &str, validity: u64, uid: u32, token: &str) -> Result<(), String> {
        let key = (account.to_string(), validity, uid);
        let bound = self.bindings.entry(key).or_insert_with(|| token.to_string());
        match bound == token {
            true => Ok(()),
            false => Err(format!("{account}: UID {uid} stands for {bound} and for {token}")),
        }
    }

    /// Compares an INBOX with what was sent.
    fn judge(&mut self, account: &str, validity: u64, found: &[Found]) -> Result<(), String> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for message in found {
            self.bind(account, validity, message.uid, &message.token)?;
            self.compare(account, message)?;
            *times.entry(&message.token).or_insert(0) += 1;
        }
        for ((_, token), (_, known)) in self.sent.iter().filter(|((to, _), _)| to == account) {
            match (known, times.get(token.as_str()).copied().unwrap_or(0)) {
                (Known::Acknowledged, 1) | (Known::Unknown | Known::GivenUp, 0 | 1) => {}
                (known, times) => {
                    return Err(format!("{account} has {token} ({known:?}) {times} times"));
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, account: &str, found: &Found) -> Result<(), String> {
        let Found { uid, token, octets } = found;
        let key = (account.to_string(), token.clone());
        let Some((size, _)) = self.sent.get(&key) else {
            return Err(format!("{account} has {token}, which nobody sent"));
        };
        let Some(octets) = octets else { return Ok(()) };
        if without_trace(octets) != message(token, *size) {
            return Err(format!("{account}: {token} came back with other bytes"));
        }
        let last = self.compared.entry(account.to_string()).or_insert(0);
        *last = (*uid).max(*last);
        Ok(())
    }
}

/// Everything that was sent, and who waits for more of it to be acknowledged.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<State>, Condvar);

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How many messages of mailers were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.state().acknowledged
    }

    /// Waits until so many were; whether that came in time.
    pub fn wait_for(&self, acknowledged: u64) -> bool {
        let fewer = |state: &mut State| state.acknowledged < acknowledged;
        let waited = self.1.wait_timeout_while(self.state(), PATIENCE, fewer);
        !waited.unwrap().1.timed_out()
    }

    fn count_acknowledged(&self) {
        self.state().acknowledged += 1;
        self.1.notify_all();
    }

    fn note(&self, account: &str, token: &str, size: usize, known: Known) {
        self.state().note(account, token, size, known);
    }

    /// Sends half of what had no answer again, as an MTA does: it must be there
    /// once from now on. The others are given up.
    pub fn retry_unknown(&self, server: &Redoubt) {
        let mut client = Lmtp::connect(server.lmtp()).unwrap();
        for (n, ((token, size), accounts)) in self.unknown().into_iter().enumerate() {
            if n % 2 == 1 {
                accounts.iter().for_each(|to| self.note(to, &token, size, Known::GivenUp));
                continue;
            }
            let to: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let answers = client.deliver(SENDER, &to, &message(&token, size)).unwrap();
            for (account, answer) in accounts.iter().zip(answers) {
                assert_eq!(answer.code, 250, "{answer:?}");
                self.note(account, &token, size, Known::Acknowledged);
            }
        }
    }

    /// Token and size of what had no answer, with the accounts that it was for.
    fn unknown(&self) -> BTreeMap<(String, usize), Vec<String>> {
        let mut unknown: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
        for ((account, token), (size, known)) in &self.state().sent {
            if *known == Known::Unknown {
                unknown.entry((token.clone(), *size)).or_default().push(account.clone());
            }
        }
        unknown
    }

    /// Compares what is there with what was sent.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(&self, server: &Redoubt) -> Result<(), String> {
        for account in ACCOUNTS {
            let (validity, found) = self.read(server, account);
            self.state().judge(account, validity, &found)?;
        }
        Ok(())
    }

    /// What an account's INBOX holds, with the bytes of what was not compared yet.
    fn read(&self, server: &Redoubt, account: &str) -> (u64, Vec<Found>) {
        let mut client = Imap::login(server.imap(), account).unwrap();
        let selected = client.ok("EXAMINE INBOX").unwrap();
        let validity = selected.code("UIDVALIDITY").unwrap()[0].parse().unwrap();
        let known = client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
        let mut found: BTreeMap<u32, Found> = BTreeMap::new();
        for (_, items) in known.fetches() {
            let uid = item(&items, "UID").unwrap().number() as u32;
            let (_, subject) = items.iter().find(|(name, _)| name.starts_with("BODY[")).unwrap();
            let token = token(subject.octets()).unwrap();
            found.insert(uid, Found { uid, token, octets: None });
        }
        let compared = self.state().compared.get(account).copied().unwrap_or(0);
        let new = client.ok(&format!("UID FETCH {}:* (BODY.PEEK[])", compared + 1)).unwrap();
        for (_, items) in new.fetches() {
            let uid = item(&items, "UID").unwrap().number() as u32;
            let octets = item(&items, "BODY[]").unwrap().octets().to_vec();
            found.get_mut(&uid).unwrap().octets = Some(octets);
        }
        (validity, found.into_values().collect())
    }

    /// Fills in the numbers of deliveries.
    pub fn count(&self, report: &mut Report) {
        let state = self.state();
        let seen: std::collections::HashSet<(&str, &str)> = state
            .bindings
            .iter()
            .map(|((account, _, _), token)| (account.as_str(), token.as_str()))
            .collect();
        for ((account, token), (_, known)) in &state.sent {
            match known {
                Known::Acknowledged => report.acknowledged += 1,
                Known::Unknown | Known::GivenUp => {
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

/// Only what is sure counts: where anything was deferred, all stay unknown.
fn note_answers(ledger: &Ledger, to: &[&str], token: &str, size: usize, answers: &[Answer]) {
    for answer in answers {
        assert!(matches!(answer.code, 250 | 400..500), "{to:?} refused for good: {answer:?}");
    }
    if answers.len() == to.len() && answers.iter().all(|answer| answer.code == 250) {
        to.iter().for_each(|account| ledger.note(account, token, size, Known::Acknowledged));
        ledger.count_acknowledged();
    }
}

/// Reads new mail, which sets `\Seen`, and remembers which UID stood for what.
pub fn reader(ledger: &Ledger, imap: SocketAddr, account: &str, over: &AtomicBool) {
    let read = || -> io::Result<()> {
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
                let token = token(body.octets()).unwrap();
                ledger.state().bind(account, validity, uid, &token).unwrap();
                next = next.max(uid + 1);
            }
        }
        Ok(())
    };
    // The server was killed: what was read stays bound.
    let _ = read();
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: &str = ACCOUNTS[0];

    /// Three were acknowledged, of one nobody knows.
    fn state() -> State {
        let mut state = State::default();
        for token in ["a", "b", "c"] {
            state.note(TO, token, 900, Known::Acknowledged);
        }
        state.note(TO, "d", 900, Known::Unknown);
        state
    }

    fn found(uid: u32, token: &str) -> Found {
        let octets = [b"Return-Path: <s@example.net>\r\n".as_slice(), &message(token, 900)];
        Found { uid, token: token.into(), octets: Some(octets.concat()) }
    }

    fn all(tokens: &[&str]) -> Vec<Found> {
        (1..).zip(tokens).map(|(uid, token)| found(uid, token)).collect()
    }

    #[test]
    fn what_was_acknowledged_and_what_may_be_there_pass() {
        assert_eq!(state().judge(TO, 1, &all(&["a", "b", "c"])), Ok(()));
        assert_eq!(state().judge(TO, 1, &all(&["d", "c", "b", "a"])), Ok(()));
    }

    fn wrong(found: &[Found], expected: &str) {
        let verdict = state().judge(TO, 1, found).unwrap_err();
        assert!(verdict.contains(expected), "{verdict}");
    }

    #[test]
    fn lost_doubled_and_invented_messages_are_caught() {
        wrong(&all(&["a", "c"]), "has b (Acknowledged) 0 times");
        wrong(&all(&["a", "b", "c", "b"]), "has b (Acknowledged) 2 times");
        wrong(&all(&["a", "b", "c", "d", "d"]), "has d (Unknown) 2 times");
        wrong(&all(&["a", "b", "c", "x"]), "has x, which nobody sent");
        wrong(&[], "0 times");
    }

    #[test]
    fn a_changed_byte_is_caught() {
        let mut messages = all(&["a", "b", "c"]);
        *messages[1].octets.as_mut().unwrap().last_mut().unwrap() ^= 1;
        wrong(&messages, "b came back with other bytes");
        messages[1].octets.as_mut().unwrap().pop();
        wrong(&messages, "b came back with other bytes");
    }

    #[test]
    fn a_uid_that_stands_for_two_messages_is_caught() {
        let mut state = state();
        state.judge(TO, 1, &all(&["a", "b", "c"])).unwrap();
        let verdict = state.judge(TO, 1, &all(&["b", "a", "c"])).unwrap_err();
        assert!(verdict.contains("UID 1 stands for a and for b"), "{verdict}");
        assert_eq!(state.judge(TO, 2, &all(&["b", "a", "c"])), Ok(()));
    }
}
