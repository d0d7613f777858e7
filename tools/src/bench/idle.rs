//! What a session costs that waits.

use std::thread::sleep;
use std::time::Duration;

use super::imap::Client;
use super::report::{Cell, Table};
use super::server::Server;
use super::{LOADED, PASSWORD, process};

/// Memory of idle sessions in one server.
#[derive(Debug, Clone)]
pub(super) struct Idle {
    name: String,
    sessions: usize,
    before: u64,
    after: u64,
}

/// Opens `sessions` connections that have INBOX selected and idle.
pub(super) fn measure(server: &Server, sessions: usize) -> anyhow::Result<Idle> {
    let mut first = Client::login(server.imap, &(server.login)(0), PASSWORD, true)?;
    first.command("SELECT INBOX")?;
    first.idle()?;
    let before = process::memory(server.pid());
    let mut clients = Vec::with_capacity(sessions);
    for at in 0..sessions {
        let mut client = Client::login(server.imap, &(server.login)(at % LOADED), PASSWORD, true)?;
        client.command("SELECT INBOX")?;
        client.idle()?;
        clients.push(client);
    }
    sleep(Duration::from_millis(500));
    let after = process::memory(server.pid());
    Ok(Idle { name: server.name.into(), sessions, before, after })
}

pub(super) fn table(idles: &[Idle]) -> Table {
    let note = "Sessions that are logged in, have INBOX selected and wait in IDLE. Memory is the \
        server's (all its processes, what they share counted once), the difference divided by \
        the sessions.";
    let columns = ["server", "sessions", "before MiB", "after MiB", "KiB a session"];
    let mut table = Table::new("idle", "Idle sessions", note, &columns);
    let mib = |bytes: u64| Cell::Number(bytes as f64 / 1048576.0, 1);
    for idle in idles {
        let each = idle.after.saturating_sub(idle.before) as f64 / idle.sessions as f64 / 1024.0;
        table.row(vec![
            Cell::text(&idle.name),
            Cell::count(idle.sessions as u64),
            mib(idle.before),
            mib(idle.after),
            Cell::Number(each, 1),
        ]);
    }
    table
}
