//! Dead mail leaves the packs of every node, and who was away meanwhile comes back without it.

use std::time::Duration;

use redoubt_tests::cluster::{Cluster, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::packs::{is_in_packs, planted};

use super::mail::{ALICE, alice};

const PATIENCE: Duration = Duration::from_secs(180);

fn reads(cluster: &Cluster, n: usize, mails: std::ops::Range<usize>) {
    let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    for (uid, n) in mails.enumerate() {
        let reply = imap.ok(&format!("FETCH {} BODY.PEEK[]", uid + 1)).unwrap();
        let (whole, body) = (reply.untagged.concat(), planted(n));
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
        assert!(imap.append("INBOX", "", &planted(n)).unwrap().is_ok());
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
            |node: usize| (0..3).all(|n| !is_in_packs(cluster.node(node).data(), &planted(n)));
        (is_gone(leader) && is_gone(other)).then_some(())
    });
    assert!(gone.is_some(), "expunged mail is still in the packs");
    cluster.node_mut(away).start_again();
    cluster.caught_up();
    for n in [leader, other, away] {
        reads(&cluster, n, 3..6);
        assert!(
            (0..3)
                .all(|mail_n| n != away || !is_in_packs(cluster.node(n).data(), &planted(mail_n)))
        );
        assert_eq!(cluster.verb(n, &["check"]).0, 0);
    }
    // What died comes again, and is everybody's.
    assert!(imap.append("INBOX", "", &planted(0)).unwrap().is_ok());
    cluster.caught_up();
    let mut imap = Imap::login(cluster.node(away).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let reply = imap.ok("FETCH 4 BODY.PEEK[]").unwrap();
    assert!(reply.untagged.concat().windows(planted(0).len()).any(|window| window == planted(0)));
}
