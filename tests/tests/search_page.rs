//! docs/search.md: the mail of its last table is put into a server, and every example of its other
//! tables is typed there and finds what its second column names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use redoubt_search::query::{ALIASES, Context, Query, operators};
use redoubt_tests::cluster::{PATIENCE, said, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const MAIL: &str = "\n## The mail of the examples\n";

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/search.md");
    std::fs::read_to_string(path).unwrap()
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix('|')?.strip_suffix('|')?;
    (!line.starts_with("---")).then(|| line.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Queries, and the mails that each finds.
fn examples(page: &str) -> Vec<(String, BTreeSet<String>)> {
    let tables = page.split(MAIL).next().unwrap();
    let rows = tables.lines().filter_map(cells).filter(|row| row[0] != "query");
    let example = |row: Vec<String>| {
        let names = row[1].split(", ").filter(|name| !name.is_empty()).map(str::to_owned);
        (row[0].trim_matches('`').to_owned(), names.collect())
    };
    rows.map(example).collect()
}

// ----------------------------------------------------------------- the mail

/// A message made of a row of the table, with the octets that its last cell asks for.
fn message(row: &[String]) -> String {
    let [from, to, subject, text, more] = &row[4..9] else { panic!("{row:?}") };
    let extra = quoted(more).into_iter().filter(|part| part.contains(": "));
    let head: Vec<String> = extra.collect();
    let mut parts = format!("--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
    for part in more.split("attached ").skip(1) {
        let (name, kind) = part.trim_start_matches('`').split_once("` ").unwrap();
        let kind = kind.split(',').next().unwrap().trim();
        parts += &format!("--b\r\nContent-Type: {kind}\r\n");
        let octets = if part.contains("damaged") { "%PDF-1.7 broken" } else { "x" };
        parts +=
            &format!("Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{octets}\r\n");
    }
    if more.contains("30,000 octets") {
        parts += &"x".repeat(70).repeat(430);
    }
    let id = format!("Message-ID: <{}@mail>\r\n", row[0]);
    let id = if more.contains("Message-ID") { "" } else { &id };
    let head: String = head.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n{id}{head}MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"
    )
}

/// `2026-11-02 08:00:00` as APPEND takes it.
fn internal_date(text: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = text[5..7].parse().unwrap();
    format!("\"{}-{}-{} {} +0000\"", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..])
}

struct Scene {
    server: Redoubt,
    _folder: tempfile::TempDir,
    /// What words of the page stand for.
    words: BTreeMap<&'static str, String>,
    /// Mails by their email ids.
    mails: BTreeMap<String, String>,
}

impl Scene {
    fn new(page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&folder.path().join("data"));
        server.domain("example.org");
        server.account(ALICE);
        server.verb(&["alias", "add", "al@example.org", ALICE]);
        let (words, mails) = (BTreeMap::new(), BTreeMap::new());
        let mut scene = Self { server, _folder: folder, words, mails };
        scene.fill(page);
        scene
    }

    fn fill(&mut self, page: &str) {
        let table = page.split(MAIL).nth(1).unwrap();
        let rows: Vec<_> = table.lines().filter_map(cells).filter(|row| row[0] != "mail").collect();
        assert_eq!(rows.len(), 7);
        let mut imap = Imap::login(self.server.imap(), ALICE).unwrap();
        imap.ok("CREATE Work").unwrap();
        imap.ok("CREATE Work/Lists").unwrap();
        for row in &rows {
            let message = message(row);
            let mailbox = if row[0] == "gone" { "Work" } else { row[1].as_str() };
            let flags = row[2].trim_matches('`');
            if row[3].is_empty() {
                let from = ["--from", "bounces@example.net", "--to", "alice+orders@example.org"];
                let arguments = [&["deliver"][..], &from, &["-"]].concat();
                let output = self.server.run_with_input(&arguments, message.as_bytes());
                assert!(output.status.success(), "{}", said(&output).1);
            } else {
                let options = format!("({flags}) {} ", internal_date(&row[3]));
                assert!(imap.append(mailbox, &options, message.as_bytes()).unwrap().is_ok());
            }
            let subject = row[6].clone();
            let lines = self.lines(&format!("subject:\"{subject}\" -subject:re"));
            let line = lines.last().filter(|_| row[0] != "reply").cloned();
            let line = line.unwrap_or_else(|| self.lines("subject:re")[0].clone());
            let id = line["email_id"].as_str().unwrap().to_owned();
            if row[0] == "budget" {
                let thread = line["thread_id"].as_str().unwrap().to_owned();
                let blob = line["blob"].as_str().unwrap().to_owned();
                self.words.extend([("THREADID", thread), ("BLOB", blob), ("EMAILID", id.clone())]);
            }
            self.mails.insert(id, row[0].clone());
        }
        imap.ok("SELECT Work").unwrap();
        imap.ok("MOVE 1 INBOX").unwrap();
        let before = self.applied();
        self.words.insert("BEFORE", format!("@{before}"));
        let tried = || self.status()["texts"]["position"].as_u64().filter(|at| *at >= before);
        until(PATIENCE, tried).expect("texts are extracted");
        imap.ok("SELECT INBOX").unwrap();
        imap.ok("EXPUNGE").unwrap();
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.server.verb(&["status", "--json"])).unwrap()
    }

    fn applied(&self) -> u64 {
        self.status()["store"]["applied"].as_u64().unwrap()
    }

    fn lines(&self, query: &str) -> Vec<Value> {
        let output = self.server.run(&["find", ALICE, "--in-history", "--json", "--", query]);
        let (code, text) = said(&output);
        assert_eq!(code, 0, "{query}: {text}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn finds(&self, query: &str) -> BTreeSet<String> {
        let mut query = query.to_owned();
        for (word, value) in &self.words {
            query = query.replace(word, value);
        }
        let id = |line: Value| self.mails[line["email_id"].as_str().unwrap()].clone();
        self.lines(&query).into_iter().map(id).collect()
    }
}

#[test]
fn every_example_finds_what_the_page_says() {
    let page = page();
    let scene = Scene::new(&page);
    let wrong: Vec<String> = examples(&page)
        .into_iter()
        .filter_map(|(query, expected)| {
            let found = scene.finds(&query);
            (found != expected).then(|| format!("{query}: found {found:?}, not {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Without being told so, what asks of what went finds it, and nothing else does.
    let found = |query: &str| scene.server.verb(&["find", ALICE, "--json", query]).lines().count();
    assert_eq!((found("deleted:any"), found("party"), found("")), (1, 0, 6));
    let output = scene.server.run(&["find", ALICE, "asof:now", "--at", "now"]);
    assert_eq!(said(&output).0, 2);
    // A restore takes the same.
    let restore = ["restore", "email", ALICE, "--find", "deleted:today party", "--yes"];
    assert!(scene.server.verb(&restore).contains("1 created"));
    assert_eq!((found("deleted:any"), found("party is:unread -is:deleted")), (1, 1));
}

#[test]
fn the_page_has_every_operator_and_what_it_refuses_is_refused_so() {
    let page = page();
    let examples = examples(&page);
    let refused: BTreeSet<&str> = ["label", "custodian", "cos"].into();
    for name in operators() {
        let mark = if name == "header" { "header[".to_owned() } else { format!("{name}:") };
        let shown =
            examples.iter().any(|(query, _)| query.split([' ', '(']).any(|w| w.starts_with(&mark)));
        assert!(shown != refused.contains(name), "{name}");
        assert!(page.contains(&format!("`{mark}")), "{name}");
    }
    let kinds = page.lines().find(|line| line.starts_with("| `attachment:pdf`")).unwrap();
    for alias in ALIASES {
        assert!(kinds.contains(&format!("`{}`", alias.name)), "{}", alias.name);
    }
    // The mistake that the page shows is told in just these words.
    let error = Query::parse("form:bob", &Context::utc()).unwrap_err().to_string();
    assert!(page.contains(&format!("```\n{error}\n```")), "{error}");
    for name in refused {
        let error = Query::parse(&format!("{name}:x"), &Context::utc()).unwrap_err().to_string();
        assert!(error.contains("cannot be answered yet"), "{error}");
    }
}
