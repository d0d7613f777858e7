//! Each 250 exactly once in each accepted recipient's mailbox, with its bytes; what had no answer
//! at most once; nothing that nobody sent.

use std::collections::BTreeMap;

use super::Checked;
use super::report::Report;
use super::state::{Email, NodeState};
use crate::history::{Ask, Heard, History, Operation};

/// What is known of one message to one recipient, over all tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Every answer said that it will not be.
    Refused,
    /// It may be there.
    Open,
    /// It got its 250.
    Acknowledged,
}

#[derive(Debug)]
struct Sent<'a> {
    hash: &'a str,
    known: Known,
    last: &'a Operation,
}

/// By account and token.
type Book<'a> = BTreeMap<(&'a str, &'a str), Sent<'a>>;

/// The checker.
pub fn check(history: &History, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("deliveries");
    let delivered = delivered(history);
    let appended = appended(history);
    if finals.is_empty() && !delivered.is_empty() {
        report.unsure("no node's final state was read");
    }
    for (node, state) in finals {
        let found = found(state);
        for ((account, token), sent) in &delivered {
            let times = found.get(&(*account, *token)).map_or(0, Vec::len);
            judge(&mut report, *node, (account, token), sent, times);
        }
        for ((account, token), emails) in &found {
            let sent = delivered.get(&(*account, *token)).or(appended.get(&(*account, *token)));
            for email in emails {
                compare(&mut report, *node, (account, token), sent, email);
            }
        }
        damaged(&mut report, *node, state);
    }
    report.checked()
}

fn judge(
    report: &mut Report,
    node: u32,
    (account, token): (&str, &str),
    sent: &Sent<'_>,
    times: usize,
) {
    let what = match (sent.known, times) {
        (Known::Acknowledged, 1) => "acknowledged, there once",
        (Known::Open, 0) => "unknown, not there",
        (Known::Open, 1) => "unknown, there once",
        (Known::Refused, 0) => "refused",
        (known, times) => {
            let tell = sent.last.tell();
            return report.wrong(format!(
                "node {node}: {account} has {token} {times} times, {known:?}; last try {tell}"
            ));
        }
    };
    report.count(what, 1);
}

fn compare(
    report: &mut Report,
    node: u32,
    (account, token): (&str, &str),
    sent: Option<&Sent<'_>>,
    email: &Email,
) {
    match sent {
        None => report.wrong(format!("node {node}: {account} has {token}, which nobody sent")),
        Some(sent) if sent.hash != email.content.hash => {
            report
                .wrong(format!("node {node}: {account}: {token} has other octets than were sent"));
        }
        Some(_) => report.count("messages whose octets are right", 1),
    }
}

fn damaged(report: &mut Report, node: u32, state: &NodeState) {
    for (account, name, mailbox) in state.mailboxes() {
        for (uid, email) in &mailbox.emails {
            if let Err(why) = &email.content.token {
                report.wrong(format!("node {node}: {account} {name} UID {uid}: {why}"));
            }
        }
    }
}

fn found(state: &NodeState) -> BTreeMap<(&str, &str), Vec<&Email>> {
    let mut found: BTreeMap<(&str, &str), Vec<&Email>> = BTreeMap::new();
    for (account, _, mailbox) in state.mailboxes() {
        for email in mailbox.emails.values() {
            if let Ok(token) = &email.content.token {
                found.entry((account, token)).or_default().push(email);
            }
        }
    }
    found
}

fn delivered(history: &History) -> Book<'_> {
    let mut book = Book::new();
    for operation in &history.operations {
        let Ask::Deliver { token, hash, to } = &operation.ask else { continue };
        for account in to {
            let known = known(operation, account);
            let sent = book.entry((account.as_str(), token.as_str())).or_insert(Sent {
                hash,
                known,
                last: operation,
            });
            (sent.known, sent.last) = (sent.known.max(known), operation);
        }
    }
    book
}

fn known(operation: &Operation, account: &str) -> Known {
    let answer = operation.heard.iter().find_map(|heard| match heard {
        Heard::Answered(to, code) if to == account => Some(*code),
        _ => None,
    });
    match answer {
        Some(200..300) => Known::Acknowledged,
        Some(500..600) => Known::Refused,
        _ if operation.possible() => Known::Open,
        _ => Known::Refused,
    }
}

fn appended(history: &History) -> Book<'_> {
    let append = |operation: &'_ Operation| matches!(operation.ask, Ask::Append { .. });
    let appends = history.operations.iter().filter(|operation| append(operation));
    appends
        .filter_map(|operation| match &operation.ask {
            Ask::Append { token, hash, .. } if operation.possible() => {
                let key = (operation.account.as_str(), token.as_str());
                Some((key, Sent { hash, known: Known::Open, last: operation }))
            }
            _ => None,
        })
        .collect()
}
