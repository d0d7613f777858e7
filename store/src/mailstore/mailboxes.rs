//! CREATE, RENAME and DELETE by whole names (RFC 9051 sections 6.3.4 to 6.3.6).

use redoubt_log::id::{AccountId, MailboxId, OperationId};
use redoubt_log::record::{
    Actor, Change, Done, MailboxCreate, MailboxDelete, MailboxNamed, MailboxRename, NamedChange,
    Rejection, SpecialUse,
};

use super::propose::answer;
use super::{Inner, MailboxPath, MailboxRef, StoreError, WriteError};
use crate::view::{Mailbox, View};

impl Inner {
    pub(super) async fn create_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Mailbox, WriteError> {
        let id = self.make_mailbox(actor, account, name, special_use).await?;
        self.find(move |view| view.mailbox(account, id)).await
    }

    /// Does not look for it afterwards: another session may have deleted it by then, and it was
    /// made all the same.
    pub(super) async fn make_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, WriteError> {
        let path = MailboxPath::parse(name)?;
        let _turn = self.gates.enter(account).await;
        self.create_path(actor, account, &path, special_use).await
    }

    /// Makes what is not there of a path; its end must not be there.
    async fn create_path(
        &self,
        actor: &Actor,
        account: AccountId,
        path: &MailboxPath,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, WriteError> {
        let parent = self.create_above(actor, account, path).await?;
        let name = path.last().to_owned();
        self.create_one(actor, MailboxCreate { account, parent, name, special_use }).await
    }

    /// Makes the mailboxes above a path that are not there; the lowest one's id.
    async fn create_above(
        &self,
        actor: &Actor,
        account: AccountId,
        path: &MailboxPath,
    ) -> Result<Option<MailboxId>, WriteError> {
        let mut parent = None;
        let above = path.levels().len().saturating_sub(1);
        for (prefix, level) in path.prefixes().zip(path.levels()).take(above) {
            let name = level.clone();
            let create = MailboxCreate { account, parent, name, special_use: None };
            parent = Some(self.there_or_made(actor, prefix, create).await?);
        }
        Ok(parent)
    }

    /// The gate keeps this node's own makers apart; one of another node may come first.
    async fn there_or_made(
        &self,
        actor: &Actor,
        prefix: String,
        create: MailboxCreate,
    ) -> Result<MailboxId, WriteError> {
        let account = create.account;
        let look = move |view: &View| view.mailbox_named(account, &prefix);
        if let Some(there) = self.look(look.clone()).await? {
            return Ok(there.id);
        }
        match self.create_one(actor, create).await {
            Err(WriteError::Rejected(Rejection::Exists(_))) => Ok(self.find(look).await?.id),
            made => made,
        }
    }

    async fn create_one(
        &self,
        actor: &Actor,
        create: MailboxCreate,
    ) -> Result<MailboxId, WriteError> {
        let change = Change::MailboxCreate(create);
        let outcome = self.propose(actor, OperationId::random(), change).await?;
        answer(outcome, |done| match done {
            Done::Mailbox(id, _) => Some(id),
            _ => None,
        })
    }

    pub(super) async fn rename_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), WriteError> {
        let (from, to) = (MailboxPath::parse(from)?, MailboxPath::parse(to)?);
        let source = self.named(account, &from).await?;
        if from.is_inbox() {
            return self.rename_inbox(actor, MailboxRef { account, mailbox: source.id }, &to).await;
        }
        if to.levels().starts_with(from.levels()) {
            return Err(Rejection::Cycle.into());
        }
        let _turn = self.gates.enter(account).await;
        let parent = self.create_above(actor, account, &to).await?;
        let then = NamedChange::Rename { parent, name: to.last().to_owned() };
        self.change_named(actor, account, &source, then).await
    }

    /// INBOX stays, with its children; its mail moves (RFC 9051 section 6.3.6).
    async fn rename_inbox(
        &self,
        actor: &Actor,
        inbox: MailboxRef,
        to: &MailboxPath,
    ) -> Result<(), WriteError> {
        let turn = self.gates.enter(inbox.account).await;
        let target = self.create_path(actor, inbox.account, to, None).await?;
        drop(turn);
        let view = self.view().await?;
        let uids = move || view.uids(inbox.account, inbox.mailbox);
        let uids = self.work(uids).await??.iter().collect();
        self.move_to(actor, inbox, target, uids).await?;
        Ok(())
    }

    pub(super) async fn delete_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
    ) -> Result<(), WriteError> {
        let path = MailboxPath::parse(name)?;
        let mailbox = self.named(account, &path).await?;
        self.change_named(actor, account, &mailbox, NamedChange::Delete).await
    }

    /// Changes a mailbox while it has the name by which it was found: without that, a DELETE
    /// beside a RENAME would delete what was renamed meanwhile. A cluster of an older level does
    /// not know the record.
    async fn change_named(
        &self,
        actor: &Actor,
        account: AccountId,
        found: &Mailbox,
        then: NamedChange,
    ) -> Result<(), WriteError> {
        let (mailbox, name) = (found.id, found.name.clone());
        let named = Change::MailboxNamed(MailboxNamed { account, mailbox, name, then });
        let change = match named.level() <= self.node.cluster().level {
            true => named,
            false => unnamed(named),
        };
        self.propose(actor, OperationId::random(), change).await?;
        Ok(())
    }

    async fn named(&self, account: AccountId, path: &MailboxPath) -> Result<Mailbox, WriteError> {
        let name = path.to_string();
        self.find(move |view| view.mailbox_named(account, &name)).await
    }

    async fn find(
        &self,
        look: impl FnOnce(&View) -> Result<Option<Mailbox>, StoreError> + Send + 'static,
    ) -> Result<Mailbox, WriteError> {
        self.look(look).await?.ok_or(WriteError::Rejected(Rejection::NoSuchMailbox))
    }

    async fn look(
        &self,
        look: impl FnOnce(&View) -> Result<Option<Mailbox>, StoreError> + Send + 'static,
    ) -> Result<Option<Mailbox>, WriteError> {
        let view = self.view().await?;
        Ok(self.work(move || look(&view)).await??)
    }
}

/// The same by the mailbox's id alone.
fn unnamed(change: Change) -> Change {
    let Change::MailboxNamed(MailboxNamed { account, mailbox, then, .. }) = change else {
        return change;
    };
    match then {
        NamedChange::Rename { parent, name } => {
            Change::MailboxRename(MailboxRename { account, mailbox, parent, name })
        }
        NamedChange::Delete => Change::MailboxDelete(MailboxDelete { account, mailbox }),
    }
}
