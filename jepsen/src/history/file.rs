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
