//! Programs of the system that set up namespaces and file systems.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

/// Where Debian has them; a plain user's PATH lacks `sbin`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of the system with these arguments.
pub fn system(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH).stdin(Stdio::null());
    command
}

/// Runs one that must succeed.
///
/// # Errors
/// When it does not, with what it said.
pub fn done(mut command: Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{}: {}", shown(&command), said.trim())))
}

/// Runs a line of words that must succeed.
///
/// # Errors
/// When it does not, with what it said.
pub fn run(line: &str) -> io::Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [program, arguments @ ..] = words.as_slice() else { return Ok(String::new()) };
    done(system(program, arguments))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
