use crate::client::mail;
use crate::world::World;

#[tokio::test]
async fn metadata_needs_no_message() {
    let world = World::new().await;
    let mut alice = world.inbox(2).await;
    let size = mail(1).len();
    let fast = alice.ok("FETCH 1:2 FAST").await;
    assert!(fast.contains(&format!("RFC822.SIZE {size})\r\n* 2 FETCH ")), "{fast}");
    alice
        .says(
            "UID FETCH 2 (ENVELOPE)",
            &["* 2 FETCH (UID 2 ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\" \"number 2\" \
               ((\"Fred Foobar\" NIL \"foobar\" \"blurdybloop.example\")) \
               ((\"Fred Foobar\" NIL \"foobar\" \"blurdybloop.example\")) \
               ((\"Fred Foobar\" NIL \"foobar\" \"blurdybloop.example\")) \
               ((NIL NIL \"alice\" \"example.org\")) NIL NIL NIL \
               \"<2@blurdybloop.example>\"))"],
        )
        .await;
    let structure = alice.ok("FETCH 1 BODYSTRUCTURE").await;
    assert!(structure.to_lowercase().contains("(\"text\" \"plain\" "), "{structure}");
    let ids = alice.ok("FETCH 1 (EMAILID THREADID SAVEDATE MODSEQ)").await;
    assert!(ids.contains("EMAILID (e") && ids.contains("THREADID (t") && ids.contains("MODSEQ ("));
    world.stop().await;
}

#[tokio::test]
async fn sections_and_partials() {
    let world = World::new().await;
    let mut alice = world.inbox(1).await;
    let whole = mail(1);
    let (header, body) = whole.split_at(whole.find("\r\n\r\n").unwrap() + 4);
    let content =
        |name: &str, text: &str| format!("* 1 FETCH ({name} {{{}}}\r\n{text})\r\n", text.len());
    for (ask, name, text) in [
        ("BODY.PEEK[]", "BODY[]", whole.as_str()),
        ("BODY.PEEK[HEADER]", "BODY[HEADER]", header),
        ("RFC822.HEADER", "RFC822.HEADER", header),
        ("BODY.PEEK[TEXT]", "BODY[TEXT]", body),
        ("BODY.PEEK[1]", "BODY[1]", body),
        ("BODY.PEEK[]<6.3>", "BODY[]<6>", &whole[6..9]),
        ("BODY.PEEK[TEXT]<5.1000>", "BODY[TEXT]<5>", &body[5..]),
        ("BODY.PEEK[TEXT]<5000.10>", "BODY[TEXT]<5000>", ""),
        (
            "BODY.PEEK[HEADER.FIELDS (subject x-none)]",
            "BODY[HEADER.FIELDS (subject x-none)]",
            "Subject: number 1\r\n\r\n",
        ),
    ] {
        let said = alice.ok(&format!("FETCH 1 {ask}")).await;
        assert!(said.starts_with(&content(name, text)), "{ask}: {said}");
    }
    alice.says("FETCH 1 BODY.PEEK[2]", &["* 1 FETCH (BODY[2] NIL)"]).await;
    alice.says("FETCH 1 FLAGS", &["* 1 FETCH (FLAGS (\\Recent))"]).await;
    world.stop().await;
}

#[tokio::test]
async fn reading_a_body_marks_it_seen_and_says_so() {
    let world = World::new().await;
    let mut alice = world.inbox(3).await;
    let said = alice.ok("FETCH 1:2 BODY[TEXT]").await;
    assert!(said.contains("body of 1\r\n FLAGS (\\Seen \\Recent))\r\n"), "{said}");
    alice
        .says(
            "FETCH 3 (FLAGS BODY.PEEK[1]<0.4>)",
            &["* 3 FETCH (FLAGS (\\Recent) BODY[1]<0> {4}", "body)"],
        )
        .await;
    let again = alice.ok("FETCH 1 BODY[TEXT]").await;
    assert!(!again.contains("FLAGS"), "{again}");
    alice.ok("EXAMINE INBOX").await;
    alice.ok("FETCH 3 RFC822").await;
    alice.says("FETCH 3 FLAGS", &["* 3 FETCH (FLAGS ())"]).await;
    world.stop().await;
}

#[tokio::test]
async fn numbers_and_uids_that_are_not_there() {
    let world = World::new().await;
    let mut alice = world.inbox(2).await;
    alice.refused("FETCH 3 FLAGS", "BAD").await;
    alice.refused("FETCH 1:3 FLAGS", "BAD").await;
    alice.says("UID FETCH 7 FLAGS", &[]).await;
    alice.says("UID FETCH 7:* UID", &["* 2 FETCH (UID 2)"]).await;
    alice.says("FETCH * UID", &["* 2 FETCH (UID 2)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn many_messages_come_in_pages() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let message = mail(1);
    for _ in 0..6 {
        let mut append = String::from("APPEND INBOX");
        for _ in 0..100 {
            append += &format!(" {{{}+}}\r\n{message}", message.len());
        }
        alice.ok(&append).await;
    }
    alice.ok("SELECT INBOX").await;
    let all = alice.ok("FETCH 1:* (UID BODY[])").await;
    assert_eq!(all.matches(" FETCH (UID ").count(), 600);
    assert_eq!(all.matches("FLAGS (\\Seen \\Recent)").count(), 600);
    let sparse = alice.ok("UID FETCH 1,100,300,599 FLAGS").await;
    assert_eq!(sparse.matches(" FETCH (UID ").count(), 4);
    alice.says("STATUS INBOX (UNSEEN)", &["* STATUS \"INBOX\" (UNSEEN 0)"]).await;
    world.stop().await;
}
