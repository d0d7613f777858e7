//! What a log does, told one thing at a time.

use super::*;

const SMALL: u64 = 16 * 1024;

#[test]
fn what_is_appended_is_read_before_and_after_a_restart() {
    let disk = SimDisk::new(1);
    let (log, recovered) = open(&disk, SMALL);
    assert_eq!(recovered, Recovered::default());
    append(&log, 1, 0..200);
    wait(|done| log.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    log.save_committed(Some(id(1, 150))).unwrap();
    let before = all(&log);
    assert_eq!(before.len(), 200);
    assert!(before.iter().all(|e| e.payload == payload(e.id.index.0)));
    let (chain, head) = (log.chain_at(LogIndex(77)).unwrap(), log.head_at(LogIndex(199)).unwrap());
    log.close().unwrap();

    let (log, recovered) = open(&disk, SMALL);
    assert_eq!(recovered.vote.as_deref(), Some(&b"vote"[..]));
    assert_eq!(recovered.committed, Some(id(1, 150)));
    assert_eq!((recovered.last, recovered.purged), (Some(id(1, 199)), None));
    assert_eq!(recovered.cut, None);
    assert_eq!(all(&log), before);
    assert_eq!(log.chain_at(LogIndex(77)).unwrap(), chain);
    assert_eq!(log.head_at(LogIndex(199)).unwrap(), head);
    log.verify().unwrap();
    assert!(log.stats().segments > 3);
}

#[test]
fn every_head_is_the_same_from_memory_and_from_files() {
    let disk = SimDisk::new(2);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..120);
    let heads: Vec<_> = (0..120).map(|i| log.head_at(LogIndex(i)).unwrap()).collect();
    log.close().unwrap();
    let (log, _) = open(&disk, SMALL);
    for (i, head) in (0..).zip(&heads) {
        assert_eq!(&log.head_at(LogIndex(i)).unwrap(), head, "{i}");
        assert_eq!(log.chain_at(LogIndex(i)).unwrap(), head.chain, "{i}");
        let entry = &log.read(LogIndex(i)..LogIndex(i + 1), 0).unwrap()[0];
        assert_eq!((entry.chain, entry.position + 1), (head.chain, head.tree.size()));
    }
}

#[test]
fn time_never_goes_back() {
    let disk = SimDisk::new(3);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..30);
    let times: Vec<_> = all(&log).iter().map(|e| e.time).collect();
    assert!(times.is_sorted());
    assert!(all(&log).iter().any(|e| e.time > e.stamp));
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let disk = SimDisk::new(4);
    let (log, _) = open(&disk, 1 << 20);
    let before = log.stats().syncs;
    let (send, receive) = mpsc::channel();
    let gate = log.clone();
    wait(|done| {
        // The writer is busy with this callback while the others queue up.
        let more = Box::new(move |result| {
            for index in 1..100 {
                let send = send.clone();
                let done = Box::new(move |result| send.send((index, result)).unwrap());
                gate.append(vec![entry(1, index, b"x")], done).unwrap();
            }
            done(result);
        });
        log.append(vec![entry(1, 0, b"x")], more)
    })
    .unwrap();
    let order: Vec<u64> = (1..100).map(|_| receive.recv().unwrap().0).collect();
    assert!(order.is_sorted());
    assert_eq!(log.stats().syncs - before, 2);
    assert_eq!(log.durable(), Some(id(1, 99)));
}

/// Neither what is not on the disk yet, nor what is there and was dropped.
#[test]
fn what_waits_for_the_writer_is_read_as_it_will_be() {
    let disk = SimDisk::new(40);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..10);
    log.close().unwrap();
    let (log, _) = open(&disk, SMALL);
    let (send, receive) = mpsc::channel();
    let busy = log.clone();
    wait(|done| {
        // The writer is busy with this callback while the others queue up.
        let more = Box::new(move |result| {
            busy.append(vec![entry(1, 10, b"new")], Box::new(drop)).unwrap();
            send.send(busy.read(LogIndex(8)..LogIndex(11), 1 << 20)).unwrap();
            busy.truncate_after(Some(id(1, 8)), Box::new(drop)).unwrap();
            busy.append(vec![entry(2, 9, b"other")], Box::new(drop)).unwrap();
            send.send(busy.read(LogIndex(7)..LogIndex(10), 1 << 20)).unwrap();
            done(result);
        });
        log.save_vote(Bytes::from_static(b"vote"), more)
    })
    .unwrap();
    let read = || -> Vec<LogId> {
        receive.recv().unwrap().unwrap().iter().map(|entry| entry.id).collect()
    };
    assert_eq!(read(), [id(1, 8), id(1, 9), id(1, 10)]);
    assert_eq!(read(), [id(1, 7), id(1, 8), id(2, 9)]);
}

#[test]
fn what_does_not_follow_is_refused() {
    let disk = SimDisk::new(5);
    let (log, _) = open(&disk, SMALL);
    append(&log, 2, 0..3);
    for wrong in [entry(2, 4, b""), entry(2, 2, b""), entry(1, 3, b"")] {
        let refused = wait(|done| log.append(vec![wrong], done));
        assert!(matches!(refused, Err(LogError::NotConsecutive { .. })));
    }
    let large = wait(|done| log.append(vec![entry(2, 3, &vec![0; MAX_PAYLOAD_BYTES + 1])], done));
    assert!(matches!(large, Err(LogError::TooLarge { .. })));
    assert!(matches!(log.read(LogIndex(3)..LogIndex(4), 1), Err(LogError::Beyond { .. })));
    append(&log, 2, 3..4);
}

#[test]
fn a_conflict_is_truncated_and_stays_so() {
    let disk = SimDisk::new(6);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..100);
    let head = log.head_at(LogIndex(9)).unwrap();
    wait(|done| log.truncate_after(Some(id(1, 9)), done)).unwrap();
    assert_eq!(log.head_at(LogIndex(9)).unwrap(), head);
    assert_eq!(log.durable(), Some(id(1, 9)));
    append(&log, 3, 10..40);
    wait(|done| log.truncate_after(Some(id(3, 20)), done)).unwrap();
    append(&log, 4, 21..25);
    let before = all(&log);
    let terms: Vec<u64> = before.iter().map(|e| e.id.term.0).collect();
    assert_eq!(terms, [vec![1; 10], vec![3; 11], vec![4; 4]].concat());
    let wrong = wait(|done| log.truncate_after(Some(id(1, 15)), done));
    assert!(matches!(wrong, Err(LogError::NoSuchEntry { .. })));
    log.close().unwrap();
    let (log, _) = open(&disk, SMALL);
    assert_eq!(all(&log), before);
    for entry in &before {
        assert_eq!(log.head_at(entry.id.index).unwrap().chain, entry.chain);
    }
    wait(|done| log.truncate_after(None, done)).unwrap();
    assert_eq!((log.last(), log.durable()), (None, None));
    append(&log, 5, 0..2);
}

#[test]
fn purging_removes_whole_segments_and_keeps_the_rest() {
    let disk = SimDisk::new(7);
    let (log, _) = open(&disk, SMALL);
    wait(|done| log.save_vote(Bytes::from_static(b"v"), done)).unwrap();
    append(&log, 1, 0..200);
    let segments = log.stats().segments;
    let head = log.head_at(LogIndex(120)).unwrap();
    wait(|done| log.purge(id(1, 120), done)).unwrap();
    assert!(log.stats().segments < segments);
    let gone = log.read(LogIndex(120)..LogIndex(130), 1);
    assert!(matches!(gone, Err(LogError::Purged { .. })));
    let before = all(&log);
    assert_eq!(before[0].id, id(1, 121));
    log.close().unwrap();
    let (log, recovered) = open(&disk, SMALL);
    assert_eq!((recovered.purged, recovered.vote), (Some(id(1, 120)), Some("v".into())));
    assert_eq!(all(&log), before);
    assert_eq!(log.head_at(LogIndex(120)).unwrap(), head);
    assert_eq!(log.term_at(LogIndex(120)).unwrap(), Term(1));
    let past = wait(|done| log.purge(id(1, 500), done));
    assert!(matches!(past, Err(LogError::Beyond { .. })));
    log.verify().unwrap();
}

#[test]
fn a_reset_goes_on_behind_a_snapshot() {
    let disk = SimDisk::new(8);
    let (whole, _) = open(&disk, SMALL);
    append(&whole, 1, 0..50);
    let head = whole.head_at(LogIndex(29)).unwrap();
    let other = SimDisk::new(9);
    let (log, _) = open(&other, SMALL);
    append(&log, 1, 0..5);
    wait(|done| log.reset(id(1, 29), head, done)).unwrap();
    assert_eq!((log.last(), log.purged()), (Some(id(1, 29)), Some(id(1, 29))));
    append(&log, 1, 30..50);
    let same = all(&whole).split_off(30);
    assert_eq!(all(&log), same);
    log.close().unwrap();
    let (log, _) = open(&other, SMALL);
    assert_eq!(all(&log), same);
    assert_eq!(log.head_at(LogIndex(49)).unwrap(), whole.head_at(LogIndex(49)).unwrap());
    assert_eq!(log.head_at(LogIndex(29)).unwrap(), whole.head_at(LogIndex(29)).unwrap());
    let back = wait(|done| log.reset(id(1, 3), Head::default(), done));
    assert!(matches!(back, Err(LogError::NoSuchEntry { .. })));
}

#[test]
fn a_small_tail_reads_the_same_as_a_large_one() {
    let disk = SimDisk::new(10);
    let options = SegmentOptions { tail_bytes: 0, ..options(SMALL) };
    let (log, _) = SegmentLog::open(Arc::new(disk.clone()), &dir(), options).unwrap();
    append(&log, 1, 0..100);
    wait(|done| log.truncate_after(Some(id(1, 60)), done)).unwrap();
    append(&log, 2, 61..90);
    let entries = all(&log);
    assert_eq!(entries.len(), 90);
    assert!(entries.iter().all(|e| e.payload == payload(e.id.index.0)));
    let some = log.read(LogIndex(5)..LogIndex(80), 300).unwrap();
    assert_eq!(some, entries[5..5 + some.len()]);
    assert!(some.len() >= 2 && some.len() < 10);
    assert_eq!(log.read(LogIndex(5)..LogIndex(80), 0).unwrap().len(), 1);
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let disk = SimDisk::new(11);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..5);
    disk.fail_syncs_after(0);
    let failed = wait(|done| log.append(vec![entry(1, 5, b"x")], done));
    assert!(matches!(failed, Err(LogError::Poisoned { .. })));
    disk.heal();
    let later = wait(|done| log.append(vec![entry(1, 6, b"x")], done));
    assert!(matches!(later, Err(LogError::Poisoned { .. })));
    let vote = wait(|done| log.save_vote(Bytes::new(), done));
    assert!(matches!(vote, Err(LogError::Poisoned { .. })));
    assert!(matches!(log.read(LogIndex(0)..LogIndex(1), 1), Err(LogError::Poisoned { .. })));
    assert!(log.poisoned().is_some_and(|p| p.to_string().contains("made to fail")));
    assert_eq!(log.durable(), Some(id(1, 4)));
    let syncs = disk.syncs();
    assert!(log.close().is_err());
    assert_eq!(disk.syncs(), syncs, "never tried again");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new(12);
    disk.set_total(3 * SMALL);
    let (log, _) = open(&disk, SMALL);
    assert!(log.growth_allowed());
    let mut index = 0;
    let full = loop {
        match wait(|done| log.append(vec![entry(1, index, &payload(index))], done)) {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
        if !log.growth_allowed() && index % 10 == 0 {
            wait(|done| log.save_vote(index.to_string().into(), done)).unwrap();
        }
    };
    assert!(matches!(full, LogError::StorageFull { .. }), "{full}");
    assert!(!log.growth_allowed() && log.poisoned().is_none());
    assert_eq!(log.last(), Some(id(1, index - 1)));
    assert_eq!(ids(&log).len() as u64, index);
    let again = try_open(&disk.crash(), SMALL).unwrap().1;
    assert_eq!(again.last, Some(id(1, index - 1)));
    disk.set_total(20 * SMALL);
    append(&log, 1, index..index + 100);
    assert!(log.growth_allowed());
    log.close().unwrap();
    let (log, _) = open(&disk, SMALL);
    assert_eq!(ids(&log).len() as u64, index + 100);
    log.verify().unwrap();
}

#[test]
fn the_reserve_is_counted_in_per_cent() {
    let disk = SimDisk::new(13);
    disk.set_total(100 * SMALL);
    let (log, _) = open(&disk, SMALL);
    assert!(log.growth_allowed());
    let file = disk.create(&dir().join("other")).unwrap();
    file.allocate(94 * SMALL).unwrap();
    let reserve = log.reserve();
    assert_eq!((reserve.free, reserve.wanted), (4 * SMALL, 5 * SMALL));
    assert!(reserve.next_segment && !log.growth_allowed());
    append(&log, 1, 0..3);
}

#[test]
fn an_idle_log_is_marked() {
    let disk = SimDisk::new(14);
    let idle = Some(std::time::Duration::from_millis(1));
    let options = SegmentOptions { idle_mark: idle, ..options(SMALL) };
    let (log, _) = SegmentLog::open(Arc::new(disk.clone()), &dir(), options).unwrap();
    append(&log, 1, 0..1);
    let written = log.stats().bytes;
    while log.stats().bytes == written {
        std::thread::yield_now();
    }
    let name = dir().join(format::file_name(1));
    let bytes = disk.bytes(&name).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    disk.flip(&name, used - 200, 1).unwrap();
    assert!(matches!(try_open(&disk.copy(), SMALL), Err(LogError::Damaged { .. })));
}

#[test]
fn a_missing_segment_is_named() {
    let disk = SimDisk::new(15);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..300);
    log.close().unwrap();
    let files = disk.files();
    for file in &files {
        let copy = disk.copy();
        copy.remove(file).unwrap();
        match try_open(&copy, SMALL) {
            Err(LogError::Missing { file: named, .. }) => assert_eq!(&named, file),
            // The preallocated segment behind the active one holds nothing.
            Ok((_, recovered)) => {
                assert_eq!((Some(file), recovered.last), (files.last(), Some(id(1, 299))));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_closed_log_takes_nothing() {
    let (log, _) = open(&SimDisk::new(16), SMALL);
    log.close().unwrap();
    let closed = wait(|done| log.append(vec![entry(1, 0, b"x")], done));
    assert!(matches!(closed, Err(LogError::Closed)));
}

#[test]
fn the_last_handle_may_go_in_a_callback() {
    let disk = SimDisk::new(17);
    let (log, _) = open(&disk, SMALL);
    let (send, receive) = mpsc::channel();
    let last = log.clone();
    let done = Box::new(move |result| {
        drop(last);
        send.send(result).unwrap();
    });
    log.append(vec![entry(1, 0, b"x")], done).unwrap();
    drop(log);
    receive.recv().unwrap().unwrap();
    assert_eq!(open(&disk.crash(), SMALL).1.last, Some(id(1, 0)));
}
