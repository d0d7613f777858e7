//! Pages of docs/ whose commands are typed by tests.

use std::path::Path;

use crate::cluster::said;
use crate::process::Redoubt;

/// A page of docs/.
pub struct Page(String);

impl Page {
    /// Reads one by its file's name.
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        Self(std::fs::read_to_string(path).unwrap())
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The commands below a heading, in their order.
    pub fn commands(&self, heading: &str) -> Vec<String> {
        let below = self.0.split(&format!("\n## {heading}\n")).nth(1).expect(heading);
        let below = below.split("\n## ").next().unwrap();
        let lines = below.lines().filter_map(|line| line.strip_prefix("$ redoubt "));
        lines.map(str::to_owned).collect()
    }
}

/// Types a command with words of it replaced; its exit code and what it says.
pub fn types(server: &Redoubt, command: &str, words: &[(&str, &str)]) -> (i32, String) {
    let line =
        words.iter().fold(command.to_owned(), |line, (word, value)| line.replace(word, value));
    let mut arguments: Vec<String> = Vec::new();
    for (n, part) in line.split('"').enumerate() {
        match n % 2 {
            0 => arguments.extend(part.split_whitespace().map(str::to_owned)),
            _ => arguments.push(part.to_owned()),
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    said(&server.run(&arguments))
}
