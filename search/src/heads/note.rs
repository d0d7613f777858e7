//! Signed heads of the log: checkpoints in the form of C2SP tlog-checkpoint and signed-note,
//! signed with Ed25519. Pure. docs/format.md, "Signed heads", has an example.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{Hash, LogIndex, Timestamp};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The number of Ed25519 among the algorithms of signed notes.
const ED25519_TYPE: u8 = 1;
/// What each signature line begins with.
const DASH: &str = "\u{2014} ";
/// The most octets of a head with its signatures.
pub const MAX_NOTE: usize = 64 * 1024;

/// Why a head or a key does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A head that is none.
    #[error("this is no signed head of a log: {0}")]
    Head(&'static str),
    /// A key that is none.
    #[error("{0:?} is no key of a log: one looks like redoubt/LINEAGE/0+01234567+Ab...=")]
    Key(String),
}

/// A head of the log: the tree at one size, and what it is the size of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `redoubt/LINEAGE/SHARD`.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// The root over them (RFC 6962 with BLAKE3).
    pub root: Hash,
    /// The last entry's index.
    pub index: LogIndex,
    /// That entry's effective time as RFC 3339.
    pub time: String,
}

/// The name of a log.
pub fn origin(lineage: &str) -> String {
    format!("redoubt/{lineage}/0")
}

impl Checkpoint {
    /// The head of a log after an entry.
    pub fn new(lineage: &str, size: u64, root: Hash, index: LogIndex, time: Timestamp) -> Self {
        Self { origin: origin(lineage), size, root, index, time: rfc3339(time) }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let root = STANDARD.encode(self.root.0);
        let Self { origin, size, index, time, .. } = self;
        format!("{origin}\n{size}\n{root}\nindex {index}\ntime {time}\n")
    }

    fn read(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Head;
        let mut lines = text.lines();
        let mut next = |what| lines.next().ok_or(wrong(what));
        let origin = next("it has no origin")?.to_owned();
        let size = next("it has no size")?.parse().map_err(|_| wrong("its size is no number"))?;
        let root = STANDARD.decode(next("it has no root")?).ok().and_then(|r| r.try_into().ok());
        let root = Hash(root.ok_or(wrong("its root is no hash"))?);
        let index = next("it has no index")?.strip_prefix("index ").and_then(|i| i.parse().ok());
        let index = index.ok_or(wrong("its index is no number"))?;
        let time = next("it has no time")?.strip_prefix("time ").ok_or(wrong("it has no time"))?;
        let read = Self { origin, size, root, index, time: time.to_owned() };
        match read.text() == text {
            true => Ok(read),
            false => Err(wrong("it is not written as heads are")),
        }
    }
}

/// A signature under a note.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A head with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The head.
    pub checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

impl SignedHead {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Head`].
    pub fn read(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Head("it is too long"));
        }
        let none = NoteError::Head("it has no signature");
        let (text, below) = note.split_once("\n\n").ok_or(none.clone())?;
        let checkpoint = Checkpoint::read(&format!("{text}\n"))?;
        let signatures = below.lines().map(signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.is_empty() {
            return Err(none);
        }
        let read = Self { checkpoint, signatures };
        match read.to_string() == note {
            true => Ok(read),
            false => Err(NoteError::Head("it is not written as heads are")),
        }
    }

    /// Reads a file of notes, one behind the other with an empty line between, as a schedule
    /// appends them; a single one is such a file too.
    ///
    /// # Errors
    /// [`NoteError::Head`].
    pub fn read_all(text: &str) -> Result<Vec<Self>, NoteError> {
        let parts: Vec<&str> = text.trim_end_matches('\n').split("\n\n").collect();
        let note = |part: &[&str]| match part {
            [text, below] => Self::read(&format!("{text}\n\n{below}\n")),
            _ => Err(NoteError::Head("it has no signature")),
        };
        parts.chunks(2).map(note).collect()
    }

    /// Whether one of these keys, which must be of the log's own name, has signed it.
    pub fn signed_by<'k>(&self, keys: &'k [PublicKey]) -> Option<&'k PublicKey> {
        let text = self.checkpoint.text();
        keys.iter().filter(|key| key.name == self.checkpoint.origin).find(|key| {
            let own = |s: &&Signature| s.name == key.name && s.id == key.id();
            self.signatures.iter().filter(own).any(|s| key.verifies(text.as_bytes(), &s.bytes))
        })
    }
}

fn signature(line: &str) -> Result<Signature, NoteError> {
    let wrong = NoteError::Head("a line of signature does not read");
    let (name, coded) =
        line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(wrong.clone())?;
    let coded = STANDARD.decode(coded).map_err(|_| wrong.clone())?;
    let (id, bytes) = coded.split_first_chunk().ok_or(wrong)?;
    Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint.text())?;
        for Signature { name, id, bytes } in &self.signatures {
            let coded = STANDARD.encode([id.as_slice(), bytes].concat());
            writeln!(f, "{DASH}{name} {coded}")?;
        }
        Ok(())
    }
}

/// The public half of a key that signs heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The name of the log.
    pub name: String,
    /// As RFC 8032 writes it.
    pub key: [u8; 32],
}

impl PublicKey {
    /// The first octets of the hash of name and key, as signed notes have it.
    fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', ED25519_TYPE]);
        hasher.update(self.key);
        let hash = hasher.finalize();
        hash.first_chunk().copied().unwrap_or_default()
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(text, signature).is_ok()
    }

    /// Reads a key as signed notes write it.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn read(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let (name, rest) = text.split_once('+')?;
            let (id, coded) = rest.split_once('+')?;
            let coded = STANDARD.decode(coded).ok()?;
            let (ED25519_TYPE, key) = coded.split_first().map(|(t, k)| (*t, k))? else {
                return None;
            };
            let key = Self { name: name.to_owned(), key: key.try_into().ok()? };
            (id == hex(&key.id()) && !name.is_empty() && !name.contains(char::is_whitespace))
                .then_some(key)
        };
        read().ok_or_else(|| NoteError::Key(text.chars().take(80).collect()))
    }

    /// Reads a file of keys, one a line; lines that begin with `#` are remarks.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn read_all(text: &str) -> Result<Vec<Self>, NoteError> {
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        keys.map(Self::read).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coded = STANDARD.encode([&[ED25519_TYPE], self.key.as_slice()].concat());
        write!(f, "{}+{}+{coded}", self.name, hex(&self.id()))
    }
}

/// Signs a head.
pub fn sign(checkpoint: Checkpoint, pair: &Ed25519KeyPair, public: &PublicKey) -> SignedHead {
    let bytes = pair.sign(checkpoint.text().as_bytes()).as_ref().to_vec();
    let signature = Signature { name: public.name.clone(), id: public.id(), bytes };
    SignedHead { checkpoint, signatures: vec![signature] }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use ring::signature::KeyPair;

    use super::*;

    fn keys(seed: u8) -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, PublicKey { name: origin("ab"), key })
    }

    fn head() -> Checkpoint {
        Checkpoint::new("ab", 77, Hash([3; 32]), LogIndex(80), Timestamp(1_700_000_000_123))
    }

    /// What PyNaCl or OpenSSL make of the same seed: RFC 8032 leaves no freedom.
    #[test]
    fn a_head_is_written_for_good() {
        let (pair, public) = keys(7);
        let note = sign(head(), &pair, &public).to_string();
        let mut lines = note.lines();
        assert_eq!(lines.next(), Some("redoubt/ab/0"));
        assert_eq!(lines.next(), Some("77"));
        assert_eq!(lines.next(), Some("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="));
        assert_eq!(lines.next(), Some("index 80"));
        assert_eq!(lines.next(), Some("time 2023-11-14T22:13:20.123Z"));
        assert_eq!(lines.next(), Some(""));
        assert!(lines.next().unwrap().starts_with("\u{2014} redoubt/ab/0 "));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn only_the_key_verifies_and_every_octet_counts() {
        let ((pair, public), (_, other)) = (keys(7), keys(8));
        let note = sign(head(), &pair, &public).to_string();
        let read = SignedHead::read(&note).unwrap();
        assert_eq!(read.checkpoint, head());
        assert_eq!(read.signed_by(&[other.clone(), public.clone()]), Some(&public));
        assert_eq!(read.signed_by(&[other]), None);
        let elsewhere = PublicKey { name: origin("cd"), ..public.clone() };
        assert_eq!(read.signed_by(&[elsewhere]), None);
        for at in 0..note.len() {
            let mut octets = note.clone().into_bytes();
            octets[at] ^= 1;
            let Ok(text) = String::from_utf8(octets) else { continue };
            let verified = SignedHead::read(&text)
                .is_ok_and(|head| head.signed_by(std::slice::from_ref(&public)).is_some());
            assert!(!verified, "octet {at}");
        }
    }

    #[test]
    fn notes_stand_behind_each_other() {
        let (pair, public) = keys(7);
        let (first, second) = (sign(head(), &pair, &public), sign(head(), &pair, &public));
        let all = vec![first.clone(), second.clone()];
        assert_eq!(SignedHead::read_all(&format!("{first}\n{second}\n")), Ok(all));
        assert_eq!(SignedHead::read_all(&first.to_string()), Ok(vec![first.clone()]));
        for wrong in ["", "a\n\nb\n", &format!("{first}\n{}", head().text())] {
            assert!(SignedHead::read_all(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_read_back() {
        let (_, public) = keys(7);
        let text = public.to_string();
        assert_eq!(PublicKey::read(&text), Ok(public.clone()));
        assert_eq!(PublicKey::read_all(&format!("# ours\n\n{text}\n")), Ok(vec![public]));
        for wrong in ["", "a+b", &text[..text.len() - 5], &text.replace("redoubt", "other")] {
            assert!(PublicKey::read(wrong).is_err(), "{wrong}");
        }
    }
}
