//! Looks through accounts, piece by piece; what was found and how far it came is on the disk
//! after each.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::travel::{self, Cursor, Search, flag_names};
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
        let weights = weights(&self.store.local_view()?, &self.asked.accounts)?;
        while let Some((account, weight)) = self.account(state, &weights) {
            let done = weights.iter().take(usize::try_from(state.accounts).unwrap_or(0)).sum();
            state.effort = Effort { done, all: weights.iter().sum() };
            (self.told)(state);
            if let Err(error) = self.through(account, (done, weight), state) {
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
            self.folder.save(state)?;
            (self.told)(state);
        }
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
            let next = self.piece(&view, account, among.as_deref(), &mut seen, state)?;
            state.effort.done = done + (state.looked - looked).min(weight);
            self.folder.save(state)?;
            (self.told)(state);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn piece(
        &self,
        view: &View,
        account: AccountId,
        among: Option<&[EmailId]>,
        seen: &mut HashSet<EmailId>,
        state: &mut State,
    ) -> Result<Option<Cursor>, DiscoverError> {
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
        let found: Vec<Hit> = piece.hits.into_iter().map(|hit| line(account, hit)).collect();
        state.hits = self.folder.add(state.hits, &found)?;
        state.found += found.len() as u64;
        state.after = piece.next;
        Ok(piece.next)
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
