//! All nodes hold the same in the end: mailboxes, UIDs, flags, MODSEQs, octets; and where a node's
//! state hash and chain head were asked for, these too.

use super::Checked;
use super::report::Report;
use super::state::{Mailbox, Marks, NodeState};

/// The checker.
pub fn check(finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("replicas are equal");
    let Some(((first, state), others)) = finals.split_first() else {
        report.unsure("no node's final state was read");
        return report.checked();
    };
    let all: usize = state.mailboxes().map(|(_, _, mailbox)| mailbox.emails.len()).sum();
    report.count("nodes", finals.len() as u64);
    report.count("messages", all as u64);
    for (node, other) in others {
        accounts(&mut report, (*first, state), (*node, other));
        accounts(&mut report, (*node, other), (*first, state));
    }
    let marks: Vec<(u32, &Marks)> =
        finals.iter().filter_map(|(node, state)| Some((*node, state.marks.as_ref()?))).collect();
    hashes(&mut report, &marks);
    report.checked()
}

/// What the first has and the second has not, or otherwise.
fn accounts(report: &mut Report, (a, left): (u32, &NodeState), (b, right): (u32, &NodeState)) {
    for (account, name, mailbox) in left.mailboxes() {
        let place = format!("{account} {name}");
        match right.mailbox(account, name) {
            Some(other) if other == mailbox => {}
            Some(other) => mailboxes(report, &place, (a, mailbox), (b, other)),
            None => report.wrong(format!("{place}: node {a} has it, node {b} has it not")),
        }
    }
}

fn mailboxes(
    report: &mut Report,
    place: &str,
    (a, left): (u32, &Mailbox),
    (b, right): (u32, &Mailbox),
) {
    let head = |mailbox: &Mailbox| {
        let Mailbox { validity, next, highest, id, selectable, .. } = mailbox;
        format!(
            "{id} selectable {selectable} UIDVALIDITY {validity} UIDNEXT {next} HIGHESTMODSEQ {highest}"
        )
    };
    if head(left) != head(right) {
        report.wrong(format!("{place}: node {a} {}, node {b} {}", head(left), head(right)));
    }
    for (uid, email) in &left.emails {
        let other = right.emails.get(uid);
        if other != Some(email) {
            report.wrong(format!("{place} UID {uid}: node {a} {email:?}, node {b} {other:?}"));
        }
    }
}

fn hashes(report: &mut Report, marks: &[(u32, &Marks)]) {
    for (node, mark) in marks {
        let same = marks.iter().find(|(other, m)| other < node && m.index == mark.index);
        let Some((other, m)) = same else { continue };
        report.count("state hashes compared", 1);
        if m != mark {
            report.wrong(format!("node {other} {m:?}, node {node} {mark:?}"));
        }
    }
}
