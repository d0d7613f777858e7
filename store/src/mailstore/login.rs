//! Logins: who may, and what a session stands on from then on. With its account or
//! its password it ends, whichever node took the change.

use std::net::IpAddr;

use redoubt_log::id::AccountId;
use redoubt_log::record::Change;

use super::{AuthError, Inner, StoreError, WriteError};
use crate::auth::{Candidate, Fingerprint, MAX_PASSWORD};
use crate::changes::Watch;
use crate::view::{Account, View};

/// The name of an account's own password; others are app passwords.
const MAIN_CREDENTIAL: &str = "password";

/// What a right password gives.
#[derive(Debug)]
pub struct Login {
    /// Whose it is.
    pub account: Account,
    /// For how long.
    pub access: Access,
}

/// A login as long as it holds: it is to be judged whenever it has changed.
#[derive(Debug)]
pub struct Access {
    stands_on: StandsOn,
    watch: Watch,
}

#[derive(Debug, Clone, Copy)]
struct StandsOn {
    account: AccountId,
    password: Fingerprint,
}

/// Why a login holds no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// The account is locked, closed or gone.
    #[error("This account may not log in any more")]
    Account,
    /// Its password was changed or taken away.
    #[error("The password of this login is not valid any more")]
    Password,
}

impl Access {
    /// Whether something happened since [`Access::take`] that may have ended it.
    pub fn has_changed(&self) -> bool {
        self.watch.has_changed()
    }

    /// From now on only what comes later counts: judge it then.
    pub fn take(&mut self) {
        self.watch.take();
    }

    /// Waits until something happens that may have ended it. Cancel safe.
    pub async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Whether it holds as of a view, as something that needs no hold of the session. Blocks.
    pub fn judge(&self) -> impl Fn(&View) -> Result<Option<Revoked>, StoreError> + Send + use<> {
        let stands_on = self.stands_on;
        move |view| stands_on.judge(view)
    }
}

impl StandsOn {
    fn judge(&self, view: &View) -> Result<Option<Revoked>, StoreError> {
        let account = view.account(self.account)?;
        if account.is_none_or(|account| !account.settings.state.lets_in()) {
            return Ok(Some(Revoked::Account));
        }
        let credentials = view.credentials(self.account)?;
        let valid = credentials.iter().any(|credential| self.password.is_of(&credential.phc));
        Ok((!valid).then_some(Revoked::Password))
    }
}

/// Whose logins a record may end.
pub(super) fn concerned(change: &Change) -> Option<AccountId> {
    match change {
        Change::AccountSet(record) => Some(record.account),
        Change::AccountDelete(record) => Some(record.account),
        Change::CredentialSet(record) => Some(record.account),
        Change::CredentialRemove(record) => Some(record.account),
        _ => None,
    }
}

impl Inner {
    pub(super) async fn hash_password(&self, password: &[u8]) -> Result<String, WriteError> {
        match password.len() {
            1..=MAX_PASSWORD => Ok(self.auth.hash(password.to_vec()).await?),
            len => Err(WriteError::Invalid(format!(
                "a password has 1 to {MAX_PASSWORD} octets, this one has {len}"
            ))),
        }
    }

    pub(super) async fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        default_domain: &str,
        from: Option<IpAddr>,
    ) -> Result<Login, AuthError> {
        let view = self.view().await?;
        let (asked, domain) = (name.to_owned(), default_domain.to_owned());
        let (account, candidate) = self.work(move || candidate(&view, &asked, &domain)).await??;
        let id = account.as_ref().map(|account| account.id);
        let password = self.auth.verify(name, candidate, password, from).await;
        let came = match password {
            Ok(password) => self.admit(account, password).await,
            Err(error) => Err(error),
        };
        self.logins.note(id, from, &came);
        came
    }

    /// What a right password gives.
    async fn admit(
        &self,
        account: Option<Account>,
        password: Fingerprint,
    ) -> Result<Login, AuthError> {
        let account = account.ok_or(AuthError::Denied)?;
        let watch = self.feeds.logins.subscribe(account.id);
        let access = Access { stands_on: StandsOn { account: account.id, password }, watch };
        // What happened before it was watched.
        let (view, judge) = (self.local_view()?, access.judge());
        match self.work(move || judge(&view)).await?? {
            None => Ok(Login { account, access }),
            Some(Revoked::Account) => Err(AuthError::State),
            Some(Revoked::Password) => Err(AuthError::Denied),
        }
    }
}

/// The account that a name means, and what is compared with the password.
fn candidate(
    view: &View,
    name: &str,
    default_domain: &str,
) -> Result<(Option<Account>, Candidate), StoreError> {
    let Some(account) = view.login(name, default_domain)? else {
        return Ok((None, Candidate::default()));
    };
    let mut credentials = view.credentials(account.id)?;
    credentials.sort_by_key(|credential| credential.name != MAIN_CREDENTIAL);
    let phcs = credentials.into_iter().map(|credential| credential.phc).collect();
    let candidate = Candidate { account: account.id.0, phcs };
    Ok((Some(account), candidate))
}
