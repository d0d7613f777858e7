//! Domains, accounts and their addresses; classes of service, personal tokens and roles.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, ClassId, Hash, Timestamp};

/// See [`Change::DomainAdd`](super::Change::DomainAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainAdd {
    /// In lower case, as A-labels (RFC 5890).
    pub domain: String,
    /// Its settings.
    pub settings: DomainSettings,
}

/// See [`Change::DomainSet`](super::Change::DomainSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSet {
    /// Which domain.
    pub domain: String,
    /// Its settings from now on.
    pub settings: DomainSettings,
}

/// What holds for all accounts of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSettings {
    /// The character between user and detail (RFC 5233), `None` for no subaddresses.
    pub subaddress_separator: Option<char>,
    /// The account that gets what no other address takes.
    pub catch_all: Option<AccountId>,
    /// Messages with this header (and value, where given) are filed as spam.
    pub junk_header: Option<JunkHeader>,
    /// Whether an MTA's retry within the hour gets the first outcome.
    pub retry_recognised: bool,
    /// The quota in bytes of accounts that have none of their own; `None` is no limit.
    pub default_quota: Option<u64>,
    /// Whether mail that is over quota is deferred (4.2.2) and not refused (5.2.2).
    pub over_quota_defers: bool,
}

impl Default for DomainSettings {
    fn default() -> Self {
        Self {
            subaddress_separator: Some('+'),
            catch_all: None,
            junk_header: None,
            retry_recognised: true,
            default_quota: None,
            over_quota_defers: false,
        }
    }
}

/// The mark that a spam filter before us leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JunkHeader {
    /// The header field's name, compared without case.
    pub name: String,
    /// What its value begins with, without case; empty for any value.
    pub value_prefix: String,
}

/// See [`Change::DomainRemove`](super::Change::DomainRemove).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRemove {
    /// Which domain.
    pub domain: String,
}

/// A local part and a domain, both normalised: lower case, NFC, domain as A-labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// What stands before the `@`.
    pub local: String,
    /// What stands behind it.
    pub domain: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// See [`Change::AccountAdd`](super::Change::AccountAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountAdd {
    /// Its address.
    pub address: Address,
    /// Its settings.
    pub settings: AccountSettings,
    /// Its first password as a PHC string (argon2id), made by the proposer.
    pub password: Option<String>,
}

/// See [`Change::AccountSet`](super::Change::AccountSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSet {
    /// Which account.
    pub account: AccountId,
    /// Its settings from now on.
    pub settings: AccountSettings,
}

/// What an administrator says of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSettings {
    /// The person's or group's name, for listings.
    pub display_name: String,
    /// What it may do.
    pub state: AccountState,
    /// Bytes of live emails, `None` for the domain's default.
    pub quota: Option<u64>,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// Everything.
    #[default]
    Active,
    /// It receives, and nobody logs in, until it is unlocked.
    Locked,
    /// It receives; nobody logs in by design.
    ReceiveOnly,
    /// Neither: its address is refused.
    Closed,
    /// It is gone, but for the history. Set by a deletion, never by a setting.
    Deleted,
    /// It is an archive: captured mail comes in, and retention alone takes it out. Its owner
    /// reads. An account is made so, and stays so.
    Archive,
}

impl AccountState {
    /// Whether its own user may log in: an archive's to read.
    pub fn lets_in(self) -> bool {
        matches!(self, Self::Active | Self::Archive)
    }
}

/// See [`Change::AccountRename`](super::Change::AccountRename).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRename {
    /// Which account.
    pub account: AccountId,
    /// Its address from now on.
    pub address: Address,
}

/// See [`Change::AliasAdd`](super::Change::AliasAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasAdd {
    /// The other name.
    pub alias: Address,
    /// Whose it is.
    pub account: AccountId,
}

/// See [`Change::AliasRemove`](super::Change::AliasRemove).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRemove {
    /// The name that goes.
    pub alias: Address,
}

/// See [`Change::CredentialSet`](super::Change::CredentialSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialSet {
    /// Whose it is.
    pub account: AccountId,
    /// `password` for the main one; others are app passwords' names.
    pub name: String,
    /// A PHC string (argon2id), salt and hash made by the proposer.
    pub phc: String,
}

/// See [`Change::CredentialRemove`](super::Change::CredentialRemove).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRemove {
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub name: String,
}

/// What a class says of its accounts; what it leaves open the domain or the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSettings {
    /// Bytes of live emails.
    pub quota: Option<u64>,
    /// What an account may also say by itself.
    pub limits: Limits,
}

/// Limits that an account, or else its class, may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// For how many seconds history is kept; [`Limits::FOREVER`] is for ever.
    pub history: Option<u64>,
    /// Octets of the largest message that it takes.
    pub largest_message: Option<u64>,
    /// Mailboxes that it may have.
    pub mailboxes: Option<u32>,
}

impl Limits {
    /// History is kept whatever the configuration says.
    pub const FOREVER: u64 = u64::MAX;
}

/// See [`Change::ClassAdd`](super::Change::ClassAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassAdd {
    /// What people call it; no other class is called so.
    pub name: String,
    /// What it says.
    pub settings: ClassSettings,
}

/// See [`Change::ClassSet`](super::Change::ClassSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSet {
    /// Which class.
    pub class: ClassId,
    /// What people call it from now on.
    pub name: String,
    /// What it says from now on.
    pub settings: ClassSettings,
}

/// See [`Change::ClassRemove`](super::Change::ClassRemove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRemove {
    /// Which class.
    pub class: ClassId,
}

/// See [`Change::AccountClass`](super::Change::AccountClass).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClass {
    /// Which account.
    pub account: AccountId,
    /// Its class; `None` for its domain's.
    pub class: Option<ClassId>,
    /// What it says above its class.
    pub own: Limits,
}

/// See [`Change::DomainClass`](super::Change::DomainClass).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainClass {
    /// Which domain.
    pub domain: String,
    /// The class of its accounts that have none of their own.
    pub class: Option<ClassId>,
}

/// What somebody may do. New ones come at the end: their numbers are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The server, its backup and its cluster; classes; who has which role.
    Operator,
    /// Domains, accounts, aliases, passwords.
    DomainAdmin,
    /// Searches mail and exports it.
    Discovery,
    /// Policies and holds.
    Compliance,
    /// The second person: purges, holds released before their delay.
    Approver,
    /// Reads the audit.
    Auditor,
}

impl Role {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Operator,
        Self::DomainAdmin,
        Self::Discovery,
        Self::Compliance,
        Self::Approver,
        Self::Auditor,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::DomainAdmin => "domain-admin",
            Self::Discovery => "discovery",
            Self::Compliance => "compliance",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }

    /// Its number in the log and in keys.
    pub fn number(self) -> u8 {
        match self {
            Self::Operator => 0,
            Self::DomainAdmin => 1,
            Self::Discovery => 2,
            Self::Compliance => 3,
            Self::Approver => 4,
            Self::Auditor => 5,
        }
    }

    /// Whether it can be had over one domain alone: what it allows names domains.
    pub fn has_domains(self) -> bool {
        matches!(self, Self::DomainAdmin | Self::Discovery)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// See [`Change::RoleGrant`](super::Change::RoleGrant) and
/// [`Change::RoleRevoke`](super::Change::RoleRevoke).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoleGrant {
    /// Who has it.
    pub account: AccountId,
    /// What it is.
    pub role: Role,
    /// Over which domain; `None` is all.
    pub domain: Option<String>,
}

/// See [`Change::PersonalTokenAdd`](super::Change::PersonalTokenAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalTokenAdd {
    /// BLAKE3 of the secret, which has 256 bits of chance.
    pub token: Hash,
    /// Who shows it.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// From when on it opens nothing.
    pub expires: Option<Timestamp>,
}

/// See [`Change::PersonalTokenRevoke`](super::Change::PersonalTokenRevoke).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalTokenRevoke {
    /// Which.
    pub token: Hash,
}
