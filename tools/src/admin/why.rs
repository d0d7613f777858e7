//! Why an email is kept, and when it goes.

use axum::Json;
use axum::extract::{Path, State};
use redoubt_log::id::{EmailId, HoldId, PolicyId, Timestamp};
use redoubt_store::retention::{Judged, Verdict};
use serde::{Deserialize, Serialize};

use super::{ApiError, App};

/// Why an email is kept, and when it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasons {
    /// Which email.
    pub email: EmailId,
    /// Whether it is in a mailbox.
    pub live: bool,
    /// When it was expunged, where that is still known.
    pub expunged: Option<Timestamp>,
    /// When it came into the store.
    pub entered: Timestamp,
    /// Where it stands, or stood last.
    pub mailboxes: Vec<String>,
    /// Whether it is a draft: floors pass over it unless they say otherwise.
    pub draft: bool,
    /// A hold over it: then nothing goes.
    pub held_by: Option<HoldId>,
    /// What policies say.
    pub verdict: Verdict,
    /// When it goes by policies; none is never, as far as is known.
    pub goes: Option<Timestamp>,
    /// What policies are called.
    pub names: Vec<(PolicyId, String)>,
}

pub(super) async fn why(
    State(app): State<App>,
    Path((account, email)): Path<(String, String)>,
) -> Result<Json<Reasons>, ApiError> {
    let account = app.account(&account).await?.id;
    let email: EmailId = email.parse().map_err(|error| ApiError::bad(format!("{error}")))?;
    app.read(move |view| {
        let found = view.retention_of(account, email, Timestamp::now())?;
        let Some((facts, verdict)) = found else {
            let what = "the history does not know this email: it never was, or is gone for good";
            return Err(ApiError::not_found(what));
        };
        let said = |Judged { policy, .. }: &Judged| *policy;
        let ids: Vec<PolicyId> = verdict.by.iter().map(said).collect();
        let policies = view.policies()?.into_iter().filter(|policy| ids.contains(&policy.id));
        let name = |policy: &redoubt_store::retention::Policy| {
            policy.settings().map_or_else(|| "(ended)".to_owned(), |said| said.name.clone())
        };
        let mut mailboxes: Vec<String> = facts.places.into_iter().map(|it| it.name).collect();
        mailboxes.dedup();
        Ok(Json(Reasons {
            email,
            live: view.email(account, email)?.is_some(),
            expunged: facts.expunged,
            entered: facts.entered,
            mailboxes,
            draft: facts.draft,
            held_by: view.held_by(account)?,
            goes: verdict.goes(),
            names: policies.map(|policy| (policy.id, name(&policy))).collect(),
            verdict,
        }))
    })
    .await
}
