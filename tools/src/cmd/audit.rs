//! `redoubt audit head|keys`

use std::path::PathBuf;

use clap::Subcommand;
use redoubt_log::disk::replace_private;

use super::Common;
use crate::exit::{Exit, Failure};

/// What is kept outside, to hold the log to it.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Sign a head of the log, and print it or write it to a file
    Head {
        /// To this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// After this entry, not the newest.
        #[arg(long, value_name = "INDEX")]
        index: Option<u64>,
    },
    /// Print the keys that sign heads, or write them to a file
    Keys {
        /// To this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// # Errors
/// Those of the server, and files that cannot be written.
pub async fn run(common: &Common, verb: AuditVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let (path, out) = match verb {
        AuditVerb::Head { out, index: None } => ("/v1/heads".to_owned(), out),
        AuditVerb::Head { out, index: Some(index) } => (format!("/v1/heads?index={index}"), out),
        AuditVerb::Keys { out } => ("/v1/heads/keys".to_owned(), out),
    };
    let text = client.text(&path).await?;
    match out {
        None => print!("{text}"),
        Some(path) => {
            let failed = |error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
            let absolute = std::path::absolute(&path).map_err(failed)?;
            replace_private(&absolute, text.as_bytes(), 0o644).map_err(failed)?;
        }
    }
    Ok(Exit::Done)
}
