//! The description of an export, written last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digests, Form};

/// What `manifest.json` says that it is.
pub const FORMAT: &str = "redoubt-export";
/// The version of the layout.
pub const VERSION: u32 = 1;
/// The most octets of a manifest.
pub(super) const MAX_MANIFEST: u64 = 16 << 20;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What was asked, by whom and of what.
    pub about: About,
    /// What came of it.
    pub counts: Counts,
    /// Why emails failed, and how many by each reason.
    pub reasons: BTreeMap<String, u64>,
    /// Records that the emails name.
    pub records: u64,
    /// How many files `files.jsonl` names.
    pub file_count: u64,
    /// What `files.jsonl` has.
    pub files: Digests,
}

/// What was asked, by whom and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The program that wrote it.
    pub program: String,
    /// How emails are written.
    pub form: Form,
    /// The history that they are of.
    pub lineage: String,
    /// The export, as the log names it.
    pub job: String,
    /// The search that it is of, as the log names it.
    pub search: String,
    /// What was looked for, as it was typed.
    pub query: String,
    /// Whose mail, as it was asked for.
    pub scope: Vec<String>,
    /// Accounts that this came to.
    pub accounts: u64,
    /// Which emails: `there`, `expunged` or `both`.
    pub which: String,
    /// The index that the search is pinned to, and its time.
    pub pinned: u64,
    /// In UTC.
    pub pinned_time: String,
    /// The moment that mail was looked at, as an index.
    pub as_of: u64,
    /// Who asked, as the log knows him.
    pub actor: String,
    /// Why, as typed.
    pub reason: Option<String>,
    /// When the export began, in UTC.
    pub begun: String,
    /// The time zone of the load file's dates and times.
    pub time_zone: String,
    /// The version of what extracted texts; 0 for none.
    pub extractor: u32,
    /// Whether what the log's records say was left out: that they are there is proven, and not
    /// what is in them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_records: bool,
}

/// What came of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Emails that the search had found.
    pub found: u64,
    /// Of these, in the export.
    pub exported: u64,
    /// Of these, not in the export: `failed.jsonl` says which and why.
    pub failed: u64,
    /// Emails that could not be read when they were looked for.
    pub not_searched: u64,
}
