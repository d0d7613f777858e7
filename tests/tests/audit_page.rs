//! docs/audit.md, told by its own commands: every line of it is typed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use redoubt_tests::imap::Imap;
use redoubt_tests::page::{Page, types};
use redoubt_tests::scene::Scene;

struct Story {
    scene: Scene,
    page: Page,
    typed: BTreeSet<String>,
}

impl Story {
    /// Types all commands below a heading, which must all be done.
    fn below(&mut self, heading: &str) -> Vec<String> {
        let out = format!("{}/", self.scene.folder.path().display());
        let commands = self.page.commands(heading);
        let typed = commands.iter().map(|command| {
            let (code, said) = types(&self.scene.server, command, &[("OUT/", &out)]);
            assert_eq!(code, 0, "{command}: {said}");
            said
        });
        let said = typed.collect();
        self.typed.extend(commands);
        said
    }
}

#[test]
fn the_page_says_what_is() {
    let scene = Scene::of(&["alice@example.org", "bob@example.org"]);
    scene.fill("alice@example.org", &["invoice", "lunch"]);
    let mut imap = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    scene.code(&["discover", "invoice", "--all", "--reason", "case 7"], 0);
    let mut story = Story { scene, page: Page::read("audit.md"), typed: BTreeSet::new() };
    let listed = story.below("Who did what");
    assert!(listed[0].contains("discovery-begin") && listed[0].contains("WHOSE"), "{}", listed[0]);
    assert!(listed[1].contains("set-flags") && listed[1].contains("expunge"), "{}", listed[1]);
    assert!(listed.iter().any(|said| said.contains("\"reason\":\"case 7\"")));
    let looked = story.below("Who looked, and who logged in");
    assert!(looked[2].contains("mail-read") && looked[2].contains("ticket 12"), "{}", looked[2]);
    let exported = story.below("To a file");
    assert!(exported.iter().all(|said| said.contains("lines up to entry")));
    story.below("Heads that are kept outside");
    let held = story.below("Whether the log is what it was");
    assert!(held[0].contains("the log begins with every one"), "{}", held[0]);
    let all = story.page.text().lines().filter(|line| line.starts_with("$ redoubt ")).count();
    assert_eq!(story.typed.len(), all, "every command is typed");
}
