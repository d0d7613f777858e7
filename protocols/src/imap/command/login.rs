//! LOGIN (RFC 9051 section 6.2.3), and what every way to log in ends with.

use crate::imap::reply::{Answer, End, Reply};
use crate::imap::session::Session;
use crate::imap::types::Login;

/// LOGIN with name and password.
pub(crate) async fn run(session: &mut Session, login: Login) -> Answer {
    session.before_login()?;
    session.authenticate(&login.user, &login.password.0).await
}

impl Session {
    /// Whether a login may be tried now.
    ///
    /// # Errors
    /// BAD when logged in already, NO where a password may not cross (RFC 5530).
    pub(crate) fn before_login(&self) -> Result<(), Reply> {
        if self.user.is_some() {
            return Err(Reply::bad("You are logged in already"));
        }
        match self.may_send_password() {
            true => Ok(()),
            false => Err(Reply::no("PRIVACYREQUIRED", "Start TLS before you send a password")),
        }
    }

    /// Checks a password and makes the session the user's.
    pub(crate) async fn authenticate(&mut self, name: &str, password: &[u8]) -> Answer {
        let from = self.conn.peer().ip();
        let (store, domain) = (&self.imap.store, &self.imap.config.default_domain);
        let login = match store.authenticate(name, password, domain, from).await {
            Ok(login) => login,
            Err(error) => return self.denied(error.into()),
        };
        if let Err(refusal) = self.conn.admit_user(login.account.id) {
            self.conn.stats().refused.add(1);
            return Ok(Reply::no("LIMIT", refusal.to_string()));
        }
        self.conn.stats().logins.add(1);
        self.log_in(login);
        let code = format!("CAPABILITY {}", self.capabilities());
        Ok(Reply::ok("You are logged in").code(code))
    }

    fn denied(&mut self, reply: Reply) -> Answer {
        self.conn.stats().login_failures.add(1);
        self.auth_failures += 1;
        match self.auth_failures >= self.conn.limits().auth_failures {
            true => Err(End::Bye("Too many failed logins".into()).into()),
            false => Ok(reply),
        }
    }
}
