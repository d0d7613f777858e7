//! What LMTP and the socketmap need of the mailstore: a seam, so that tests can
//! have it refuse, fail and not know.

use std::future::Future;

use bytes::Bytes;
use redoubt_log::record::{AccountState, Actor, Arrival, Rejection};
use redoubt_store::mailstore::{
    CutOff, DeliveryRecipient, Envelope, Mailstore, Spool, StoreError, WriteError,
};
use redoubt_store::view::{Resolved, View};

use super::OverQuota;

/// What an address stands for.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose it is.
    pub resolved: Resolved,
    /// What its domain wants an MTA to hear when it is over quota.
    pub over_quota: OverQuota,
    /// Whether it is an archive account that takes journal reports.
    pub journals: bool,
}

/// Takes messages in.
pub trait Deliverer: Send + Sync + 'static {
    /// A message on its way in.
    type Content: Send;

    /// Whose an address is.
    fn resolve(&self, address: &str) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Whether a domain is ours.
    fn is_ours(&self, domain: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Tells when this node has been cut off from the others for too long.
    fn cut_off(&self) -> CutOff;

    /// A place for a message.
    fn begin(&self) -> Self::Content;

    /// Adds octets to it.
    fn write(
        content: &mut Self::Content,
        octets: &[u8],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Delivers it: an answer for each recipient, in their order.
    fn deliver(
        &self,
        actor: Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Self::Content,
        recipients: Vec<DeliveryRecipient>,
    ) -> impl Future<Output = Result<Vec<Result<Arrival, Rejection>>, WriteError>> + Send;
}

/// The mailstore of this node.
#[derive(Debug, Clone)]
pub struct MailstoreDeliverer {
    /// The mailstore.
    pub mailstore: Mailstore,
    /// Where an address without a domain is looked up.
    pub default_domain: String,
}

impl MailstoreDeliverer {
    /// Looks something up in a view of now, off the tokio workers.
    async fn look<T, F>(&self, what: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(View) -> Result<T, StoreError> + Send + 'static,
    {
        let view = self.mailstore.view().await?;
        let looked = tokio::task::spawn_blocking(move || what(view)).await;
        looked.unwrap_or_else(|error| Err(StoreError::Stopped(error.to_string())))
    }
}

fn takes_journals(view: &View, resolved: &Resolved) -> Result<bool, StoreError> {
    match resolved {
        Resolved::Account { account, .. } if account.settings.state == AccountState::Archive => {
            view.takes_journals(account.id)
        }
        _ => Ok(false),
    }
}

fn over_quota(view: &View, resolved: &Resolved) -> Result<OverQuota, StoreError> {
    let Resolved::Account { account, .. } = resolved else { return Ok(OverQuota::Refuse) };
    let domain = view.domain(&account.address.domain)?;
    let defers = domain.is_some_and(|domain| domain.settings.over_quota_defers);
    Ok(if defers { OverQuota::Defer } else { OverQuota::Refuse })
}

impl Deliverer for MailstoreDeliverer {
    type Content = Spool;

    async fn resolve(&self, address: &str) -> Result<Found, StoreError> {
        let (address, domain) = (address.to_owned(), self.default_domain.clone());
        self.look(move |view| {
            let resolved = view.resolve(&address, &domain)?;
            let over_quota = over_quota(&view, &resolved)?;
            let journals = takes_journals(&view, &resolved)?;
            Ok(Found { resolved, over_quota, journals })
        })
        .await
    }

    async fn is_ours(&self, domain: &str) -> Result<bool, StoreError> {
        let domain = domain.to_owned();
        self.look(move |view| Ok(view.domain(&domain)?.is_some())).await
    }

    fn cut_off(&self) -> CutOff {
        self.mailstore.cut_off()
    }

    fn begin(&self) -> Spool {
        self.mailstore.spool()
    }

    async fn write(content: &mut Spool, octets: &[u8]) -> Result<(), WriteError> {
        content.write(octets).await
    }

    async fn deliver(
        &self,
        actor: Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Spool,
        recipients: Vec<DeliveryRecipient>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        self.mailstore.deliver(&actor, envelope, trace, content, recipients).await
    }
}
