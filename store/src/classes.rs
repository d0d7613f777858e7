//! What holds for an account: its own word, else its class's, else its domain's, else the
//! configuration's.

use redoubt_log::id::ClassId;
use redoubt_log::record::{ClassSettings, Limits};
use serde::{Deserialize, Serialize};

/// Who has said what holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The account itself.
    Account,
    /// Its class of service.
    Class,
    /// Its domain.
    Domain,
    /// Nobody but the configuration.
    Configuration,
}

/// What holds, and who has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting<T> {
    /// What holds; `None` is whatever the configuration says, or no limit.
    pub value: Option<T>,
    /// Who has said so.
    pub from: Origin,
}

/// All that holds for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// Its class, by name.
    pub class: Setting<ClassNamed>,
    /// Bytes of live emails.
    pub quota: Setting<u64>,
    /// For how many seconds history is kept; [`Limits::FOREVER`] is for ever.
    pub history: Setting<u64>,
    /// Octets of the largest message.
    pub largest_message: Setting<u64>,
    /// Mailboxes that it may have.
    pub mailboxes: Setting<u32>,
}

/// A class, as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassNamed {
    /// Its id, for ever.
    pub id: ClassId,
    /// What it is called.
    pub name: String,
}

/// What an account, its class and its domain say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) own_quota: Option<u64>,
    pub(crate) own: Limits,
    pub(crate) class: ClassSettings,
    pub(crate) domain_quota: Option<u64>,
}

impl Said {
    pub(crate) fn quota(&self) -> Setting<u64> {
        first([
            (self.own_quota, Origin::Account),
            (self.class.quota, Origin::Class),
            (self.domain_quota, Origin::Domain),
        ])
    }

    pub(crate) fn history(&self) -> Setting<u64> {
        self.limit(|limits| limits.history)
    }

    pub(crate) fn largest_message(&self) -> Setting<u64> {
        self.limit(|limits| limits.largest_message)
    }

    pub(crate) fn mailboxes(&self) -> Setting<u32> {
        self.limit(|limits| limits.mailboxes)
    }

    fn limit<T>(&self, of: impl Fn(&Limits) -> Option<T>) -> Setting<T> {
        first([(of(&self.own), Origin::Account), (of(&self.class.limits), Origin::Class)])
    }
}

fn first<T, const N: usize>(said: [(Option<T>, Origin); N]) -> Setting<T> {
    let found = said.into_iter().find(|(value, _)| value.is_some());
    let (value, from) = found.unwrap_or((None, Origin::Configuration));
    Setting { value, from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_nearer_wins() {
        let limits = |history| Limits { history: Some(history), ..Limits::default() };
        let mut said = Said { domain_quota: Some(1), ..Said::default() };
        assert_eq!(said.quota(), Setting { value: Some(1), from: Origin::Domain });
        assert_eq!(said.history(), Setting { value: None, from: Origin::Configuration });
        said.class = ClassSettings { quota: Some(2), limits: limits(3) };
        assert_eq!(said.quota(), Setting { value: Some(2), from: Origin::Class });
        assert_eq!(said.history(), Setting { value: Some(3), from: Origin::Class });
        (said.own_quota, said.own) = (Some(4), limits(5));
        assert_eq!(said.quota(), Setting { value: Some(4), from: Origin::Account });
        assert_eq!(said.history(), Setting { value: Some(5), from: Origin::Account });
        assert_eq!(said.mailboxes(), Setting { value: None, from: Origin::Configuration });
    }
}
