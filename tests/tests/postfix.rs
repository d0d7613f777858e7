//! Postfix relays by LMTP and asks the socketmap who exists; what it must send
//! again, because the server was killed, is there once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "programs/postfix_process.rs"]
mod postfix_process;
#[path = "programs/proxy.rs"]
mod proxy;

use postfix_process::Postfix;
use proxy::{Cut, Event, Proxy};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::programs::{Scene, contents, wait_for_messages};

/// How many recipients a message to many has.
const MANY: usize = 12;

fn many(scene: &Scene) -> Vec<String> {
    let names: Vec<String> = (0..MANY).map(|n| format!("u{n}@example.org")).collect();
    names.iter().for_each(|name| scene.server.account(name));
    names
}

/// Each of them has this message and no other.
fn have_it_once(scene: &Scene, accounts: &[String], token: &str, message: &[u8]) {
    for account in accounts {
        let there = contents(&mut scene.imap(account), "INBOX");
        assert_eq!(there.keys().collect::<Vec<_>>(), [token], "{account}");
        let delivered = without_trace(&there[token].content);
        assert_eq!(String::from_utf8_lossy(delivered), String::from_utf8_lossy(message));
    }
}

#[test]
fn mail_passes_and_unknown_users_are_refused_at_the_edge() {
    let scene = Scene::new();
    let postfix = Postfix::start(&scene, scene.server.lmtp());
    let made = message("postfix", 20_000);
    let (sent, talk) = postfix.send(&scene, "nobody@example.org", &made);
    assert!(!sent && talk.contains("<** 550 5.1.1 <nobody@example.org>"), "{talk}");
    let accounts = ["alice@example.org".to_string(), "bob@example.org".to_string()];
    let (sent, talk) = postfix.send(&scene, &accounts.join(","), &made);
    assert!(sent, "{talk}");
    for account in &accounts {
        wait_for_messages(&mut scene.imap(account), "INBOX", 1);
    }
    have_it_once(&scene, &accounts, "postfix", &made);
}

/// A message to many whose delivery is cut once; how many answers Postfix had
/// heard by then.
fn cut_once(cut: Cut, token: &str) -> usize {
    let mut scene = Scene::new();
    let accounts = many(&scene);
    let proxy = Proxy::start(&scene.server, Some(cut));
    let postfix = Postfix::start(&scene, proxy.address);
    let made = message(token, 300_000);
    let (sent, talk) = postfix.send(&scene, &accounts.join(","), &made);
    assert!(sent, "{talk}");
    let before = answers_until_killed(&proxy);
    scene.server.kill();
    scene.server.start_again();
    proxy.lead_to(&scene.server);
    for _ in before..MANY {
        taken(&proxy.event_after(|| postfix.flush()));
    }
    have_it_once(&scene, &accounts, token, &made);
    before
}

fn answers_until_killed(proxy: &Proxy) -> usize {
    let mut answers = 0;
    loop {
        match proxy.event() {
            Event::Killed => return answers,
            answer => taken(&answer),
        }
        answers += 1;
    }
}

fn taken(event: &Event) {
    assert!(matches!(event, Event::Answer(line) if line.starts_with("250 ")), "{event:?}");
}

#[test]
fn a_kill_inside_data_loses_and_doubles_nothing() {
    assert_eq!(cut_once(Cut::Octets(100_000), "inside"), 0);
}

#[test]
fn a_kill_between_the_answers_loses_and_doubles_nothing() {
    // All is committed, and Postfix knows of some recipients only: it tries the others again.
    assert_eq!(cut_once(Cut::Answers(5), "between"), 5);
}
