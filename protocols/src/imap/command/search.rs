//! SEARCH
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::{Search, Tag};

pub(crate) async fn run(session: &mut Session, _tag: &Tag, _search: Search) -> Answer {
    session.selected()?;
    Ok(Reply::no("UNAVAILABLE", "SEARCH is not there yet"))
}
