//! The rules of domains, addresses and accounts.

use redoubt_log::record::{Address, Rejection, SpecialUse};
use unicode_normalization::UnicodeNormalization;

/// The most octets of a local part (RFC 5321 section 4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;
/// The most octets of a local part with its subaddress.
const MAX_LONG_LOCAL: usize = 512;
/// The most octets of a domain (RFC 5321 section 4.5.3.1.2 and RFC 1035).
pub const MAX_DOMAIN: usize = 253;
/// The most octets of a display name.
pub const MAX_DISPLAY_NAME: usize = 1024;
/// The most octets of a credential's name.
pub const MAX_CREDENTIAL_NAME: usize = 128;
/// The most octets of a PHC string.
pub const MAX_PHC: usize = 1024;
/// The most credentials of an account.
pub const MAX_CREDENTIALS: usize = 64;

/// The mailboxes of a new account, in the order of their ids from 1.
pub const FIRST_MAILBOXES: [(&str, Option<SpecialUse>); 6] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Archive", Some(SpecialUse::Archive)),
];

/// A domain as records name it: lower case, A-labels (UTS 46). `None` when it is none.
pub fn normal_domain(domain: &str) -> Option<String> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = idna::domain_to_ascii(domain).ok()?;
    check_domain(&ascii).is_ok().then_some(ascii)
}

/// A local part as records name it: lower case, NFC. `None` when it is none.
pub fn normal_local(local: &str) -> Option<String> {
    normal_long_local(local).filter(|local| check_local(local).is_ok())
}

/// As [`normal_local`], with room for a subaddress.
pub(crate) fn normal_long_local(local: &str) -> Option<String> {
    if local.len() > MAX_LONG_LOCAL {
        return None;
    }
    let local: String = local.nfc().flat_map(char::to_lowercase).nfc().collect();
    (!local.is_empty() && !local.contains(never_in_local)).then_some(local)
}

fn never_in_local(c: char) -> bool {
    c.is_ascii_uppercase() || c <= ' ' || c == '@' || is_control(c)
}

/// An address as records name it; without an `@`, in the default domain.
pub fn normal_address(text: &str, default_domain: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@').unwrap_or((text, default_domain));
    Some(Address { local: normal_local(local)?, domain: normal_domain(domain)? })
}

/// What records may name as a domain. Needs no table of Unicode.
pub(crate) fn check_domain(domain: &str) -> Result<(), Rejection> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    if domain.len() <= MAX_DOMAIN && domain.split('.').all(label) {
        return Ok(());
    }
    Err(invalid("a domain", domain))
}

/// What records may name as a local part. Needs no table of Unicode.
pub(crate) fn check_local(local: &str) -> Result<(), Rejection> {
    if (1..=MAX_LOCAL).contains(&local.len()) && !local.contains(never_in_local) {
        return Ok(());
    }
    Err(invalid("a local part", local))
}

pub(crate) fn check_address(address: &Address) -> Result<(), Rejection> {
    check_local(&address.local)?;
    check_domain(&address.domain)
}

/// A text of bounded length without control characters.
pub(crate) fn check_text(what: &str, text: &str, max: usize) -> Result<(), Rejection> {
    if text.len() <= max && !text.contains(is_control) {
        return Ok(());
    }
    Err(invalid(what, text))
}

/// C0, DEL and C1: these never change from one Unicode to the next.
pub(crate) fn is_control(c: char) -> bool {
    c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c)
}

pub(crate) fn invalid(what: &str, text: &str) -> Rejection {
    let shown: String = text.chars().take(80).collect();
    Rejection::InvalidName(format!("{what}: {shown:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        let address = normal_address("Ju\u{308}rgen@B\u{fc}cher.Example.", "x").unwrap();
        assert_eq!(address.to_string(), "j\u{fc}rgen@xn--bcher-kva.example");
        assert_eq!(
            normal_address("ALICE", "Example.org").unwrap().to_string(),
            "alice@example.org"
        );
        assert_eq!(normal_address("a@b@c.org", "x"), None);
    }

    #[test]
    fn what_is_no_address() {
        for text in ["", "@", "a@", "@b", "a b@c", "a@-b.c", "a@b..c", "a\u{0}@b"] {
            assert_eq!(normal_address(text, "example.org"), None, "{text:?}");
        }
        let long = "l".repeat(MAX_LOCAL + 1);
        assert_eq!(normal_local(&long), None);
        assert!(check_local("Alice").is_err());
        assert!(check_domain("b\u{fc}cher.example").is_err());
    }
}
