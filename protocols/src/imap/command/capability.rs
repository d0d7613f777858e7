//! CAPABILITY (RFC 9051 section 6.1.1): what is named here works.

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;

/// In every state.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE";
/// Of use once a user is logged in.
const LOGGED_IN: &str = "IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE MULTIAPPEND CONDSTORE \
     QRESYNC ESEARCH SEARCHRES WITHIN SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT \
     THREAD=REFERENCES I18NLEVEL=1 SEARCH=FUZZY LIST-EXTENDED LIST-STATUS SPECIAL-USE \
     CREATE-SPECIAL-USE STATUS=SIZE OBJECTID SAVEDATE PARTIAL";

/// Answers with the capabilities of this state.
pub(crate) fn run(session: &mut Session) -> Answer {
    let line = format!("CAPABILITY {}", session.capabilities());
    session.untagged(&line);
    Ok(Reply::ok("CAPABILITY done"))
}

impl Session {
    /// What works now, without the leading word.
    pub(crate) fn capabilities(&self) -> String {
        if self.user.is_some() {
            return format!("{ALWAYS} {LOGGED_IN}");
        }
        let starttls = if self.conn.can_start_tls() { " STARTTLS" } else { "" };
        let auth = match self.may_send_password() {
            true => " AUTH=PLAIN",
            false => " LOGINDISABLED",
        };
        format!("{ALWAYS}{starttls}{auth}")
    }

    /// Whether the client may send its password over this connection as it is.
    pub(crate) fn may_send_password(&self) -> bool {
        self.imap.config.plaintext.allows(self.conn.peer())
    }
}
