//! What attempts to get round a rule have in common: mail that it keeps, and mail beside it that
//! is free to go, so that it is seen to go.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use redoubt_store::mailstore::{Mailstore, OpenError, Options};

use crate::cluster::until;
use crate::imap::Imap;
use crate::packs::{is_in_packs, planted};
use crate::process::Redoubt;
use crate::scene::Scene;

/// Until something has to have come.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Under no rule: what goes there says that things go.
pub const ERIN: &str = "erin@example.com";
/// What is kept, whose it may be.
pub const KEPT: Range<usize> = 0..7;

/// A message comes into a mailbox.
pub fn put(server: &Redoubt, account: &str, mailbox: &str, octets: &[u8]) {
    let mut imap = Imap::login(server.imap(), account).unwrap();
    assert!(imap.append(mailbox, "", octets).unwrap().is_ok());
}

/// So much that its death is worth writing packs anew.
pub fn put_what_is_free(server: &Redoubt, free: Range<usize>) {
    free.for_each(|n| put(server, ERIN, "INBOX", &planted(n)));
}

/// Mail that no rule is over goes: then the same was done to all.
pub fn until_what_is_free_has_gone(scene: &Scene, free: Range<usize>) {
    let data = scene.server.data().to_owned();
    scene.empty(ERIN);
    let gone = until(PATIENCE, || {
        // The log's time goes on with its records.
        put(&scene.server, ERIN, "Drafts", b"Subject: again\r\n\r\nand again\r\n");
        (!is_in_packs(&data, &planted(free.start))).then_some(())
    });
    assert!(gone.is_some(), "mail that nothing keeps stays");
}

/// A user expunges all of a mailbox.
pub fn expunge_all(server: &Redoubt, account: &str, mailbox: &str) {
    let mut imap = Imap::login(server.imap(), account).unwrap();
    imap.ok(&format!("SELECT {mailbox}")).unwrap();
    imap.ok("STORE 1:* +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
}

/// All that is kept lies in the packs.
pub fn all_there(data: &Path, what: &str) {
    for n in KEPT {
        assert!(is_in_packs(data, &planted(n)), "{what}: mail {n} is lost");
    }
}

/// A program of the release before, which knows no such rules, refuses the state.
pub fn with_an_old_program(data: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let old = Options { level: 2, ..Options::new(data) };
    let refused = runtime.block_on(Mailstore::open(old));
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::TooOld { level: 3, supported: 2 }), "{refused}");
}
