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
use redoubt_store::view::View;

use super::{ApiError, App, Caller};
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
    match asked.allowed(&app, &caller).await {
        Ok((actor, reach)) => {
            request.extensions_mut().insert(ConnectInfo(Caller(actor)));
            request.extensions_mut().insert(reach);
            next.run(request).await
        }
        Err(error) => {
            let Asked { method, path, .. } = &asked;
            let by = &caller.0.principal;
            tracing::warn!(?by, method, path, why = %error.1, "a call is refused");
            error.into_response()
        }
    }
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

    async fn allowed(&self, app: &App, caller: &Caller) -> Result<(Actor, Reach), ApiError> {
        let found = table::find(&self.method, &self.path);
        let Some(secret) = self.secret()? else {
            return own_user(app, caller, found.map(|(verb, _)| verb)).await;
        };
        let Some((verb, places)) = found else {
            return Err(refused("this is for the server's own user, without a token"));
        };
        let holder = holder(app, hash(&secret)).await?;
        let reach = reach::of(app, holder, verb).await?;
        reach::check(app, &reach, verb.over, &places).await?;
        let actor = Actor { principal: Principal::Person(holder), ..caller.0.clone() };
        Ok((actor, reach))
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

/// Whose a token is, if it opens anything.
async fn holder(app: &App, token: Hash) -> Result<AccountId, ApiError> {
    let wrong = |text: &str| ApiError(StatusCode::UNAUTHORIZED, text.to_owned());
    app.read(move |view| {
        let row = view.personal_token(token)?;
        let row = row.ok_or_else(|| wrong("this token is not known here, or was revoked"))?;
        if row.expires.is_some_and(|end| end <= Timestamp::now()) {
            return Err(wrong("this token has expired: `redoubt token add` makes another"));
        }
        let active = |a: &redoubt_store::view::Account| a.settings.state == AccountState::Active;
        match view.account(row.account)?.filter(active) {
            Some(account) => Ok(account.id),
            None => Err(wrong("the account of this token is locked, closed or deleted")),
        }
    })
    .await
}

/// The server's own user is operator and administrator of all domains. The other roles are its
/// own only for as long as nobody was ever given them, and it is never a second person.
async fn own_user(
    app: &App,
    caller: &Caller,
    verb: Option<&'static Verb>,
) -> Result<(Actor, Reach), ApiError> {
    let itself = Ok((caller.0.clone(), Reach::All));
    let Some(verb) = verb else { return itself };
    let own = |role: &Role| matches!(role, Role::Operator | Role::DomainAdmin);
    if verb.roles.iter().any(own) {
        return itself;
    }
    match !verb.person && app.read(|view| is_open(view, verb.roles)).await? {
        true => itself,
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
