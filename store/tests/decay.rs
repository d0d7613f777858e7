//! What has decayed on a node that is alone: found, said, never served.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::os::unix::fs::FileExt;
use std::time::Duration;

use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::{How, Layout, Mailstore};
use redoubt_store::storage::{KeyRange, Read, RocksOptions, RocksStorage, Storage, Table, Write};
use support::*;

/// A world in which nothing happens unless it is asked for, and then fast.
fn world() -> World {
    World::with(|options| {
        options.scrub_every = Duration::ZERO;
        options.scrub_rate = u64::MAX;
        options.compare_every = Duration::ZERO;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_finds_a_bad_frame_and_says_so() {
    let world = world();
    let store = world.open().await;
    let account = alice(&store).await;
    for n in 0..20 {
        deliver(&store, account, &mail(n)).await;
    }
    assert!(store.scrub().await);
    let clean = store.status();
    assert_eq!((clean.scrub.findings_total, clean.alarms.len()), (0, 0), "{clean:?}");
    assert!(clean.scrub.octets_total > 2_000 && clean.scrub.last.unwrap().findings == 0);

    let packs = Layout::new(world.data()).blobs();
    let pack = std::fs::File::options()
        .write(true)
        .read(true)
        .open(packs.join("0000000000000001.pack"))
        .unwrap();
    // Inside the first frame's chunks.
    let mut octet = [0];
    pack.read_exact_at(&mut octet, 64 + 84 + 8 + 20).unwrap();
    pack.write_all_at(&[octet[0] ^ 1], 64 + 84 + 8 + 20).unwrap();
    assert!(store.scrub().await);
    let status = store.status();
    assert_eq!((status.scrub.findings_total, status.blobs.damaged), (1, 1));
    assert!(status.scrub.texts[0].contains("0000000000000001.pack is damaged"), "{status:?}");
    // The alarm is raised behind the scene.
    let alarm = loop {
        if let Some(alarm) = store.alarms().active().pop() {
            break alarm;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(alarm.kind, AlarmKind::Blob);
    assert!(alarm.text.contains("no peers") && alarm.text.contains("restore"), "{alarm}");
    store.shutdown().await;
    drop(store);

    // Alone it does not start; told to, it knows what is missing.
    world.wait_until_free().await;
    let refused = Mailstore::open(world.options.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("0000000000000001.pack is damaged"), "{refused}");
    world.wait_until_free().await;
    let mut world = world;
    world.options.blobs.tolerate_damage = true;
    let store = world.open().await;
    let status = store.status();
    assert_eq!((status.blobs.damaged, status.scrub.last.unwrap().findings), (1, 1));
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changed_by_itself_is_noticed_at_a_mark() {
    let world = world();
    let store = world.open().await;
    let account = alice(&store).await;
    deliver(&store, account, &mail(1)).await;
    let verdict = store.compare().await.unwrap();
    assert!(verdict.differences.is_empty() && verdict.same.len() == 1);
    store.shutdown().await;
    drop(store);
    world.wait_until_free().await;

    let views = Layout::new(world.data()).views();
    {
        let mut rows = RocksStorage::open(&views, &RocksOptions::default()).unwrap();
        let (key, mut value) = rows.scan(Table::Email, &KeyRange::all(), 1).unwrap().remove(0);
        value[0] ^= 1;
        rows.write(vec![Write { table: Table::Email, key, value: Some(value) }]).unwrap();
        rows.flush().unwrap();
    }
    let store = world.open().await;
    let verdict = store.compare().await.unwrap();
    assert_eq!(verdict.differences.len(), 1);
    assert_eq!(verdict.differences[0].how, How::Itself);
    let [alarm] = store.alarms().active().try_into().unwrap();
    assert_eq!((alarm.kind, alarm.subject.as_str()), (AlarmKind::State, "node 1"));
    assert!(alarm.text.contains(&format!("index {}", verdict.index)), "{alarm}");
    assert!(alarm.text.contains("redoubt rebuild"), "{alarm}");
    store.shutdown().await;
}
