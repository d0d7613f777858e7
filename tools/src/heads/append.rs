//! The sink that is a file: heads one behind the other, an empty line after each, synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use redoubt_search::heads::SignedHead;
use redoubt_search::heads::note::MAX_NOTE;

/// Appends a head; on the disk when this returns. What a crash left of one is cut off first, and
/// one that is there already is not written twice. Blocks.
///
/// # Errors
/// Those of the system; also where the file ends with something else than a head.
pub fn append(path: &Path, head: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let whole = whole(&mut file)?;
    if last(&mut file, whole, head.len() + 1)? != format!("{head}\n").as_bytes() {
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        file.write_all(format!("{head}\n").as_bytes())?;
    }
    file.sync_all()?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Up to where the file holds whole heads.
fn whole(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let tail = last(file, len, 2 * MAX_NOTE)?;
    // A character that the first octet belongs to may begin before it.
    let within = tail.iter().take(3).take_while(|octet| **octet & 0xc0 == 0x80).count();
    let tail = tail.get(within..).unwrap_or_default();
    let from = len - tail.len() as u64;
    let text = match std::str::from_utf8(tail) {
        Ok(text) => text,
        Err(torn) if torn.error_len().is_none() => {
            let upto = tail.get(..torn.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(upto).map_err(io::Error::other)?
        }
        Err(_) => return Err(no_heads()),
    };
    let mut end = text.len();
    // The last empty line that stands below a whole head.
    while let Some(at) = text.get(..end).and_then(|text| text.rfind("\n\n")) {
        if ends_with_head(text.get(..=at).unwrap_or_default()) {
            return Ok(from + at as u64 + 2);
        }
        end = at + 1;
    }
    match from == 0 && (text.is_empty() || text.starts_with("redoubt/")) {
        true => Ok(0),
        false => Err(no_heads()),
    }
}

fn no_heads() -> io::Error {
    io::Error::other("it does not end with a head: name another file")
}

fn ends_with_head(text: &str) -> bool {
    let before = |text: &str| text.rfind("\n\n");
    let Some(signatures) = before(text) else { return false };
    let above = text.get(..signatures).unwrap_or_default();
    let begin = before(above).map_or(0, |at| at + 2);
    SignedHead::read(text.get(begin..).unwrap_or_default()).is_ok()
}

/// The last octets before a place.
fn last(file: &mut File, end: u64, most: usize) -> io::Result<Vec<u8>> {
    let begin = end.saturating_sub(most as u64);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(end - begin).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(n: u64) -> String {
        use redoubt_log::id::{Hash, LogIndex, Timestamp};
        use redoubt_search::heads::{Checkpoint, Signer};
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("keys")).unwrap();
        let signer = Signer::load_or_make(data.path(), "ab").unwrap();
        let index = LogIndex(n);
        signer.sign(Checkpoint::new("ab", n, Hash([3; 32]), index, Timestamp(0))).to_string()
    }

    #[test]
    fn heads_stand_behind_each_other_whatever_a_crash_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads.txt");
        let (one, two, three) = (head(1), head(2), head(3));
        append(&path, &one).unwrap();
        append(&path, &two).unwrap();
        append(&path, &two).unwrap();
        let whole = format!("{one}\n{two}\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        for cut in 1..=three.len() {
            let torn = format!("{three}\n");
            let torn = torn.as_bytes().get(..cut).unwrap();
            std::fs::write(&path, [whole.as_bytes(), torn].concat()).unwrap();
            append(&path, &three).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{whole}{three}\n"), "cut at {cut}");
        }
        std::fs::write(&path, one.as_bytes().get(..20).unwrap()).unwrap();
        append(&path, &one).unwrap();
        assert_eq!(
            SignedHead::read_all(&std::fs::read_to_string(&path).unwrap()).unwrap().len(),
            1
        );
    }

    #[test]
    fn what_is_no_file_of_heads_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        std::fs::write(&path, "root:x:0:0").unwrap();
        assert!(append(&path, &head(1)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "root:x:0:0");
    }
}
