//! IMAP as the RFCs tell it: each file of `stories/imap` is a script of what
//! clients say and what the server has to answer, run against a whole node.
//!
//! A line begins with a client's letter. `A> text` is sent, `A< text` is the next
//! response, `A? text` one of several that may come in any order, `A~ text` is
//! waited for and what comes before it does not matter. In responses `...` stands
//! for anything and `$name` for a word that is the same wherever it stands. `{@}` is
//! a literal's size, its lines follow with `| `; behind it the line goes on with
//! `A& text`. A client logs in on its first line: `A = alice` (or `A = nobody`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod client;
mod pattern;
mod server;
mod story;

macro_rules! stories {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let text = include_str!(concat!("../../stories/imap/", stringify!($name), ".story"));
            story::run(text).await;
        }
    )*};
}

stories! {
    history
    rfc2177_idle
    rfc3501_messages
    rfc3501_session
    rfc4315_uidplus
    rfc5182_searchres
    rfc5256_sort
    rfc5256_thread
    rfc5258_list
    rfc5267_esort
    rfc6203_fuzzy
    rfc6851_move
    rfc7162_condstore
    rfc7162_qresync
    rfc7888_literals
    rfc8474_objectid
    rfc9394_partial
}
