//! Python's imaplib: bytes, flags and dates survive, of malformed mail too; what
//! Python's email package reads in well-formed mail is what the server tells of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use redoubt_tests::programs::Scene;

/// How many messages the script makes, and how many of them are well-formed.
const MADE: [usize; 2] = [11, 7];
/// The least that a corpus must have.
const CORPUS: [usize; 2] = [200, 150];

/// How many messages came back, and of how many of them the structure was compared.
fn came_back(corpus: &str) -> [usize; 2] {
    let scene = Scene::new();
    let script = scene.file("roundtrip.py", include_str!("programs/roundtrip.py"));
    let port = scene.server.imap().port().to_string();
    let output = scene.run("python3", &[script.to_str().unwrap(), &port, corpus]);
    let text = String::from_utf8(output).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    let counts = [numbers.next().unwrap(), numbers.next().unwrap()];
    println!("{} messages came back, the structure of {} was compared", counts[0], counts[1]);
    counts
}

#[test]
fn what_goes_in_comes_out() {
    assert_eq!(came_back(""), MADE);
}

#[test]
fn a_corpus_comes_out_too() {
    // The corpus is not part of the product: without it there is nothing to add to the above.
    let Ok(corpus) = std::env::var("REDOUBT_CORPUS") else { return };
    let [messages, compared] = came_back(&corpus);
    assert!(messages >= MADE[0] + CORPUS[0], "{corpus} has {messages} messages");
    assert!(compared >= MADE[1] + CORPUS[1], "{compared} were compared");
}

#[test]
fn it_sorts_and_threads() {
    let scene = Scene::new();
    let script = scene.file("sorting.py", include_str!("programs/sorting.py"));
    let port = scene.server.imap().port().to_string();
    let output = scene.run("python3", &[script.to_str().unwrap(), &port]);
    assert_eq!(output, b"sorted\n");
}
