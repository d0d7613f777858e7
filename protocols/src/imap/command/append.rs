//! APPEND (RFC 9051 section 6.3.12), of several messages too (RFC 3502), with APPENDUID
//! (RFC 4315). Octets go from the socket to the spool, never whole into memory.

use redoubt_log::id::Uid;
use redoubt_log::record::{Arrival, Rejection};
use redoubt_store::mailstore::{MailboxRef, NewMessage, WriteError};
use redoubt_store::view::View;

use crate::imap::encode::code;
use crate::imap::frame::{Frame, Literal};
use crate::imap::history;
use crate::imap::parse::{self, CommandError};
use crate::imap::reply::{Answer, End, Reply, Trouble};
use crate::imap::session::{Session, stored_name};
use crate::imap::types::{AppendItem, Command, MailboxName, Tag, TaggedCommand};

/// The most messages that one command may bring.
const MAX_MESSAGES: usize = 100;

/// An APPEND whose first message is yet to come.
pub(crate) async fn run(session: &mut Session, head: &[u8], literal: Literal) -> Result<(), End> {
    session.conn.stats().commands.add(1);
    match parse::command(head, &session.mode()) {
        Ok(TaggedCommand { tag, command: Command::Append(append) }) => {
            let answer = take(session, &tag, append.mailbox, append.item, literal).await;
            match answer {
                Err(Stop::Unreadable(error)) => session.unreadable(error),
                Err(Stop::Trouble(trouble)) => session.complete(&tag, Err(trouble), true).await,
                Ok(reply) => session.complete(&tag, Ok(reply), true).await,
            }
        }
        Ok(TaggedCommand { tag, .. }) => {
            session.refuse_literal();
            session.complete(&tag, Ok(Reply::bad("Only APPEND has a message")), true).await
        }
        Err(error) => {
            session.refuse_literal();
            session.unreadable(error)
        }
    }
}

/// Why an APPEND does not go on.
enum Stop {
    Trouble(Trouble),
    Unreadable(CommandError),
}

impl<T: Into<Trouble>> From<T> for Stop {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

async fn take(
    session: &mut Session,
    tag: &Tag,
    mailbox: MailboxName,
    first: AppendItem,
    literal: Literal,
) -> Result<Reply, Stop> {
    let to = match destination(session, &mailbox, literal.size).await {
        Ok(to) => to,
        Err(trouble) => {
            session.refuse_literal();
            return Err(trouble.into());
        }
    };
    let mut messages = Vec::new();
    let mut next = Some((first, literal));
    while let Some((item, literal)) = next {
        messages.push(receive(session, item, literal, messages.len()).await?);
        next = rest(session, tag).await?;
    }
    Ok(store(session, to, messages).await?)
}

/// Refuses before the client sends what could not be taken.
async fn destination(
    session: &Session,
    mailbox: &MailboxName,
    size: u64,
) -> Result<MailboxRef, Trouble> {
    let account = session.user()?.account;
    history::refuse(mailbox)?;
    let name = stored_name(mailbox)?;
    let look = move |view: &View| {
        let found = view.mailbox_named(account, &name)?;
        Ok((found, view.account(account)?, view.largest_message(account)?))
    };
    let (found, account, largest) = session.read(look).await?;
    let found = found.filter(|mailbox| mailbox.selectable).ok_or_else(Reply::try_create)?;
    let account = account.ok_or_else(|| Reply::from(Rejection::NoSuchAccount))?;
    if let Some(limit) = largest.filter(|limit| size > *limit) {
        return Err(Reply::from(Rejection::TooLarge { size, limit }).into());
    }
    match account.quota {
        Some(limit) if account.used_bytes.saturating_add(size) > limit => {
            let over = Rejection::OverQuota { used: account.used_bytes, limit };
            Err(Reply::from(over).into())
        }
        _ => Ok(MailboxRef { account: account.id, mailbox: found.id }),
    }
}

/// One message from the client into the spool.
async fn receive(
    session: &mut Session,
    item: AppendItem,
    literal: Literal,
    before: usize,
) -> Result<NewMessage, Stop> {
    if let Err(reply) = acceptable(session, literal, before) {
        session.refuse_literal();
        return Err(reply.into());
    }
    session.framer.accept_literal();
    if literal.synchronizing {
        session.continuation("OK").await?;
    }
    let mut content = session.imap.store.spool();
    while session.framer.literal_left() > 0 {
        let Some(octets) = session.framer.literal_bytes(session.conn.input()) else {
            session.more().await?;
            continue;
        };
        if let Err(error) = content.write(&octets).await {
            session.refuse_literal();
            return Err(Reply::from(error).into());
        }
    }
    let flags = item.flags;
    Ok(NewMessage {
        content,
        received: item.date,
        flags: flags.flags,
        keywords: flags.keywords,
        uid: None,
        operation: None,
    })
}

fn acceptable(session: &Session, literal: Literal, before: usize) -> Result<(), Reply> {
    let limit = session.imap.config.max_message;
    if literal.size > limit {
        return Err(WriteError::TooLarge { size: literal.size, limit }.into());
    }
    if literal.size == 0 {
        return Err(Reply::no("CANNOT", "A message without any octet cannot be appended"));
    }
    if before >= MAX_MESSAGES {
        return Err(Reply::no("LIMIT", format!("At most {MAX_MESSAGES} messages in a command")));
    }
    Ok(())
}

/// What stands behind a message: the end, or the next message's head.
async fn rest(session: &mut Session, tag: &Tag) -> Result<Option<(AppendItem, Literal)>, Stop> {
    let (head, literal) = loop {
        match session.framer.next(session.conn.input()) {
            None => session.more().await?,
            Some(Frame::AppendRest { head, literal }) => break (head, literal),
            Some(Frame::Refused(refused)) if !refused.close => {
                return Err(Reply::bad(refused.error.to_string()).into());
            }
            Some(_) => return Err(End::Bye("The command cannot be followed".into()).into()),
        }
    };
    let item = parse::append_rest(&head, &session.mode()).map_err(|error| {
        session.refuse_literal();
        Stop::Unreadable(CommandError { tag: Some(tag.clone()), ..error })
    })?;
    Ok(item.zip(literal))
}

async fn store(session: &mut Session, to: MailboxRef, messages: Vec<NewMessage>) -> Answer {
    let actor = &session.user()?.actor;
    let appended = session.imap.store.append(actor, to, messages).await.map_err(explain)?;
    let arrived = appended.into_iter().collect::<Result<Vec<Arrival>, _>>();
    let arrived = arrived.map_err(|rejection| explain(rejection.into()))?;
    let reply = Reply::ok("APPEND done");
    Ok(match arrived.first() {
        Some(first) => {
            let uids: Vec<Uid> = arrived.iter().map(|arrival| arrival.uid).collect();
            reply.code(code::append_uid(first.uid_validity, &uids))
        }
        None => reply,
    })
}

/// The mailbox went while the message came.
fn explain(error: WriteError) -> Reply {
    match error {
        WriteError::Rejected(Rejection::NoSuchMailbox | Rejection::NoSelect) => Reply::try_create(),
        error => error.into(),
    }
}
