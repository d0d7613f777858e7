//! Files that are gone, damaged or half written: noticed, built anew, and right meanwhile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redoubt_log::id::AccountId;

use super::world::{World, patient};
use crate::ask::{Ask, Field, Needle};
use crate::index::{Index, Options};

fn subject(text: &str) -> Ask {
    Ask::Text { fields: vec![Field::Subject], needle: Needle::Casemapped(text.into()) }
}

fn files(world: &World) -> Vec<PathBuf> {
    let folders = fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|file| !file.to_string_lossy().contains("lock"))
        .collect();
    files.sort();
    files
}

/// Whatever the index says, no email is missing from it, and none is there twice.
fn right(world: &World, index: &Index, count: usize) {
    right_of(world, index, world.alice, count);
}

fn right_of(world: &World, index: &Index, account: AccountId, count: usize) {
    let found = world.ask(index, account, &subject("umbe"));
    let mut all: Vec<_> = found.candidates().collect();
    all.sort_unstable();
    let len = all.len();
    all.dedup();
    assert_eq!((all.len(), len), (count, count));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_may_be_damaged_or_gone() {
    let world = World::new().await;
    let index = world.open(patient());
    world.add_numbered(world.alice, 0..20).await;
    index.flush().unwrap();
    index.close();
    let count = files(&world).len();
    assert!(count > 5, "{count}");
    for at in 0..count * 2 {
        let all = files(&world);
        let Some(file) = all.get(at % count) else { continue };
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        match at < count {
            true => fs::remove_file(file).unwrap(),
            false => {
                let mut octets = fs::read(file).unwrap();
                let middle = octets.len() / 2;
                octets[middle] ^= 0x10;
                fs::write(file, octets).unwrap();
            }
        }
        let index = world.open(patient());
        right(&world, &index, 20);
        index.flush().unwrap();
        assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 20, "{name}");
        let harmless = name.starts_with('.');
        assert!(harmless || index.status().rebuilt == 1, "{name} was not noticed");
        index.close();
    }
    world.store.shutdown().await;
}

/// What a disk does to a file: what that is called, and how it is done.
type Harm = (&'static str, fn(&Path));

const HARMS: [Harm; 3] = [
    ("gone", |file| fs::remove_file(file).unwrap()),
    ("cut", |file| {
        let len = fs::metadata(file).unwrap().len();
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len / 2).unwrap();
    }),
    ("flipped", |file| {
        let mut octets = fs::read(file).unwrap();
        let middle = octets.len() / 2;
        octets[middle] ^= 0x10;
        // In place: what is mapped is what is on the disk.
        let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.write_all(&octets).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_decays_while_it_is_in_use_is_noticed() {
    let world = World::new().await;
    let index = world.open(patient());
    world.add_numbered(world.alice, 0..20).await;
    index.flush().unwrap();
    let is_part = |file: &PathBuf| file.extension().is_some_and(|kind| kind != "json");
    let count = files(&world).into_iter().filter(is_part).count();
    assert!(count > 4, "{count}");
    for (rebuilt, (at, harm)) in (0..count).flat_map(|at| HARMS.map(|harm| (at, harm))).enumerate()
    {
        let file = files(&world).into_iter().filter(is_part).nth(at).unwrap();
        index.scrub().unwrap();
        index.flush().unwrap();
        assert_eq!(index.status().rebuilt, rebuilt as u64, "what is whole is left alone");
        harm.1(&file);
        index.scrub().unwrap();
        right(&world, &index, 20);
        index.flush().unwrap();
        let name = file.extension().unwrap().to_string_lossy();
        assert_eq!(index.status().rebuilt, rebuilt as u64 + 1, "{name} {}", harm.0);
        assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 20);
    }
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_comes_by_itself() {
    let world = World::new().await;
    let often = Options { scrub: Duration::from_millis(1), scrub_rate: u64::MAX, ..patient() };
    let index = world.open(often);
    world.add_numbered(world.alice, 0..20).await;
    index.flush().unwrap();
    let store = files(&world).into_iter().find(|file| file.extension().unwrap() == "store");
    HARMS[2].1(&store.unwrap());
    let noticed = async {
        while index.status().rebuilt == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.unwrap();
    index.flush().unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 20);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_on_the_way_out_of_a_bucket_loses_and_doubles_nothing() {
    let world = World::new().await;
    let options = || Options { own: 15, ..patient() };
    for (round, fault) in
        ["own made", "before commit", "after commit", "before leaving", "after leaving"]
            .into_iter()
            .enumerate()
    {
        let account = world.another(&format!("user{round}")).await;
        let index = world.open(options());
        world.add_numbered(account, 0..10).await;
        index.flush().unwrap();
        world.add_numbered(account, 10..20).await;
        *index.inner.state.fault.lock() = Some(fault);
        index.flush().unwrap_err();
        index.close();
        let index = world.open(options());
        right_of(&world, &index, account, 20);
        index.flush().unwrap();
        assert_eq!(world.exact(&index, account, &subject("umbe")), 20, "{fault}");
        assert_eq!(index.status().rebuilt, 0, "{fault}");
        index.close();
    }
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_removed_while_it_is_used_comes_back() {
    let world = World::new().await;
    let index = world.open(patient());
    world.add_numbered(world.alice, 0..20).await;
    index.flush().unwrap();
    fs::remove_dir_all(world.root()).unwrap();
    right(&world, &index, 20);
    world.add_numbered(world.alice, 20..25).await;
    while index.flush().is_err() {}
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 25);
    index.rebuild(None).unwrap();
    right(&world, &index, 25);
    index.flush().unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 25);
    index.rebuild(Some(world.alice)).unwrap();
    right(&world, &index, 25);
    index.flush().unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 25);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_about_a_commit_loses_and_doubles_nothing() {
    let world = World::new().await;
    let mut count = 0;
    for fault in ["before commit", "after commit", "before commit"] {
        let index = world.open(patient());
        world.add_numbered(world.alice, count..count + 10).await;
        count += 10;
        *index.inner.state.fault.lock() = Some(fault);
        index.flush().unwrap_err();
        index.close();
        let index = world.open(patient());
        right(&world, &index, count);
        index.flush().unwrap();
        assert_eq!(world.exact(&index, world.alice, &subject("umbe")), count, "{fault}");
        index.close();
    }
    world.store.shutdown().await;
}
