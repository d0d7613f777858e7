//! THREAD and UID THREAD (RFC 5256 section 3).

use redoubt_log::id::Uid;

use super::arrange::{Asked, gather, stopping, too_much};
use crate::imap::encode::{thread_begin, thread_step};
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::{Session, blocking};
use crate::imap::types::{Numbering, Thread};

/// Messages and parentheses that are written at one time.
const PIECE: usize = 4096;

/// Threads messages of the session's snapshot.
pub(crate) async fn run(session: &mut Session, asked: Thread) -> Answer {
    session.selected()?;
    if asked.key.asks_modseq() {
        session.enable_condstore();
    }
    let wanted = Asked { headers: true, relevancy: false };
    let mut all = gather(session, asked.key, wanted).await?;
    let memory = all.sheet.read().threading_memory(all.uids.len());
    all.grow(memory)?;
    // As SORT.
    let stop = session.conn.shutdown_token().child_token();
    let _stops = stop.clone().drop_guard();
    let threaded = move || {
        let is_stopped = || stop.is_cancelled();
        let forest = all.sheet.read().thread(&all.uids, asked.algorithm, &is_stopped);
        Ok((forest, all))
    };
    let (forest, all) = blocking(threaded).await?;
    let forest = forest.map_err(too_much)?.ok_or_else(stopping)?;
    let selected = session.selected()?;
    let number = |uid: &Uid| match asked.numbering {
        Numbering::Uid => uid.get(),
        // The snapshot stays as it is while the command runs: all have a number.
        Numbering::Sequence => selected.number(*uid).unwrap_or_default(),
    };
    let numbers: Vec<u32> = all.uids.iter().map(number).collect();
    thread_begin(session.conn.output(), numbers.is_empty());
    let mut steps = forest.walk().peekable();
    while steps.peek().is_some() {
        let out = session.conn.output();
        for step in steps.by_ref().take(PIECE) {
            thread_step(out, step, &numbers);
        }
        session.conn.relieve().await?;
    }
    session.conn.queue(b"\r\n");
    Ok(Reply::ok("THREAD done"))
}
