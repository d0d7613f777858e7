//! Looks through accounts, piece by piece. What was found and how far it came goes to the disk
//! together, several times a second: whoever goes on after a crash looks through that again.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::travel::{self, Search, flag_names};
use redoubt_store::view::View;

use super::folder::{Folder, Gone, Hit, NotSearched, State};
use super::judge::Careful;
use super::pace::{Effort, weights};
use super::texts::Extracting;
use super::{DiscoverError, SearchAsked};
use crate::find::{Finder, among};
use crate::index::Index;
use crate::query::Query;

/// Placements of one piece.
const PIECE: usize = 1000;
/// How long what was found waits for the disk: syncs for each of thousands of accounts would be
/// most of the time.
const WAIT: Duration = Duration::from_millis(250);
/// Octets of hits that do not wait when they are the first: about a page of them.
const FIRST: usize = 16 * 1024;

/// Hits that the state counts and that are not on the disk yet.
struct Pending {
    lines: Vec<u8>,
    written: Option<Instant>,
    began: Instant,
}

impl Pending {
    fn is_due(&self) -> bool {
        let first = self.written.is_none() && self.lines.len() >= FIRST;
        first || self.written.unwrap_or(self.began).elapsed() >= WAIT
    }
}

/// A search at work.
pub(super) struct Scan<'a> {
    pub(super) store: &'a Mailstore,
    pub(super) asked: &'a SearchAsked,
    pub(super) query: &'a Query,
    pub(super) texts: &'a Extracting,
    pub(super) index: Option<&'a Index>,
    pub(super) folder: &'a Folder,
    pub(super) stop: &'a AtomicBool,
    /// Told after each piece.
    pub(super) told: &'a dyn Fn(&State),
}

impl Scan<'_> {
    /// Goes on from where the state says, to the end.
    pub(super) fn run(&self, state: &mut State) -> Result<(), DiscoverError> {
        let mut pending = Pending { lines: Vec::new(), written: None, began: Instant::now() };
        let done = self.all(&mut pending, state);
        // Also what was found until somebody stopped it.
        self.write(&mut pending, state)?;
        done
    }

    fn all(&self, pending: &mut Pending, state: &mut State) -> Result<(), DiscoverError> {
        let weights = weights(&self.store.local_view()?, &self.asked.accounts)?;
        while let Some((account, weight)) = self.account(state, &weights) {
            let done = weights.iter().take(usize::try_from(state.accounts).unwrap_or(0)).sum();
            state.effort = Effort { done, all: weights.iter().sum() };
            (self.told)(state);
            if let Err(error) = self.through(account, (done, weight), pending, state) {
                match error {
                    DiscoverError::Store(error @ StoreError::BelowFloor { .. }) => {
                        let why = error.to_string();
                        state.not_searched(NotSearched { account, email: None, why });
                    }
                    error => return Err(error),
                }
            }
            state.accounts += 1;
            (state.after, state.own) = (None, state.hits);
            state.effort.done = done + weight;
            self.tell(pending, state)?;
        }
        Ok(())
    }

    fn tell(&self, pending: &mut Pending, state: &State) -> Result<(), DiscoverError> {
        (self.told)(state);
        if pending.is_due() { self.write(pending, state) } else { Ok(()) }
    }

    fn write(&self, pending: &mut Pending, state: &State) -> Result<(), DiscoverError> {
        let lines = std::mem::take(&mut pending.lines);
        if !lines.is_empty() {
            self.folder.write(state.hits - lines.len() as u64, &lines)?;
        }
        self.folder.save(state)?;
        pending.written = Some(Instant::now());
        Ok(())
    }

    /// The account that is next, and what it weighs.
    fn account(&self, state: &State, weights: &[u64]) -> Option<(AccountId, u64)> {
        let next = usize::try_from(state.accounts).ok()?;
        self.asked.accounts.get(next).copied().zip(weights.get(next).copied())
    }

    /// One account. An email is found once, wherever it stands.
    fn through(
        &self,
        account: AccountId,
        (done, weight): (u64, u64),
        pending: &mut Pending,
        state: &mut State,
    ) -> Result<(), DiscoverError> {
        let looked = state.looked;
        let mut seen: HashSet<EmailId> = HashSet::new();
        for hit in self.folder.lines(state.own, state.hits)? {
            seen.insert(hit?.email);
        }
        let among = among(self.index, self.query, account)?;
        loop {
            let view = self.store.local_view()?.at(self.asked.as_of);
            view.reaches(account, self.asked.as_of)?;
            for hit in self.piece(&view, account, among.as_deref(), &mut seen, state)? {
                let line = hit.line()?;
                state.hits += line.len() as u64;
                state.found += 1;
                pending.lines.extend(line);
            }
            state.effort.done = done + (state.looked - looked).min(weight);
            if state.after.is_none() {
                return Ok(());
            }
            self.tell(pending, state)?;
        }
    }

    fn piece(
        &self,
        view: &View,
        account: AccountId,
        among: Option<&[EmailId]>,
        seen: &mut HashSet<EmailId>,
        state: &mut State,
    ) -> Result<Vec<Hit>, DiscoverError> {
        let finder = Finder::new(self.query, view, account, self.store, self.texts);
        let (stop, unreadable) = (self.stop, Vec::new());
        let mut careful = Careful { finder, seen, stop, looked: 0, unreadable };
        let which = self.asked.which;
        let search = Search { view, account, mailboxes: &[], which, among };
        let piece = search.piece(&mut careful, state.after, PIECE)?;
        state.looked += careful.looked;
        for (email, why) in careful.unreadable {
            state.not_searched(NotSearched { account, email: Some(email), why });
        }
        state.after = piece.next;
        Ok(piece.hits.into_iter().map(|hit| line(account, hit)).collect())
    }
}

fn line(account: AccountId, hit: travel::Hit) -> Hit {
    let placement = hit.placement;
    let gone = hit.gone.map(|gone| Gone {
        index: gone.by.index,
        time: gone.by.time,
        with_mailbox: gone.with_mailbox,
    });
    Hit {
        account,
        email: placement.email,
        mailbox: hit.place.mailbox,
        name: hit.place.name,
        uid: hit.place.uid,
        flags: flag_names(placement.flags, &placement.keywords),
        saved: placement.saved,
        gone,
    }
}
