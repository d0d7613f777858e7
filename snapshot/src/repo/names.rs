//! The names of objects, and what they tell.

use redoubt_log::id::{Hash, LogIndex, OperationId};

use super::seal::{hex, unhex};

/// What says that this is a repository.
pub const MARKER: &str = "redoubt-repository";
/// Under which data keys lie.
pub const KEYS: &str = "keys";
/// Under which packs lie.
pub const PACKS: &str = "packs";
/// Under which the packs' indexes lie.
pub const INDEX: &str = "index";
/// Under which pieces of bases' files lie.
pub const PIECES: &str = "pieces";
/// Under which lies what is to be removed.
pub const SWEEPS: &str = "sweeps";
/// Under which lies what was forgotten for good.
pub const FORGOTTEN: &str = "forgotten";

/// A range of the log, as its name tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeName {
    /// Its first entry.
    pub first: LogIndex,
    /// Its last entry.
    pub last: LogIndex,
    /// The first 8 octets of the chain after its last entry.
    pub chain: [u8; 8],
}

/// The first 8 octets of a chain's hash, as they stand in names.
pub fn short(chain: &Hash) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = chain.0;
    [a, b, c, d, e, f, g, h]
}

/// The folder of a history's log.
pub fn log_of(lineage: &str) -> String {
    format!("log/{lineage}")
}

/// The folder of a history's bases.
pub fn bases_of(lineage: &str) -> String {
    format!("bases/{lineage}")
}

/// A history's secret.
pub fn secret_of(lineage: &str) -> String {
    format!("secrets/{lineage}")
}

impl RangeName {
    /// Its whole name.
    pub fn name(&self, lineage: &str) -> String {
        let Self { first, last, chain } = self;
        format!("{}/{:020}-{:020}-{}", log_of(lineage), first.0, last.0, hex(chain))
    }

    /// From the last part of its name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut number = || parts.next().filter(|text| text.len() == 20)?.parse().ok();
        let (first, last) = (LogIndex(number()?), LogIndex(number()?));
        let chain = unhex(parts.next()?)?;
        (parts.next().is_none() && first <= last).then_some(Self { first, last, chain })
    }
}

/// A base, as its name tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseName {
    /// The index that it is of.
    pub index: LogIndex,
    /// The first 8 octets of the chain after it.
    pub chain: [u8; 8],
}

impl BaseName {
    /// Its whole name.
    pub fn name(&self, lineage: &str) -> String {
        format!("{}/{:020}-{}", bases_of(lineage), self.index.0, hex(&self.chain))
    }

    /// From the last part of its name.
    pub fn parse(text: &str) -> Option<Self> {
        let (index, chain) = text.split_once('-')?;
        let index = Some(index).filter(|text| text.len() == 20)?.parse().ok()?;
        Some(Self { index: LogIndex(index), chain: unhex(chain)? })
    }
}

/// A pack's index, as its name tells it. The newest generation counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexName {
    /// The pack.
    pub pack: [u8; 16],
    /// How often something of it was forgotten.
    pub generation: u32,
}

impl IndexName {
    /// Its whole name.
    pub fn name(&self) -> String {
        format!("{INDEX}/{}-{:08x}", hex(&self.pack), self.generation)
    }

    /// From the last part of its name.
    pub fn parse(text: &str) -> Option<Self> {
        let (pack, generation) = text.split_once('-')?;
        let generation = unhex(generation).map(u32::from_be_bytes)?;
        Some(Self { pack: unhex(pack)?, generation })
    }
}

/// A pack, by its id.
pub fn pack(id: &[u8; 16]) -> String {
    spread(PACKS, id)
}

/// A piece of a base's file. A name that is to be removed is never used again: what comes
/// after that gets the number of the newest sweep for its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceName {
    /// A keyed hash of its octets.
    pub id: [u8; 32],
    /// The newest sweep when it was sent, 0 for none.
    pub generation: u32,
}

impl PieceName {
    /// Its whole name.
    pub fn name(&self) -> String {
        format!("{}-{:08x}", spread(PIECES, &self.id), self.generation)
    }

    /// From the last part of its name.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, generation) = text.split_once('-')?;
        let generation = unhex(generation).map(u32::from_be_bytes)?;
        Some(Self { id: unhex(id)?, generation })
    }

    /// The last part of its name.
    pub fn last(&self) -> String {
        format!("{}-{:08x}", hex(&self.id), self.generation)
    }
}

/// The folder of what says which bases of a history were finished.
pub fn taken_of(lineage: &str) -> String {
    format!("taken/{lineage}")
}

/// What says that a base was finished, so that one whose description is gone is missed.
pub fn taken(lineage: &str, base: &BaseName) -> String {
    format!("{}/{:020}-{}", taken_of(lineage), base.index.0, hex(&base.chain))
}

/// The folder of a history's floors.
pub fn floors_of(lineage: &str) -> String {
    format!("floors/{lineage}")
}

/// That nothing is kept of a history up to and with an entry.
pub fn floor(lineage: &str, index: LogIndex) -> String {
    format!("{}/{:020}", floors_of(lineage), index.0)
}

/// The folder of a history's pins.
pub fn pins_of(lineage: &str) -> String {
    format!("pins/{lineage}")
}

/// A base that is to stay.
pub fn pin(lineage: &str, base: &BaseName) -> String {
    format!("{}/{:020}-{}", pins_of(lineage), base.index.0, hex(&base.chain))
}

/// Under which lies what came of verifying.
pub const CHECKS: &str = "checks";

/// What came of a verification, by when it was begun, in milliseconds since 1970.
pub fn check(begun: i64) -> String {
    format!("{CHECKS}/{:020}", begun.max(0))
}

/// A sweep, by its number.
pub fn sweep(number: u32) -> String {
    format!("{SWEEPS}/{number:08x}")
}

/// What an erasure made forgotten, each time that there was something.
pub fn forgotten(erasure: &OperationId, number: u32) -> String {
    format!("{FORGOTTEN}/{erasure}-{number:08x}")
}

/// So that no folder has millions of files.
fn spread(under: &str, id: &[u8]) -> String {
    let text = hex(id);
    format!("{under}/{}/{text}", text.get(..2).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn last(name: &str) -> &str {
        name.rsplit('/').next().unwrap()
    }

    #[test]
    fn names_read_back_and_sort_as_they_count() {
        let range = |first, last| RangeName {
            first: LogIndex(first),
            last: LogIndex(last),
            chain: short(&Hash([0xab; 32])),
        };
        for range in [range(0, 0), range(5, 70_000), range(1 << 32, u64::MAX)] {
            assert_eq!(RangeName::parse(last(&range.name("x"))), Some(range));
        }
        assert!(range(9, 9).name("x") < range(10, 10).name("x"));
        let base = BaseName { index: LogIndex(7), chain: [1; 8] };
        assert_eq!(BaseName::parse(last(&base.name("x"))), Some(base));
        let index = IndexName { pack: [3; 16], generation: 0x0102 };
        assert_eq!(IndexName::parse(last(&index.name())), Some(index));
        assert_eq!(pack(&[0xfe; 16]), format!("packs/fe/{}", "fe".repeat(16)));
        let piece = PieceName { id: [0xfd; 32], generation: 0x0a0b };
        assert_eq!(PieceName::parse(last(&piece.name())), Some(piece));
        assert_eq!(last(&piece.name()), piece.last());
    }

    #[test]
    fn other_names_are_none() {
        let chain = "00".repeat(8);
        for wrong in [
            String::new(),
            format!("1-2-{chain}"),
            format!("{:020}-{:020}-{chain}", 9, 8),
            format!("{:020}-{:020}-{chain}-", 1, 2),
            format!("{:020}-{:020}-00", 1, 2),
        ] {
            assert_eq!(RangeName::parse(&wrong), None, "{wrong}");
        }
        assert_eq!(IndexName::parse("00-00000000"), None);
        assert_eq!(BaseName::parse("1-00"), None);
    }
}
