//! Every byte of a log is turned over in turn: what is wrong is found and
//! named, or it was no content, but nothing wrong is ever read and nothing
//! acknowledged goes silently.

use super::*;

const SMALL: u64 = 12 * 1024;

/// A log of two sealed segments, one open, one blank; how its last batch ended.
fn log(marked: bool) -> (SimDisk, Vec<LogEntry>) {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, SMALL);
    wait(|done| log.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    append(&log, 1, 0..20);
    wait(|done| log.truncate_after(Some(id(1, 17)), done)).unwrap();
    append(&log, 2, 18..60);
    let entries = all(&log);
    // The next segment is made beside the batches.
    eventually(|| log.core().spare.is_some(), "no spare was made");
    let image = disk.copy();
    log.close().unwrap();
    (if marked { disk.copy() } else { image }, entries)
}

enum Found {
    Named,
    Harmless,
    Cut,
}

fn look(disk: &SimDisk, file: &Path, entries: &[LogEntry]) -> Found {
    let (log, recovered) = match try_open(disk, SMALL) {
        Ok(opened) => opened,
        Err(error) => return named(&error, file),
    };
    let wrong = log.verify().err();
    let read = match log.last() {
        Some(last) => log.read(LogIndex(0)..LogIndex(last.index.0 + 1), usize::MAX),
        None => Ok(Vec::new()),
    };
    if let Ok(read) = &read {
        assert_eq!(read[..], entries[..read.len()], "wrong entries are never read");
    }
    match (wrong, read, recovered.cut) {
        (Some(error), _, _) | (None, Err(error), _) => named(&error, file),
        (None, Ok(read), None) => {
            assert_eq!(read.len(), entries.len(), "nothing is lost in silence");
            assert_eq!(recovered.vote.as_deref(), Some(&b"vote"[..]));
            Found::Harmless
        }
        (None, Ok(read), Some(cut)) => {
            assert_eq!(cut.file, file);
            if read.len() == entries.len() { Found::Harmless } else { Found::Cut }
        }
    }
}

fn named(error: &LogError, flipped: &Path) -> Found {
    match error {
        LogError::Damaged { file, .. } | LogError::NewerFormat { file, .. } => {
            let next = flipped.with_file_name(format::file_name(number(flipped) + 1));
            assert!(file == flipped || *file == next, "{error} for {}", flipped.display());
        }
        other => panic!("{other}"),
    }
    Found::Named
}

fn number(file: &Path) -> u64 {
    format::file_number(&file.file_name().unwrap().to_string_lossy()).unwrap()
}

/// Each byte in content, every 61st in the zeros behind.
fn places(bytes: &[u8]) -> Vec<usize> {
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let header = (0..64).chain((64..format::SEGMENT_HEADER_BYTES).step_by(97));
    let content = format::SEGMENT_HEADER_BYTES..used.max(format::SEGMENT_HEADER_BYTES);
    header.chain(content).chain((used..bytes.len()).step_by(61)).collect()
}

/// Gives how many flips made the last batch be cut.
fn flip_all(marked: bool, mask: u8) -> usize {
    let (disk, entries) = log(marked);
    let files = disk.files();
    assert_eq!(files.len(), 4);
    let mut cuts = 0;
    for file in &files {
        let bytes = disk.bytes(file).unwrap();
        for place in places(&bytes) {
            disk.flip(file, place, mask).unwrap();
            let copy = disk.copy();
            disk.flip(file, place, mask).unwrap();
            match look(&copy, file, &entries) {
                Found::Cut => {
                    assert_eq!(file, &files[2], "only in the last segment");
                    cuts += 1;
                }
                Found::Named => {}
                Found::Harmless => assert!(
                    place >= format::SEGMENT_HEADER_BYTES,
                    "{} in {}",
                    place,
                    file.display()
                ),
            }
        }
    }
    cuts
}

#[test]
fn after_a_clean_end_no_flip_loses_anything() {
    assert_eq!(flip_all(true, 0x01), 0);
    assert_eq!(flip_all(true, 0x80), 0);
}

#[test]
fn without_a_mark_only_the_last_batch_may_be_taken_for_torn() {
    let (disk, entries) = log(false);
    let last = entries.last().unwrap().payload.len();
    let cuts = flip_all(false, 0x10);
    assert!(cuts <= last + 200, "{cuts}");
    assert_eq!(try_open(&disk, SMALL).unwrap().1.cut, None);
}

#[test]
fn a_torn_last_batch_is_cut_and_said_so() {
    let (disk, entries) = log(false);
    let file = &disk.files()[2];
    let bytes = disk.bytes(file).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    for (place, byte) in bytes.iter().enumerate().take(used).skip(used - 60) {
        disk.flip(file, place, *byte).unwrap();
    }
    let copy = disk.copy();
    let (log, recovered) = open(&copy, SMALL);
    let cut = recovered.cut.unwrap();
    assert_eq!(&cut.file, file);
    assert_eq!(recovered.last, Some(entries[entries.len() - 2].id));
    append(&log, 2, 59..70);
    log.close().unwrap();
    let (log, recovered) = open(&copy, SMALL);
    assert_eq!((recovered.cut, recovered.last), (None, Some(id(2, 69))));
    log.verify().unwrap();
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (disk, _) = log(true);
    let other = SimDisk::new(77);
    let (foreign, _) = open(&other, SMALL);
    append(&foreign, 1, 0..60);
    foreign.close().unwrap();
    let path = &disk.files()[1];
    let bytes = other.bytes(path).unwrap();
    disk.remove(path).unwrap();
    disk.create(path).unwrap().write_all_at(&bytes, 0).unwrap();
    assert!(matches!(try_open(&disk, SMALL), Err(LogError::Damaged { .. })));
}

#[test]
fn a_read_that_fails_is_no_damage() {
    let disk = SimDisk::new(5);
    let options = SegmentOptions { tail_bytes: 0, ..options(SMALL) };
    let (log, _) = SegmentLog::open(Arc::new(disk.clone()), &dir(), options).unwrap();
    append(&log, 1, 0..10);
    disk.fail_reads_of(".seg");
    assert!(matches!(log.read(LogIndex(0)..LogIndex(5), 1), Err(LogError::Io { .. })));
    disk.heal();
    assert_eq!(ids(&log).len(), 10);
}
