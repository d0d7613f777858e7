//! Documents cut short, changed or of others, through the real worker.

use std::time::Duration;

use redoubt_extract::{Document, Limits, Options, Pool, Status};

use super::documents;
use super::{assert_reads, named, options};

/// Broken copies of each kind.
const COPIES: u64 = 12;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Cut, changed in some octets, with a stretch of another place, or all of it.
fn broken(octets: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let how = dice.below(4);
    if how != 1 {
        for _ in 0..=dice.below(8) {
            let at = dice.below(octets.len());
            octets[at] = dice.below(256) as u8;
        }
    }
    if how == 2 && octets.len() > 64 {
        let (from, to) = (dice.below(octets.len() - 32), dice.below(octets.len() - 32));
        octets.copy_within(from..from + 32, to);
    }
    if how != 0 {
        octets.truncate(dice.below(octets.len()));
    }
    octets
}

#[test]
fn broken_documents_have_an_answer_and_the_workers_go_on() {
    let limits = Limits { text: 1 << 20, ..Limits::default() };
    let (wall, memory) = (Duration::from_secs(5), 256 << 20);
    let pool = Pool::new(Options { wall, memory, limits, workers: 2, ..options() });
    let mut tried = 0;
    for (media_type, name, octets) in documents::all() {
        let document = Document { media_type: media_type.into(), ..named(name) };
        for copy in 0..COPIES {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (copy << 20) ^ octets.len() as u64);
            let extracted = pool.extract(&document, broken(&octets, &mut dice)).unwrap();
            assert!(extracted.text.len() <= 1 << 20, "{name} {copy}");
            let told = extracted.why.is_some() || extracted.status == Status::Ok;
            assert!(told, "{name} {copy}: {extracted:?}");
            tried += 1;
        }
    }
    let counts = pool.counts();
    assert!(tried >= 26 * COPIES && counts.documents.iter().sum::<u64>() == tried, "{counts:?}");
    // Who did not answer was stopped; a worker that was not is used again.
    assert!(counts.started <= 1 + counts.slow + counts.ended, "{counts:?}");
    assert_reads(&pool);
}

/// Documents of others, where there are some.
#[test]
fn the_corpus_is_read_by_workers() {
    let Some(corpus) = std::env::var_os("REDOUBT_CORPUS") else { return };
    let pool = Pool::new(options());
    let mut read = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&corpus).join("documents")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let extracted = pool.extract(&named(&name), std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(extracted.status, Status::Ok, "{name}: {extracted:?}");
        assert!(extracted.text.trim().len() > 2, "{name}: {extracted:?}");
        read += 1;
    }
    assert!(read > 5 && pool.counts().started == 1, "{read}: {:?}", pool.counts());
}
