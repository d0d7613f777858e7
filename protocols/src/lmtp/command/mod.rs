//! The commands, one file each.

use super::deliverer::Deliverer;
use super::reply::reply;
use super::session::Session;
use crate::stream::StreamError;

mod data;
mod lhlo;
mod mail;
mod rcpt;
mod starttls;
mod xclient;

/// What comes after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Close,
}

/// A command's name. HELO and EHLO are none here (RFC 2033 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    XClient,
}

const VERBS: [(&str, Verb); 11] = [
    ("LHLO", Verb::Lhlo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("HELP", Verb::Help),
    ("QUIT", Verb::Quit),
    ("STARTTLS", Verb::StartTls),
    ("XCLIENT", Verb::XClient),
];

impl Verb {
    /// A line's command and the rest of it.
    pub(super) fn parse(line: &str) -> Option<(Self, &str)> {
        let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let found = VERBS.iter().find(|(verb, _)| verb.eq_ignore_ascii_case(name));
        found.map(|(_, verb)| (*verb, arguments))
    }
}

pub(super) async fn run<D: Deliverer>(
    session: &mut Session<'_, D>,
    verb: Verb,
    arguments: &str,
) -> Result<Next, StreamError> {
    let answer = match verb {
        Verb::Lhlo => match lhlo::run(session, arguments) {
            Ok(()) => return Ok(Next::Go),
            Err(answer) => answer,
        },
        Verb::Mail => mail::run(session, arguments),
        Verb::Rcpt => rcpt::run(session, arguments).await,
        Verb::Data => return data::run(session, arguments).await,
        Verb::StartTls => return starttls::run(session, arguments).await,
        Verb::XClient => return Ok(xclient::run(session, arguments)),
        Verb::Rset => {
            session.reset();
            reply(250, "2.0.0", "flushed")
        }
        Verb::Noop => reply(250, "2.0.0", "nothing done"),
        // RFC 5321 section 3.5.3: no way to try names.
        Verb::Vrfy => reply(252, "2.5.0", "send a message and see"),
        Verb::Help => reply(214, "2.0.0", "LMTP as in RFC 2033"),
        Verb::Quit => return Ok(session.close(&reply(221, "2.0.0", "bye"))),
    };
    session.say(&answer);
    Ok(Next::Go)
}
