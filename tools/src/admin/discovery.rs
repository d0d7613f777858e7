//! Searches over accounts, exports, and signed heads, over the admin API.

pub mod wire;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, Hash, LogIndex, MatterId, OperationId, Timestamp};
use redoubt_log::record::{Change, DiscoveryLook, MatterRole};
use redoubt_search::discover::{
    Asked, DiscoverError, ExportAsked, Hit, Jobs, Listed, SearchAsked, Work, check_place, read,
};
use redoubt_search::heads::Consistency;
use redoubt_search::heads::keys::known;
use redoubt_store::mailstore::Mailstore;
use redoubt_store::mime::decode_words;
use redoubt_store::moment::Moment;
use redoubt_store::travel::Which as Looked;
use redoubt_store::view::{Account, View};
use serde::Deserialize;

use super::matters::need;
use super::roles::Reach;
use super::{ApiError, App, Caller};
use wire::{Begun, ExportWish, HitLine, Hits, JobLine, PurgedAnswer, SearchWish};

/// Hits of a page, if the caller does not say, and at most.
const PAGE: usize = 500;
const MAX_PAGE: usize = 5000;

pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/discovery/searches", post(search))
        .route("/v1/discovery/exports", post(export))
        .route("/v1/discovery/jobs", get(list))
        .route("/v1/discovery/jobs/{job}", get(show).delete(remove))
        .route("/v1/discovery/jobs/{job}/hits", get(hits))
        .route("/v1/discovery/jobs/{job}/purged", get(purged))
        .route("/v1/discovery/jobs/{job}/cancel", post(cancel))
        .route("/v1/heads/keys", get(keys))
        .route("/v1/heads/consistency", get(consistency))
        .route("/v1/heads", get(head))
        .with_state(app)
}

impl From<DiscoverError> for ApiError {
    fn from(error: DiscoverError) -> Self {
        match error {
            DiscoverError::NoSuchJob(_) => Self::not_found(error.to_string()),
            DiscoverError::NotNow(_) => Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            DiscoverError::Query(_) | DiscoverError::Zone(_) => Self::bad(error.to_string()),
            DiscoverError::Store(error) => error.into(),
            DiscoverError::Write(error) => error.into(),
            error => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

fn jobs(app: &App) -> Result<&Jobs, ApiError> {
    let none = || ApiError::bad("this node keeps no views: ask another one");
    app.jobs.as_ref().ok_or_else(none)
}

/// Runs what blocks on the jobs.
async fn with_jobs<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Jobs) -> Result<T, DiscoverError> + Send + 'static,
) -> Result<T, ApiError> {
    let jobs = jobs(app)?.clone();
    let done = tokio::task::spawn_blocking(move || work(&jobs)).await;
    let gone =
        |e: tokio::task::JoinError| ApiError(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    Ok(done.map_err(gone)??)
}

// --------------------------------------------------------------------- begin

async fn search(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Json(wish): Json<SearchWish>,
) -> Result<Json<Begun>, ApiError> {
    let domain = app.default_domain.clone();
    let (reason, asker) = (wish.reason.clone(), caller.clone());
    let (matter, asked) = app
        .read(move |view| {
            let matter = match &wish.matter {
                Some(name) => Some(need(view, &asker, name, MatterRole::Reviewer)?.0),
                None => None,
            };
            let asked = resolve(view, &wish, matter, &domain)?;
            if matter.is_none() {
                reach.check_accounts(view, &asked.accounts)?;
            }
            Ok((matter, asked))
        })
        .await?;
    let begun = Begun {
        job: OperationId::random(),
        accounts: asked.accounts.len() as u64,
        pinned: asked.pinned.0,
        pinned_time: rfc3339(asked.pinned_time),
        as_of: asked.as_of.0,
    };
    let asked = Asked {
        job: begun.job,
        actor: caller.0,
        begun: Timestamp::now(),
        reason,
        matter,
        work: Work::Search(asked),
    };
    jobs(&app)?.begin(asked).await?;
    Ok(Json(begun))
}

/// Names, moments and scope as of now.
fn resolve(
    view: &View,
    wish: &SearchWish,
    matter: Option<MatterId>,
    domain: &str,
) -> Result<SearchAsked, ApiError> {
    let newest = view.applied().ok_or_else(|| ApiError::not_found("nothing is stored yet"))?;
    let query = read(&wish.query, Timestamp::now(), wish.zone.as_deref())?;
    let now = Zoned::now().with_time_zone(TimeZone::UTC);
    let asked = wish.as_of.as_deref().map(|text| Moment::parse(text, &now)).transpose()?;
    let moment = asked.or(query.as_of());
    let then = moment.map(|moment| moment.resolve(view, Timestamp::now())).transpose()?;
    let as_of = then.map_or(newest.index, |then| then.index);
    // Of a moment what stood there is meant, unless the query asks of what went.
    let which = wish.which.unwrap_or(match then.is_some() && !query.looks_back() {
        true => Looked::There,
        false => Looked::Both,
    });
    Ok(SearchAsked {
        query: wish.query.clone(),
        zone: wish.zone.clone(),
        scope: wish.scope(),
        accounts: accounts(view, wish, matter, domain)?,
        which,
        as_of,
        pinned: newest.index,
        pinned_time: newest.time,
    })
}

/// The accounts of a scope, deleted ones too, by rising id.
fn accounts(
    view: &View,
    wish: &SearchWish,
    matter: Option<MatterId>,
    domain: &str,
) -> Result<Vec<AccountId>, ApiError> {
    let custodians = matter.map(|matter| view.custodians(matter)).transpose()?;
    let custodians: Option<Vec<AccountId>> =
        custodians.map(|all| all.into_iter().map(|(account, _)| account).collect());
    if !wish.all && wish.accounts.is_empty() && wish.domains.is_empty() {
        return match custodians {
            Some(all) if all.is_empty() => {
                let text = "the matter has no custodians: `redoubt matter custodian add`";
                Err(ApiError(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned()))
            }
            Some(all) => Ok(all),
            None => Err(ApiError::bad("say whose mail: --account, --domain, --matter or --all")),
        };
    }
    let mut all = view.accounts(None, usize::MAX)?;
    all.extend(view.deleted_accounts()?);
    let mut found = Vec::new();
    for name in &wish.accounts {
        let one = named(view, &all, name, domain)?;
        found.extend(one);
    }
    for name in &wish.domains {
        let name = redoubt_store::account::normal_domain(name)
            .ok_or_else(|| ApiError::bad(format!("{name:?} is not a domain")))?;
        let before = found.len();
        found.extend(all.iter().filter(|a| a.address.domain == name).map(|a| a.id));
        if found.len() == before {
            return Err(ApiError::not_found(format!("there is no account in {name}")));
        }
    }
    if wish.all {
        found = all.iter().map(|account| account.id).collect();
    }
    found.sort_unstable();
    found.dedup();
    let other = found.iter().find(|a| custodians.as_ref().is_some_and(|all| !all.contains(a)));
    match other {
        Some(other) => Err(ApiError(
            StatusCode::FORBIDDEN,
            format!("account {other} is no custodian of the matter: its lead adds one"),
        )),
        None => Ok(found),
    }
}

/// The account with this address or id; of a deleted one, every one that had the address.
pub(super) fn named(
    view: &View,
    all: &[Account],
    name: &str,
    domain: &str,
) -> Result<Vec<AccountId>, ApiError> {
    if let Some(found) = view.login(name, domain)? {
        return Ok(vec![found.id]);
    }
    let id: Option<AccountId> = name.parse().ok();
    let address = if name.contains('@') { name.to_owned() } else { format!("{name}@{domain}") };
    let same = |account: &&Account| {
        id == Some(account.id) || account.address.to_string().eq_ignore_ascii_case(&address)
    };
    let found: Vec<AccountId> = all.iter().filter(same).map(|account| account.id).collect();
    match found.is_empty() {
        true => Err(ApiError::not_found(format!("there is no account {name}, and there was none"))),
        false => Ok(found),
    }
}

async fn export(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Json(wish): Json<ExportWish>,
) -> Result<Json<OperationId>, ApiError> {
    let ExportWish { search, format, out, zone, without_records, reason } = wish;
    let matter = may(&app, &reach, &caller, search, MatterRole::Reviewer).await?;
    let place = out.clone();
    let of = with_jobs(&app, move |jobs| {
        check_place(&place)?;
        let Listed { asked, state, .. } = jobs.show(search)?;
        if state.phase != redoubt_search::discover::Phase::Completed {
            let text = format!("{search} has not found all: `redoubt discover show {search}`");
            return Err(DiscoverError::NotNow(text));
        }
        match asked.work {
            Work::Search(of) => Ok(of),
            Work::Export(_) => jobs.search(search),
        }
    })
    .await?;
    TimeZone::get(&zone).map_err(|error| ApiError::bad(error.to_string()))?;
    let job = OperationId::random();
    let export = ExportAsked { search, form: format, out, zone, without_records, of };
    let (actor, begun, work) = (caller.0, Timestamp::now(), Work::Export(export));
    jobs(&app)?.begin(Asked { job, actor, begun, reason, matter, work }).await?;
    Ok(Json(job))
}

// ---------------------------------------------------------------------- look

/// Refuses a job of a matter that the caller may do less in, or over accounts that its role is
/// not over; the matter.
async fn may(
    app: &App,
    reach: &Reach,
    caller: &Caller,
    job: OperationId,
    least: MatterRole,
) -> Result<Option<MatterId>, ApiError> {
    let Listed { asked, .. } = with_jobs(app, move |jobs| jobs.show(job)).await?;
    let (reach, caller) = (reach.clone(), caller.clone());
    app.read(move |view| {
        seen(view, &reach, &caller, &asked, least)?;
        Ok(asked.matter)
    })
    .await
}

fn seen(
    view: &View,
    reach: &Reach,
    caller: &Caller,
    asked: &Asked,
    least: MatterRole,
) -> Result<(), ApiError> {
    match asked.matter {
        Some(matter) => need(view, caller, &matter.to_string(), least).map(drop),
        None => reach.check_accounts(view, accounts_of(&asked.work)),
    }
}

fn accounts_of(work: &Work) -> &[AccountId] {
    match work {
        Work::Search(search) => &search.accounts,
        Work::Export(export) => &export.of.accounts,
    }
}

async fn list(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
) -> Result<Json<Vec<JobLine>>, ApiError> {
    let all = with_jobs(&app, Jobs::list).await?;
    app.read(move |view| {
        let mut lines = Vec::new();
        for job in all {
            if seen(view, &reach, &caller, &job.asked, MatterRole::Reader).is_ok() {
                lines.push(JobLine::from(job));
            }
        }
        Ok(Json(lines))
    })
    .await
}

async fn show(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(job): Path<OperationId>,
) -> Result<Json<JobLine>, ApiError> {
    may(&app, &reach, &caller, job, MatterRole::Reader).await?;
    Ok(Json(with_jobs(&app, move |jobs| jobs.show(job)).await?.into()))
}

async fn cancel(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(job): Path<OperationId>,
) -> Result<(), ApiError> {
    may(&app, &reach, &caller, job, MatterRole::Reviewer).await?;
    with_jobs(&app, move |jobs| jobs.cancel(job)).await
}

async fn remove(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(job): Path<OperationId>,
) -> Result<(), ApiError> {
    may(&app, &reach, &caller, job, MatterRole::Reviewer).await?;
    Ok(jobs(&app)?.remove(&caller.0, job).await?)
}

/// Which part of a listing.
#[derive(Debug, Deserialize)]
struct Listing {
    after: Option<u64>,
    limit: Option<usize>,
}

async fn hits(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(job): Path<OperationId>,
    Query(asked): Query<Listing>,
) -> Result<Json<Hits>, ApiError> {
    may(&app, &reach, &caller, job, MatterRole::Reader).await?;
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let after = asked.after.unwrap_or(0);
    // Who saw what was found is on record before it is shown.
    let look = DiscoveryLook { job, after, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
    app.change(&caller, Change::DiscoveryLook(look)).await?;
    let page = with_jobs(&app, move |jobs| jobs.hits(job, after, limit)).await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let items = page.hits.into_iter().map(|hit| line(&store, view, hit));
        let items = items.collect::<Result<Vec<_>, ApiError>>()?;
        Ok(Json(Hits { items, next: page.next }))
    })
    .await
}

async fn purged(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Extension(reach): Extension<Reach>,
    Path(job): Path<OperationId>,
    Query(asked): Query<Listing>,
) -> Result<Json<PurgedAnswer>, ApiError> {
    may(&app, &reach, &caller, job, MatterRole::Reader).await?;
    let after = asked.after.unwrap_or(0);
    let look = DiscoveryLook { job, after, limit: u32::MAX };
    app.change(&caller, Change::DiscoveryLook(look)).await?;
    let found = with_jobs(&app, move |jobs| jobs.purged(job, after)).await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let items = found.hits.into_iter().map(|hit| line(&store, view, hit));
        let items = items.collect::<Result<Vec<_>, ApiError>>()?;
        Ok(Json(PurgedAnswer { items, next: found.next }))
    })
    .await
}

/// What a listing says of a hit; of one that is purged all but what the message says.
fn line(store: &Mailstore, view: &View, hit: Hit) -> Result<HitLine, ApiError> {
    let data = view.email_ever(hit.account, hit.email)?;
    let parsed = data.as_ref().map(|data| store.parsed(&data.blob));
    let (mut subject, mut from) = (String::new(), String::new());
    match parsed {
        Some(Ok(parsed)) => {
            subject = decode_words(parsed.envelope.subject.as_deref().unwrap_or_default());
            from = parsed.envelope.from.first().map(super::travel::address).unwrap_or_default();
        }
        Some(Err(error)) => subject = format!("({error})"),
        None => {}
    }
    let account = view.account(hit.account)?.map(|account| account.address.to_string());
    Ok(HitLine {
        account: account.unwrap_or_else(|| format!("account {} (deleted)", hit.account)),
        account_id: hit.account.0,
        email_id: hit.email.to_string(),
        mailbox: hit.name,
        uid: hit.uid.get(),
        flags: hit.flags,
        received: data.as_ref().map(|data| rfc3339(data.received)),
        size: data.as_ref().map(|data| data.size),
        subject,
        from,
        expunged: hit.gone.map(|gone| rfc3339(gone.time)),
        expunged_index: hit.gone.map(|gone| gone.index.0),
        purged: data.is_none(),
    })
}

// --------------------------------------------------------------------- heads

/// The keys that sign heads, one a line; this node's is made if it has none.
async fn keys(State(app): State<App>) -> Result<String, ApiError> {
    jobs(&app)?.signer().await?;
    let lineage = app.mailstore.identity().lineage.clone();
    app.read(move |view| {
        let keys = known(view, &lineage)?;
        Ok(keys.iter().map(|key| format!("{key}\n")).collect())
    })
    .await
}

/// Which head.
#[derive(Debug, Deserialize)]
struct Which {
    index: Option<u64>,
}

/// A signed head, of the newest entry or of another.
async fn head(State(app): State<App>, Query(which): Query<Which>) -> Result<String, ApiError> {
    let signer = jobs(&app)?.signer().await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let index = which.index.map_or(view.index(), LogIndex);
        let head = signer.head(&store, index).map_err(DiscoverError::from)?;
        Ok(head.to_string())
    })
    .await
}

/// Of which head, and up to which entry.
#[derive(Debug, Deserialize)]
struct Between {
    old: u64,
    root: Hash,
    index: Option<u64>,
}

/// What shows that a head is the beginning of the newest one, or of that after an entry.
async fn consistency(
    State(app): State<App>,
    Query(asked): Query<Between>,
) -> Result<String, ApiError> {
    let jobs = jobs(&app)?.clone();
    let signer = jobs.signer().await?;
    let store = app.mailstore.clone();
    app.read(move |view| {
        let index = asked.index.map_or(view.index(), LogIndex);
        let path = jobs.consistency((asked.old, asked.root), index)?;
        let head = signer.head(&store, index).map_err(DiscoverError::from)?;
        Ok(Consistency { old: asked.old, path, head }.to_string())
    })
    .await
}
