//! docs/discovery.md, told by its own commands: every line of it is typed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use redoubt_tests::imap::Imap;
use redoubt_tests::messages::message;
use redoubt_tests::page::{Page, types};
use redoubt_tests::process::Redoubt;
use serde_json::Value;

struct Scene {
    server: Redoubt,
    folder: tempfile::TempDir,
    page: Page,
    typed: std::collections::BTreeSet<String>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&folder.path().join("data"));
        server.domain("example.org");
        for account in ["alice@example.org", "bob@example.org"] {
            server.account(account);
            let mut imap = Imap::login(server.imap(), account).unwrap();
            for token in ["invoice 1", "invoice 2", "lunch"] {
                assert!(imap.append("INBOX", "", &message(token, 600)).unwrap().is_ok());
            }
        }
        let page = Page::read("discovery.md");
        Self { server, folder, page, typed: Default::default() }
    }

    /// Types a command of the page; its exit code and what it says.
    fn types(&mut self, command: &str, words: &[(&str, &str)]) -> (i32, String) {
        self.typed.insert(command.to_owned());
        let out = format!("{}/", self.folder.path().display());
        types(&self.server, command, &[&[("OUT/", out.as_str())], words].concat())
    }

    fn done(&mut self, command: &str, words: &[(&str, &str)]) -> String {
        let (code, said) = self.types(command, words);
        assert_eq!(code, 0, "{command}: {said}");
        said
    }

    fn moment(&self) -> String {
        let status: Value = serde_json::from_str(&self.server.verb(&["status", "--json"])).unwrap();
        format!("@{}", status["store"]["applied"])
    }
}

#[test]
fn the_page_says_what_is() {
    let mut scene = Scene::new();
    let then = scene.moment();
    let mut imap = Imap::login(scene.server.imap(), "bob@example.org").unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();

    let search = scene.page.commands("A search");
    assert!(scene.done(&search[0], &[]).contains("4 emails found"));
    assert!(scene.done(&search[1], &[]).contains("3 emails found"));
    assert!(scene.done(&search[2], &[]).contains("1 email found"));
    let said = scene.done(&search[3], &[("MOMENT", &then)]);
    assert!(said.contains("4 emails found") && said.contains("mail as of entry"), "{said}");

    let look = scene.page.commands("Looking at searches");
    let begun = scene.done(&look[0], &[]);
    let job = begun.split([' ', ':']).nth(1).unwrap().to_owned();
    let words = [("JOB", job.as_str())];
    assert!(scene.done(&look[1], &[]).contains(&job));
    while !scene.done(&look[2], &words).contains("completed") {}
    assert!(scene.done(&look[3], &words).contains("more: redoubt discover show"));
    assert!(scene.done(&look[4], &words).contains("0 emails of what it found"));

    let cancel = scene.page.commands("Stopping one");
    let (code, said) = scene.types(&cancel[0], &words);
    assert_eq!((code, said.contains("has ended already")), (1, true), "{said}");

    let exports = scene.page.commands("An export");
    for command in &exports {
        let said = scene.done(command, &words);
        assert!(said.contains("4 emails exported") && said.contains("is whole"), "{said}");
    }
    let head = scene.folder.path().join("eml/proof/head.txt");
    std::fs::copy(head, scene.folder.path().join("eml-head.txt")).unwrap();
    let check = scene.page.commands("Checking an export");
    for command in &check[..4] {
        scene.done(command, &[]);
    }
    let (code, said) = scene.types(&check[4], &[]);
    assert_eq!((code, said.contains("origin not proven")), (3, true), "{said}");

    for command in &check[5..] {
        scene.done(command, &[]);
    }

    for command in scene.page.commands("Removing what it found") {
        scene.done(&command, &words);
    }
    assert!(!scene.done(&look[1], &[]).contains(&job));

    let all = scene.page.text().lines().filter(|line| line.starts_with("$ redoubt ")).count();
    assert_eq!(scene.typed.len(), all, "every command is typed");
}
