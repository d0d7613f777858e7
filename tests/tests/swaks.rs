//! swaks: LMTP with a true status for each recipient.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use redoubt_tests::programs::{Scene, contents};

fn sent(scene: &Scene, arguments: &[&str]) -> (bool, String) {
    let server = scene.server.lmtp().to_string();
    let output = scene.try_run(
        "swaks",
        &[&["--protocol", "LMTP", "--server", server.as_str()], arguments].concat(),
    );
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The server's answers to this line.
fn answers<'a>(talk: &'a str, command: &str) -> Vec<&'a str> {
    let said = format!(" -> {command}");
    let mut lines = talk.lines().skip_while(|line| *line != said);
    lines.next();
    let answer = |line: &'a str| line.strip_prefix("<- ").or(line.strip_prefix("<**"));
    lines.map_while(answer).map(str::trim).collect()
}

#[test]
fn each_recipient_has_its_own_answer() {
    let scene = Scene::new();
    let to = "alice@example.org,nobody@example.org,bob+detail@example.org";
    let body = "line one\\n.dot\\nend";
    let header = "Subject: from swaks";
    let (_, talk) =
        sent(&scene, &["--from", "s@example.net", "--to", to, "--header", header, "--body", body]);
    let starts = |command: &str, codes: &[&str]| {
        let answers = answers(&talk, command);
        assert_eq!(answers.len(), codes.len(), "{talk}");
        for (answer, code) in answers.iter().zip(codes) {
            assert!(answer.starts_with(code), "{command}: {answer}\n{talk}");
        }
    };
    starts("RCPT TO:<alice@example.org>", &["250 2.1.5"]);
    starts("RCPT TO:<nobody@example.org>", &["550 5.1.1"]);
    starts("RCPT TO:<bob+detail@example.org>", &["250 2.1.5"]);
    // One for each recipient that was taken (RFC 2033 section 4.2).
    starts(".", &["250 2.", "250 2."]);
    for account in ["alice@example.org", "bob@example.org"] {
        let there = contents(&mut scene.imap(account), "INBOX");
        assert_eq!(there.len(), 1);
        let text = String::from_utf8(there["from swaks"].content.clone()).unwrap();
        assert!(text.starts_with("Return-Path: <s@example.net>\r\nReceived: "), "{text}");
        let body = text.split_once("\r\n\r\n").unwrap().1;
        assert!(body.starts_with("line one\r\n.dot\r\nend\r\n"), "{body:?}");
    }
}

#[test]
fn starttls() {
    let scene = Scene::new();
    let (done, talk) =
        sent(&scene, &["-tls", "--to", "alice", "--from", "<>", "--header", "Subject: by TLS"]);
    assert!(done && talk.contains("TLS started"), "{talk}");
    let there = contents(&mut scene.imap("alice"), "INBOX");
    let text = String::from_utf8(there["by TLS"].content.clone()).unwrap();
    assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");
}
