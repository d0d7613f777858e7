//! Who belongs to the cluster: tokens that admit a node once, and ids that are
//! never given twice.

use redoubt_log::id::NodeId;
use redoubt_log::record::{Done, HeadKey, NodeAdd, NodeRemove, Rejection, TokenAdd};

use super::Ruled;
use super::work::Work;
use crate::account::check_text;
use crate::keys::{Key, Meta, head_keys, tokens};
use crate::rows::{HeadKeyRow, NodeRow, TokenRow};
use crate::storage::{Table, decode};

/// The node that a cluster begins with; all others get their ids from the log.
pub(crate) const FIRST_NODE: NodeId = NodeId(1);
/// Tokens that are kept at one time.
const MAX_TOKENS: usize = 1000;
/// How long a token is remembered beyond its end, in milliseconds: a joiner that
/// crashed half-way shows it once more.
const TOKEN_LIFE: i64 = 24 * 3_600_000;
const MAX_ADDRESS: usize = 300;
/// Keys for signing heads that a lineage may have had.
const MAX_HEAD_KEYS: usize = 1000;

pub(crate) fn token_add(work: &mut Work<'_>, record: &TokenAdd) -> Ruled<Done> {
    forget_old_tokens(work)?;
    let key = Key::Token(record.token);
    if work.tx.get_raw(&key)?.is_some() {
        return Err(Rejection::Exists("this join token".into()).into());
    }
    if work.tx.scan(Table::Directory, &tokens(), MAX_TOKENS)?.len() >= MAX_TOKENS {
        return Err(Rejection::Limit(format!("{MAX_TOKENS} join tokens")).into());
    }
    let TokenAdd { expires, light, .. } = *record;
    work.tx.put(&key, &TokenRow { expires, light, node: None })?;
    Ok(Done::Unit)
}

fn forget_old_tokens(work: &mut Work<'_>) -> Ruled<()> {
    for (key, value) in work.tx.scan(Table::Directory, &tokens(), MAX_TOKENS)? {
        let row: TokenRow = decode(Table::Directory, &key, &value)?;
        if row.expires.0.saturating_add(TOKEN_LIFE) < work.time.0 {
            work.tx.delete_raw(Table::Directory, key);
        }
    }
    Ok(())
}

pub(crate) fn node_add(work: &mut Work<'_>, record: &NodeAdd) -> Ruled<Done> {
    check_text("a peer's address", &record.address, MAX_ADDRESS)?;
    let refused = |why: &str| Rejection::Token(why.to_owned());
    let key = Key::Token(record.token);
    let token: TokenRow = work.tx.get(&key)?.ok_or(refused("is not known"))?;
    if let Some(node) = token.node {
        return again(work, record, node);
    }
    if token.expires <= work.time {
        return Err(refused("has expired").into());
    }
    if token.light != record.light {
        return Err(refused(kind_of(token.light)).into());
    }
    let node = next_node(work)?;
    work.tx.put(&key, &TokenRow { node: Some(node), ..token })?;
    let NodeAdd { joiner, address, light, .. } = record.clone();
    let row = NodeRow { joiner: Some(joiner), address, light, added: work.time, removed: None };
    work.tx.put(&Key::Node(node), &row)?;
    Ok(Done::Node(node))
}

fn kind_of(light: bool) -> &'static str {
    match light {
        true => "admits a light voter only (`serve --light`)",
        false => "admits a full node only (`serve` without --light)",
    }
}

/// The same joiner asks again: a crash of either side may have lost the answer.
fn again(work: &Work<'_>, record: &NodeAdd, node: NodeId) -> Ruled<Done> {
    let row: NodeRow = work.tx.need(&Key::Node(node))?;
    if row.joiner != Some(record.joiner) {
        return Err(Rejection::Token("has been used".into()).into());
    }
    if row.removed.is_some() {
        return Err(Rejection::Token(format!("was used for node {node}, which is removed")).into());
    }
    Ok(Done::Node(node))
}

fn next_node(work: &mut Work<'_>) -> Ruled<NodeId> {
    let key = Key::Meta(Meta::NextNode);
    let next: u64 = work.tx.get(&key)?.unwrap_or(FIRST_NODE.0 + 1);
    let after = next.checked_add(1).ok_or(Rejection::Limit("node ids".into()))?;
    work.tx.put(&key, &after)?;
    Ok(NodeId(next))
}

/// A key is known for ever: what it has signed goes on being verified.
pub(crate) fn head_key(work: &mut Work<'_>, record: HeadKey) -> Ruled<Done> {
    let next: u64 = work.tx.get(&Key::Meta(Meta::NextNode))?.unwrap_or(FIRST_NODE.0 + 1);
    let row: Option<NodeRow> = work.tx.get(&Key::Node(record.node))?;
    if record.node.0 >= next || row.is_some_and(|row| row.removed.is_some()) {
        return Err(Rejection::NotFound(format!("node {}", record.node)).into());
    }
    let key = Key::HeadKey(record.key);
    if work.tx.get_raw(&key)?.is_some() {
        return Err(Rejection::Exists("this key".into()).into());
    }
    if work.tx.scan(Table::Directory, &head_keys(), MAX_HEAD_KEYS)?.len() >= MAX_HEAD_KEYS {
        return Err(Rejection::Limit(format!("{MAX_HEAD_KEYS} keys for heads")).into());
    }
    let row = HeadKeyRow { node: record.node, index: work.index, since: work.time };
    work.tx.put(&key, &row)?;
    Ok(Done::Unit)
}

pub(crate) fn node_remove(work: &mut Work<'_>, record: NodeRemove) -> Ruled<Done> {
    let key = Key::Node(record.node);
    let next: u64 = work.tx.get(&Key::Meta(Meta::NextNode))?.unwrap_or(FIRST_NODE.0 + 1);
    let row: Option<NodeRow> = work.tx.get(&key)?;
    if row.is_none() && record.node.0 >= next {
        return Err(Rejection::NotFound(format!("node {}", record.node)).into());
    }
    let row = row.unwrap_or_default();
    let removed = row.removed.or(Some(work.time));
    work.tx.put(&key, &NodeRow { removed, ..row })?;
    Ok(Done::Unit)
}
