//! What the calls of discovery take and answer, as JSON.

use std::path::PathBuf;

use redoubt_log::dump::rfc3339;
use redoubt_log::id::{MatterId, OperationId};
use redoubt_log::record::Principal;
use redoubt_search::discover::{Effort, Listed, NotSearched, Phase, SearchAsked, Work};
use redoubt_search::export::Form;
use redoubt_store::travel::Which;
use serde::{Deserialize, Serialize};

/// A search to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchWish {
    /// What is looked for.
    pub query: String,
    /// The zone of days and times in it; UTC, if it is not named.
    #[serde(default)]
    pub zone: Option<String>,
    /// In these accounts: addresses or ids.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// In all accounts of these domains.
    #[serde(default)]
    pub domains: Vec<String>,
    /// In all accounts.
    #[serde(default)]
    pub all: bool,
    /// In a matter: in its custodians' accounts, if no others are named.
    #[serde(default)]
    pub matter: Option<String>,
    /// As of which moment; none is now.
    pub as_of: Option<String>,
    /// Which emails; without it what stood at the named moment, or all.
    #[serde(default)]
    pub which: Option<Which>,
    /// Why.
    pub reason: Option<String>,
}

impl SearchWish {
    /// Whose mail, as typed.
    pub fn scope(&self) -> Vec<String> {
        let accounts = self.accounts.iter().map(|name| format!("--account {name}"));
        let domains = self.domains.iter().map(|name| format!("--domain {name}"));
        let matter = self.matter.iter().map(|name| format!("--matter {name}"));
        let all = self.all.then(|| "--all".to_owned());
        accounts.chain(domains).chain(matter).chain(all).collect()
    }
}

/// A search that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// By which it is asked for.
    pub job: OperationId,
    /// How many accounts are searched.
    pub accounts: u64,
    /// The index that it is pinned to.
    pub pinned: u64,
    /// That index's time.
    pub pinned_time: String,
    /// The index that mail is looked at.
    pub as_of: u64,
}

/// An export to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportWish {
    /// Of which search.
    pub search: OperationId,
    /// How.
    pub format: Form,
    /// Where, on the node: an absolute path.
    pub out: PathBuf,
    /// The time zone of a load file.
    pub zone: String,
    /// Whether what the log's records say stays out of it.
    #[serde(default)]
    pub without_records: bool,
    /// Why.
    pub reason: Option<String>,
}

/// A search or export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobLine {
    /// By which it is asked for.
    pub job: OperationId,
    /// `search` or `export`.
    pub work: String,
    /// What is looked for.
    pub query: String,
    /// Whose mail, as typed.
    pub scope: Vec<String>,
    /// Accounts.
    pub accounts: u64,
    /// Accounts that are done.
    pub accounts_done: u64,
    /// Which emails.
    pub which: Which,
    /// The index that it is pinned to.
    pub pinned: u64,
    /// That index's time.
    pub pinned_time: String,
    /// The index that mail is looked at.
    pub as_of: u64,
    /// How far it is.
    pub phase: Phase,
    /// Emails found, or exported.
    pub found: u64,
    /// Emails that an export could not have.
    pub failed: u64,
    /// Of an export: emails of which some record is not proven.
    pub unproven: u64,
    /// Placements looked at.
    pub looked: u64,
    /// How much there is to do, and how much of it is done: emails, about.
    pub effort: Effort,
    /// Of these a second, while it works.
    pub per_second: Option<f64>,
    /// Seconds until it is done, if it goes on so.
    pub seconds_left: Option<u64>,
    /// What could not be looked at: the first thousand.
    pub not_searched: Vec<NotSearched>,
    /// How much could not.
    pub not_searched_count: u64,
    /// Why it failed.
    pub why: Option<String>,
    /// The matter that it is of.
    #[serde(default)]
    pub matter: Option<MatterId>,
    /// Who asked.
    pub by: String,
    /// Why, as typed.
    pub reason: Option<String>,
    /// When it was asked.
    pub begun: String,
    /// When it ended.
    pub ended: Option<String>,
    /// The record that says that it began.
    pub record: Option<u64>,
    /// Of an export: the search.
    pub search: Option<OperationId>,
    /// Of an export: how emails are written.
    pub format: Option<Form>,
    /// Of an export: where.
    pub out: Option<PathBuf>,
}

impl From<Listed> for JobLine {
    fn from(Listed { asked, state, pace }: Listed) -> Self {
        let by = match asked.actor.principal {
            Principal::LocalUser(uid) => format!("uid {uid}"),
            Principal::Person(account) => format!("token of account {account}"),
            Principal::Account(account) => format!("account {account}"),
            Principal::System => "system".to_owned(),
            Principal::Mta => "mta".to_owned(),
        };
        let (of, export): (SearchAsked, _) = match asked.work {
            Work::Search(search) => (search, None),
            Work::Export(export) => (export.of, Some((export.search, export.form, export.out))),
        };
        let (search, format, out) = match export {
            Some((search, format, out)) => (Some(search), Some(format), Some(out)),
            None => (None, None, None),
        };
        Self {
            job: asked.job,
            work: if search.is_some() { "export" } else { "search" }.to_owned(),
            query: of.query,
            scope: of.scope,
            accounts: of.accounts.len() as u64,
            accounts_done: state.accounts,
            which: of.which,
            pinned: of.pinned.0,
            pinned_time: rfc3339(of.pinned_time),
            as_of: of.as_of.0,
            phase: state.phase,
            found: state.found,
            failed: state.failed,
            unproven: state.unproven,
            looked: state.looked,
            effort: state.effort,
            per_second: pace.map(|pace| pace.per_second),
            seconds_left: pace.map(|pace| pace.seconds_left),
            not_searched: state.not_searched,
            not_searched_count: state.not_searched_count,
            why: state.why,
            matter: asked.matter,
            by,
            reason: asked.reason,
            begun: rfc3339(asked.begun),
            ended: state.ended.map(rfc3339),
            record: state.record.map(|index| index.0),
            search,
            format,
            out,
        }
    }
}

/// An email that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitLine {
    /// Whose.
    pub account: String,
    /// That account's id.
    pub account_id: u64,
    /// EMAILID.
    pub email_id: String,
    /// Where it stands, or stood at last.
    pub mailbox: String,
    /// Its UID there.
    pub uid: u32,
    /// Its flags and keywords there.
    pub flags: Vec<String>,
    /// INTERNALDATE.
    pub received: Option<String>,
    /// Octets.
    pub size: Option<u64>,
    /// Its Subject.
    pub subject: String,
    /// Its first From.
    pub from: String,
    /// When it was expunged.
    pub expunged: Option<String>,
    /// By which record.
    pub expunged_index: Option<u64>,
    /// Whether it has left the history since.
    pub purged: bool,
}

/// Part of what a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// In the order in which they were found.
    pub items: Vec<HitLine>,
    /// Where to go on; absent at the end of what is found so far.
    pub next: Option<u64>,
}

/// What of it has left the history since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgedAnswer {
    /// Which.
    pub items: Vec<HitLine>,
    /// Where to go on.
    pub next: Option<u64>,
}
