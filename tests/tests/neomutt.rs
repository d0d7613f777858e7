//! neomutt in batch: tags all, moves them to Archive, flags one.
#![allow(clippy::unwrap_used)]

use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;
use redoubt_tests::programs::Scene;

#[test]
fn keys_pressed_change_the_mailboxes() {
    let scene = Scene::new();
    let mut lmtp = Lmtp::connect(scene.server.lmtp()).unwrap();
    for n in 0..5 {
        lmtp.deliver("s@example.net", &["alice@example.org"], &message(&format!("m{n}"), 800))
            .unwrap();
    }
    let imap = scene.server.imap();
    let rc = scene.file("muttrc", format!(
        "set imap_user=alice@example.org\nset imap_pass=secret\nset folder=imap://{imap}/\nset spoolfile=+INBOX\n\
         set ssl_starttls=no\nset quit=yes\nset delete=yes\nset confirmappend=no\nset confirmcreate=no\nset sort=mailbox-order\n\
         set header_cache=\"\"\nset wait_key=no\nset imap_check_subscribed=no\n"
    ));
    let keys = "push <first-entry><flag-message><tag-pattern>~s\\ \"m[234]\"<enter><tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>";
    let command = format!("neomutt -F {} -e '{keys}'", rc.display());
    scene.run("script", &["-qefc", &command, "/dev/null"]);
    let mut client = Imap::login(imap, "alice@example.org").unwrap();
    let status = client.ok("STATUS Archive (MESSAGES)").unwrap();
    assert_eq!(status.untagged, [b"STATUS Archive (MESSAGES 3)"]);
    client.ok("SELECT INBOX").unwrap();
    assert_eq!(client.ok("SEARCH FLAGGED SUBJECT m0").unwrap().search(), [1]);
    assert_eq!(client.ok("SEARCH ALL").unwrap().search(), [1, 2]);
}
