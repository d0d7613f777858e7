//! Erasures over the admin API: planned, begun with a reason, told. A second person lets one go
//! on: `approvals.rs`.

pub mod wire;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use redoubt_log::dump::{principal, rfc3339};
use redoubt_log::id::{AccountId, EmailId, NodeId, OperationId, Timestamp};
use redoubt_log::record::Approves;
use redoubt_search::discover::read;
use redoubt_search::find::{Finder, among};
use redoubt_search::texts::{NoTexts, Texts};
use redoubt_store::mailstore::EraseAsked;
use redoubt_store::rows::{ErasureRow, ErasureState};
use redoubt_store::travel::{Search, Which};
use redoubt_store::view::View;
use serde::Deserialize;

use super::discovery::named;
use super::roles::Reach;
use super::{ApiError, App, Caller, approvals};
use wire::{Asked, EraseBegun, EraseLine, EraseWish, KeptLine, NodeLine, Subject};

/// Placements that a search looks at in one go.
const PIECE: usize = 10_000;
/// Lines of a page at most.
const PAGE: usize = 1000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/erasures", get(list).post(begin))
        .route("/v1/erasures/plan", post(plan))
        .route("/v1/erasures/{id}", get(show))
        .route("/v1/erasures/{id}/kept", get(kept))
        .with_state(app)
}

/// Whose mail a subject is, and which of it.
async fn resolve(
    app: &App,
    reach: Reach,
    subject: Subject,
) -> Result<(AccountId, Vec<EmailId>), ApiError> {
    let domain = app.default_domain.clone();
    let (store, index, texts) = (app.mailstore.clone(), app.index.clone(), app.texts.clone());
    app.read(move |view| {
        let account = one(view, &subject.account, &domain)?;
        reach.check_accounts(view, &[account])?;
        let mut emails = subject.emails.clone();
        if subject.whole {
            emails.extend(view.emails_ever(account, None, usize::MAX)?);
        }
        if let Some(text) = &subject.query {
            let texts: &dyn Texts = texts.as_ref().map_or(&NoTexts, |texts| texts);
            let query = read(text, Timestamp::now(), subject.zone.as_deref())?;
            let among = among(index.as_ref(), &query, account)?;
            let (which, among) = (Which::Both, among.as_deref());
            let search = Search { view, account, mailboxes: &[], which, among };
            let mut finder = Finder::new(&query, view, account, &store, texts);
            let mut after = None;
            loop {
                let piece = search.piece(&mut finder, after, PIECE);
                let piece = piece.map_err(|error| ApiError::bad(error.to_string()))?;
                emails.extend(piece.hits.iter().map(|hit| hit.placement.email));
                after = piece.next;
                if after.is_none() {
                    break;
                }
            }
        }
        emails.sort_unstable();
        emails.dedup();
        match emails.is_empty() {
            true => Err(ApiError::not_found("nothing of that account is meant by this")),
            false => Ok((account, emails)),
        }
    })
    .await
}

/// The one account with this address or id; a deleted one too.
fn one(view: &View, name: &str, domain: &str) -> Result<AccountId, ApiError> {
    let mut all = view.accounts(None, usize::MAX)?;
    all.extend(view.deleted_accounts()?);
    match named(view, &all, name, domain)?[..] {
        [account] => Ok(account),
        ref more => {
            let ids: Vec<String> = more.iter().map(ToString::to_string).collect();
            let ids = ids.join(", ");
            Err(ApiError::bad(format!(
                "several accounts had the address {name}: name one of {ids}"
            )))
        }
    }
}

async fn plan(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
    Json(subject): Json<Subject>,
) -> Result<Json<redoubt_store::mailstore::ErasePlan>, ApiError> {
    let (account, emails) = resolve(&app, reach, subject).await?;
    Ok(Json(app.mailstore.plan_erasure(account, emails).await?))
}

async fn begin(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Json(wish): Json<EraseWish>,
) -> Result<Json<EraseBegun>, ApiError> {
    let EraseWish { subject, reason, review } = wish;
    if reason.trim().is_empty() {
        return Err(ApiError::bad("say why: --reason"));
    }
    // The list says which emails are meant; the query may say what is to go.
    let query = subject.query.as_ref().map(|_| String::new());
    let asked = Asked { subject: Subject { query, ..subject.clone() }, reason };
    let asked = serde_json::to_vec(&asked).map_err(|error| ApiError::bad(error.to_string()))?;
    let (account, emails) = resolve(&app, reach, subject).await?;
    let count = emails.len() as u64;
    let wish = EraseAsked { account, emails, asked, review };
    let erasure = app.mailstore.begin_erasure(&caller.0, wish).await?;
    Ok(Json(EraseBegun { erasure, emails: count }))
}

fn row(view: &View, reach: &Reach, id: OperationId) -> Result<ErasureRow, ApiError> {
    let none = || ApiError::not_found(format!("there is no erasure {id}"));
    let row = view.erasure(id)?.ok_or_else(none)?;
    reach.check_accounts(view, &[row.account])?;
    Ok(row)
}

async fn list(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
) -> Result<Json<Vec<EraseLine>>, ApiError> {
    let (nodes, store) = (members(&app), app.mailstore.clone());
    app.read(move |view| {
        let mut lines = Vec::new();
        for (id, row) in view.erasures()? {
            if reach.check_accounts(view, &[row.account]).is_ok() {
                lines.push(line(&store, view, &nodes, id, row)?);
            }
        }
        Ok(Json(lines))
    })
    .await
}

async fn show(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
    Path(id): Path<OperationId>,
) -> Result<Json<EraseLine>, ApiError> {
    let (nodes, store) = (members(&app), app.mailstore.clone());
    app.read(move |view| {
        let row = row(view, &reach, id)?;
        Ok(Json(line(&store, view, &nodes, id, row)?))
    })
    .await
}

/// The nodes that have to report.
fn members(app: &App) -> Vec<NodeId> {
    let cluster = app.mailstore.node().cluster();
    cluster.members.iter().map(|member| member.node).collect()
}

fn line(
    store: &redoubt_store::mailstore::Mailstore,
    view: &View,
    members: &[NodeId],
    id: OperationId,
    row: ErasureRow,
) -> Result<EraseLine, ApiError> {
    let asked = row.asked.map(|blob| store.salted(&blob)).transpose()?;
    let asked: Option<Asked> = asked.and_then(|text| serde_json::from_slice(&text).ok());
    let mut reports = view.erase_reports(id)?;
    let expected = row.state == ErasureState::Done && row.erased > 0;
    let nodes: Vec<NodeLine> = members
        .iter()
        .filter(|_| expected)
        .map(|node| match reports.remove(node) {
            Some(report) => NodeLine::of(*node, &report),
            None => NodeLine::silent(*node),
        })
        .collect();
    let complete = row.state == ErasureState::Done && nodes.iter().all(|node| node.complete);
    let account = view.account(row.account)?.map(|account| account.address.to_string());
    Ok(EraseLine {
        erasure: id,
        account: account.unwrap_or_else(|| format!("account {} (deleted)", row.account)),
        account_id: row.account.0,
        state: row.state,
        emails: row.emails,
        looked_at: row.done,
        erased: row.erased,
        kept: row.kept,
        by: principal(&row.actor.principal),
        decided: approvals::decided(view, Approves::Erasure(id))?,
        reason: asked.map(|asked| asked.reason),
        begun: rfc3339(row.begun),
        index: row.index.0,
        nodes,
        complete,
    })
}

/// Where a page begins.
#[derive(Debug, Deserialize)]
struct Listing {
    after: Option<EmailId>,
}

async fn kept(
    State(app): State<App>,
    Extension(reach): Extension<Reach>,
    Path(id): Path<OperationId>,
    Query(asked): Query<Listing>,
) -> Result<Json<Vec<KeptLine>>, ApiError> {
    app.read(move |view| {
        row(view, &reach, id)?;
        let kept = view.erase_kept(id, asked.after, PAGE)?.into_iter();
        let line = |(email, why): (EmailId, redoubt_log::record::Rejection)| KeptLine {
            email,
            why: why.to_string(),
        };
        Ok(Json(kept.map(line).collect()))
    })
    .await
}
