//! MAIL (RFC 5321 section 4.1.1.2) with SIZE (RFC 1870), BODY (RFC 6152) and
//! SMTPUTF8 (RFC 6531).

use super::super::deliverer::Deliverer;
use super::super::path;
use super::super::reply::{Reply, reply, reply_with, too_large};
use super::super::session::{Session, Transaction};

pub(super) fn run<D: Deliverer>(session: &mut Session<'_, D>, arguments: &str) -> Reply {
    if session.client_name.is_none() {
        return reply(503, "5.5.1", "LHLO first");
    }
    if session.transaction.is_some() {
        return reply(503, "5.5.1", "there is a sender already, RSET to begin anew");
    }
    match transaction(arguments, session.options.max_message) {
        Err(answer) => answer,
        Ok(transaction) => {
            session.transaction = Some(transaction);
            reply(250, "2.1.0", "sender ok")
        }
    }
}

/// The argument behind `FROM:` or `TO:`.
pub(super) fn after<'a>(arguments: &'a str, keyword: &'static str) -> Result<&'a str, Reply> {
    let wrong = || reply_with(501, "5.5.4", format!("syntax: {keyword}<address>"));
    let (head, tail) = arguments.split_at_checked(keyword.len()).ok_or_else(wrong)?;
    if head.eq_ignore_ascii_case(keyword) { Ok(tail) } else { Err(wrong()) }
}

fn transaction(arguments: &str, max_message: u64) -> Result<Transaction, Reply> {
    let line = path::parse(after(arguments, "FROM:")?)?;
    let mut transaction = Transaction::default();
    for word in &line.parameters {
        parameter(word, &mut transaction)?;
        transaction.envelope.parameters.push((*word).to_owned());
    }
    if transaction.size.is_some_and(|size| size > max_message) {
        return Err(too_large());
    }
    check_utf8(line.path, transaction.utf8)?;
    transaction.envelope.sender = line.path.to_owned();
    Ok(transaction)
}

/// RFC 6531 section 3.5: an address beyond ASCII needs the client's word for it.
pub(super) fn check_utf8(path: &str, allowed: bool) -> Result<(), Reply> {
    if allowed || path.is_ascii() {
        return Ok(());
    }
    Err(reply(553, "5.6.7", "this address needs SMTPUTF8"))
}

fn parameter(word: &str, transaction: &mut Transaction) -> Result<(), Reply> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    match (name.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(value)) => {
            let size = value.parse().ok().filter(|_| value.len() <= 20);
            let wrong = reply(501, "5.5.4", "SIZE is a number of octets");
            transaction.size = Some(size.ok_or(wrong)?);
        }
        ("BODY", Some(value)) => body(value)?,
        ("SMTPUTF8", None) => transaction.utf8 = true,
        _ => return Err(reply(555, "5.5.4", "a parameter that is not known here")),
    }
    Ok(())
}

fn body(value: &str) -> Result<(), Reply> {
    let known = ["7BIT", "8BITMIME"].iter().any(|kind| kind.eq_ignore_ascii_case(value));
    known.then_some(()).ok_or(reply(501, "5.5.4", "BODY is 7BIT or 8BITMIME"))
}
