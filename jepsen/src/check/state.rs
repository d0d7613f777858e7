//! What a node holds in the end, read through IMAP.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::history::{Ask, Content, Fetched, Heard, Operation, Recorder};
use crate::target::Target;
use crate::workload::imap::{Lost, Session, Style};
use crate::workload::wire::Over;

/// Messages that are read with one command.
const BATCH: usize = 50;

/// What a node holds in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// By account and name.
    pub accounts: BTreeMap<String, BTreeMap<String, Mailbox>>,
    /// What the node says of itself by other ways than IMAP, where somebody asked.
    pub marks: Option<Marks>,
}

/// Numbers of which any two nodes at one index have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The index of the applied state that they are of.
    pub index: u64,
    /// The hash of the state.
    pub state: String,
    /// The head of the chain of entries.
    pub chain: String,
}

/// One mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Whether it can be selected; of others nothing more is known.
    pub selectable: bool,
    /// UIDVALIDITY
    pub validity: u32,
    /// UIDNEXT
    pub next: u32,
    /// HIGHESTMODSEQ
    pub highest: u64,
    /// MAILBOXID
    pub id: String,
    /// By UID.
    pub emails: BTreeMap<u32, Email>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// MODSEQ
    pub modseq: u64,
    /// Sorted, without `\Recent`.
    pub flags: Vec<String>,
    /// EMAILID
    pub id: String,
    /// Its octets.
    pub content: Content,
}

impl NodeState {
    /// One mailbox.
    pub fn mailbox(&self, account: &str, name: &str) -> Option<&Mailbox> {
        self.accounts.get(account)?.get(name)
    }

    /// All mailboxes with their accounts and names.
    pub fn mailboxes(&self) -> impl Iterator<Item = (&str, &str, &Mailbox)> {
        self.accounts.iter().flat_map(|(account, mailboxes)| {
            mailboxes.iter().map(|(name, mailbox)| (account.as_str(), name.as_str(), mailbox))
        })
    }
}

/// Reads everything of these accounts at a node.
///
/// # Errors
/// When it cannot be read by then, and why.
pub fn read(target: &Target, accounts: &[String], deadline: Instant) -> Result<NodeState, String> {
    let mut state = NodeState::default();
    for account in accounts {
        let mailboxes = loop {
            match read_account(target, account) {
                Ok(mailboxes) => break mailboxes,
                Err(why) if Instant::now() >= deadline => {
                    return Err(format!("node {}, {account}: {why}", target.node));
                }
                Err(_) => std::thread::park_timeout(std::time::Duration::from_millis(300)),
            }
        };
        state.accounts.insert(account.clone(), mailboxes);
    }
    Ok(state)
}

fn read_account(target: &Target, account: &str) -> Result<BTreeMap<String, Mailbox>, String> {
    let (recorder, over) = (Recorder::new(Instant::now()), Over::default());
    let session = Session::login((&recorder, &over), target, ("final", account), Style::CondStore);
    let mut session = session.ok_or_else(|| last(&recorder))?;
    let mut mailboxes = BTreeMap::new();
    for heard in run(&mut session, Ask::List)?.heard {
        if let Heard::Listed(name, selectable) = heard {
            let mailbox =
                if selectable { read_mailbox(&mut session, &name)? } else { Mailbox::default() };
            mailboxes.insert(name, mailbox);
        }
    }
    Ok(mailboxes)
}

fn last(recorder: &Recorder) -> String {
    recorder.history().operations.pop().map_or(String::new(), |operation| operation.text)
}

fn run(session: &mut Session, ask: Ask) -> Result<Operation, String> {
    match session.run(ask) {
        Ok(operation) if operation.done() => Ok(operation),
        Ok(operation) => Err(operation.tell() + " " + &operation.text),
        Err(Lost(operation)) => Err(operation.tell() + " " + &operation.text),
    }
}

fn read_mailbox(session: &mut Session, name: &str) -> Result<Mailbox, String> {
    let mut mailbox = Mailbox { selectable: true, ..Mailbox::default() };
    let status = run(session, Ask::Status { mailbox: name.into() })?;
    run(session, Ask::Select { mailbox: name.into(), since: None })?;
    for heard in status.heard {
        if let Heard::Status(_, numbers) = heard {
            (mailbox.validity, mailbox.next) = (numbers.validity, numbers.next);
            (mailbox.highest, mailbox.id) = (numbers.highest, numbers.id);
        }
    }
    let listed = run(session, Ask::Fetch { from: 1 })?;
    let listed: Vec<&Fetched> = listed.fetched().collect();
    for some in listed.chunks(BATCH) {
        let contents = read_contents(session, some)?;
        for fetched in some {
            let (uid, email) = email(fetched, &contents)
                .ok_or_else(|| format!("{name}: an answer without what was asked: {fetched:?}"))?;
            mailbox.emails.insert(uid, email);
        }
    }
    Ok(mailbox)
}

fn read_contents(
    session: &mut Session,
    some: &[&Fetched],
) -> Result<BTreeMap<u32, Content>, String> {
    let first = some.first().and_then(|fetched| fetched.uid).unwrap_or(1);
    let last = some.last().and_then(|fetched| fetched.uid).unwrap_or(1);
    let read = run(session, Ask::Read { first, last })?;
    Ok(read.fetched().filter_map(|one| Some((one.uid?, one.content.clone()?))).collect())
}

fn email(fetched: &Fetched, contents: &BTreeMap<u32, Content>) -> Option<(u32, Email)> {
    let uid = fetched.uid?;
    let content = contents.get(&uid)?.clone();
    let (flags, id) = (fetched.flags.clone()?, fetched.email.clone()?);
    Some((uid, Email { modseq: fetched.modseq?, flags, id, content }))
}
