//! ENABLE (RFC 5161).

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::Enable;

/// Switches on what is known, and names what was not on before.
pub(crate) fn run(session: &mut Session, wishes: &[Enable]) -> Answer {
    session.user()?;
    let mut enabled = String::from("ENABLED");
    for wish in wishes {
        match wish {
            Enable::CondStore if !session.condstore => {
                session.enable_condstore();
                enabled.push_str(" CONDSTORE");
            }
            // RFC 7162 section 3.2.3: QRESYNC brings CONDSTORE with it.
            Enable::Qresync if !session.qresync => {
                session.enable_condstore();
                session.qresync = true;
                enabled.push_str(" QRESYNC");
            }
            _ => {}
        }
    }
    session.untagged(&enabled);
    Ok(Reply::ok("ENABLE done"))
}

impl Session {
    /// The client is aware of CONDSTORE from here on; in a mailbox it is told HIGHESTMODSEQ
    /// (RFC 7162 section 3.1.2).
    pub(crate) fn enable_condstore(&mut self) {
        if std::mem::replace(&mut self.condstore, true) {
            return;
        }
        if let Some(selected) = &self.selected {
            let highest = selected.highest_modseq();
            self.untagged(&format!("OK [HIGHESTMODSEQ {highest}] CONDSTORE is on"));
        }
    }
}
