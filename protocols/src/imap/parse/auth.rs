//! AUTHENTICATE, LOGIN, ENABLE, ID.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::take_while;

use super::input::{Input, Parsed, expected, items, list0, next_octet, space};
use super::strings::{astring, keyword, nstring, string, utf8_astring, word};
use crate::imap::types::{Authenticate, Command, Enable, IdField, Login, Secret};

/// AUTHENTICATE's arguments, with SASL-IR (RFC 4959).
pub(super) fn authenticate(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let mechanism = word.context("a SASL mechanism").parse_next(input)?;
    let initial = match next_octet(input) {
        Some(b' ') => Some(initial_response(input)?),
        _ => None,
    };
    Ok(Command::Authenticate(Authenticate { mechanism, initial }))
}

fn initial_response(input: &mut Input<'_>) -> Parsed<Secret> {
    space(input)?;
    let start = input.current_token_start();
    let coded: &[u8] = take_while(1.., |byte: u8| byte.is_ascii_graphic())
        .context("an initial response in base64, or =")
        .parse_next(input)?;
    if coded == b"=" {
        return Ok(Secret::default());
    }
    match STANDARD.decode(coded) {
        Ok(response) => Ok(Secret(response)),
        Err(_) => expected(start, "an initial response in base64, or ="),
    }
}

/// LOGIN's arguments.
pub(super) fn login(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let user = utf8_astring.context("a user name").parse_next(input)?;
    space(input)?;
    let password = astring.context("a password").parse_next(input)?;
    Ok(Command::Login(Login { user, password: Secret(password.into_owned()) }))
}

/// ENABLE's arguments.
pub(super) fn enable(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let names = items(word.context("a capability"), "capabilities")(input)?;
    let named = |name: String| match name.as_str() {
        "CONDSTORE" => Enable::CondStore,
        "QRESYNC" => Enable::Qresync,
        "IMAP4REV2" => Enable::Imap4Rev2,
        "UTF8=ACCEPT" => Enable::Utf8Accept,
        _ => Enable::Other(name),
    };
    Ok(Command::Enable(names.into_iter().map(named).collect()))
}

/// ID's arguments (RFC 2971).
pub(super) fn id(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    match next_octet(input) {
        Some(b'(') => list0(id_field, "fields")(input).map(Command::Id),
        _ => keyword("NIL").context("( or NIL").map(|()| Command::Id(Vec::new())).parse_next(input),
    }
}

fn id_field(input: &mut Input<'_>) -> Parsed<IdField> {
    let text = |octets: std::borrow::Cow<'_, [u8]>| String::from_utf8_lossy(&octets).into_owned();
    let name = string.map(text).parse_next(input)?;
    space(input)?;
    let value = nstring.map(|value| value.map(text)).parse_next(input)?;
    Ok((name, value))
}
