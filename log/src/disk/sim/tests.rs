#![allow(clippy::unwrap_used)]

use super::*;

fn folder() -> PathBuf {
    PathBuf::from("/d")
}

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(&folder()).unwrap();
    disk
}

#[test]
fn what_was_synced_is_kept_and_what_was_not_is_anything() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk(seed);
        let path = folder().join("a");
        let file = disk.create(&path).unwrap();
        file.allocate(2048).unwrap();
        file.write_all_at(&[1; 512], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(&folder()).unwrap();
        file.write_all_at(&[2; 1024], 512).unwrap();
        let bytes = disk.crash().bytes(&path).unwrap();
        assert!(bytes.iter().take(512).all(|b| *b == 1));
        assert!(bytes.iter().skip(512).all(|b| *b == 0 || *b == 2));
        seen.insert(bytes.iter().filter(|b| **b == 2).count());
    }
    assert!(seen.contains(&0) && seen.contains(&512) && seen.contains(&1024));
    assert!(seen.iter().any(|kept| kept % 512 != 0), "torn within a sector");
}

#[test]
fn names_last_once_their_folder_is_synced() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let disk = disk(seed);
        disk.create(&folder().join("a.new")).unwrap().write_all_at(b"x", 0).unwrap();
        disk.create(&folder().join("sure")).unwrap();
        disk.sync_dir(&folder()).unwrap();
        disk.rename(&folder().join("a.new"), &folder().join("a")).unwrap();
        disk.remove(&folder().join("sure")).unwrap();
        found.insert(disk.crash().list(&folder()).unwrap());
    }
    assert_eq!(found.len(), 4, "each of the two changes done or not: {found:?}");
}

#[test]
fn faults_are_as_they_were_asked_for() {
    let disk = disk(1);
    let path = folder().join("a");
    let file = disk.create(&path).unwrap();
    disk.set_total(1000);
    assert_eq!(file.allocate(1001).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.allocate(600).unwrap();
    assert_eq!(disk.space(&folder()).unwrap(), Space { free: 400, total: 1000 });
    disk.fail_syncs_after(1);
    assert!(file.sync_data().is_ok() && file.sync_data().is_err() && file.sync_data().is_err());
    disk.heal();
    disk.flip(&path, 3, 0x80).unwrap();
    assert_eq!(disk.bytes(&path).unwrap().get(3), Some(&0x80));
    disk.fail_reads_of("a");
    assert!(file.read_exact_at(&mut [0; 4], 0).is_err());
    disk.heal();
    disk.power_off_after(1);
    assert!(file.write_all_at(b"last", 0).is_err() && file.len().is_err());
    let found = disk.crash().bytes(&path).unwrap();
    assert!(matches!(found.first(), Some(b'l' | 0)));
}

#[test]
fn an_ignored_sync_keeps_nothing() {
    let lost = (0..50).any(|seed| {
        let disk = disk(seed);
        disk.create(&folder().join("a")).unwrap();
        disk.sync_dir(&folder()).unwrap();
        disk.ignore_syncs_of("/a");
        let file = disk.open(&folder().join("a")).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        disk.crash().bytes(&folder().join("a")).unwrap().is_empty()
    });
    assert!(lost);
}
