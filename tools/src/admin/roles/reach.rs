//! How far a caller's role goes: all domains, or some.

use std::collections::BTreeSet;

use redoubt_log::id::AccountId;
use redoubt_store::view::View;

use super::table::{Over, Verb};
use super::{names, refused};
use crate::admin::directory::domain_name;
use crate::admin::{ApiError, App};

/// The domains that a caller's role is over, for the call that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) enum Reach {
    /// All there are.
    All,
    /// These.
    Domains(BTreeSet<String>),
    /// None: the caller has no role for the call, and is a member of matters.
    Matters,
}

impl Reach {
    /// Whether a domain is among them.
    pub(in crate::admin) fn has(&self, domain: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domains(domains) => domains.contains(domain),
            Self::Matters => false,
        }
    }

    /// Refuses what is in no domain of the caller's.
    ///
    /// # Errors
    /// 403, with the domains that there are.
    pub(in crate::admin) fn check(&self, domain: &str) -> Result<(), ApiError> {
        match self {
            Self::Domains(domains) if !domains.contains(domain) => {
                let own: Vec<_> = domains.iter().map(String::as_str).collect();
                let own = own.join(", ");
                Err(refused(format!("your role is over {own} alone, and this is in {domain}")))
            }
            Self::Matters => {
                let text = "you have no role for this, and are a member of matters: name one by \
                            --matter";
                Err(refused(text))
            }
            _ => Ok(()),
        }
    }

    /// The same of accounts, deleted ones too.
    ///
    /// # Errors
    /// 403, and that the state cannot be read.
    pub(in crate::admin) fn check_accounts(
        &self,
        view: &View,
        accounts: &[AccountId],
    ) -> Result<(), ApiError> {
        if *self == Self::All {
            return Ok(());
        }
        for account in accounts {
            let domain = view.domain_of(*account)?;
            self.check(&domain.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// How far the roles of a token's holder go for a verb.
///
/// # Errors
/// 403 with the role that is missing, and who gives it.
pub(super) async fn of(
    app: &App,
    holder: AccountId,
    verb: &'static Verb,
) -> Result<Reach, ApiError> {
    let grants = app.read(move |view| Ok(view.grants_of(holder)?)).await?;
    let mut fitting =
        grants.into_iter().filter(|grant| verb.roles.contains(&grant.role)).peekable();
    if fitting.peek().is_none() {
        if verb.members && app.read(move |view| Ok(view.is_member(holder)?)).await? {
            return Ok(Reach::Matters);
        }
        let roles = names(verb.roles);
        return Err(refused(format!(
            "`{}` needs the role {roles}, which you do not have: an operator, or the server's own \
             user, gives it by `redoubt role grant`",
            verb.name
        )));
    }
    let domains: Option<BTreeSet<String>> = fitting.map(|grant| grant.domain).collect();
    Ok(domains.map_or(Reach::All, Reach::Domains))
}

/// Refuses a call over what the caller's role is not over.
///
/// # Errors
/// 403, or 404 where the path names nothing.
pub(super) async fn check(
    app: &App,
    reach: &Reach,
    over: Over,
    places: &[(&'static str, String)],
) -> Result<(), ApiError> {
    let Reach::Domains(_) = reach else { return Ok(()) };
    let place = |wanted: &str| {
        let found = places.iter().find(|(name, _)| *name == wanted);
        found.map_or("", |(_, text)| text.as_str())
    };
    match over {
        Over::Parts => Ok(()),
        Over::All => Err(refused("this needs the role over all domains, and yours is over some")),
        Over::Domain => reach.check(&domain_name(place("name"))?),
        Over::Alias => reach.check(&app.address(place("alias"))?.domain),
        Over::Account => {
            let account = app.account(place("account")).await?;
            reach.check(&account.address.domain)
        }
    }
}
