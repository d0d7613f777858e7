//! What was extracted from attachments, as words of an index. Texts come behind their emails: an
//! email whose texts were not there when it was indexed is a candidate whenever they are asked
//! for, until everything up to it was tried; then it is indexed once more, with what there is.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use redoubt_extract::VERSION;
use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex};
use redoubt_store::mailstore::StoreError;
use redoubt_store::view::View;

use super::batch::Chunk;
use super::document::{Draft, draft};
use super::folder::{Folder, Home};
use super::follower::{FollowError, Follower};
use super::schema::{READ, UNREAD};
use super::shelf::guarded;
use crate::texts::Texts;
use crate::words;

/// Octets of different words of one email's attachments; an email with more stays a candidate.
const MAX_WORDS: usize = 4 * 1024 * 1024;
/// How long to wait for texts that are not there, or for what failed.
const RETRY: Duration = Duration::from_secs(5);

/// The different words, without their accents, of all that was extracted from a message's
/// attachments; `None` where some of it is not there, may turn out otherwise when it is extracted
/// again, or is too much. One text is in memory at a time.
pub(super) fn extracted(texts: &dyn Texts, message: &BlobId) -> Option<HashSet<String>> {
    let (mut found, mut octets, mut settled) = (HashSet::new(), 0, true);
    let whole = texts.each(message, &mut |text| {
        settled &= !text.stopped;
        words::each(&text.text, &mut |word, _| {
            if octets <= MAX_WORDS && !found.contains(word) {
                octets += word.len();
                found.insert(word.to_owned());
            }
        });
    });
    (matches!(whole, Ok(true)) && settled && octets <= MAX_WORDS).then_some(found)
}

impl Follower {
    /// Emails of this folder may have texts later.
    pub(super) fn awaits_texts(&mut self, home: Home) {
        let folder = self.shelf.folder(home);
        if folder.is_some_and(|folder| folder.shown().marks.await_texts()) {
            let at = Instant::now() + self.options.wait;
            self.awaiting.entry(home).or_insert(at);
        }
    }

    /// What awaited texts when the process ended.
    pub(super) fn look_for_awaiting(&mut self) {
        for home in self.shelf.homes() {
            if self.shelf.peek(home).await_texts() {
                self.awaiting.insert(home, Instant::now());
            }
        }
    }

    /// Takes in texts that are there by now, of folders whose time has come, or of all.
    pub(super) fn take_texts(&mut self, of_all: bool) -> Result<(), FollowError> {
        let texts = self.options.texts.as_ref();
        let Some(position) = texts.and_then(|texts| texts.position()) else { return Ok(()) };
        let now = Instant::now();
        let is_due = |at: &Instant| of_all || *at <= now;
        let homes = self.awaiting.iter().filter(|(_, at)| is_due(at)).map(|(home, _)| *home);
        let homes: Vec<Home> = homes.collect();
        for home in homes {
            let taken = self.take_texts_of(home, position);
            if let Err(error) = &taken {
                // What it took in and did not commit must not come with the next commit.
                self.writers.drop_of(home);
                if matches!(error, FollowError::Index(_)) && !self.state.is_closing() {
                    self.shelf.suspect(home);
                }
            }
            match self.shelf.peek(home).await_texts() {
                true => drop(self.awaiting.insert(home, Instant::now() + RETRY)),
                false => drop(self.awaiting.remove(&home)),
            }
            taken?;
        }
        Ok(())
    }

    fn take_texts_of(&mut self, home: Home, position: LogIndex) -> Result<(), FollowError> {
        let marks = self.shelf.peek(home).accounts;
        let tried =
            marks.into_iter().filter(|(_, mark)| mark.awaits_texts() && mark.index <= position);
        for (account, _) in tried {
            self.take_texts_of_account(home, account)?;
        }
        Ok(())
    }

    /// Indexes emails once more whose texts are there now. What is not there by now is no longer
    /// awaited: those emails stay candidates.
    fn take_texts_of_account(&mut self, home: Home, account: AccountId) -> Result<(), FollowError> {
        let Some(folder) = self.shelf.folder(home) else { return Ok(()) };
        self.pace.begin();
        let view = self.store.local_view()?;
        let stale = folder.shown().marks.of(account).is_stale();
        let terms: &[&str] = if stale { &[UNREAD, READ] } else { &[UNREAD] };
        let mut chunk = Chunk::default();
        for email in guarded(|| folder.emails_having(account, terms))? {
            if self.state.is_closing() {
                return Err(FollowError::Closing);
            }
            self.rest();
            if let Some(draft) = self.again(&view, &folder, account, email, stale)? {
                chunk.add(email, draft);
            }
            if chunk.is_full() {
                self.replace(&folder, account, &mut chunk, false)?;
            }
        }
        self.replace(&folder, account, &mut chunk, true)
    }

    /// An email's document with what was extracted; `None` where there is nothing new to say.
    fn again(
        &self,
        view: &View,
        folder: &Folder,
        account: AccountId,
        email: EmailId,
        stale: bool,
    ) -> Result<Option<Draft>, FollowError> {
        let Some(data) = view.email_ever(account, email)? else { return Ok(None) };
        let texts = self.options.texts.as_deref();
        let words = texts.and_then(|texts| extracted(texts, &data.blob));
        if words.is_none() && !stale {
            return Ok(None);
        }
        let content = match self.store.blob(&data.blob) {
            Ok(content) => content,
            Err(StoreError::Blob(..)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let made =
            || Ok(draft(folder.fields, account, email, Some(&data), Some(&content), || words));
        Ok(guarded(made).ok())
    }

    /// Puts documents in place of those of the same emails: both, or neither.
    fn replace(
        &mut self,
        folder: &std::sync::Arc<Folder>,
        account: AccountId,
        chunk: &mut Chunk,
        last: bool,
    ) -> Result<(), FollowError> {
        let home = folder.home;
        let mut marks = folder.shown().marks.clone();
        if last && let Some(mark) = marks.accounts.get_mut(&account) {
            mark.has_texts_of(VERSION);
        }
        let documents = std::mem::take(chunk).documents;
        self.writers.open(folder, false)?;
        if !documents.is_empty() {
            let emails = documents.iter().map(|(email, _)| *email).collect();
            self.writers.delete_emails(home, account, emails)?;
        }
        for (_, draft) in documents {
            self.state.attached(draft.read);
            self.writers.add(home, draft.document)?;
        }
        self.state.fault("before texts")?;
        self.writers.commit(home, &marks)?;
        self.state.fault("after texts")?;
        self.state.committed();
        self.show(home)
    }
}
