//! Mail into one node and out of another, by real clients.

use std::collections::BTreeSet;

use redoubt_tests::cluster::{Cluster, PATIENCE, until};
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

pub(crate) const ALICE: &str = "alice@example.org";

/// A cluster with the account alice.
pub(crate) fn with_alice(count: usize) -> Cluster {
    let cluster = Cluster::of(count);
    alice(&cluster);
    cluster
}

pub(crate) fn alice(cluster: &Cluster) {
    cluster.node(0).domain("example.org");
    cluster.node(0).account(ALICE);
}

/// Delivers through a node; it must be taken at once.
pub(crate) fn deliver(cluster: &Cluster, n: usize, token: &str) {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp()).unwrap();
    let answers = lmtp.deliver("s@example.net", &[ALICE], &message(token, 2000)).unwrap();
    assert_eq!(answers[0].code, 250, "{token} through node {n}: {}", answers[0].text);
}

/// Delivers as an MTA does: again and again until it is taken.
pub(crate) fn deliver_until_taken(cluster: &Cluster, n: usize, token: &str) {
    let mut last = String::new();
    let taken = until(PATIENCE, || match attempt(cluster, n, token) {
        Ok((250, _)) => Some(()),
        Ok((code, text)) => {
            last = format!("{code} {text}");
            None
        }
        Err(error) => {
            last = error.to_string();
            None
        }
    });
    assert!(taken.is_some(), "{token} was not taken through node {n}: {last}");
}

fn attempt(cluster: &Cluster, n: usize, token: &str) -> std::io::Result<(u16, String)> {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp())?;
    let answers = lmtp.deliver("s@example.net", &[ALICE], &message(token, 2000))?;
    Ok((answers[0].code, answers[0].text.clone()))
}

/// The tokens in alice's INBOX as a node shows it, each once.
pub(crate) fn tokens(cluster: &Cluster, n: usize) -> BTreeSet<String> {
    tokens_of(cluster, n, ALICE)
}

/// The same of another account.
pub(crate) fn tokens_of(cluster: &Cluster, n: usize, account: &str) -> BTreeSet<String> {
    let mut imap = Imap::login(cluster.node(n).imap(), account).unwrap();
    subjects(&mut imap)
}

/// The same in a session that is open.
pub(crate) fn subjects(imap: &mut Imap) -> BTreeSet<String> {
    let examined = imap.ok("EXAMINE INBOX").unwrap();
    let empty = examined.untagged.iter().any(|line| line.starts_with(b"0 EXISTS"));
    if empty {
        return BTreeSet::new();
    }
    let fetched = imap.ok("FETCH 1:* (ENVELOPE)").unwrap().fetches();
    let mut found = BTreeSet::new();
    for (_, items) in &fetched {
        let subject = item(items, "ENVELOPE").unwrap().list()[1].text();
        assert!(found.insert(subject.clone()), "{subject} is there twice");
    }
    found
}

pub(crate) fn set<T: AsRef<str>>(tokens: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    tokens.into_iter().map(|token| token.as_ref().to_owned()).collect()
}

/// Every node shows exactly these, and finds nothing wrong with itself.
pub(crate) fn all_agree(cluster: &Cluster, expected: &BTreeSet<String>) {
    agree(cluster, &cluster.running().collect::<Vec<_>>(), expected);
}

/// The same of some nodes.
pub(crate) fn agree(cluster: &Cluster, nodes: &[usize], expected: &BTreeSet<String>) {
    cluster.caught_up();
    for n in nodes {
        assert_eq!(&tokens(cluster, *n), expected, "node {n}");
    }
    let hashes: BTreeSet<String> =
        nodes.iter().map(|n| state_hash(cluster, *n).1.to_string()).collect();
    assert_eq!(hashes.len(), 1, "all have the same state");
}

/// What a node has applied, and the state's hash there; it finds nothing wrong with itself.
pub(crate) fn state_hash(cluster: &Cluster, n: usize) -> (u64, serde_json::Value) {
    let checked = cluster.node(n).verb(&["check", "--json"]);
    let checked: serde_json::Value = serde_json::from_str(checked.trim()).unwrap();
    assert_eq!(checked["findings"], serde_json::json!([]), "node {n}");
    (checked["index"].as_u64().unwrap(), checked["state_hash"].clone())
}
