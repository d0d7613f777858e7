//! What waits for a second person, of whatever kind, and what one says of it.

use axum::extract::{ConnectInfo, Path, State};
use axum::routing::get;
use axum::{Json, Router};
use redoubt_log::dump::{principal, rfc3339};
use redoubt_log::id::{OperationId, PolicyId};
use redoubt_log::record::{Approval, Approves, Change, PolicySettings};
use redoubt_store::rows::{ApprovalRow, ApprovalState, Decision};
use redoubt_store::view::View;
use serde::{Deserialize, Serialize};

use super::{ApiError, App, Caller, holds};

/// Something that needs a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalLine {
    /// By which it is named: `export:ID`, `hold:3`, `policy:2:1`, `erasure:ID`.
    pub of: String,
    /// What comes of it where it is approved.
    pub then: String,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub asked: String,
    /// Emails that an export's search found, or that an erasure lists.
    pub found: Option<u64>,
    /// What was decided, and by whom, if it was.
    pub decided: Option<Decided>,
    /// Since when nobody has to decide any more, where it ended otherwise.
    pub over: Option<String>,
}

/// What a second person has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Whether it may be.
    pub given: bool,
    /// Who says so.
    pub by: String,
    /// When.
    pub time: String,
    /// Why.
    pub note: String,
}

impl Decided {
    fn of(decision: &Decision) -> Self {
        Self {
            given: decision.given,
            by: principal(&decision.by),
            time: rfc3339(decision.time),
            note: decision.note.clone(),
        }
    }

    /// In a line.
    pub fn told(&self) -> String {
        let word = if self.given { "approved" } else { "refused" };
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        format!("{word} by {} at {}{note}", self.by, self.time)
    }
}

/// A decision to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionWish {
    /// Whether it may be.
    pub given: bool,
    /// Why.
    #[serde(default)]
    pub note: String,
}

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/approvals", get(list))
        .route("/v1/approvals/{of}", get(show).post(decide))
        .with_state(app)
}

/// What was decided of something, if it was.
pub(super) fn decided(view: &View, of: Approves) -> Result<Option<Decided>, ApiError> {
    Ok(view.approval(of)?.and_then(|row| row.decision().map(Decided::of)))
}

async fn list(State(app): State<App>) -> Result<Json<Vec<ApprovalLine>>, ApiError> {
    app.read(|view| {
        let mut rows = view.approvals()?;
        rows.sort_by_key(|(of, row)| (row.asked, *of));
        let lines = rows.iter().map(|(of, row)| line(view, *of, row));
        lines.collect::<Result<_, _>>().map(Json)
    })
    .await
}

async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ApprovalLine>, ApiError> {
    app.read(move |view| {
        let of = called(view, &name)?;
        let none =
            || ApiError::not_found(format!("there is no {of} that waits for a second person"));
        let row = view.approval(of)?.ok_or_else(none)?;
        line(view, of, &row).map(Json)
    })
    .await
}

/// Whether that may be is said where the record is applied; that a person asks, by the table.
async fn decide(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(DecisionWish { given, note }): Json<DecisionWish>,
) -> Result<(), ApiError> {
    let of = app.read(move |view| called(view, &name)).await?;
    app.change(&caller, Change::Approval(Approval { of, given, note })).await.map(drop)
}

/// By its whole name, or by the id of an export or an erasure alone.
fn called(view: &View, name: &str) -> Result<Approves, ApiError> {
    let Ok(id) = name.parse::<OperationId>() else {
        return name.parse::<Approves>().map_err(|error| ApiError::bad(error.to_string()));
    };
    match view.erasure(id)? {
        Some(_) => Ok(Approves::Erasure(id)),
        None => Ok(Approves::Export(id)),
    }
}

fn line(view: &View, of: Approves, row: &ApprovalRow) -> Result<ApprovalLine, ApiError> {
    let (then, found) = match of {
        Approves::Export(job) => export(view, job)?,
        Approves::HoldRelease(hold) => match view.hold(hold)? {
            Some(it) => {
                (format!("ends hold {hold} over {} now", holds::line(view, &it)?.over), None)
            }
            None => (format!("ends hold {hold}, which has ended"), None),
        },
        Approves::Policy { policy, version } => (policy_acts(view, policy, version)?, None),
        Approves::Erasure(erasure) => {
            let row = view.erasure(erasure)?;
            let account = row.as_ref().map(|row| super::matters::address(view, row.account));
            let account = account.transpose()?.unwrap_or_default();
            let emails = row.map(|row| row.emails);
            (format!("erases {} of {account} for good", counted(emails)), emails)
        }
    };
    let over = match row.state {
        ApprovalState::Over(since) => Some(rfc3339(since)),
        _ => None,
    };
    Ok(ApprovalLine {
        of: of.to_string(),
        then,
        by: principal(&row.by),
        asked: rfc3339(row.asked),
        found,
        decided: row.decision().map(Decided::of),
        over,
    })
}

fn counted(emails: Option<u64>) -> String {
    match emails {
        Some(1) => "1 email".to_owned(),
        Some(emails) => format!("{emails} emails"),
        None => "emails".to_owned(),
    }
}

fn export(view: &View, job: OperationId) -> Result<(String, Option<u64>), ApiError> {
    let row = view.job(job)?;
    let matter = row.as_ref().and_then(|row| row.matter);
    let matter = matter.map(|matter| view.matter(matter)).transpose()?.flatten();
    let matter = matter.map_or_else(String::new, |matter| matter.name);
    let search = row.and_then(|row| row.of).map(|search| view.job(search)).transpose()?.flatten();
    let found = search.and_then(|search| search.end).map(|end| end.found);
    Ok((format!("exports {} of matter {matter}", counted(found)), found))
}

/// Who approves has to see what it says.
fn policy_acts(view: &View, policy: PolicyId, version: u32) -> Result<String, ApiError> {
    let all = view.policies()?;
    let found = all.iter().find(|it| it.id == policy);
    let said = found.and_then(|it| it.versions.iter().find(|it| it.number == version));
    Ok(match said.map(|version| &version.settings) {
        None => format!("nothing: policy {policy} has no version {version} any more"),
        Some(None) => format!("ends policy {policy}"),
        Some(Some(PolicySettings { name, delete: Some(seconds), .. })) => {
            format!("lets policy {name} take mail after {} days", seconds / 86_400)
        }
        Some(Some(PolicySettings { name, .. })) => {
            format!("lets policy {name} bind as it is, and take nothing")
        }
    })
}
