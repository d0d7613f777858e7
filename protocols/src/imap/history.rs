//! `#history/<time>/…`: every mailbox of the user as it was, read-only. `<time>` is
//! `YYYYMMDDTHHMMSSZ` or `@INDEX`. It is no namespace that is announced, and no wildcard finds it:
//! a client that does not ask for it never sees it.

use redoubt_log::id::{AccountId, LogIndex, MailboxId, Timestamp};
use redoubt_store::mailstore::{MailboxPath, StoreError};
use redoubt_store::moment::{Moment, MomentError, reaches};
use redoubt_store::view::View;

use super::reply::{Reply, Trouble};
use super::session::{Session, blocking};
use super::types::MailboxName;

/// What all names of then begin with.
const ROOT: &str = "#history";

/// A name below [`ROOT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastName {
    /// The moment as the client writes it.
    pub(crate) label: String,
    /// Which moment that is.
    pub(crate) moment: Moment,
    /// The mailbox's name then, or a pattern of names; it may be empty.
    pub(crate) rest: String,
}

/// A mailbox's place: its name, and as of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name as the store has it.
    pub(crate) name: String,
    /// The index that it is looked at, and how the client writes that; `None` is now.
    pub(crate) past: Option<(LogIndex, String)>,
}

impl Place {
    /// The index that it is looked at.
    pub(crate) fn index(&self) -> Option<LogIndex> {
        self.past.as_ref().map(|(index, _)| *index)
    }

    /// A name of then as the client has to write it.
    pub(crate) fn written(&self, name: &str) -> String {
        match &self.past {
            Some((_, label)) => written(label, name),
            None => name.to_owned(),
        }
    }
}

/// A name of then as the client has to write it.
pub(crate) fn written(label: &str, name: &str) -> String {
    match name.is_empty() {
        true => format!("{ROOT}/{label}"),
        false => format!("{ROOT}/{label}/{name}"),
    }
}

/// Whether a name is one of then.
pub(crate) fn is_past(name: &str) -> bool {
    name.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a name of then for a command that would change it.
///
/// # Errors
/// NO, with what to do instead.
pub(crate) fn refuse(name: &MailboxName) -> Result<(), Reply> {
    match is_past(name.as_str()) {
        true => Err(Reply::no(
            "CANNOT",
            "The past cannot be changed: COPY messages out of #history into a mailbox of now",
        )),
        false => Ok(()),
    }
}

/// Takes a name of then apart; `None` for all other names.
///
/// # Errors
/// NO where the moment does not read.
pub(crate) fn parse(name: &str) -> Result<Option<PastName>, Reply> {
    if !is_past(name) {
        return Ok(None);
    }
    let rest = name.get(ROOT.len() + 1..).unwrap_or_default();
    let (label, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let unreadable = || {
        Reply::no(
            "CANNOT",
            "Name a moment: #history/20261120T140000Z/INBOX or #history/@1234/INBOX",
        )
    };
    let moment = Moment::parse_basic(label).ok_or_else(unreadable)?;
    Ok(Some(PastName { label: label.to_owned(), moment, rest: rest.to_owned() }))
}

/// The MAILBOXID of a mailbox, then or now (RFC 8474 section 4.1): one of then is another mailbox.
pub(crate) fn object_id(mailbox: MailboxId, past: Option<LogIndex>) -> String {
    match past {
        Some(index) => format!("h{index}-{}", mailbox.object_id()),
        None => mailbox.object_id(),
    }
}

impl From<MomentError> for Reply {
    fn from(error: MomentError) -> Self {
        let code = match error {
            MomentError::Store(error) => return error.into(),
            MomentError::BeforeLog(..) | MomentError::BelowFloor { .. } | MomentError::Empty => {
                "NONEXISTENT"
            }
            MomentError::Unreadable(..) | MomentError::Future(..) => "CANNOT",
        };
        Self::no(code, error.to_string())
    }
}

impl Session {
    /// The mailbox that a name means.
    ///
    /// # Errors
    /// NO for what no mailbox can be called, and for a moment that cannot be seen.
    pub(super) async fn place(&self, mailbox: &MailboxName) -> Result<Place, Trouble> {
        let Some(past) = parse(mailbox.as_str())? else {
            return Ok(Place { name: super::session::stored_name(mailbox)?, past: None });
        };
        if !self.shows_history() {
            return Err(Reply::no("CANNOT", "This server does not show the past").into());
        }
        if past.rest.is_empty() {
            return Err(
                Reply::no("NONEXISTENT", "Behind the moment stands a mailbox's name").into()
            );
        }
        let name = MailboxPath::parse(&past.rest).map_err(Reply::from)?.to_string();
        let index = self.resolve(past.moment).await?;
        Ok(Place { name, past: Some((index, past.label)) })
    }

    /// Whether users see the past at all.
    pub(super) fn shows_history(&self) -> bool {
        self.imap.config.history
    }

    /// The index of a moment that this user may look at.
    ///
    /// # Errors
    /// NO when it is in the future, or before the history begins.
    pub(super) async fn resolve(&self, moment: Moment) -> Result<LogIndex, Trouble> {
        let account = self.user()?.account;
        let view = self.view().await?;
        let job = move || Ok(moment.of(&view, account, Timestamp::now()));
        let (_, then) = blocking(job).await?.map_err(Reply::from)?;
        Ok(then.index)
    }

    /// Runs a job over a view of then, or of now, on the blocking pool.
    ///
    /// # Errors
    /// Also when the history does not reach back that far any more.
    pub(super) async fn read_at<T, F>(&self, past: Option<LogIndex>, job: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    {
        let account = self.user()?.account;
        let view = self.view().await?;
        let done = blocking(move || over(&view, account, past, job)).await?;
        Ok(done.map_err(Reply::from)?)
    }

    /// The same over the selected mailbox's view: of then, if it is one of then.
    ///
    /// # Errors
    /// As [`Session::read_at`].
    pub(super) async fn read_selected<T, F>(&self, job: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    {
        self.read_at(self.selected()?.past, job).await
    }
}

fn over<T>(
    view: &View,
    account: AccountId,
    past: Option<LogIndex>,
    job: impl FnOnce(&View) -> Result<T, StoreError>,
) -> Result<Result<T, MomentError>, StoreError> {
    let Some(index) = past else { return job(view).map(Ok) };
    match reaches(view, account, index) {
        Ok(()) => job(&view.at(index)).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_then_are_taken_apart() {
        let past = parse("#history/@7/Work/Q1").unwrap().unwrap();
        assert_eq!((past.label.as_str(), past.rest.as_str()), ("@7", "Work/Q1"));
        assert_eq!(past.moment, Moment::Index(LogIndex(7)));
        assert_eq!(written(&past.label, &past.rest), "#history/@7/Work/Q1");
        let past = parse("#history/20261120T140000Z").unwrap().unwrap();
        assert_eq!(
            (past.rest.as_str(), written(&past.label, "")),
            ("", "#history/20261120T140000Z".into())
        );
        for other in ["INBOX", "#historyx/@7/INBOX", "history/@7", "#news", "a/#history/@7"] {
            assert_eq!(parse(other).unwrap(), None, "{other}");
        }
        for wrong in
            ["#history", "#history/", "#history/INBOX", "#history/2026/INBOX", "#history/%/a"]
        {
            assert_eq!(parse(wrong).unwrap_err().code.as_deref(), Some("CANNOT"), "{wrong}");
        }
    }

    #[test]
    fn mailboxes_of_then_have_ids_of_their_own() {
        assert_eq!(object_id(MailboxId(3), None), "m3");
        assert_eq!(object_id(MailboxId(3), Some(LogIndex(70))), "h70-m3");
    }
}
