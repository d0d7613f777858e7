//! `redoubt audit list|export|verify|head|consistency|keys`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use redoubt_log::disk::replace_private;
use redoubt_search::heads::{Checkpoint, Consistency};

use super::Common;
use super::audit_list::{self, Export, List};
use super::audit_verify::{self, Verify};
use super::verify_export::head_of;
use crate::admin::client::Client;
use crate::exit::{Exit, Failure};

/// Who did what, and what is kept outside to hold the log to it.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// List who did what, when, from where and why, and what came of it
    List(List),
    /// Write that to a file, with a signed head of the log beside it
    Export(Export),
    /// Hold the log to heads that were kept outside
    Verify(Verify),
    /// Sign a head of the log, and print it or write it to a file
    Head {
        /// To this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// After this entry, not the newest.
        #[arg(long, value_name = "INDEX")]
        index: Option<u64>,
    },
    /// Prove that a head is the beginning of a later one (RFC 9162 section 2.1.4)
    Consistency {
        /// The older head: an export's `proof/head.txt`, or one that was kept outside.
        #[arg(value_name = "HEAD")]
        old: PathBuf,
        /// The later one; without it the newest head is signed.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// To this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the keys that sign heads, or write them to a file
    Keys {
        /// To this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// # Errors
/// Those of the server, and files that cannot be read or written.
pub async fn run(common: &Common, verb: AuditVerb) -> anyhow::Result<Exit> {
    let verb = match verb {
        AuditVerb::List(list) => return audit_list::list(common, list).await,
        AuditVerb::Export(export) => return audit_list::export(common, export).await,
        AuditVerb::Verify(verify) => return audit_verify::run(common, verify).await,
        verb => verb,
    };
    let client = common.client()?;
    let (text, out) = match verb {
        AuditVerb::List(_) | AuditVerb::Export(_) | AuditVerb::Verify(_) => {
            return Ok(Exit::Done);
        }
        AuditVerb::Head { out, index: None } => (client.text("/v1/heads").await?, out),
        AuditVerb::Head { out, index: Some(index) } => {
            (client.text(&format!("/v1/heads?index={index}")).await?, out)
        }
        AuditVerb::Keys { out } => (client.text("/v1/heads/keys").await?, out),
        AuditVerb::Consistency { old, checkpoint, out } => {
            (consistency(&client, &old, checkpoint.as_deref()).await?, out)
        }
    };
    match out {
        None => print!("{text}"),
        Some(path) => write(&path, &text)?,
    }
    Ok(Exit::Done)
}

/// Writes a file as a whole, or not at all.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = |error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let absolute = std::path::absolute(path).map_err(failed)?;
    Ok(replace_private(&absolute, text.as_bytes(), 0o644).map_err(failed)?)
}

/// The server's proof, checked here before it is given out.
async fn consistency(client: &Client, old: &Path, new: Option<&Path>) -> anyhow::Result<String> {
    let old = head_of(old)?;
    let new = new.map(head_of).transpose()?;
    let Checkpoint { size, root, .. } = &old.checkpoint;
    let mut path = format!("/v1/heads/consistency?old={size}&root={root}");
    if let Some(new) = &new {
        path += &format!("&index={}", new.checkpoint.index);
    }
    let text = client.text(&path).await?;
    let failed = |what: String| Failure::new(Exit::Failed, what);
    let proof = Consistency::read(&text).map_err(|error| failed(error.to_string()))?;
    proof.shows(&old.checkpoint).map_err(|error| failed(format!("the head: {error}")))?;
    match new.is_some_and(|new| new.checkpoint != proof.head.checkpoint) {
        true => Err(failed("the later head is of another history than this log".to_owned()).into()),
        false => Ok(text),
    }
}
