//! The master key, which never lies in the repository, and the data keys, which
//! do, sealed with it.
//!
//! A data key is written once for each master key that is to open it, so that a
//! new master key makes nothing old unreadable. New objects are sealed with the
//! newest data key.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;

use super::RepoError;
use super::names::KEYS;
use super::objects::{Created, Objects};
use super::seal::{Kind, SealKey, hex, open, seal, unhex};

const FILE_WORD: &str = "redoubt-backup-key-1";
/// A key file is one line.
const MAX_FILE: u64 = 4096;

/// The key that opens the repository, in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKey(pub(super) SealKey);

impl MasterKey {
    /// Its name: in the file, in the names of the objects that it opens, in listings.
    pub fn id(&self) -> String {
        hex(&self.0.id)
    }

    /// A new one, in a file that only its owner reads. What is there is never overwritten.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`].
    pub fn make(path: &Path) -> Result<Self, RepoError> {
        let key = Self(SealKey::random());
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(key.line().as_bytes())?;
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| wrong(path, error))?;
        Ok(key)
    }

    fn line(&self) -> String {
        format!("{FILE_WORD} {} {}\n", self.id(), hex(self.0.secret()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`], also when others may read it.
    pub fn read(path: &Path) -> Result<Self, RepoError> {
        let file = fs::File::open(path).map_err(|error| wrong(path, error))?;
        let mode = file.metadata().map_err(|error| wrong(path, error))?.mode();
        if mode & 0o077 != 0 {
            return Err(wrong(path, "others may read it: chmod 600"));
        }
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| wrong(path, error))?;
        Self::parse(&text).ok_or_else(|| wrong(path, "it is not a key of a repository"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (word, id, secret) = (words.next()?, words.next()?, words.next()?);
        let key = Self(SealKey::new(unhex(secret)?));
        (word == FILE_WORD && key.id() == id && words.next().is_none()).then_some(key)
    }
}

fn wrong(path: &Path, problem: impl ToString) -> RepoError {
    RepoError::KeyFile { path: path.display().to_string(), problem: problem.to_string() }
}

/// How the repository is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWish {
    /// Not at all: who reads the repository reads the mail.
    Plain,
    /// With this key.
    With(MasterKey),
    /// Somehow, and there is no key: nothing is written.
    Absent,
}

/// A data key in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    /// Counts the data keys.
    pub number: u32,
    /// The data key.
    pub data: [u8; 8],
    /// The master key that opens it.
    pub master: [u8; 8],
}

impl KeyName {
    fn name(&self) -> String {
        format!("{KEYS}/{:08}-{}-{}", self.number, hex(&self.data), hex(&self.master))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let number = parts.next().filter(|text| text.len() == 8)?.parse().ok()?;
        let (data, master) = (unhex(parts.next()?)?, unhex(parts.next()?)?);
        parts.next().is_none().then_some(Self { number, data, master })
    }
}

/// The data keys that the master key opens; none in a repository without encryption.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<[u8; 8], SealKey>,
    newest: Option<(u32, SealKey)>,
}

impl Keyring {
    /// Those of the repository that `master` opens.
    ///
    /// # Errors
    /// [`RepoError::WrongKey`], [`RepoError::Damaged`], [`RepoError::Unreachable`].
    pub async fn open(objects: &Objects, master: &MasterKey) -> Result<Self, RepoError> {
        let names = list(objects).await?;
        let mut ring = Self::default();
        for name in names.iter().filter(|name| name.master == master.0.id) {
            ring.add(name.number, read(objects, name, master).await?);
        }
        match ring.newest.is_none() && !names.is_empty() {
            true => Err(wrong_key(master, &names)),
            false => Ok(ring),
        }
    }

    fn add(&mut self, number: u32, key: SealKey) {
        // Two nodes may have made the first at one time: the same one is the newest for both.
        let newest = self.newest.as_ref().map(|(number, key)| (*number, key.id));
        if newest < Some((number, key.id)) {
            self.newest = Some((number, key.clone()));
        }
        self.keys.insert(key.id, key);
    }

    /// A new data key, which is used from now on.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn renew(&mut self, objects: &Objects, master: &MasterKey) -> Result<(), RepoError> {
        let number = self.newest.as_ref().map_or(1, |(number, _)| number.saturating_add(1));
        let key = SealKey::random();
        write(objects, number, &key, master).await?;
        self.add(number, key);
        Ok(())
    }

    /// The key that new objects are sealed with.
    pub fn newest(&self) -> Option<&SealKey> {
        self.newest.as_ref().map(|(_, key)| key)
    }

    /// A key by its name.
    pub fn get(&self, id: &[u8; 8]) -> Option<&SealKey> {
        self.keys.get(id)
    }
}

/// The data keys in the repository, with the master keys that open them.
///
/// # Errors
/// [`RepoError::Unreachable`].
pub async fn list(objects: &Objects) -> Result<Vec<KeyName>, RepoError> {
    let listed = objects.list(KEYS, None).await?;
    Ok(listed.iter().filter_map(|object| KeyName::parse(object.last())).collect())
}

/// From now on `new` opens everything too, and what is written next is sealed with
/// a new data key that the old master key does not open.
///
/// # Errors
/// As [`Keyring::open`]; after any of them it can be called again.
pub async fn rotate(objects: &Objects, old: &MasterKey, new: &MasterKey) -> Result<(), RepoError> {
    let names = list(objects).await?;
    let mine: Vec<_> = names.iter().filter(|name| name.master == old.0.id).collect();
    if mine.is_empty() {
        return Err(wrong_key(old, &names));
    }
    for name in mine {
        let key = read(objects, name, old).await?;
        write(objects, name.number, &key, new).await?;
    }
    Keyring::open(objects, new).await?.renew(objects, new).await
}

async fn read(objects: &Objects, name: &KeyName, master: &MasterKey) -> Result<SealKey, RepoError> {
    let (text, key) = (name.name(), &master.0);
    let bytes = objects.get(&text).await?;
    let plain = open(Kind::Key, &text, &bytes, true, |id| (*id == key.id).then_some(key))?;
    let secret = plain.try_into().map_err(|_| RepoError::damaged(&text, "it is no key"))?;
    let key = SealKey::new(secret);
    match key.id == name.data {
        true => Ok(key),
        false => Err(RepoError::damaged(&text, "it is another key")),
    }
}

async fn write(
    objects: &Objects,
    number: u32,
    key: &SealKey,
    master: &MasterKey,
) -> Result<(), RepoError> {
    let name = KeyName { number, data: key.id, master: master.0.id }.name();
    let bytes = Bytes::from(seal(Kind::Key, &name, Some(&master.0), key.secret())?);
    match objects.create(&name, bytes.clone()).await? {
        Created::New => Ok(()),
        // The same key under the same name is the same octets.
        Created::Exists if objects.get(&name).await? == bytes => Ok(()),
        Created::Exists => Err(RepoError::Conflict(name)),
    }
}

fn wrong_key(master: &MasterKey, names: &[KeyName]) -> RepoError {
    let mut known: Vec<String> = names.iter().map(|name| hex(&name.master)).collect();
    known.sort();
    known.dedup();
    RepoError::WrongKey { given: master.id(), known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_key_file_is_the_owners_alone_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup.key");
        let key = MasterKey::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::read(&path).unwrap(), key);
        assert!(MasterKey::make(&path).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(MasterKey::read(&path).is_err());
        let text = fs::read_to_string(&path).unwrap();
        for wrong in ["", "x", &text.replace('1', "2"), &format!("{text} more")] {
            assert!(MasterKey::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{key:?}").contains(&hex(key.0.secret())));
    }

    #[tokio::test]
    async fn after_a_rotation_the_new_key_opens_all_and_the_old_one_what_is_old() {
        let objects = Objects::new(Arc::new(InMemory::new()));
        let [old, new, other] = [1, 2, 3].map(|n| MasterKey(SealKey::new([n; 32])));
        let mut ring = Keyring::open(&objects, &old).await.unwrap();
        assert!(ring.newest().is_none());
        ring.renew(&objects, &old).await.unwrap();
        let first = ring.newest().unwrap().clone();
        rotate(&objects, &old, &new).await.unwrap();
        let ring = Keyring::open(&objects, &new).await.unwrap();
        let second = ring.newest().unwrap().clone();
        assert_ne!(first.id, second.id);
        assert_eq!(ring.get(&first.id), Some(&first));
        let ring = Keyring::open(&objects, &old).await.unwrap();
        assert_eq!((ring.get(&first.id), ring.get(&second.id)), (Some(&first), None));
        assert!(matches!(Keyring::open(&objects, &other).await, Err(RepoError::WrongKey { .. })));
        assert!(rotate(&objects, &other, &new).await.is_err());
    }
}
