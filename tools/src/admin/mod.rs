//! The admin API: what the verbs call over the Unix socket, and what
//! monitoring reads over HTTPS. It alone may use snapshot and protocols together.

pub mod approvals;
pub mod audit;
mod backup;
mod captures;
mod classes;
pub mod client;
mod cluster;
mod cluster_metrics;
mod directory;
pub mod discovery;
pub mod erasures;
mod error;
pub mod forwarded;
mod health;
mod holds;
pub mod holds_wire;
mod index;
mod listen;
mod mail;
mod mailboxes;
pub mod matters;
mod metrics;
mod ops;
pub mod policies;
pub mod restore_wire;
mod restores;
pub mod roles;
mod texts;
pub mod travel;
pub mod why;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::middleware::from_fn_with_state;
use axum::serve::IncomingStream;
use redoubt_log::record::{Actor, Principal};
use redoubt_protocols::server::ProtocolStats;
use redoubt_search::discover::Jobs;
use redoubt_search::index::Index;
use redoubt_search::texts::TextStore;
use redoubt_snapshot::archive::Watcher;
use redoubt_store::mailstore::Mailstore;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::cluster::Cluster;
pub use error::ApiError;
use error::WasRefused;
pub use listen::{TlsListener, bind_unix};

/// What an operator asks of the running server.
#[derive(Debug)]
pub enum Wish {
    /// End, after draining.
    Stop,
    /// Read certificates and the log level again.
    Reload(oneshot::Sender<Result<(), String>>),
}

/// What the admin API works on.
#[derive(Debug, Clone)]
pub struct App {
    /// The store.
    pub mailstore: Mailstore,
    /// The cluster.
    pub cluster: Cluster,
    /// A name without `@` belongs here.
    pub default_domain: Arc<str>,
    /// Counters by protocol.
    pub stats: Arc<BTreeMap<&'static str, Arc<ProtocolStats>>>,
    /// Where it listens, by protocol.
    pub listen: Arc<BTreeMap<String, Vec<String>>>,
    /// How the archive is, where there is one.
    pub archive: Option<Watcher>,
    /// Texts of attachments, where they are extracted.
    pub texts: Option<TextStore>,
    /// The indexes for search, where the node keeps any.
    pub index: Option<Index>,
    /// Searches over accounts and exports; a light voter has none.
    pub jobs: Option<Jobs>,
    /// Seconds for which a hold stays in force once it is released, if nobody says otherwise.
    pub hold_delay: u64,
    /// Where wishes go.
    pub wishes: mpsc::Sender<Wish>,
    /// When it began to take connections.
    pub started: Instant,
}

/// Who is at the other end of the Unix socket, and who made the token that it shows, if it does.
#[derive(Debug, Clone)]
pub struct Caller(pub Actor, pub Option<Principal>);

impl Caller {
    /// Whether it is a person by a token that this person made: somebody else who made one can
    /// show it as well, so that it is nobody's second person.
    pub fn is_itself(&self) -> bool {
        matches!(self.0.principal, Principal::Person(_)) && self.1 == Some(self.0.principal)
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let uid = stream.io().peer_cred().map_or(u32::MAX, |cred| cred.uid());
        Self(Actor::admin(uid), None)
    }
}

/// All calls: for the Unix socket, whose file mode says who is the server's own user; who shows a
/// token is who the token says, and nobody else.
pub fn router(app: App) -> Router {
    monitoring(app.clone())
        .merge(ops::routes(app.clone()))
        .merge(backup::routes(app.clone()))
        .merge(index::routes(app.clone()))
        .merge(cluster::routes(app.clone()))
        .merge(directory::routes(app.clone()))
        .merge(classes::routes(app.clone()))
        .merge(captures::routes(app.clone()))
        .merge(policies::routes(app.clone()))
        .merge(mailboxes::routes(app.clone()))
        .merge(travel::routes(app.clone()))
        .merge(restores::routes(app.clone()))
        .merge(discovery::routes(app.clone()))
        .merge(matters::routes(app.clone()))
        .merge(erasures::routes(app.clone()))
        .merge(approvals::routes(app.clone()))
        .merge(audit::routes(app.clone()))
        .merge(holds::routes(app.clone()))
        .merge(roles::routes(app.clone()))
        .merge(mail::routes(app.clone()))
        .layer(from_fn_with_state(app, roles::authorise))
}

/// `/livez`, `/readyz` and `/metrics`: for monitoring, harmless to read.
pub fn monitoring(app: App) -> Router {
    health::routes(app)
}

impl App {
    /// Runs `read` over a view on the blocking pool.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&redoubt_store::view::View) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let view = self.mailstore.view().await?;
        let task = tokio::task::spawn_blocking(move || read(&view));
        task.await.map_err(|error| {
            ApiError(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        })?
    }

    /// The account with this id or address.
    pub(crate) async fn account(
        &self,
        name: &str,
    ) -> Result<redoubt_store::view::Account, ApiError> {
        let (name, domain) = (name.to_string(), self.default_domain.clone());
        self.read(move |view| {
            let found = match name.parse() {
                Ok(id) => view.account(id)?,
                Err(_) => view.login(&name, &domain)?,
            };
            found.ok_or_else(|| ApiError::not_found(format!("there is no account {name}")))
        })
        .await
    }
}
