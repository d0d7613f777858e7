//! THREAD and UID THREAD (RFC 5256 section 3).

use redoubt_log::id::Uid;
use redoubt_store::search::Threading;

use super::arrange::{Asked, gather};
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
    let threading = Threading::new(asked.algorithm);
    let wanted = Asked { headers: true, relevancy: false };
    let all = gather(session, asked.key, wanted, threading).await?;
    let (arranged, uids) = (all.arranged, all.uids);
    let forest = blocking(move || Ok(arranged.finish())).await?;
    let selected = session.selected()?;
    let number = |uid: &Uid| match asked.numbering {
        Numbering::Uid => uid.get(),
        // The snapshot stays as it is while the command runs: all have a number.
        Numbering::Sequence => selected.number(*uid).unwrap_or_default(),
    };
    let numbers: Vec<u32> = uids.iter().map(number).collect();
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
