//! Documents are read by workers that hold to their bounds, whatever the documents do, and what
//! was read is kept once; mail goes on meanwhile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

mod broken;
#[path = "../../../extract/tests/documents/mod.rs"]
mod documents;
mod hostile;
mod server;
mod store;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use std::time::Duration;

use documents::WORD;
use redoubt_extract::{Document, Options, Pool, Status};
use redoubt_tests::process::binary;

fn options() -> Options {
    Options { program: binary(), ..Options::default() }
}

fn named(name: &str) -> Document {
    Document { name: name.into(), ..Document::default() }
}

fn assert_reads(pool: &Pool) {
    for (media_type, name, octets) in documents::all() {
        let document = Document { media_type: media_type.into(), ..named(name) };
        let extracted = pool.extract(&document, octets).unwrap();
        assert_eq!((extracted.status, &extracted.why), (Status::Ok, &None), "{name}");
        assert!(extracted.text.contains(WORD), "{name}: {extracted:?}");
    }
}

#[test]
fn a_worker_reads_every_kind_and_can_do_nothing_else() {
    let pool = Pool::new(options());
    assert_reads(&pool);
    assert_eq!(pool.probe().unwrap(), "", "a worker could do this");
    let bounds = pool.in_force().unwrap();
    assert!(bounds.rlimits && bounds.seccomp, "{bounds:?}");
    assert_eq!(pool.counts().started, 1, "one worker is enough: {:?}", pool.counts());
}

#[test]
fn hostile_documents_end_within_the_bounds() {
    let pool = Pool::new(Options { memory: 256 << 20, ..options() });
    for (name, octets) in hostile::all() {
        let extracted = pool.extract(&named(name), octets).unwrap();
        assert!(!extracted.status.is_whole() && extracted.why.is_some(), "{name}: {extracted:?}");
    }
    let counts = pool.counts();
    assert!(counts.ended >= 2, "two of them take more than a process may have: {counts:?}");
    assert_reads(&pool);
}

#[test]
fn a_document_without_end_is_stopped_and_others_go_on() {
    let pool = Pool::new(Options { wall: Duration::from_secs(3), workers: 2, ..options() });
    let (endless, slow) = (pool.clone(), hostile::pdf_without_end());
    let endless = std::thread::spawn(move || endless.extract(&named("slow.pdf"), slow).unwrap());
    assert_reads(&pool);
    let extracted = endless.join().unwrap();
    assert_eq!(extracted.status, Status::Failed);
    assert_eq!(extracted.why.as_deref(), Some("it took longer than 3 s"));
    assert_eq!(pool.counts().slow, 1);
    assert_reads(&pool);
}

#[test]
fn what_is_too_large_is_told_unread() {
    let pool = Pool::new(Options { document: 10, ..options() });
    let extracted = pool.extract(&named("a.txt"), b"eleven octets".to_vec()).unwrap();
    assert_eq!(extracted.why.as_deref(), Some("larger than 10 octets"));
    assert_eq!(pool.counts().started, 0);
}

/// A program that is no worker, and one that is not there.
#[test]
fn where_no_worker_starts_nothing_is_said_of_the_document() {
    for program in ["/bin/false", "/no/such/program"] {
        let pool = Pool::new(Options { program: program.into(), ..Options::default() });
        assert!(pool.extract(&named("a.txt"), b"text".to_vec()).is_err(), "{program}");
    }
}

#[test]
fn a_closed_pool_lets_go_of_what_it_does() {
    let pool = Pool::new(options());
    let busy = pool.clone();
    let slow = hostile::pdf_without_end();
    let waiting = std::thread::spawn(move || busy.extract(&named("slow.pdf"), slow));
    while pool.counts().started == 0 {
        std::thread::yield_now();
    }
    pool.close();
    assert!(waiting.join().unwrap().is_err());
    assert!(pool.room(1).is_none());
}

#[test]
fn room_is_shared_and_given_back() {
    let pool = Pool::new(Options { queued: 100, ..options() });
    let all = pool.room(1_000).unwrap();
    let (other, wanted) = (pool.clone(), std::sync::mpsc::channel());
    let waiting = std::thread::spawn(move || {
        let room = other.room(60);
        wanted.0.send(()).unwrap();
        room.is_some()
    });
    assert!(wanted.1.try_recv().is_err(), "there was no room");
    drop(all);
    wanted.1.recv().unwrap();
    assert!(waiting.join().unwrap());
}
