//! COPY out of a mailbox as it was: a restore. What was there stands in a mailbox of now again,
//! with its flags, keywords, INTERNALDATE and EMAILID, under a new UID; what stands there already
//! is not put there twice, and COPYUID says where it is.

use redoubt_log::id::{AccountId, EmailId, MailboxId, Uid};
use redoubt_log::record::{Rejection, RestoreOptions, Restored};
use redoubt_store::mailstore::{MailboxRef, PastEmail, StoreError};
use redoubt_store::view::{Mailbox, View};

use crate::imap::encode::code;
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::Session;
use crate::imap::updates::placements;

/// Emails that are brought back at one time.
const PAGE: usize = 500;

/// What came of it.
#[derive(Default)]
struct Tally {
    pairs: Vec<(Uid, Uid)>,
    why: Option<Rejection>,
}

/// Brings messages of the selected mailbox, which is one of then, back into another.
pub(crate) async fn run(session: &mut Session, uids: Vec<Uid>, to: Mailbox) -> Answer {
    let mut tally = Tally::default();
    for page in uids.chunks(PAGE) {
        bring(session, page.to_vec(), &to, &mut tally).await?;
        if tally.why.is_some() {
            break;
        }
    }
    let code = Some(tally.pairs.as_slice()).filter(|pairs| !pairs.is_empty());
    let code = code.map(|pairs| code::copy_uid(to.uid_validity, pairs));
    let Some(why) = tally.why else {
        let reply = Reply::ok("COPY done: it is there again");
        return Ok(match code {
            Some(code) => reply.code(code),
            None => Reply::ok("No such messages"),
        });
    };
    if let Some(code) = code {
        session.untagged(&format!("OK [{code}] These are there again"));
    }
    let reply = Reply::from(why);
    let text = format!("{} of {} came back: {}", tally.pairs.len(), uids.len(), reply.text);
    Ok(Reply { text: text.into(), ..reply })
}

async fn bring(
    session: &mut Session,
    uids: Vec<Uid>,
    to: &Mailbox,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let selected = session.selected()?;
    let (from, reader, at) = (selected.mailbox, selected.reader, selected.past);
    let job = move |view: &View| placements(view, from, reader, &uids);
    let (mut sources, mut emails) = (Vec::new(), Vec::new());
    for found in session.read_selected(job).await? {
        sources.push((found.uid, found.email));
        let (flags, keywords) = (found.flags, found.keywords);
        emails.push(PastEmail { email: found.email, flags, keywords });
    }
    if emails.is_empty() {
        return Ok(());
    }
    let user = session.user()?;
    let (target, options) =
        (MailboxRef { account: user.account, mailbox: to.id }, RestoreOptions::default());
    let store = &session.imap.store;
    let done = store.restore_emails(&user.actor, from.account, at, target, emails, options);
    let done = done.await.map_err(super::copy::explain)?;
    let mut merged = Vec::new();
    for ((uid, email), done) in sources.into_iter().zip(done) {
        match done {
            Restored::Created(Some(arrival)) | Restored::Changed(Some(arrival)) => {
                tally.pairs.push((uid, arrival.uid));
            }
            Restored::Created(None) | Restored::Changed(None) | Restored::Merged => {
                merged.push((uid, email));
            }
            Restored::Skipped(why) | Restored::Failed(why) => {
                tally.why.get_or_insert(why);
            }
        }
    }
    if !merged.is_empty() {
        let (account, mailbox) = (target.account, to.id);
        let job = move |view: &View| {
            let stands = |(uid, email)| Ok((uid, stands(view, account, mailbox, email)?));
            merged.into_iter().map(stands).collect()
        };
        let found: Vec<(Uid, Option<Uid>)> = session.read(job).await?;
        tally.pairs.extend(found.into_iter().filter_map(|(uid, there)| Some((uid, there?))));
        tally.pairs.sort_unstable();
    }
    Ok(())
}

/// Where an email stands in a mailbox already.
fn stands(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    email: EmailId,
) -> Result<Option<Uid>, StoreError> {
    let places = view.placements_of(account, email)?;
    Ok(places.into_iter().filter(|(id, _)| *id == mailbox).map(|(_, uid)| uid).next_back())
}
