//! `redoubt verify-export DIR [--key FILE | --checkpoint FILE]`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use redoubt_search::export::{Report, Trust, Verdict, verify};
use redoubt_search::heads::{Consistency, NoteError, PublicKey, SignedHead};

use super::Common;
use crate::exit::{Exit, Failure};
use crate::output;

/// The most octets of a file of keys or of a head.
const MAX_FILE: u64 = 1 << 20;

/// Without a server: every file against the manifest, every email against its record, every
/// record against the signed head, and the head against a key or one that is known from
/// elsewhere. Exit code 0 only when all of it is proven; 3 when it fits together and its origin,
/// or some record, is not proven; 1 when anything was altered, added or removed.
#[derive(Debug, Args)]
pub struct VerifyExport {
    /// The export.
    dir: PathBuf,
    /// Keys that sign heads of the log, as `redoubt audit keys` writes them.
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    key: Option<PathBuf>,
    /// A head of the log that is known from elsewhere, as `redoubt audit head` writes it.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// What shows that the export's head is the beginning of that of --checkpoint, as
    /// `redoubt audit consistency` writes it.
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    consistency: Option<PathBuf>,
}

/// # Errors
/// Files that cannot be read, or are not what they should be.
pub async fn run(common: &Common, verb: VerifyExport) -> anyhow::Result<Exit> {
    let trust = trust(&verb)?;
    let dir = verb.dir.clone();
    let checked = tokio::task::spawn_blocking(move || verify(&dir, &trust, &mut |_| {})).await?;
    let report = checked
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", verb.dir.display())))?;
    match common.json {
        true => output::json_lines([&report])?,
        false => print(&report),
    }
    Ok(match report.verdict {
        Verdict::Proven => Exit::Done,
        Verdict::PartlyProven | Verdict::OriginNotProven => Exit::Partly,
        Verdict::Broken => Exit::Failed,
    })
}

fn trust(verb: &VerifyExport) -> anyhow::Result<Trust> {
    let wrong =
        |path: &Path, error: NoteError| Failure::usage(format!("{}: {error}", path.display()));
    Ok(match (&verb.key, &verb.checkpoint) {
        (Some(path), _) => {
            let keys = PublicKey::read_all(&text(path)?).map_err(|error| wrong(path, error))?;
            if keys.is_empty() {
                return Err(Failure::usage(format!("{}: no key is in it", path.display())).into());
            }
            Trust::Keys(keys)
        }
        (None, Some(path)) => {
            let head = head_of(path)?;
            match &verb.consistency {
                None => Trust::Head(Box::new(head)),
                Some(path) => later(path, &head)?,
            }
        }
        (None, None) => Trust::Nobody,
    })
}

/// A signed head, from a file.
///
/// # Errors
/// Wrong usage, where it is none.
pub(super) fn head_of(path: &Path) -> anyhow::Result<SignedHead> {
    let wrong = |error| Failure::usage(format!("{}: {error}", path.display()));
    Ok(SignedHead::read(&text(path)?).map_err(wrong)?)
}

/// A consistency proof, which must lead to the head that is known from elsewhere.
fn later(path: &Path, known: &SignedHead) -> anyhow::Result<Trust> {
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let proof = Consistency::read(&text(path)?).map_err(|error| wrong(error.to_string()))?;
    match proof.head.checkpoint == known.checkpoint {
        true => Ok(Trust::Later(Box::new(proof))),
        false => Err(wrong("it leads to another head than that of --checkpoint".into()).into()),
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    text_upto(path, MAX_FILE)
}

/// A file's text, if it is not longer than so many octets.
///
/// # Errors
/// Wrong usage, where there is no such file.
pub(super) fn text_upto(path: &Path, most: u64) -> anyhow::Result<String> {
    let small = fs::metadata(path).and_then(|file| match file.len() > most {
        true => Err(std::io::Error::other("it is too large")),
        false => fs::read_to_string(path),
    });
    Ok(small.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?)
}

fn print(report: &Report) {
    if let Some(manifest) = &report.manifest {
        let (about, counts) = (&manifest.about, manifest.counts);
        println!(
            "query {:?} of {}, as of entry {}",
            about.query,
            about.scope.join(" "),
            about.as_of
        );
        println!("{} found, {} exported, {} failed", counts.found, counts.exported, counts.failed);
    }
    if let Some(head) = &report.head {
        println!("head {head}");
    }
    let Report { files, emails, records, .. } = report;
    println!("looked at {files} files, {emails} emails, {records} records");
    told("", &report.problems, report.problem_count);
    told("not proven: ", &report.unproven, report.unproven_count);
    println!(
        "{}",
        match report.verdict {
            Verdict::Proven => "proven: all of it is as it was written, and from that log",
            Verdict::PartlyProven => "whole and from that log; records of some emails not proven",
            Verdict::OriginNotProven => "internally consistent, origin not proven",
            Verdict::Broken => "NOT as it was written",
        }
    );
}

fn told(before: &str, list: &[String], count: u64) {
    list.iter().for_each(|what| println!("{before}{what}"));
    let more = count.saturating_sub(list.len() as u64);
    if more > 0 {
        println!("{before}and {more} more");
    }
}
