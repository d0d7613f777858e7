//! Who calls, and whether they may: by a personal token, or as the server's own user.

mod reach;
mod routes;
pub mod table;
pub mod wire;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use redoubt_log::id::{AccountId, Hash, Timestamp};
use redoubt_log::record::{AccountState, Actor, Principal, Role};
use redoubt_store::mailstore::Refusal;
use redoubt_store::view::View;

use super::{ApiError, App, Caller, WasRefused};
pub(super) use reach::Reach;
pub(super) use routes::routes;
use table::Verb;

/// What every secret begins with, so that it is known for what it is wherever it turns up.
pub const PREFIX: &str = "rdt-";

/// What the log keeps of a secret: it has 256 bits of chance, so that nothing slower is needed.
pub fn hash(secret: &str) -> Hash {
    Hash(blake3::derive_key("redoubt 2026 personal token", secret.as_bytes()))
}

/// Lets a call through that its caller may make, with who it is and how far that reaches.
pub(super) async fn authorise(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let mut by = Caller(caller.0.clone(), None);
    let response = match asked.allowed(&app, &mut by).await {
        Ok(reach) => {
            request.extensions_mut().insert(ConnectInfo(by.clone()));
            request.extensions_mut().insert(reach);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(WasRefused(why)) = response.extensions().get() {
        asked.is_refused(&app, &by.0, why);
    }
    response
}

/// What of a request says whether it may be.
struct Asked {
    method: String,
    path: String,
    /// What it shows as a token.
    shown: Option<HeaderValue>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            shown: request.headers().get(AUTHORIZATION).cloned(),
        }
    }

    /// Every attempt is on record.
    fn is_refused(&self, app: &App, by: &Actor, why: &str) {
        let Self { method, path, .. } = self;
        tracing::warn!(by = ?by.principal, method, path, why, "a call is refused");
        let verb = table::find(method, path).map_or("", |(verb, _)| verb.name).to_owned();
        let (object, reason) = (format!("{method} {path}"), why.to_owned());
        app.mailstore.refused(by, Refusal { verb, object, reason });
    }

    /// Who it is, as far as that is known, is told also where it is refused.
    async fn allowed(&self, app: &App, by: &mut Caller) -> Result<Reach, ApiError> {
        let found = table::find(&self.method, &self.path);
        let Some(secret) = self.secret()? else {
            return own_user(app, found.map(|(verb, _)| verb)).await;
        };
        let Some((verb, places)) = found else {
            return Err(refused("this is for the server's own user, without a token"));
        };
        let (holder, made_by) = holder(app, hash(&secret)).await?;
        by.0.principal = Principal::Person(holder);
        by.1 = Some(made_by);
        let reach = reach::of(app, holder, verb).await?;
        reach::check(app, &reach, verb.over, &places).await?;
        Ok(reach)
    }

    /// The secret that it shows.
    fn secret(&self) -> Result<Option<String>, ApiError> {
        let Some(value) = &self.shown else { return Ok(None) };
        let text = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        match text {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(ApiError::bad("a token is shown as `Authorization: Bearer TOKEN`")),
        }
    }
}

fn refused(text: impl Into<String>) -> ApiError {
    ApiError(StatusCode::FORBIDDEN, text.into())
}

/// Whose a token is, if it opens anything, and who made it.
async fn holder(app: &App, token: Hash) -> Result<(AccountId, Principal), ApiError> {
    let wrong = |text: &str| ApiError(StatusCode::UNAUTHORIZED, text.to_owned());
    app.read(move |view| {
        let row = view.personal_token(token)?;
        let row = row.ok_or_else(|| wrong("this token is not known here, or was revoked"))?;
        if row.expires.is_some_and(|end| end <= Timestamp::now()) {
            return Err(wrong("this token has expired: `redoubt token add` makes another"));
        }
        let active = |a: &redoubt_store::view::Account| a.settings.state == AccountState::Active;
        match view.account(row.account)?.filter(active) {
            Some(account) => Ok((account.id, row.by)),
            None => Err(wrong("the account of this token is locked, closed or deleted")),
        }
    })
    .await
}

/// The server's own user is operator and administrator of all domains. The other roles are its
/// own only for as long as nobody was ever given them, and it is never a second person.
async fn own_user(app: &App, verb: Option<&'static Verb>) -> Result<Reach, ApiError> {
    let Some(verb) = verb else { return Ok(Reach::All) };
    let own = |role: &Role| matches!(role, Role::Operator | Role::DomainAdmin);
    if verb.roles.iter().any(own) {
        return Ok(Reach::All);
    }
    match !verb.person && app.read(|view| is_open(view, verb.roles)).await? {
        true => Ok(Reach::All),
        false => Err(refused(without_token(verb))),
    }
}

fn is_open(view: &View, roles: &[Role]) -> Result<bool, ApiError> {
    for role in roles {
        if !view.was_given(*role)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn without_token(verb: &Verb) -> String {
    format!(
        "`{}` needs a personal token of somebody with the role {}: give it in REDOUBT_TOKEN or \
         with --token-file; `redoubt role list` shows who has it, and the server's own user gives \
         it by `redoubt role grant`",
        verb.name,
        names(verb.roles)
    )
}

fn names(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    names.join(" or ")
}
