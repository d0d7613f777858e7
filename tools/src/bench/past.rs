//! A very large mailbox as it was: opened at moments before and after its emails changed.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::imap::Client;
use super::report::{Cell, Table};
use super::server::Server;
use super::{PASSWORD, large, millis, node, process, user};

/// How often the flags of every email change.
const CHANGES: usize = 10;
/// How often each moment is opened after the first time.
const AGAIN: usize = 5;

/// A moment that is opened.
struct Moment {
    what: &'static str,
    index: u64,
    emails: u64,
}

/// What opening one took.
struct Opened {
    first: Duration,
    again: Duration,
    /// The server's, of each time after the first.
    cpu: Duration,
    flags: Duration,
}

/// Fills an INBOX, changes the flags of all its emails again and again, expunges half of them,
/// and opens it by IMAP as it was before, in between and after.
pub(super) async fn measure(data: &Path, emails: u64) -> anyhow::Result<Table> {
    large::with_tiny(data, emails, work).await
}

fn work(data: &Path, emails: u64) -> anyhow::Result<Table> {
    let note = format!(
        "An INBOX of {emails} emails of some 200 octets. SELECT #history/@INDEX/INBOX by IMAP, the \
         first time in a freshly started server and the median of {AGAIN} more, and FETCH 1:* (UID \
         FLAGS) of it. CPU is the server's. Then the flags of every email were changed {CHANGES} times, and half of \
         them expunged."
    );
    let columns =
        ["moment", "emails", "SELECT, the first, ms", "SELECT ms", "CPU ms", "FETCH FLAGS ms"];
    let mut table = Table::new("past", "A large mailbox as it was", note, &columns);
    let mut server = node::start(data)?;
    let whole = node::applied(data)?;
    let mut client = login(&server)?;
    // So that it is the past at all.
    client.command("CREATE Later")?;
    let rest = Moment { what: "nothing changed since", index: whole, emails };
    row(&mut table, &server, &mut client, &rest)?;
    let mut middle = 0;
    client.command("SELECT INBOX")?;
    for change in 0..CHANGES {
        let sign = if change % 2 == 0 { '+' } else { '-' };
        client.command(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)"))?;
        if change + 1 == CHANGES / 2 {
            middle = node::applied(data)?;
        }
    }
    let changed = node::applied(data)?;
    client.command(&format!("STORE 1:{} +FLAGS.SILENT (\\Deleted)", (emails / 2).max(1)))?;
    client.command("EXPUNGE")?;
    drop(client);
    // What was just written lies in memory, and what is measured is what a disk has.
    server.stop()?;
    let mut server = node::start(data)?;
    let mut client = login(&server)?;
    for (what, index) in [
        ("before all changes", whole),
        ("in the middle of the changes", middle),
        ("after the changes, before half were expunged", changed),
    ] {
        row(&mut table, &server, &mut client, &Moment { what, index, emails })?;
    }
    server.stop()?;
    Ok(table)
}

fn login(server: &Server) -> anyhow::Result<Client> {
    Client::login(server.imap, &user(0), PASSWORD, false)
}

fn row(
    table: &mut Table,
    server: &Server,
    client: &mut Client,
    moment: &Moment,
) -> anyhow::Result<()> {
    let opened = open(server, client, moment)?;
    table.row(vec![
        Cell::text(moment.what),
        Cell::count(moment.emails),
        Cell::Number(millis(opened.first), 1),
        Cell::Number(millis(opened.again), 1),
        Cell::Number(millis(opened.cpu), 0),
        Cell::Number(millis(opened.flags), 0),
    ]);
    Ok(())
}

fn open(server: &Server, client: &mut Client, moment: &Moment) -> anyhow::Result<Opened> {
    let select = format!("SELECT #history/@{}/INBOX", moment.index);
    let first = client.command(&select)?.took;
    let mut again = Vec::new();
    let before = process::cpu(server.pid());
    for _ in 0..AGAIN {
        again.push(client.command(&select)?.took);
    }
    let cpu = process::cpu(server.pid()).saturating_sub(before) / AGAIN as u32;
    again.sort_unstable();
    let flags = client.command("FETCH 1:* (UID FLAGS)")?;
    if flags.fetches != moment.emails {
        bail!("{} of {} emails came back of {}", flags.fetches, moment.emails, moment.what);
    }
    let again = again.get(AGAIN / 2).copied().unwrap_or_default();
    Ok(Opened { first, again, cpu, flags: flags.took })
}
