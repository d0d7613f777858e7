//! The audit trail over the admin API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_log::audit::{Bound, kinds_named};
use redoubt_log::chain::Head;
use redoubt_log::id::{AccountId, LogIndex};
use redoubt_search::audit::verify::{Held, Report};
use redoubt_search::audit::{Asked, AuditError, Page, Stored, page};
use redoubt_search::heads::{NoteError, PublicKey, SignedHead, origin};
use redoubt_store::moment::Moment;
use redoubt_store::view::View;
use serde::{Deserialize, Serialize};

use super::discovery::named;
use super::{ApiError, App};

/// What `redoubt audit list` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditWish {
    /// Whose: ids or addresses.
    pub accounts: Vec<String>,
    /// Who: `uid:1000`, `mta`, `system`, an id or address.
    pub actors: Vec<String>,
    /// Names of kinds and groups.
    pub kinds: Vec<String>,
    /// A moment.
    pub from: Option<String>,
    /// A moment.
    pub until: Option<String>,
    /// Part of a reason.
    pub reason: Option<String>,
    /// A word of [`OUTCOMES`].
    pub outcome: Option<String>,
    /// Behind this entry.
    pub after: Option<u64>,
    /// At most so many lines.
    pub limit: Option<usize>,
}

/// How a record may have ended.
pub const OUTCOMES: [&str; 5] = ["done", "partly", "refused", "repeated", "nothing"];

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/audit", post(list))
        .route("/v1/audit/verify", post(verify))
        .with_state(app)
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            error => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

async fn list(State(app): State<App>, Json(wish): Json<AuditWish>) -> Result<Json<Page>, ApiError> {
    let (store, domain) = (app.mailstore.clone(), app.default_domain.clone());
    app.read(move |view| {
        let mut asked = wish.asked().map_err(ApiError::bad)?;
        for name in &wish.accounts {
            whose(view, name, &domain, &mut asked)?;
        }
        for name in &wish.actors {
            asked.filter.actors.extend(who(view, name, &domain)?);
        }
        Ok(Json(page(&Stored { store: &store, view }, &asked)?))
    })
    .await
}

/// Heads and keys that the log is held to, as their files have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyWish {
    /// Signed heads, one behind the other.
    pub heads: Vec<String>,
    /// Keys, one a line.
    #[serde(default)]
    pub keys: Option<String>,
}

impl VerifyWish {
    /// What the log is held to.
    ///
    /// # Errors
    /// What does not read.
    pub fn held(&self, origin: Option<String>) -> Result<Held, NoteError> {
        let heads = self.heads.iter().map(|text| SignedHead::read_all(text));
        let heads = heads.collect::<Result<Vec<_>, _>>()?.concat();
        let keys = self.keys.as_deref().map(PublicKey::read_all).transpose()?;
        Ok(Held { heads, keys, origin })
    }
}

/// Reads all of this node's log.
async fn verify(
    State(app): State<App>,
    Json(wish): Json<VerifyWish>,
) -> Result<Json<Report>, ApiError> {
    let origin = origin(&app.mailstore.identity().lineage);
    let held = wish.held(Some(origin)).map_err(|error| ApiError::bad(error.to_string()))?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let log = Stored { store: &store, view };
        let base = match store.node().status().purged {
            Some(purged) => store.node().head_at(purged.index),
            None => Ok(Head::default()),
        };
        let base = base.map_err(|error| AuditError::Log(error.to_string()))?;
        Ok(Json(redoubt_search::audit::verify::verify(&log, base, &held)?))
    })
    .await
}

/// Every account that has this id or address, or had it and is deleted; and the address itself.
fn whose(view: &View, name: &str, domain: &str, asked: &mut Asked) -> Result<(), ApiError> {
    for id in found(view, name, domain)? {
        asked.filter.accounts.push(id);
        asked.filter.addresses.extend(view.account(id)?.map(|account| account.address));
    }
    Ok(())
}

fn who(view: &View, name: &str, domain: &str) -> Result<Vec<String>, ApiError> {
    match principal(name) {
        Some(principal) => Ok(vec![principal]),
        None => {
            let ids = found(view, name, domain)?.into_iter();
            Ok(ids
                .flat_map(|id| [format!("account {id}"), format!("token of account {id}")])
                .collect())
        }
    }
}

fn found(view: &View, name: &str, domain: &str) -> Result<Vec<AccountId>, ApiError> {
    let mut all = view.accounts(None, usize::MAX)?;
    all.extend(view.deleted_accounts()?);
    named(view, &all, name, domain)
}

/// A principal as the log's events write it, where the name needs no account to be looked up.
pub fn principal(name: &str) -> Option<String> {
    let name = name.trim();
    if matches!(name, "system" | "mta") {
        return Some(name.to_owned());
    }
    let (what, number) = name.split_once([':', ' '])?;
    let number: u64 = number.trim().parse().ok()?;
    matches!(what, "uid" | "account").then(|| format!("{what} {number}"))
}

impl AuditWish {
    /// What needs no views to be understood; accounts and actors are still to be added.
    ///
    /// # Errors
    /// What does not read, and what to write instead.
    pub fn asked(&self) -> Result<Asked, String> {
        let mut asked = Asked {
            from: self.from.as_deref().map(bound).transpose()?,
            until: self.until.as_deref().map(bound).transpose()?,
            after: self.after.map(LogIndex),
            reason: self.reason.clone(),
            outcome: self.outcome.clone(),
            limit: self.limit.unwrap_or(usize::MAX),
            ..Asked::default()
        };
        for name in &self.kinds {
            asked.filter.kinds.push(kinds_named(name).ok_or_else(|| no_kind(name))?);
        }
        match &self.outcome {
            Some(outcome) if !OUTCOMES.contains(&outcome.as_str()) => {
                Err(format!("{outcome:?} is no outcome: say one of {}", OUTCOMES.join(", ")))
            }
            _ => Ok(asked),
        }
    }
}

fn no_kind(name: &str) -> String {
    let groups = redoubt_log::audit::GROUPS.iter().map(|(_, name)| *name);
    let kinds = redoubt_log::audit::KINDS.iter().map(|(_, name)| *name);
    let near = kinds
        .clone()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let groups: Vec<&str> = groups.collect();
    format!(
        "{name:?} is no kind of record: a group ({}), or a kind such as {}",
        groups.join(", "),
        near.unwrap_or_default()
    )
}

fn bound(text: &str) -> Result<Bound, String> {
    let now = Zoned::now().with_time_zone(TimeZone::UTC);
    match Moment::parse(text, &now).map_err(|error| error.to_string())? {
        Moment::Index(index) => Ok(Bound::Index(index)),
        Moment::Time(time) => Ok(Bound::Time(time)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_is_named_in_some_ways() {
        assert_eq!(principal("uid:1000").unwrap(), "uid 1000");
        assert_eq!(principal("account:7").unwrap(), "account 7");
        assert_eq!(principal("mta").unwrap(), "mta");
        assert_eq!(principal("alice@example.org"), None);
        assert_eq!(principal("7"), None);
    }

    #[test]
    fn what_is_no_kind_or_outcome_is_refused() {
        let wish = |kind: &str, outcome: Option<&str>| AuditWish {
            kinds: vec![kind.into()],
            outcome: outcome.map(str::to_owned),
            ..AuditWish::default()
        };
        assert!(wish("email", Some("refused")).asked().is_ok());
        assert!(wish("discovery-begn", None).asked().unwrap_err().contains("discovery-begin"));
        assert!(wish("email", Some("maybe")).asked().unwrap_err().contains("partly"));
    }
}
