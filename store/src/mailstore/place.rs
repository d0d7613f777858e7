//! Where the views lie, also while others take their place under a running node.
//!
//! `views` is what a start leaves. A checkpoint from a peer is made into
//! `views.<index>` beside it, and the node goes on there; the next start gives
//! that folder its usual name. `views.new` is one that is not complete.
//!
//! Invariant: of the folders `views` and `views.<index>` the one with the highest
//! index is the newest and complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Layout;
use crate::checkpoint::{self, Base};

const NEW: &str = "new";

/// The folder of the views as the last process left it.
pub(super) fn current(layout: &Layout) -> io::Result<PathBuf> {
    Ok(beside(layout)?.pop().map_or(layout.views(), |(_, path)| path))
}

/// Gives the newest views their usual name and removes all others. Nobody may have them open.
pub(super) fn settle(layout: &Layout) -> io::Result<()> {
    let (views, mut beside) = (layout.views(), beside(layout)?);
    remove(&views.with_extension(NEW))?;
    let Some((_, newest)) = beside.pop() else { return Ok(()) };
    for (_, old) in beside {
        remove(&old)?;
    }
    remove(&views)?;
    fs::rename(newest, &views)?;
    sync(&views)
}

/// Removes all views. Nobody may have them open.
pub(super) fn clear(layout: &Layout) -> io::Result<()> {
    settle(layout)?;
    remove(&layout.views())
}

/// Makes views of a checkpoint, durably, beside those that are open. A crash leaves
/// them whole, or not there.
pub(super) fn replace(layout: &Layout, base: &Base) -> io::Result<PathBuf> {
    let views = layout.views();
    let (new, path) = (views.with_extension(NEW), numbered(&views, base.index().0));
    remove(&new)?;
    checkpoint::install(&base.dir, &new)?;
    remove(&path)?;
    fs::rename(new, &path)?;
    sync(&path)?;
    Ok(path)
}

fn numbered(views: &Path, index: u64) -> PathBuf {
    views.with_extension(index.to_string())
}

/// Those that took the place of `views`, by rising index.
fn beside(layout: &Layout) -> io::Result<Vec<(u64, PathBuf)>> {
    let views = layout.views();
    let mut found = Vec::new();
    let Some(folder) = views.parent().filter(|folder| folder.exists()) else { return Ok(found) };
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let index = path.extension().and_then(|text| text.to_str()?.parse().ok());
        if let Some(index) = index.filter(|index| numbered(&views, *index) == path) {
            found.push((index, path));
        }
    }
    found.sort();
    Ok(found)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder's name durable.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir.parent().unwrap_or(dir))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn layout(folders: &[&str]) -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        layout.prepare().unwrap();
        for name in folders {
            let folder = layout.views().with_file_name(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("is"), name).unwrap();
        }
        (dir, layout)
    }

    fn names(layout: &Layout) -> Vec<String> {
        let folder = fs::read_dir(layout.views().parent().unwrap()).unwrap();
        let mut names: Vec<_> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_of_many_gets_the_name_and_the_others_go() {
        let (_dir, layout) = layout(&["views", "views.9", "views.10", "views.new", "views.txt"]);
        assert_eq!(current(&layout).unwrap(), layout.views().with_extension("10"));
        settle(&layout).unwrap();
        assert_eq!(names(&layout), ["views", "views.txt"]);
        assert_eq!(fs::read_to_string(layout.views().join("is")).unwrap(), "views.10");
        settle(&layout).unwrap();
        assert_eq!(current(&layout).unwrap(), layout.views());
    }

    #[test]
    fn what_was_begun_is_not_used_and_what_was_moved_half_is_moved_whole() {
        let (_dir, layout) = layout(&["views.new", "views.7"]);
        settle(&layout).unwrap();
        assert_eq!(fs::read_to_string(layout.views().join("is")).unwrap(), "views.7");
        clear(&layout).unwrap();
        assert_eq!(names(&layout), Vec::<String>::new());
    }
}
