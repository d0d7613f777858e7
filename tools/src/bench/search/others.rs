//! Dovecot and Cyrus over the same emails: as they are, and with an index for searches.

use std::fs;
use std::path::Path;

use super::times::Rows;
use super::{mail, octets, once, told};
use crate::bench::lmtp;
use crate::bench::owner::Owner;
use crate::bench::report::{Cell, Table};
use crate::bench::server::Server;
use crate::bench::{COMPARED, cyrus, dovecot, say, user};

/// A server that could not be measured, and why.
type Failed = (&'static str, anyhow::Error);

/// Measures those that are installed.
pub(super) fn measure(
    dir: &Path,
    emails: u64,
    programs: &Path,
    rows: &mut Rows,
    built: &mut Table,
) -> Vec<Failed> {
    let mut failed = Vec::new();
    if dovecot::version().is_some() {
        let measured = with_dovecot(&dir.join("dovecot"), emails, rows, built);
        failed.extend(measured.err().map(|error| ("Dovecot", error)));
    }
    if cyrus::version(programs).is_some() {
        let measured = with_cyrus(&dir.join("cyrus"), emails, programs, rows, built);
        failed.extend(measured.err().map(|error| ("Cyrus", error)));
    }
    failed
}

fn with_dovecot(dir: &Path, emails: u64, rows: &mut Rows, built: &mut Table) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    once(dir, "filled", || maildir(dir, emails))?;
    let server = dovecot::start(dir, "maildir")?;
    stopped(server, |server| {
        rows.measure("Dovecot", server, "")?;
        rows.measure_others("Dovecot", server, false)
    })?;
    if !dovecot::has_xapian() {
        return Ok(());
    }
    say("  Dovecot indexes");
    let before = octets(dir);
    let server = dovecot::start_with(dir, "maildir", dovecot::XAPIAN)?;
    stopped(server, |server| {
        let took = once(dir, "indexed", || {
            dovecot::index(dir, &user(0))?;
            note_size(dir, octets(dir).saturating_sub(before))
        })?;
        told(built, row("Dovecot, fts-xapian", emails, took, size(dir)));
        rows.measure("Dovecot, fts-xapian", server, "")
    })
}

fn with_cyrus(
    dir: &Path,
    emails: u64,
    programs: &Path,
    rows: &mut Rows,
    built: &mut Table,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let server = cyrus::start_with(&dir, programs, &cyrus::xapian(&dir))?;
    stopped(server, |server| {
        once(&dir, "filled", || deliver(server, emails))?;
        rows.measure("Cyrus", server, "")?;
        rows.measure_others("Cyrus", server, false)?;
        say("  Cyrus indexes");
        let took = once(&dir, "indexed", || {
            cyrus::index(&dir, programs)?;
            note_size(&dir, octets(&dir.join("search")))
        })?;
        told(built, row("Cyrus, Xapian", emails, took, size(&dir)));
        rows.measure("Cyrus, Xapian", server, "FUZZY ")
    })
}

/// Works with a server, and stops it however that went.
fn stopped(
    mut server: Server,
    work: impl FnOnce(&Server) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let done = work(&server);
    server.stop()?;
    done
}

fn note_size(dir: &Path, octets: u64) -> anyhow::Result<()> {
    Ok(fs::write(dir.join("bench-size"), octets.to_string())?)
}

fn size(dir: &Path) -> f64 {
    let text = fs::read_to_string(dir.join("bench-size")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

fn row(name: &str, emails: u64, seconds: f64, octets: f64) -> Vec<Cell> {
    let text = emails as f64 * mail::email(7).len() as f64;
    vec![
        Cell::text(name),
        Cell::Number(seconds, 1),
        Cell::Number(emails as f64 / seconds, 0),
        Cell::Number(text / 1e6 / seconds, 1),
        Cell::Nothing,
        Cell::Number(octets / 1e6, 1),
        Cell::Number(octets / text, 2),
        Cell::Nothing,
    ]
}

/// Written where its maildir is, which is what costs least.
fn maildir(dir: &Path, emails: u64) -> anyhow::Result<()> {
    say(&format!("  Dovecot is filled with {emails} emails"));
    let inbox = dir.join("mail").join(user(0).split('@').next().unwrap_or_default());
    let owner = Owner::find()?;
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(part))?;
    }
    for number in 0..emails {
        let name = format!("{}.M{number}.bench:2,", 1_600_000_000 + number);
        fs::write(inbox.join("cur").join(name), mail::email(number))?;
    }
    owner.give(&dir.join("mail"))?;
    give_all(&owner, &inbox)
}

fn give_all(owner: &Owner, folder: &Path) -> anyhow::Result<()> {
    owner.give(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => give_all(owner, &path)?,
            false => owner.give(&path)?,
        }
    }
    Ok(())
}

/// Over LMTP: how else mail comes in is its own affair.
fn deliver(server: &Server, emails: u64) -> anyhow::Result<()> {
    say(&format!("  Cyrus is filled with {emails} emails"));
    let address = server.lmtp;
    let connection = |at: u64| {
        let mut client = lmtp::Client::connect(address)?;
        let mut numbers = (at..emails).step_by(COMPARED);
        numbers.try_for_each(|number| client.deliver(&[user(0)], &mail::email(number)))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..COMPARED as u64).map(|at| scope.spawn(move || connection(at))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
        })
    })
}
