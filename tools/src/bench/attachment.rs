//! One attachment many times: to many recipients, and forwarded in many mails.

use std::thread::sleep;
use std::time::Duration;

use super::lmtp::Client;
use super::mix::{Mix, Random};
use super::report::{Cell, Table};
use super::server::Server;
use super::{process, user};

/// Recipients, and mails that forward it.
pub(super) const TIMES: usize = 20;
const SIZE: usize = 1 << 20;

/// What the disk took.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    name: String,
    sent: Bytes,
    forwarded: Bytes,
}

/// As a server's own count, if it has one, and as blocks of the disk.
#[derive(Debug, Clone, Copy)]
struct Bytes {
    used: Option<u64>,
    allocated: u64,
}

/// What a server says it uses; `None` for those that say nothing.
pub(super) type Used<'a> = &'a dyn Fn() -> Option<u64>;

/// Sends it to 20, then 20 mails with it to one each.
pub(super) fn measure(server: &Server, mix: &Mix, used: Used<'_>) -> anyhow::Result<Stored> {
    let mut client = Client::connect(server.lmtp)?;
    let before = now(server, used);
    let message = mix.message(&mut Random::new(99), "original", "Figures", SIZE);
    let all: Vec<String> = (0..TIMES).map(user).collect();
    client.deliver(&all, &message)?;
    let sent = now(server, used);
    for (at, to) in all.into_iter().enumerate() {
        client.deliver(&[to], &forwarded(&message, at))?;
    }
    let forwarded = now(server, used);
    let name = server.name.into();
    Ok(Stored { name, sent: sent.since(before), forwarded: forwarded.since(sent) })
}

fn now(server: &Server, used: Used<'_>) -> Bytes {
    // Servers that write behind have written by then.
    sleep(Duration::from_millis(300));
    Bytes { used: used(), allocated: process::room(&server.mail).allocated }
}

impl Bytes {
    fn since(self, before: Self) -> Self {
        let used = self.used.zip(before.used).map(|(now, then)| now.saturating_sub(then));
        Self { used, allocated: self.allocated.saturating_sub(before.allocated) }
    }
}

/// The same parts behind other fields.
fn forwarded(message: &[u8], number: usize) -> Vec<u8> {
    let fields = format!(
        "X-Forwarded-By: reader{number}@example.net\r\nReferences: <{number}@example.net>\r\n"
    );
    [fields.as_bytes(), message].concat()
}

pub(super) fn table(all: &[Stored]) -> Table {
    let note = format!(
        "A mail with an attachment of 1 MiB (base64 of octets that do not compress) is delivered \
         to {TIMES} recipients, then {TIMES} different mails with the same attachment to one \
         recipient each. KiB on the disk: what the server uses, where it says so (Redoubt's packs \
         are preallocated), and blocks of the disk."
    );
    let columns =
        ["server", "sent to 20: used KiB", "blocks KiB", "forwarded: used KiB", "blocks KiB more"];
    let mut table = Table::new("attachment", "One attachment, many mails", note, &columns);
    let kib = |bytes: u64| Cell::Number(bytes as f64 / 1024.0, 0);
    let used = |bytes: Bytes| bytes.used.map_or(Cell::Nothing, kib);
    for stored in all {
        table.row(vec![
            Cell::text(&stored.name),
            used(stored.sent),
            kib(stored.sent.allocated),
            used(stored.forwarded),
            kib(stored.forwarded.allocated),
        ]);
    }
    table
}
