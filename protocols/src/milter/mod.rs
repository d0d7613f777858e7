//! A milter (Sendmail's mail filter protocol, version 6, as Postfix speaks it): mail that is
//! sent is captured before the MTA takes it, with the whole envelope.
//!
//! It changes nothing in mail. At a message's end it answers that the MTA may go on once the
//! message is captured, or no rule wants it; otherwise that the client shall try again. When it
//! is away the MTA does what `milter_default_action` says: `tempfail`, docs/archive.md.

mod packet;
mod session;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

use redoubt_log::record::Actor;
use redoubt_store::mailstore::{Sent, Spool, WriteError};

pub use packet::{Command, MAX_PACKET, Malformed, parse, take};
use session::Session;

use crate::limits::Refusal;
use crate::lmtp::{Deliverer, MailstoreDeliverer};
use crate::server::Protocol;
use crate::stream::Connection;

/// What takes mail that is sent: a seam for tests.
pub trait Capturer: Send + Sync + 'static {
    /// A message on its way in.
    type Content: Send;

    /// A place for a message.
    fn begin(&self) -> Self::Content;

    /// Adds octets to it.
    fn write(
        content: &mut Self::Content,
        octets: &[u8],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Captures it where a rule wants it, which this says. What went wrong with the content on
    /// its way counts only where a rule does.
    fn capture(
        &self,
        actor: Actor,
        sent: Sent,
        content: Result<Self::Content, WriteError>,
    ) -> impl Future<Output = Result<bool, WriteError>> + Send;
}

impl Capturer for MailstoreDeliverer {
    type Content = Spool;

    fn begin(&self) -> Spool {
        Deliverer::begin(self)
    }

    async fn write(content: &mut Spool, octets: &[u8]) -> Result<(), WriteError> {
        content.write(octets).await
    }

    async fn capture(
        &self,
        actor: Actor,
        mut sent: Sent,
        content: Result<Spool, WriteError>,
    ) -> Result<bool, WriteError> {
        sent.default_domain.clone_from(&self.default_domain);
        self.mailstore.capture_sent(&actor, sent, content).await
    }
}

/// A milter that hands mail to a capturer.
#[derive(Debug)]
pub struct Milter<C> {
    capturer: C,
}

impl<C: Capturer> Milter<C> {
    /// A milter over `capturer`.
    pub fn new(capturer: C) -> Self {
        Self { capturer }
    }
}

impl<C: Capturer> Protocol for Milter<C> {
    async fn serve(self: Arc<Self>, connection: Connection) {
        Session::new(&self.capturer, connection).run().await;
    }

    /// A filter has no greeting: the MTA sees a connection that ends.
    fn refuse(&self, _: Refusal) -> String {
        String::new()
    }
}
