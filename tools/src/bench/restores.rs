//! Restores: one email by its search, what was deleted, an account as it was.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::imap::Client;
use super::report::{Cell, Table};
use super::server::Server;
use super::{PASSWORD, large, millis, node, process, quantile, search, user, verb};

/// How often one email is expunged and brought back.
const SINGLES: u64 = 9;
/// Of what an undelete brings back at most.
const UNDELETED: u64 = 10_000;

/// Fills an INBOX and brings back what was done to it.
pub(super) async fn measure(data: &Path, emails: u64) -> anyhow::Result<Table> {
    large::with_tiny(data, emails, work).await
}

fn work(data: &Path, emails: u64) -> anyhow::Result<Table> {
    let note = format!(
        "An INBOX of {emails} emails of some 200 octets. From the start of `redoubt restore … \
         --yes` to its end: the search in all of the history, by an index, or the plan, each step as a record, \
         the answer. Of single emails the median of {SINGLES}. CPU is the server's."
    );
    let columns = ["what", "emails", "ms", "emails/s", "CPU ms"];
    let table = Table::new("restores", "Restores", note, &columns);
    // As it is in a server that runs for a while.
    let (mut server, _) = search::indexed(data, emails)?;
    let client = Client::login(server.imap, &user(0), PASSWORD, false)?;
    let mut story = Story { data, server: &server, client, table };
    story.client.command("SELECT INBOX")?;
    story.singles("one email, found by its subject", emails, true)?;
    story.singles("one email, by its place", emails, false)?;
    story.undelete(emails.min(UNDELETED))?;
    story.flags(emails)?;
    story.rewind(emails)?;
    let table = story.table;
    server.stop()?;
    Ok(table)
}

struct Story<'a> {
    data: &'a Path,
    server: &'a Server,
    client: Client,
    table: Table,
}

impl Story<'_> {
    fn singles(&mut self, what: &str, emails: u64, by_search: bool) -> anyhow::Result<()> {
        let mut took = Vec::new();
        for round in 0..SINGLES {
            // Each is deleted once; in the second half, where no number begins as another does.
            let step = emails / 2 / (2 * SINGLES + 2);
            let number = emails / 2 + (2 * round + u64::from(by_search)) * step;
            let search = format!("UID SEARCH SUBJECT \"Tick {number}\"");
            let uid = self.client.command(&search)?.last.context("an email is not there")?;
            let index = node::applied(self.data)?;
            self.client.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
            self.client.command(&format!("UID EXPUNGE {uid}"))?;
            let (subject, place) = (format!("subject:\"Tick {number}\""), format!("INBOX/{uid}"));
            let at = format!("@{index}");
            let asked = match by_search {
                true => ["--find", subject.as_str()].to_vec(),
                false => [place.as_str(), "--at", at.as_str()].to_vec(),
            };
            took.push(self.restore("email", &asked, None)?);
        }
        took.sort_unstable();
        self.row(what, 1, quantile(&took, 0.5), None);
        Ok(())
    }

    fn undelete(&mut self, emails: u64) -> anyhow::Result<()> {
        // So that the session knows of what came back.
        self.client.command("NOOP")?;
        let index = node::applied(self.data)?;
        self.client.command(&format!("STORE 1:{emails} +FLAGS.SILENT (\\Deleted)"))?;
        self.client.command("EXPUNGE")?;
        let since = format!("@{index}");
        self.whole("undelete", "undelete", &["--since", &since], emails)
    }

    fn flags(&mut self, emails: u64) -> anyhow::Result<()> {
        let at = format!("@{}", node::applied(self.data)?);
        self.client.command("STORE 1:* +FLAGS.SILENT (\\Seen)")?;
        let said = ["--at", &at, "--only", "flags"];
        self.whole("rewind of \"mark all as read\"", "rewind", &said, emails)
    }

    fn rewind(&mut self, emails: u64) -> anyhow::Result<()> {
        let at = format!("@{}", node::applied(self.data)?);
        self.client.command("STORE 1:* +FLAGS.SILENT (\\Flagged)")?;
        self.client
            .command(&format!("STORE 1:{} +FLAGS.SILENT (\\Deleted)", (emails / 2).max(1)))?;
        self.client.command("EXPUNGE")?;
        let what = "rewind: half expunged, the others' flags changed";
        self.whole(what, "rewind", &["--at", &at], emails)
    }

    fn whole(&mut self, what: &str, verb: &str, asked: &[&str], emails: u64) -> anyhow::Result<()> {
        let before = process::cpu(self.server.pid());
        let took = self.restore(verb, asked, Some(emails))?;
        let cpu = process::cpu(self.server.pid()).saturating_sub(before);
        self.client.command("NOOP")?;
        self.row(what, emails, took, Some(cpu));
        Ok(())
    }

    /// One restore to its end; with `emails`, which must all have been created or changed.
    fn restore(&self, how: &str, asked: &[&str], emails: Option<u64>) -> anyhow::Result<Duration> {
        let whose = user(0);
        let restore = ["--json", "--yes", "restore", how, &whose];
        let said = verb::say(self.data, &[&restore[..], asked].concat())?;
        let (last, text, took) = (said.json()?, said.text, said.took);
        let count =
            |what: &str| last.get(what).and_then(Value::as_u64).with_context(|| text.clone());
        let done = count("created")? + count("changed")?;
        if done < emails.unwrap_or(1) {
            bail!("restore {how} did {done} steps: {text}");
        }
        Ok(took)
    }

    fn row(&mut self, what: &str, emails: u64, took: Duration, cpu: Option<Duration>) {
        let rate = emails as f64 / took.as_secs_f64().max(1e-6);
        self.table.row(vec![
            Cell::text(what),
            Cell::count(emails),
            Cell::Number(millis(took), 0),
            Cell::Number(rate, 0),
            cpu.map_or(Cell::Nothing, |cpu| Cell::Number(millis(cpu), 0)),
        ]);
    }
}
