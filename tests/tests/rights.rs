//! Rights are those of now, whatever moment somebody goes back to: a real server whose disk is lost
//! comes back out of its repository as it was, and opens to nobody who was shut out since.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use redoubt_tests::cluster::said;
use redoubt_tests::disaster::{all_archived, archived, moment, strikes};
use redoubt_tests::imap::Imap;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.org";
const DORA: &str = "dora@example.org";
const EVE: &str = "eve@example.org";

struct World {
    server: Redoubt,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = archived(&folder.path().join("data"));
        server.domain("example.org");
        for account in [ALICE, BOB, CAROL, DORA, EVE] {
            server.account(account);
        }
        Self { server, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a token, in a file of this name; its id.
    fn token(&self, account: &str, name: &str) -> String {
        let made = self.server.verb(&["token", "add", "--account", account, "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        std::fs::write(self.file(name), made["secret"].as_str().unwrap()).unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    fn by(&self, token: &str, arguments: &[&str]) -> (i32, String) {
        let file = self.file(token).to_string_lossy().into_owned();
        said(&self.server.run(&[arguments, &["--token-file", file.as_str()]].concat()))
    }

    fn may(&self, token: &str, arguments: &[&str]) {
        let (code, text) = self.by(token, arguments);
        assert_eq!(code, 0, "{token} {arguments:?}: {text}");
    }

    fn may_not(&self, token: &str, arguments: &[&str], why: &str) {
        let (code, text) = self.by(token, arguments);
        assert!(code != 0 && text.contains(why), "{token} {arguments:?}: {code} {text}");
    }

    fn logs_in(&self, account: &str, password: &str) -> bool {
        let mut imap = Imap::connect(self.server.imap()).unwrap();
        imap.command(&format!("LOGIN {account} {password}")).unwrap().is_ok()
    }

    fn password(&self, account: &str, password: &str) {
        let wish = ["account", "passwd", account, "--password-stdin"];
        let (code, text) = said(&self.server.run_with_input(&wish, password.as_bytes()));
        assert_eq!(code, 0, "{text}");
    }
}

const SEARCH: &[&str] = &["discover", "invoice", "--account", ALICE];
const IN_CASE: &[&str] = &["discover", "invoice", "--matter", "case 7"];
const OF_BOB: &[&str] = &["matter", "show", "case 8"];

#[test]
fn a_recovery_to_an_earlier_moment_gives_nobody_back_what_was_taken() {
    let mut world = World::new();
    let server = &world.server;
    let lost = world.token(CAROL, "lost");
    for token in [BOB, CAROL, DORA, EVE] {
        world.token(token, token);
    }
    server.verb(&["role", "grant", BOB, "discovery"]);
    server.verb(&["role", "grant", CAROL, "discovery"]);
    world.may(CAROL, &["matter", "add", "case 7"]);
    world.may(CAROL, &["matter", "custodian", "add", "case 7", ALICE]);
    world.may(CAROL, &["matter", "member", "add", "case 7", DORA, "reviewer"]);
    world.may(CAROL, &["matter", "add", "case 8"]);
    world.may(CAROL, &["matter", "member", "add", "case 8", EVE, "reader"]);
    for (token, wish) in [("lost", SEARCH), (BOB, SEARCH), (DORA, IN_CASE), (EVE, OF_BOB)] {
        world.may(token, wish);
    }
    let then = moment(server);

    server.verb(&["token", "revoke", &lost]);
    server.verb(&["role", "revoke", BOB, "discovery"]);
    world.may(CAROL, &["matter", "close", "case 7"]);
    world.may(CAROL, &["matter", "member", "remove", "case 8", EVE]);
    world.may(CAROL, &["matter", "add", "case 9"]);
    server.verb(&["role", "grant", EVE, "auditor"]);
    world.token(EVE, "new");
    world.password(ALICE, "changed");
    server.verb(&["account", "lock", DORA]);
    all_archived(server);
    let listed = server.verb(&["token", "list", "--json"]);
    strikes(&mut world.server, &then, &[]);

    let recovered = world.server.verb(&["token", "list", "--json"]);
    assert_eq!(recovered, listed, "the tokens are those of before, as they were made");
    world.may_not("lost", SEARCH, "not known here, or was revoked");
    world.may_not(BOB, SEARCH, "role");
    world.may_not(CAROL, IN_CASE, "closed");
    world.may_not(EVE, OF_BOB, "matter");
    world.may_not(DORA, IN_CASE, "locked");
    assert!(world.logs_in(BOB, "secret") && world.logs_in(ALICE, "changed"));
    assert!(!world.logs_in(ALICE, "secret"), "the password was changed");
    assert!(!world.logs_in(DORA, "secret"), "the account was locked");
    // What was given since is there as well, and what nobody may without a token stays so.
    world.may("new", &["audit", "list", "--kind", "rights-kept"]);
    let (code, text) = said(&world.server.run(&["audit", "list"]));
    assert!(code == 5 && text.contains("auditor"), "{code} {text}");
    world.may(CAROL, SEARCH);
    // No id of a matter is given twice.
    world.may(CAROL, &["matter", "show", "case 9"]);
    let (_, made) = world.by(CAROL, &["matter", "add", "case 10", "--json"]);
    assert!(made.contains("\"matter\":4"), "{made}");
    world.server.verb(&["check"]);
}
