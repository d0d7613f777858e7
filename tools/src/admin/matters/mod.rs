//! Matters: who works on them, and whose mail they are about.

pub mod wire;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use redoubt_log::dump::{principal, rfc3339};
use redoubt_log::id::{AccountId, MatterId};
use redoubt_log::record::{
    Change, Done, MatterAdd, MatterCustodian, MatterMember, MatterNote, MatterRole, MatterSet,
    MatterSettings, Principal, Role,
};
use redoubt_store::rows::MatterRow;
use redoubt_store::view::View;

use super::discovery::named;
use super::roles::Reach;
use super::{ApiError, App, Caller, holds};
use wire::{
    CustodianLine, CustodianWish, MatterJobLine, MatterLine, MatterPatch, MatterWhole, MatterWish,
    MemberLine, MemberWish, NoteLine, NoteWish,
};

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/matters", get(list).post(add))
        .route("/v1/matters/{matter}", get(show).patch(set))
        .route("/v1/matters/{matter}/notes", post(note))
        .route("/v1/matters/{matter}/members", post(member))
        .route("/v1/matters/{matter}/custodians", post(custodian))
        .with_state(app)
}

/// The matter with this name or id, for who may do at least so much in it. The server's own user
/// is let through before, or not at all.
///
/// # Errors
/// 404, also for who is no member: names of matters are their members' own. 403.
pub(super) fn need(
    view: &View,
    caller: &Caller,
    name: &str,
    least: MatterRole,
) -> Result<(MatterId, MatterRow), ApiError> {
    let not = || {
        let text = format!("there is no matter {name} that you are a member of");
        ApiError::not_found(text + "; `redoubt matter list` shows those that you are")
    };
    let (matter, row) = find(view, name)?.ok_or_else(not)?;
    let role = match caller.0.principal {
        Principal::Person(account) => view.matter_role(matter, account)?.ok_or_else(not)?,
        _ => MatterRole::Lead,
    };
    match role >= least {
        true => Ok((matter, row)),
        false => Err(ApiError(
            StatusCode::FORBIDDEN,
            format!(
                "you are a {role} of this matter, and this is for a {least}: its lead says who"
            ),
        )),
    }
}

/// The matter with this name or id, for who sets holds: a member of it or not.
pub(super) fn called(view: &View, name: &str) -> Result<MatterId, ApiError> {
    let not = || ApiError::not_found(format!("there is no matter {name}: `redoubt matter list`"));
    Ok(find(view, name)?.ok_or_else(not)?.0)
}

fn find(view: &View, name: &str) -> Result<Option<(MatterId, MatterRow)>, ApiError> {
    let id: Option<MatterId> = name.parse().ok();
    let fits = |(own, row): &(MatterId, MatterRow)| Some(*own) == id || row.name == name;
    Ok(view.matters()?.into_iter().find(fits))
}

async fn need_id(
    app: &App,
    caller: &Caller,
    name: &str,
    least: MatterRole,
) -> Result<MatterId, ApiError> {
    let (caller, name) = (caller.clone(), name.to_owned());
    app.read(move |view| Ok(need(view, &caller, &name, least)?.0)).await
}

/// Whether the caller was given a role over all domains, or is the server's own user, whose it is
/// for as long as nobody ever was.
pub(super) fn has_role(view: &View, caller: &Caller, role: Role) -> Result<bool, ApiError> {
    let Principal::Person(account) = caller.0.principal else {
        return Ok(!view.was_given(role)?);
    };
    let grants = view.grants_of(account)?;
    Ok(grants.iter().any(|grant| grant.role == role && grant.domain.is_none()))
}

// ------------------------------------------------------------------- matters

/// Those that the caller is a member of; who sets policies and holds sees that all of them are.
async fn list(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<MatterLine>>, ApiError> {
    app.read(move |view| {
        let all = has_role(view, &caller, Role::Compliance)?;
        let mut lines = Vec::new();
        for (id, row) in view.matters()? {
            let line = line(view, &caller, id, &row)?;
            lines.extend(Some(line).filter(|line| all || line.own.is_some()));
        }
        Ok(Json(lines))
    })
    .await
}

fn line(
    view: &View,
    caller: &Caller,
    id: MatterId,
    row: &MatterRow,
) -> Result<MatterLine, ApiError> {
    let own = match caller.0.principal {
        Principal::Person(account) => view.matter_role(id, account)?,
        _ => None,
    };
    Ok(MatterLine {
        id,
        name: row.name.clone(),
        closed: row.settings.closed,
        opened: rfc3339(row.opened),
        by: principal(&row.by),
        own,
    })
}

async fn add(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(wish): Json<MatterWish>,
) -> Result<Json<MatterId>, ApiError> {
    let MatterWish { name, about, review_exports } = wish;
    let settings = MatterSettings { about, review_exports, closed: false };
    match app.change(&caller, Change::MatterAdd(MatterAdd { name, settings })).await?.result {
        Ok(Done::Matter(id)) => Ok(Json(id)),
        other => Err(ApiError::bad(format!("unexpected answer of the store: {other:?}"))),
    }
}

async fn show(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
) -> Result<Json<MatterWhole>, ApiError> {
    app.read(move |view| {
        let (id, row) = need(view, &caller, &name, MatterRole::Reader)?;
        let line = line(view, &caller, id, &row)?;
        let mut members = Vec::new();
        for (account, row) in view.matter_members(id)? {
            let (account, since) = (address(view, account)?, rfc3339(row.since));
            members.push(MemberLine { account, role: row.role, since });
        }
        let mut custodians = Vec::new();
        for (account, row) in view.custodians(id)? {
            let (name, since) = (address(view, account)?, rfc3339(row.since));
            custodians.push(CustodianLine { account: name, account_id: account.0, since });
        }
        let holds = view.holds_of(id)?;
        let holds = holds.iter().map(|hold| holds::line(view, hold));
        let jobs = view.matter_jobs(id)?.into_iter().map(|(job, row)| MatterJobLine {
            job,
            work: row.work,
            of: row.of,
            by: principal(&row.by),
            begun: rfc3339(row.begun),
            pinned: row.pinned.0,
            end: row.end,
        });
        let notes = view.matter_notes(id, 0, usize::MAX)?;
        let notes = notes.into_iter().map(|(number, row)| NoteLine {
            number,
            by: principal(&row.by),
            time: rfc3339(row.time),
            text: row.text,
        });
        Ok(Json(MatterWhole {
            line,
            about: row.settings.about,
            review_exports: row.settings.review_exports,
            members,
            custodians,
            holds: holds.collect::<Result<_, _>>()?,
            jobs: jobs.collect(),
            notes: notes.collect(),
        }))
    })
    .await
}

pub(super) fn address(view: &View, account: AccountId) -> Result<String, ApiError> {
    let found = view.account(account)?.map(|account| account.address.to_string());
    Ok(found.unwrap_or_else(|| format!("account {account} (deleted)")))
}

async fn set(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(patch): Json<MatterPatch>,
) -> Result<(), ApiError> {
    let asker = caller.clone();
    let found = app.read(move |view| need(view, &asker, &name, MatterRole::Lead)).await?;
    let (matter, row) = found;
    let settings = MatterSettings {
        about: patch.about.unwrap_or(row.settings.about),
        review_exports: patch.review_exports.unwrap_or(row.settings.review_exports),
        closed: patch.closed.unwrap_or(row.settings.closed),
    };
    let set = MatterSet { matter, name: patch.name.unwrap_or(row.name), settings };
    app.change(&caller, Change::MatterSet(set)).await.map(drop)
}

async fn note(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(NoteWish { text }): Json<NoteWish>,
) -> Result<(), ApiError> {
    let matter = need_id(&app, &caller, &name, MatterRole::Reviewer).await?;
    app.change(&caller, Change::MatterNote(MatterNote { matter, text })).await.map(drop)
}

/// By its lead; or, when it has none that can, by who sets policies and holds.
async fn member(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(name): Path<String>,
    Json(wish): Json<MemberWish>,
) -> Result<(), ApiError> {
    let asker = caller.clone();
    let matter = app
        .read(move |view| {
            let (matter, _) = match has_role(view, &asker, Role::Compliance)? {
                true => find(view, &name)?
                    .ok_or_else(|| ApiError::not_found(format!("there is no matter {name}")))?,
                false => need(view, &asker, &name, MatterRole::Lead)?,
            };
            Ok(matter)
        })
        .await?;
    let account = app.account(&wish.account).await?.id;
    let member = MatterMember { matter, account, role: wish.role };
    app.change(&caller, Change::MatterMember(member)).await.map(drop)
}

/// By its lead, who may search the custodian's mail: members who may not are let to it by this.
async fn custodian(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(name): Path<String>,
    Json(wish): Json<CustodianWish>,
) -> Result<(), ApiError> {
    let (asker, domain) = (caller.clone(), app.default_domain.clone());
    let CustodianWish { account, is } = wish;
    let (matter, accounts) = app
        .read(move |view| {
            let (matter, _) = need(view, &asker, &name, MatterRole::Lead)?;
            let mut all = view.accounts(None, usize::MAX)?;
            all.extend(view.deleted_accounts()?);
            let accounts = named(view, &all, &account, &domain)?;
            reach.check_accounts(view, &accounts)?;
            Ok((matter, accounts))
        })
        .await?;
    for account in accounts {
        let custodian = MatterCustodian { matter, account, is };
        app.change(&caller, Change::MatterCustodian(custodian)).await?;
    }
    Ok(())
}
