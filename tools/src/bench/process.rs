//! What the system says of processes: time, memory; and files' room on the disk.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Linux counts in hundredths of a second here, whatever its own clock (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Of `/proc/PID/stat`, whose fields behind the name are: state, parent, …, utime, stime, cutime, cstime.
struct Stat {
    parent: u32,
    /// Of the process and of its children that have ended.
    ticks: u64,
    own_ticks: u64,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.get(text.rfind(')')? + 2..)?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let ticks = (11..15).filter_map(number).sum();
    let own_ticks = (11..13).filter_map(number).sum();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks, own_ticks })
}

/// A process and all below it.
fn family(pid: u32) -> Vec<(u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut all: HashMap<u32, Stat> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.parse().ok()?, stat(&name)?))
        })
        .collect();
    let mut wanted = vec![pid];
    let mut found = Vec::new();
    while let Some(next) = wanted.pop() {
        wanted.extend(all.iter().filter(|(_, stat)| stat.parent == next).map(|(pid, _)| *pid));
        found.extend(all.remove(&next).map(|stat| (next, stat)));
    }
    found
}

/// Processor time of a process, all below it, and those of them that have ended.
pub(super) fn cpu(pid: u32) -> Duration {
    let ticks: u64 = family(pid).iter().map(|(_, stat)| stat.ticks).sum();
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// Processor time of this process alone.
pub(super) fn own_cpu() -> Duration {
    let ticks = stat("self").map_or(0, |stat| stat.own_ticks);
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// Memory of a process and all below it, in bytes: what it shares with others counted by its part.
pub(super) fn memory(pid: u32) -> u64 {
    let of_one = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    family(pid).iter().filter_map(|(pid, _)| of_one(*pid)).sum::<u64>() * 1024
}

/// Memory of one process's own, in bytes: without what is mapped from files.
pub(super) fn own_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

/// What the files below a folder take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room {
    /// Blocks of the disk, in bytes.
    pub(super) allocated: u64,
    /// Bytes in files.
    pub(super) length: u64,
    /// Files.
    pub(super) files: u64,
}

/// What is below a folder; a file with several names counts once.
pub(super) fn room(dir: &Path) -> Room {
    let mut seen = std::collections::HashSet::new();
    let mut folders = vec![dir.to_owned()];
    let mut room = Room::default();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if seen.insert(meta.ino()) {
                room.allocated += meta.blocks() * 512;
                room.length += meta.len();
                room.files += 1;
            }
        }
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(memory(pid) > 100_000 && own_memory(pid) > 10_000);
        // That of all processes is told in steps of 10 ms, for user and system apart.
        let own = own_cpu();
        assert!(cpu(pid) + Duration::from_millis(20) >= own);
        assert!(family(pid).iter().any(|(found, _)| *found == pid));
    }
}
