//! Paths and parameters of MAIL and RCPT (RFC 5321 section 4.1.2).

use super::reply::{Reply, reply};

/// Octets of a path without its brackets (RFC 5321 section 4.5.3.1.3 asks for 256).
pub(super) const MAX_PATH: usize = 512;
/// Parameters of one command.
const MAX_PARAMETERS: usize = 16;

/// A path and the parameters behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathLine<'a> {
    /// Without brackets and source route; empty for `<>`.
    pub(super) path: &'a str,
    pub(super) parameters: Vec<&'a str>,
}

const SYNTAX: Reply = reply(501, "5.5.4", "syntax: a path in <> and parameters");

/// Reads what follows `FROM:` or `TO:`.
pub(super) fn parse(text: &str) -> Result<PathLine<'_>, Reply> {
    // Some clients put a blank behind the colon, which the grammar does not have.
    let text = text.trim_start_matches(' ').strip_prefix('<').ok_or(SYNTAX)?;
    let end = closing(text).ok_or(SYNTAX)?;
    let (path, rest) = (text.get(..end).unwrap_or_default(), text.get(end + 1..));
    let rest = rest.unwrap_or_default();
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(SYNTAX);
    }
    let parameters: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
    if parameters.len() > MAX_PARAMETERS {
        return Err(reply(501, "5.5.4", "too many parameters"));
    }
    Ok(PathLine { path: without_route(path)?, parameters })
}

/// Where the bracket closes, not inside a quoted local part.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// A source route is read and passed over (RFC 5321 appendix C).
fn without_route(path: &str) -> Result<&str, Reply> {
    let path = match path.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, path)) => path,
        None => path,
    };
    let wrong = reply(501, "5.1.3", "this is no address");
    // What ends up in Return-Path must not be able to end that line.
    let bad = |c: char| c.is_control() || c == '<' || c == '>';
    let blank = path.contains(' ') && !path.starts_with('"');
    if path.len() > MAX_PATH || path.contains(bad) || blank {
        return Err(wrong);
    }
    Ok(path)
}

/// The address that a path means: a local part that is quoted without need is unquoted.
pub(super) fn plain_address(path: &str) -> String {
    let Some((local, domain)) = path.rsplit_once('@') else { return path.to_owned() };
    let inner = local.strip_prefix('"').and_then(|local| local.strip_suffix('"'));
    match inner {
        Some(inner) if is_dot_string(inner) => format!("{inner}@{domain}"),
        _ => path.to_owned(),
    }
}

fn is_dot_string(text: &str) -> bool {
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    text.split('.').all(|word| !word.is_empty() && word.chars().all(atom))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_read() {
        let path = |text| parse(text).map(|line| line.path);
        assert_eq!(path("<>"), Ok(""));
        assert_eq!(path(" <a@b>"), Ok("a@b"));
        assert_eq!(path("<@r1,@r2:a@b>"), Ok("a@b"));
        assert_eq!(path("<\"a b\"@c> SIZE=1"), Ok("\"a b\"@c"));
        assert!(path("<\"a > b\"@c>").is_err(), "it would end Return-Path's bracket");
        let line = parse("<a@b> SIZE=10  BODY=8BITMIME").unwrap();
        assert_eq!(line.parameters, ["SIZE=10", "BODY=8BITMIME"]);
        for wrong in ["", "a@b", "<a@b", "<a@b>x", "<a b@c>", "<a\u{1}@b>", "<<a@b>"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse(&format!("<{}@b>", "a".repeat(MAX_PATH))).is_err());
    }

    #[test]
    fn quotes_without_need_go() {
        assert_eq!(plain_address("\"alice\"@b"), "alice@b");
        assert_eq!(plain_address("\"a b\"@b"), "\"a b\"@b");
        assert_eq!(plain_address("alice"), "alice");
    }
}
