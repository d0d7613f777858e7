//! The frame around every object: docs/format.md, "Backup repository".
//!
//! Nonces never repeat because keys do not: an object's own key is derived from
//! the data key and a salt, and the salt is a keyed hash of the object's name and
//! all of its octets. Two objects have the same key only where they are the same
//! object, and then the same octets come out. No clock, counter or generator of
//! random numbers is relied on, so that a machine restored from an image is as
//! good as any other.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::RepoError;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A data key, sealed with a master key.
    Key = 1,
    /// Entries of the log.
    Range = 2,
    /// Pieces of blobs, each sealed with a key of its own.
    Pack = 3,
    /// What lies where in a pack, and the keys.
    Index = 4,
    /// A piece of a base's file.
    Piece = 5,
    /// What a base consists of.
    Base = 6,
    /// The shard's secret.
    Secret = 7,
    /// What is to be removed.
    Sweep = 8,
    /// A name that says all: a base that was finished, or is to stay, or a floor.
    Mark = 9,
    /// Keys and certificates of a node, in a file outside of the repository.
    Keys = 10,
    /// What was forgotten for good.
    Forgotten = 11,
}

/// Octets of a frame before its payload.
pub const HEADER_BYTES: usize = 64;
/// Octets of the checksum behind it.
pub const TRAILER_BYTES: usize = 32;
/// Octets that sealing adds.
pub const TAG_BYTES: usize = 16;
/// The format of frames that this program writes.
pub const FORMAT: u16 = 1;
const MAGIC: &[u8; 8] = b"RDBTOBJ\n";
const PLAIN: u8 = 0;
const CHACHA20: u8 = 1;

/// A key of 32 octets and its name, which is a hash of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    /// Its name in frames.
    pub id: [u8; 8],
    secret: [u8; 32],
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", hex(&self.id))
    }
}

impl SealKey {
    /// From its octets.
    pub fn new(secret: [u8; 32]) -> Self {
        let named = blake3::derive_key("redoubt backup 1: name of a key", &secret);
        let mut id = [0; 8];
        id.iter_mut().zip(named).for_each(|(to, from)| *to = from);
        Self { id, secret }
    }

    /// Made of the system's randomness.
    pub fn random() -> Self {
        Self::new(rand::random())
    }

    /// Its octets, to be sealed or kept.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    fn hasher(&self, what: &[u8; 4]) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(what);
        hasher
    }

    fn salt(&self, name: &str, plain: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher(b"salt");
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        *hasher.update(plain).finalize().as_bytes()
    }

    fn of_object(&self, salt: &[u8; 32]) -> [u8; 32] {
        *self.hasher(b"seal").update(salt).finalize().as_bytes()
    }
}

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads [`hex`].
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N
        || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Seals the octets from `start` on in their place, and puts the tag behind them: under a key
/// that seals nothing else, whose nonce is therefore always 0.
pub(super) fn seal_from(
    key: &[u8; 32],
    aad: &[u8],
    octets: &mut Vec<u8>,
    start: usize,
) -> Result<(), ()> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(drop)?);
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let plain = octets.get_mut(start..).ok_or(())?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), plain).map_err(drop)?;
    octets.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Undoes [`seal_from`]; `None` when the octets are not those that were sealed.
pub(super) fn open_once(key: &[u8; 32], aad: &[u8], mut octets: Vec<u8>) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let len = key.open_in_place(nonce, Aad::from(aad), &mut octets).ok()?.len();
    octets.truncate(len);
    Some(octets)
}

/// What a frame says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it is, as a number.
    pub kind: u8,
    /// Whether its payload is sealed.
    pub sealed: bool,
    /// With which key.
    pub key: [u8; 8],
    salt: [u8; 32],
    /// Octets of its payload before sealing.
    pub plain: u64,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields: [&[u8]; 8] = [
            MAGIC,
            &FORMAT.to_le_bytes(),
            &[if self.sealed { CHACHA20 } else { PLAIN }],
            &[self.kind],
            &[0; 4],
            &self.key,
            &self.salt,
            &self.plain.to_le_bytes(),
        ];
        bytes.iter_mut().zip(fields.concat()).for_each(|(to, from)| *to = from);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let short = || format!("{} octets are too few", bytes.len());
        let mut at = Cut(bytes);
        let magic = at.array::<8>().ok_or_else(short)?;
        let format = u16::from_le_bytes(at.array().ok_or_else(short)?);
        if magic != *MAGIC || format != FORMAT {
            return Err("it is not an object of a format known here".to_owned());
        }
        let [algorithm, kind] = at.array().ok_or_else(short)?;
        let rest = at.array::<4>().ok_or_else(short)?;
        if rest != [0; 4] || !matches!(algorithm, PLAIN | CHACHA20) {
            return Err(format!("algorithm {algorithm} is not known here"));
        }
        let (key, salt) = (at.array().ok_or_else(short)?, at.array().ok_or_else(short)?);
        let plain = at.u64().ok_or_else(short)?;
        Ok(Self { kind, sealed: algorithm == CHACHA20, key, salt, plain })
    }
}

/// Takes octets from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a>(pub(super) &'a [u8]);

impl<'a> Cut<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// An object's octets: sealed with a key, or plain without one.
///
/// # Errors
/// [`RepoError::Damaged`] when it is too large to be sealed.
pub fn seal(
    kind: Kind,
    name: &str,
    key: Option<&SealKey>,
    plain: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let salt = key.map_or([0; 32], |key| key.salt(name, plain));
    let id = key.map_or([0; 8], |key| key.id);
    let len = plain.len() as u64;
    let header = Header { kind: kind as u8, sealed: key.is_some(), key: id, salt, plain: len };
    let head = header.bytes();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES + TRAILER_BYTES);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(plain);
    if let Some(key) = key {
        let aad = [&head, name.as_bytes()].concat();
        let sealed = seal_from(&key.of_object(&salt), &aad, &mut bytes, HEADER_BYTES);
        sealed.map_err(|()| RepoError::damaged(name, "it cannot be sealed"))?;
    }
    finish(&mut bytes);
    Ok(bytes)
}

/// Ends a frame with its checksum; gives the hash of all of it, at the price of one.
fn finish(frame: &mut Vec<u8>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let sum = hasher.update(frame).finalize();
    frame.extend_from_slice(sum.as_bytes());
    hasher.update(sum.as_bytes()).finalize()
}

/// What an object says of itself, and its payload; its checksum fits. Needs no key.
///
/// # Errors
/// [`RepoError::Damaged`].
pub fn look<'a>(name: &str, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), RepoError> {
    let damaged = |problem: &str| RepoError::damaged(name, problem);
    let body = bytes.len().checked_sub(TRAILER_BYTES).ok_or_else(|| damaged("it was cut"))?;
    let (framed, sum) = bytes.split_at(body);
    if blake3::hash(framed).as_bytes().as_slice() != sum {
        return Err(damaged("its octets do not have the checksum that they end with"));
    }
    let header = Header::parse(framed).map_err(|problem| damaged(&problem))?;
    Ok((header, framed.get(HEADER_BYTES..).unwrap_or_default()))
}

/// What an object was sealed from.
///
/// # Errors
/// [`RepoError::Damaged`], [`RepoError::WrongKey`], [`RepoError::NotEncrypted`].
pub fn open<'k>(
    kind: Kind,
    name: &str,
    bytes: &[u8],
    encrypted: bool,
    key_of: impl FnOnce(&[u8; 8]) -> Option<&'k SealKey>,
) -> Result<Vec<u8>, RepoError> {
    let (header, payload) = look(name, bytes)?;
    if header.kind != kind as u8 {
        return Err(RepoError::damaged(name, format!("it is of kind {}", header.kind)));
    }
    // Else whoever can write there could put in what nobody sealed.
    if header.sealed != encrypted {
        return Err(RepoError::damaged(name, "it is not sealed as the repository is"));
    }
    let plain = match header.sealed {
        false => payload.to_vec(),
        true => {
            let unknown =
                || RepoError::WrongKey { given: "configured".into(), known: hex(&header.key) };
            let key = key_of(&header.key).ok_or_else(unknown)?;
            let aad = [&header.bytes(), name.as_bytes()].concat();
            let plain = open_once(&key.of_object(&header.salt), &aad, payload.to_vec());
            plain.ok_or_else(|| RepoError::damaged(name, "it was not sealed with this key so"))?
        }
    };
    match plain.len() as u64 == header.plain {
        true => Ok(plain),
        false => Err(RepoError::damaged(name, "it has another length than it says")),
    }
}

/// Octets of an object with so many octets of content.
pub fn framed_len(plain: u64, sealed: bool) -> u64 {
    let tag = if sealed { TAG_BYTES as u64 } else { 0 };
    plain.saturating_add((HEADER_BYTES + TRAILER_BYTES) as u64).saturating_add(tag)
}

/// Makes a pack's frame around its pieces, which are sealed one by one and stand behind room for
/// the header; gives the hash of all of it.
pub(super) fn frame_pack(sealed: bool, frame: &mut Vec<u8>) -> blake3::Hash {
    let plain = frame.len().saturating_sub(HEADER_BYTES) as u64;
    // So that no two packs have one name: one that is to be removed does not come again.
    let salt = rand::random();
    let header = Header { kind: Kind::Pack as u8, sealed, key: [0; 8], salt, plain };
    frame.iter_mut().zip(header.bytes()).for_each(|(to, from)| *to = from);
    finish(frame)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> SealKey {
        SealKey::new([7; 32])
    }

    #[test]
    fn what_was_sealed_opens_under_its_name_and_key_alone() {
        let (key, other) = (key(), SealKey::new([8; 32]));
        let sealed = seal(Kind::Range, "a/b", Some(&key), b"secret text").unwrap();
        assert!(!sealed.windows(6).any(|octets| octets == b"secret"));
        let open_as = |kind, name, encrypted, key: &SealKey| {
            open(kind, name, &sealed, encrypted, |id| (*id == key.id).then_some(key))
        };
        assert_eq!(open_as(Kind::Range, "a/b", true, &key).unwrap(), b"secret text");
        for wrong in [
            open_as(Kind::Range, "a/c", true, &key),
            open_as(Kind::Index, "a/b", true, &key),
            open_as(Kind::Range, "a/b", false, &key),
            open_as(Kind::Range, "a/b", true, &other),
        ] {
            assert!(wrong.is_err());
        }
    }

    #[test]
    fn each_octet_that_changes_or_goes_is_noticed_with_and_without_a_key() {
        let key = key();
        for with in [Some(&key), None] {
            let whole = seal(Kind::Secret, "s", with, &[5; 40]).unwrap();
            let read = |bytes: &[u8]| open(Kind::Secret, "s", bytes, with.is_some(), |_| with);
            assert_eq!(read(&whole).unwrap(), [5; 40]);
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                assert!(read(&bytes).is_err(), "octet {at}");
                assert!(read(&whole[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn salts_differ_with_name_and_octets_and_not_otherwise() {
        let key = key();
        let seal = |name, octets| seal(Kind::Piece, name, Some(&key), octets).unwrap();
        assert_eq!(seal("a", b"x"), seal("a", b"x"));
        let salt = |bytes: &[u8]| bytes[24..56].to_vec();
        assert_ne!(salt(&seal("a", b"x")), salt(&seal("a", b"y")));
        assert_ne!(salt(&seal("a", b"x")), salt(&seal("ax", b"")));
        assert_ne!(salt(&seal("a", b"x")), salt(&seal("b", b"x")));
    }

    #[test]
    fn hexadecimal_reads_back() {
        assert_eq!(unhex::<3>(&hex(&[0, 0xab, 0xff])), Some([0, 0xab, 0xff]));
        for wrong in ["", "0", "zz0000", "+1+1+1", "ABABAB"] {
            assert_eq!(unhex::<3>(wrong), None);
        }
    }
}
