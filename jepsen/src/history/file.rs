//! A history as a file: a line of JSON for each operation and each node's final state, so that it
//! can be judged again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{History, Operation};
use crate::check::NodeState;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Out<'a> {
    Operation(&'a Operation),
    Final(u32, &'a NodeState),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum In {
    Operation(Operation),
    Final(u32, NodeState),
}

/// Writes a run.
///
/// # Errors
/// Those of the file.
pub fn save(path: &Path, history: &History, finals: &[(u32, NodeState)]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(File::create(path)?);
    let operations = history.operations.iter().map(Out::Operation);
    for line in operations.chain(finals.iter().map(|(node, state)| Out::Final(*node, state))) {
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Reads a run.
///
/// # Errors
/// Those of the file, and the number of a line that does not read.
pub fn load(path: &Path) -> io::Result<(History, Vec<(u32, NodeState)>)> {
    let mut operations = Vec::new();
    let mut finals = Vec::new();
    for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let wrong = |error| io::Error::other(format!("line {}: {error}", number + 1));
        match serde_json::from_str(&line?).map_err(wrong)? {
            In::Operation(operation) => operations.push(operation),
            In::Final(node, state) => finals.push((node, state)),
        }
    }
    Ok((History::new(operations), finals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Ask, Fetched, Heard, Outcome};

    #[test]
    fn a_run_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out/history.jsonl");
        let ask = Ask::Move { uids: vec![1, 2], to: "Archive".into() };
        let content = crate::history::Content {
            token: Err("no seal".into()),
            hash: "1".into(),
            whole: "2".into(),
        };
        let fetched =
            Fetched { number: 1, uid: Some(7), content: Some(content), ..Fetched::default() };
        let operation = Operation {
            outcome: Outcome::Done,
            heard: vec![Heard::Fetch(fetched), Heard::Copied(3, vec![1, 2], vec![4, 5])],
            ..Operation::new("c", 1, 2, "a@example.org", ask)
        };
        let history = History::new(vec![operation]);
        let finals = [(3, NodeState::default())];
        save(&path, &history, &finals).unwrap();
        assert_eq!(load(&path).unwrap(), (history, finals.to_vec()));
        std::fs::write(&path, "{\"operation\": 1}\n").unwrap();
        assert!(load(&path).unwrap_err().to_string().starts_with("line 1: "));
    }
}
