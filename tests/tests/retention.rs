//! A real server with a short horizon: what was expunged leaves its files, what lives stays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::time::Duration;

use redoubt_tests::cluster::until;
use redoubt_tests::imap::Imap;
use redoubt_tests::packs::{is_in_packs, planted};
use redoubt_tests::process::Redoubt;

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn expunged_mail_leaves_the_packs_and_live_mail_stays() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Redoubt::start_with(&data, &[("REDOUBT_HISTORY_KEEP", "1s")]);
    server.domain("example.org");
    server.account("alice@example.org");
    let mut imap = Imap::login(server.imap(), "alice@example.org").unwrap();
    for n in 0..8 {
        assert!(imap.append("INBOX", "", &planted(n)).unwrap().is_ok());
    }
    assert!((0..8).all(|n| is_in_packs(&data, &planted(n))));
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:5 +FLAGS.SILENT (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let mut flagged = false;
    let gone = until(PATIENCE, || {
        // The log's time goes on with its records.
        flagged = !flagged;
        let sign = if flagged { '+' } else { '-' };
        imap.ok(&format!("STORE 1 {sign}FLAGS.SILENT (\\Flagged)")).unwrap();
        (0..5).all(|n| !is_in_packs(&data, &planted(n))).then_some(())
    });
    assert!(gone.is_some(), "expunged mail is still in the packs");
    for restarted in [false, true] {
        if restarted {
            server.stop();
            server.start_again();
            imap = Imap::login(server.imap(), "alice@example.org").unwrap();
            imap.ok("SELECT INBOX").unwrap();
        }
        for n in 1..=3 {
            let reply = imap.ok(&format!("FETCH {n} BODY.PEEK[]")).unwrap();
            let whole = reply.untagged.concat();
            let body = planted(n + 4);
            assert!(whole.windows(body.len()).any(|window| window == body), "mail {n}");
        }
        assert!(server.run(&["check"]).status.success());
    }
}
