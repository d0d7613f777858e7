//! Nobody looks at mail of others without a record of it: it is committed before a handler runs.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use redoubt_log::id::AccountId;
use redoubt_log::record::{Actor, MailReadHow};
use redoubt_search::audit::ReadWhy;
use redoubt_search::query::{Context, Query as Asked};
use redoubt_store::mailstore::ReadAsked;

use super::account_of;
use crate::admin::{ApiError, App, Caller};

/// How long the pages of a listing may take that was recorded when it began.
const LISTING: Duration = Duration::from_secs(3600);
/// Listings that are remembered.
const REMEMBERED: usize = 1024;
/// The most characters of a reason, and of what is asked.
const MOST: usize = 4000;

type Listing = (String, AccountId, MailReadHow, Option<String>);

/// Listings that have begun here, so that not each page of one is a record.
static BEGUN: LazyLock<Mutex<HashMap<Listing, Instant>>> = LazyLock::new(Mutex::default);

/// Puts into the log what is about to be looked at, and only then lets it be looked at.
pub(super) async fn recorded(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let call = request.uri().path().rsplit('/').next().unwrap_or_default();
    let how = how(call).ok_or_else(|| ApiError::not_found(format!("{call} is no call")))?;
    let named = asked.get("query").and_then(|query| moment_of(query));
    let moments = [asked.get("at"), asked.get("to"), asked.get("from"), named.as_ref()];
    let account = account_of(&app, &account, &moments).await?;
    record(&app, caller.0, account, how, &asked).await?;
    Ok(next.run(request).await)
}

fn how(call: &str) -> Option<MailReadHow> {
    Some(match call {
        "mailboxes" => MailReadHow::Mailboxes,
        "emails" => MailReadHow::Emails,
        "find" => MailReadHow::Find,
        "email" => MailReadHow::Email,
        "content" => MailReadHow::Content,
        "history" => MailReadHow::History,
        "diff" => MailReadHow::Diff,
        _ => return None,
    })
}

/// The moment that a query names.
fn moment_of(query: &str) -> Option<String> {
    let query = Asked::parse(query, &Context::utc()).ok()?;
    query.as_of().map(|at| at.to_string())
}

async fn record(
    app: &App,
    actor: Actor,
    account: AccountId,
    how: MailReadHow,
    asked: &HashMap<String, String>,
) -> Result<(), ApiError> {
    let what = what(asked);
    let listing = (format!("{actor:?}"), account, how, what.clone());
    if asked.contains_key("after") && has_begun(&listing) {
        return Ok(());
    }
    let reason = asked.get("reason").cloned();
    if [&what, &reason].into_iter().flatten().any(|text| text.chars().count() > MOST) {
        return Err(ApiError::bad(format!("a query or reason has at most {MOST} characters")));
    }
    let at = ["at", "from", "to"].iter().filter_map(|name| Some((name, asked.get(*name)?)));
    let at: Vec<String> = at.map(|(name, moment)| format!("{name} {moment}")).collect();
    let told = what.into_iter().chain(at).collect::<Vec<_>>().join(", ");
    let why = ReadWhy { what: Some(told).filter(|told| !told.is_empty()), reason };
    let text = serde_json::to_vec(&why).map_err(|error| ApiError::bad(error.to_string()))?;
    app.mailstore.mail_is_read(&actor, ReadAsked { account, how, asked: text }).await?;
    begins(listing);
    Ok(())
}

/// The mailbox, email or query.
fn what(asked: &HashMap<String, String>) -> Option<String> {
    let parts = ["query", "mailbox", "what"].iter().filter_map(|name| asked.get(*name));
    let parts: Vec<String> = parts.map(|part| format!("{part:?}")).collect();
    Some(parts.join(" in ")).filter(|text| !text.is_empty())
}

fn has_begun(listing: &Listing) -> bool {
    BEGUN.lock().get(listing).is_some_and(|begun| begun.elapsed() < LISTING)
}

fn begins(listing: Listing) {
    let mut begun = BEGUN.lock();
    if begun.len() >= REMEMBERED {
        begun.retain(|_, begun| begun.elapsed() < LISTING);
    }
    if begun.len() >= REMEMBERED {
        begun.clear();
    }
    begun.insert(listing, Instant::now());
}
