//! The commands, one file each.

pub(super) mod append;
mod arrange;
mod authenticate;
mod capability;
mod close;
mod copy;
mod copy_past;
mod create;
mod delete;
mod enable;
mod expunge;
mod fetch;
mod id;
mod idle;
mod list;
mod login;
pub(super) mod logout;
mod lsub;
mod marks;
mod namespace;
mod narrow;
mod noop;
mod relevancy;
mod rename;
mod results;
mod saved;
mod search;
mod select;
mod sort;
pub(super) mod starttls;
mod status;
mod store;
mod subscribe;
mod thread;

pub(super) use self::arrange::Rooms;
use super::reply::{Answer, Reply};
use super::session::Session;
use super::types::{Command, Tag};

/// Runs a command to its answer; what it says untagged is queued or sent.
pub(super) async fn run(session: &mut Session, tag: &Tag, command: Command) -> Answer {
    match command {
        Command::Capability => capability::run(session),
        Command::Noop => noop::run(session).await,
        Command::Id(fields) => id::run(session, &fields),
        Command::Authenticate(authenticate) => authenticate::run(session, authenticate).await,
        Command::Login(login) => login::run(session, login).await,
        Command::Enable(wishes) => enable::run(session, &wishes),
        Command::Select(select) => select::run(session, select).await,
        Command::Create { mailbox, uses } => create::run(session, mailbox, &uses).await,
        Command::Delete(mailbox) => delete::run(session, mailbox).await,
        Command::Rename { from, to } => rename::run(session, from, to).await,
        Command::Subscribe(mailbox) => subscribe::run(session, mailbox, true).await,
        Command::Unsubscribe(mailbox) => subscribe::run(session, mailbox, false).await,
        Command::List(list) => list::run(session, list).await,
        Command::Lsub { reference, pattern } => lsub::run(session, reference, pattern).await,
        Command::Namespace => namespace::run(session),
        Command::Status { mailbox, items } => status::run(session, mailbox, &items).await,
        Command::Idle => idle::run(session).await,
        Command::Check => noop::check(session).await,
        Command::Close => close::run(session).await,
        Command::Unselect => close::unselect(session),
        Command::Expunge { uids } => expunge::run(session, uids.as_ref()).await,
        Command::Search(search) => search::run(session, tag, search).await,
        Command::Sort(sort) => sort::run(session, tag, sort).await,
        Command::Thread(thread) => thread::run(session, thread).await,
        Command::Fetch(fetch) => fetch::run(session, fetch).await,
        Command::Store(store) => store::run(session, store).await,
        Command::Copy(copy) => copy::run(session, copy).await,
        Command::Move(copy) => copy::run_move(session, copy).await,
        // They answer in ways of their own: the session runs them itself.
        Command::Append(_) | Command::Logout | Command::StartTls => {
            Ok(Reply::bad("The command cannot stand here"))
        }
    }
}
