//! Dead mail leaves the packs of every node, and who was away meanwhile comes back without it.

use std::path::Path;
use std::time::Duration;

use redoubt_log::id::BlobId;
use redoubt_tests::cluster::{Cluster, until};
use redoubt_tests::imap::Imap;

use super::mail::{ALICE, alice};

const PATIENCE: Duration = Duration::from_secs(180);

fn mail(n: usize) -> Vec<u8> {
    let body: String = (0..200).map(|line| format!("planted {n} in line {line}\r\n")).collect();
    format!("From: a@example.net\r\nSubject: {n}\r\n\r\n{body}").into_bytes()
}

fn is_in_packs(data: &Path, message: &[u8]) -> bool {
    let id = BlobId::of(message);
    std::fs::read_dir(data.join("shards/0/blobs")).unwrap().any(|file| {
        let path = file.unwrap().path();
        let pack = path.extension().is_some_and(|extension| extension == "pack");
        // One that is removed right now is not there any more.
        let octets = if pack { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        octets.windows(32).any(|window| window == id.0)
    })
}

fn reads(cluster: &Cluster, n: usize, mails: std::ops::Range<usize>) {
    let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    for (uid, n) in mails.enumerate() {
        let reply = imap.ok(&format!("FETCH {} BODY.PEEK[]", uid + 1)).unwrap();
        let (whole, body) = (reply.untagged.concat(), mail(n));
        assert!(whole.windows(body.len()).any(|window| window == body), "mail {n}");
    }
}

#[test]
fn who_was_away_while_mail_died_comes_back_without_it() {
    let mut cluster = Cluster::with(3, &[("REDOUBT_HISTORY_KEEP", "1s")]);
    alice(&cluster);
    let (leader, away) = (cluster.leader(), cluster.follower());
    let other = 3 - leader - away;
    cluster.caught_up();
    cluster.node_mut(away).kill();
    let mut imap = Imap::login(cluster.node(leader).imap(), ALICE).unwrap();
    for n in 0..6 {
        assert!(imap.append("INBOX", "", &mail(n)).unwrap().is_ok());
    }
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let mut flagged = false;
    let gone = until(PATIENCE, || {
        // The log's time goes on with its records.
        flagged = !flagged;
        let sign = if flagged { '+' } else { '-' };
        imap.ok(&format!("STORE 1 {sign}FLAGS.SILENT (\\Flagged)")).unwrap();
        let is_gone =
            |node: usize| (0..3).all(|n| !is_in_packs(cluster.node(node).data(), &mail(n)));
        (is_gone(leader) && is_gone(other)).then_some(())
    });
    assert!(gone.is_some(), "expunged mail is still in the packs");
    cluster.node_mut(away).start_again();
    cluster.caught_up();
    for n in [leader, other, away] {
        reads(&cluster, n, 3..6);
        assert!(
            (0..3).all(|mail_n| n != away || !is_in_packs(cluster.node(n).data(), &mail(mail_n)))
        );
        assert_eq!(cluster.verb(n, &["check"]).0, 0);
    }
    // What died comes again, and is everybody's.
    assert!(imap.append("INBOX", "", &mail(0)).unwrap().is_ok());
    cluster.caught_up();
    let mut imap = Imap::login(cluster.node(away).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let reply = imap.ok("FETCH 4 BODY.PEEK[]").unwrap();
    assert!(reply.untagged.concat().windows(mail(0).len()).any(|window| window == mail(0)));
}
