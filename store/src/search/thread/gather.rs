//! Threads of one base subject become one (RFC 5256 section 3, REFERENCES, steps 4 and 5).

use std::collections::HashMap;

use super::Message;
use super::trees::NONE;

/// What stands at the top of a thread.
#[derive(Debug, Clone, Copy)]
struct Top {
    /// A message, or from the number of messages on one that is not there.
    node: u32,
    subject: u32,
    dummy: bool,
    /// Of a reply or forward; not of one that is not there.
    reply: bool,
}

/// Takes each message's parent, and gives each its parent after the threads were gathered.
pub(super) fn gather(messages: &[Message], ranked: &[u32], mut parents: Vec<u32>) -> Vec<u32> {
    let tops = tops(messages, ranked, &parents);
    let mut table = table(&tops);
    let count = u32::try_from(messages.len()).unwrap_or(NONE);
    let given = parents.iter().filter(|parent| **parent != NONE).max().copied();
    let mut next = given.map_or(count, |highest| count.max(highest.saturating_add(1)));
    // What a dummy that went became part of.
    let mut merged: HashMap<u32, u32> = HashMap::new();
    for top in tops.iter().filter(|top| top.subject != 0) {
        let Some(kept) = table.get_mut(&top.subject).filter(|kept| kept.node != top.node) else {
            continue;
        };
        if kept.dummy && top.dummy {
            merged.insert(top.node, kept.node);
        } else if kept.dummy || (top.reply && !kept.reply) {
            set(&mut parents, top.node, kept.node);
        } else {
            set(&mut parents, top.node, next);
            set(&mut parents, kept.node, next);
            *kept = Top { node: next, dummy: true, reply: false, ..*kept };
            next = next.saturating_add(1);
        }
    }
    for parent in &mut parents {
        *parent = merged.get(parent).copied().unwrap_or(*parent);
    }
    parents
}

/// The tops in their order (step 4); the subject of one that is not there is that of its first
/// child (step 5.B.i).
fn tops(messages: &[Message], ranked: &[u32], parents: &[u32]) -> Vec<Top> {
    let mut tops = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for at in ranked {
        let parent = parents.get(*at as usize).copied().unwrap_or(NONE);
        let Some(message) = messages.get(*at as usize) else { continue };
        let dummy = parent != NONE && parent as usize >= messages.len();
        let reply = message.reply && !dummy;
        if parent == NONE || (dummy && seen.insert(parent)) {
            let node = if dummy { parent } else { *at };
            tops.push(Top { node, subject: message.subject, dummy, reply });
        }
    }
    tops
}

/// Step 5.B: of each subject the one that the others go to.
fn table(tops: &[Top]) -> HashMap<u32, Top> {
    let mut table: HashMap<u32, Top> = HashMap::new();
    for top in tops.iter().filter(|top| top.subject != 0) {
        let kept = table.entry(top.subject).or_insert(*top);
        if !kept.dummy && (top.dummy || (kept.reply && !top.reply)) {
            *kept = *top;
        }
    }
    table
}

fn set(parents: &mut [u32], at: u32, parent: u32) {
    if let Some(to) = parents.get_mut(at as usize) {
        *to = parent;
    }
}
