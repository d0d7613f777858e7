//! Whose mail is captured: what a rule says of an account, asked by `apply` and, before a record
//! is made, by whoever makes it.

use redoubt_log::id::{AccountId, ClassId};
use redoubt_log::record::{CaptureDirection, CaptureRule, CaptureScope};

/// Somebody whose mail may be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party<'a> {
    /// The account, where the address is one's.
    pub(crate) account: Option<AccountId>,
    /// The domain of the address.
    pub(crate) domain: &'a str,
    /// The class of service that the account has, by itself or by its domain.
    pub(crate) class: Option<ClassId>,
}

/// Which way mail goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is delivered to the party.
    Delivered,
    /// The party sends it.
    Sent,
}

/// Whether a rule is over mail of a party. Mail of archive accounts is nobody's.
pub(crate) fn covers(rule: &CaptureRule, party: &Party<'_>, way: Way) -> bool {
    let CaptureRule { scope, direction, .. } = rule;
    goes(*direction, way)
        && match scope {
            CaptureScope::All => true,
            CaptureScope::Domain(domain) => domain == party.domain,
            CaptureScope::Class(class) => party.class == Some(*class),
            CaptureScope::Account(account) => party.account == Some(*account),
            CaptureScope::Journal => false,
        }
}

fn goes(direction: CaptureDirection, way: Way) -> bool {
    match way {
        Way::Delivered => direction.takes_delivered(),
        Way::Sent => direction.takes_sent(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_over_whom_they_name() {
        let party = Party { account: Some(AccountId(3)), domain: "a.example", class: None };
        let covers = |scope: CaptureScope, direction| {
            let rule = CaptureRule { scope, direction, archive: AccountId(9) };
            [Way::Delivered, Way::Sent].map(|way| covers(&rule, &party, way))
        };
        let both = CaptureDirection::Both;
        assert_eq!(covers(CaptureScope::All, CaptureDirection::Delivered), [true, false]);
        assert_eq!(covers(CaptureScope::All, CaptureDirection::Sent), [false, true]);
        assert_eq!(covers(CaptureScope::Domain("a.example".into()), both), [true, true]);
        assert_eq!(covers(CaptureScope::Domain("b.example".into()), both), [false, false]);
        assert_eq!(covers(CaptureScope::Account(AccountId(3)), both), [true, true]);
        assert_eq!(covers(CaptureScope::Account(AccountId(4)), both), [false, false]);
        assert_eq!(covers(CaptureScope::Class(ClassId(1)), both), [false, false]);
        assert_eq!(covers(CaptureScope::Journal, both), [false, false]);
    }
}
