//! Nobody looks at mail of others without a record of it: it is committed before a handler runs.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use redoubt_log::id::{AccountId, LogIndex, Timestamp};
use redoubt_log::record::{Actor, MailReadHow};
use redoubt_search::audit::ReadWhy;
use redoubt_search::query::{Context, Query as Asked};
use redoubt_store::mailstore::ReadAsked;

use super::{account_of, moment};
use crate::admin::{ApiError, App, Caller};

/// How long the pages of a listing may take that was recorded when it began.
const LISTING: Duration = Duration::from_secs(3600);
/// Listings that are remembered.
const REMEMBERED: usize = 1024;
/// The most characters of a reason, and of what is asked.
const MOST: usize = 4000;

/// Parameters that name moments.
const MOMENTS: [&str; 3] = ["at", "from", "to"];

/// Listings that have begun here, so that not each page of one is a record.
static BEGUN: Mutex<VecDeque<Begun>> = Mutex::new(VecDeque::new());

/// Who looks at what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listing {
    actor: Actor,
    account: AccountId,
    how: MailReadHow,
    what: Option<String>,
    /// Live or expunged.
    which: Option<String>,
}

/// A listing that was recorded when it began.
#[derive(Debug)]
struct Begun {
    listing: Listing,
    /// The entries that its moments stand for; `None` where none was named: now.
    moments: [Option<LogIndex>; 3],
    /// What was applied then: its now is no earlier.
    now: LogIndex,
    since: Instant,
}

impl Begun {
    /// Whether this is another page of it: of the same moments, as the first page told them.
    fn has(&self, listing: &Listing, moments: &[Option<LogIndex>; 3]) -> bool {
        let same = |(asked, begun): (&Option<LogIndex>, &Option<LogIndex>)| match begun {
            Some(_) => asked == begun,
            None => asked.is_none_or(|asked| asked >= self.now),
        };
        self.since.elapsed() < LISTING
            && self.listing == *listing
            && moments.iter().zip(&self.moments).all(same)
    }
}

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
    let (what, moments) = (what(asked), resolved(app, asked).await?);
    let which = asked.get("which").cloned();
    let listing = Listing { actor: actor.clone(), account, how, what: what.clone(), which };
    let is_more = asked.contains_key("after");
    if is_more && BEGUN.lock().iter().any(|begun| begun.has(&listing, &moments)) {
        return Ok(());
    }
    let reason = asked.get("reason").cloned();
    if [&what, &reason].into_iter().flatten().any(|text| text.chars().count() > MOST) {
        return Err(ApiError::bad(format!("a query or reason has at most {MOST} characters")));
    }
    let at = MOMENTS.iter().filter_map(|name| Some((name, asked.get(*name)?)));
    let at: Vec<String> = at.map(|(name, moment)| format!("{name} {moment}")).collect();
    let told = what.into_iter().chain(at).collect::<Vec<_>>().join(", ");
    let why = ReadWhy { what: Some(told).filter(|told| !told.is_empty()), reason };
    let text = serde_json::to_vec(&why).map_err(|error| ApiError::bad(error.to_string()))?;
    let now = app.mailstore.applied();
    app.mailstore.mail_is_read(&actor, ReadAsked { account, how, asked: text }).await?;
    begins(Begun { listing, moments, now, since: Instant::now() });
    Ok(())
}

/// The entries that the moments stand for which are named.
async fn resolved(
    app: &App,
    asked: &HashMap<String, String>,
) -> Result<[Option<LogIndex>; 3], ApiError> {
    let named = MOMENTS.map(|name| asked.get(name).cloned());
    if named.iter().all(Option::is_none) {
        return Ok([None; 3]);
    }
    app.read(move |view| {
        let mut moments = [None; 3];
        for (text, found) in named.iter().zip(&mut moments) {
            if text.is_some() {
                let then = moment(text.as_deref())?.resolve(view, Timestamp::now())?;
                *found = Some(then.index);
            }
        }
        Ok(moments)
    })
    .await
}

/// The mailbox, email or query.
fn what(asked: &HashMap<String, String>) -> Option<String> {
    let parts = ["query", "mailbox", "what"].iter().filter_map(|name| asked.get(*name));
    let parts: Vec<String> = parts.map(|part| format!("{part:?}")).collect();
    Some(parts.join(" in ")).filter(|text| !text.is_empty())
}

fn begins(listing: Begun) {
    let mut begun = BEGUN.lock();
    begun.push_back(listing);
    if begun.len() > REMEMBERED {
        begun.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_page_is_of_the_same_moments() {
        let listing = |what: &str| Listing {
            actor: Actor::SYSTEM,
            account: AccountId(1),
            how: MailReadHow::Find,
            what: Some(what.to_owned()),
            which: None,
        };
        let at = |index| Some(LogIndex(index));
        let begun = |moments| Begun {
            listing: listing("x"),
            moments,
            now: LogIndex(10),
            since: Instant::now(),
        };
        let of_now = begun([None; 3]);
        assert!(of_now.has(&listing("x"), &[None; 3]));
        assert!(of_now.has(&listing("x"), &[at(11), None, None]), "as the first page told it");
        assert!(!of_now.has(&listing("x"), &[at(9), None, None]), "another moment");
        assert!(!of_now.has(&listing("y"), &[None; 3]));
        let of_then = begun([at(5), None, None]);
        assert!(of_then.has(&listing("x"), &[at(5), None, None]));
        assert!(!of_then.has(&listing("x"), &[at(4), None, None]));
        assert!(!of_then.has(&listing("x"), &[None; 3]));
    }
}
