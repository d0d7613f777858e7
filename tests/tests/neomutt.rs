//! neomutt in a terminal: keys pressed change the mailboxes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::programs::{Scene, contents};

const ALICE: &str = "alice@example.org";

/// Presses keys, the last of which must end neomutt.
fn press(scene: &Scene, keys: &str) {
    let imap = scene.server.imap();
    let rc = scene.file(
        "muttrc",
        format!(
            "set imap_user={ALICE}\nset imap_pass=secret\nset folder=imap://{imap}/\n\
             set spoolfile=+INBOX\nset ssl_starttls=no\nset ssl_force_tls=no\nset quit=yes\nset delete=yes\n\
             set confirmappend=no\nset confirmcreate=no\nset sort=mailbox-order\n\
             set wait_key=no\nset imap_check_subscribed=no\nset move=no\n\
             push '{keys}'\n"
        ),
    );
    // neomutt wants a terminal.
    let command = format!("neomutt -n -F {}", rc.display());
    scene.run("script", &["--quiet", "--return", "--command", &command, "/dev/null"]);
}

#[test]
fn keys_pressed_change_the_mailboxes() {
    let scene = Scene::new();
    for n in 0..5 {
        scene.deliver(&[ALICE], &message(&format!("m{n}"), 800));
    }
    press(
        &scene,
        "<first-entry><flag-message><tag-pattern>~s m[234]<enter>\
         <tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>",
    );
    let imap = &mut scene.imap(ALICE);
    let inbox = contents(imap, "INBOX");
    assert_eq!(inbox.keys().collect::<Vec<_>>(), ["m0", "m1"]);
    assert!(inbox["m0"].flags.contains("\\Flagged"), "{inbox:?}");
    assert!(!inbox["m1"].flags.contains("\\Flagged"), "{inbox:?}");
    let archive = contents(imap, "Archive");
    assert_eq!(archive.keys().collect::<Vec<_>>(), ["m2", "m3", "m4"]);
    for (token, moved) in &archive {
        assert_eq!(without_trace(&moved.content), message(token, 800));
    }
}

#[test]
fn reading_marks_as_read_and_deleting_deletes() {
    let scene = Scene::new();
    for n in 0..3 {
        scene.deliver(&[ALICE], &message(&format!("m{n}"), 800));
    }
    press(
        &scene,
        "<first-entry><display-message><exit><last-entry><delete-message>\
         <sync-mailbox><quit>",
    );
    let inbox = contents(&mut scene.imap(ALICE), "INBOX");
    assert_eq!(inbox.keys().collect::<Vec<_>>(), ["m0", "m1"]);
    assert!(inbox["m0"].flags.contains("\\Seen"), "{inbox:?}");
    assert!(!inbox["m1"].flags.contains("\\Seen"), "{inbox:?}");
}
