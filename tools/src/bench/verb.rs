//! The program itself, asked for one verb.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// What it said, and how long it took from its start to its end.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) took: Duration,
}

/// Has it work on a data directory, or ask the server there.
///
/// # Errors
/// It cannot be started, or ends with another code than 0.
pub(super) fn say(data: &Path, arguments: &[&str]) -> anyhow::Result<Said> {
    let (said, code) = try_to_say(data, arguments)?;
    match code {
        0 => Ok(said),
        _ => bail!("redoubt {arguments:?}: {}", said.text),
    }
}

/// The same, with the code that it ends with; what stands on standard error is behind the text
/// where that is not 0.
///
/// # Errors
/// It cannot be started, or is ended.
pub(super) fn try_to_say(data: &Path, arguments: &[&str]) -> anyhow::Result<(Said, i32)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--data").arg(data).args(arguments);
    let began = Instant::now();
    let output = command.output()?;
    let took = began.elapsed();
    let code = output.status.code().context("it was ended")?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if code != 0 {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok((Said { text, took }, code))
}

impl Said {
    /// The last line, which is the outcome where a verb with `--json` tells how far it is.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(self.text.lines().last().unwrap_or_default())?)
    }
}
