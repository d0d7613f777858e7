//! A restore goes on while leadership changes: the plan lies on every node.

use redoubt_tests::cluster::PATIENCE;
use redoubt_tests::cluster::until;
use redoubt_tests::imap::Imap;
use serde_json::Value;

use super::mail::{ALICE, all_agree, set, with_alice};

const EMAILS: usize = 3000;

fn mbox() -> String {
    let one = |n: usize| {
        format!(
            "From a@example.net Thu Jan  1 00:00:00 2026\nFrom: a@example.net\n\
             Message-ID: <{n}@example.net>\nSubject: r{n}\n\nbody {n}\n\n"
        )
    };
    (0..EMAILS).map(one).collect()
}

#[test]
fn a_restore_goes_on_under_another_leader() {
    let mut cluster = with_alice(3);
    let file = cluster.home().join("mail.mbox");
    std::fs::write(&file, mbox()).unwrap();
    let first = cluster.leader();
    let node = cluster.node(first);
    node.verb(&["import", "--account", ALICE, file.to_str().unwrap()]);
    let status: Value = serde_json::from_str(&node.verb(&["status", "--json"])).unwrap();
    let then = format!("@{}", status["store"]["applied"]);
    let mut imap = Imap::login(node.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let follower = cluster.follower();
    cluster.caught_up();
    let begin = ["restore", "undelete", ALICE, "--since", &then, "--yes", "--no-wait", "--json"];
    let begun: Value = serde_json::from_str(&cluster.node(follower).verb(&begin)).unwrap();
    let id = begun["id"].as_str().unwrap().to_owned();
    // The leader dies in the middle of it.
    cluster.node_mut(first).kill();
    let mut last = String::new();
    let ended = until(PATIENCE, || {
        let (code, said) = cluster.verb(follower, &["restore", "show", &id, "--json"]);
        last = format!("{code} {said}");
        let body: Value = serde_json::from_str(said.lines().next()?).ok()?;
        (code == 0 && body["state"] == "completed").then_some(body)
    });
    let body = ended.unwrap_or_else(|| panic!("the restore ends under the next leader: {last}"));
    assert_eq!((&body["created"], &body["failed"]), (&EMAILS.into(), &0.into()));
    cluster.node_mut(first).start_again();
    all_agree(&cluster, &set((0..EMAILS).map(|n| format!("r{n}"))));
}
