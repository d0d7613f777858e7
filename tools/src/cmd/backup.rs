//! `redoubt backup ...` and `redoubt archive status`

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use indicatif::ProgressBar;
use redoubt_snapshot::archive::{ArchiveState, ArchiveStatus, BaseRun, BaseState};
use redoubt_snapshot::repo::Repository;
use redoubt_snapshot::repo::names::BaseName;
use redoubt_snapshot::verify::{BaseRow, History, Level, Report, Subset, verify, verify_restored};

use super::backup_expire::{self, Expire, Pin};
use super::{Common, backup_keys as keys, backup_table as table};
use crate::config::Backup;
use crate::exit::{Exit, Failure};
use crate::{backup, output};

/// How often a base under way is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Which repository; without these what the configuration says.
#[derive(Debug, Clone, Default, Args)]
pub struct From {
    /// `/path` or `s3://bucket/prefix`.
    #[arg(long, alias = "repo", value_name = "REPOSITORY")]
    from: Option<String>,
    /// The file with its key; `none` for a repository without encryption.
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// The URL of a server that speaks as S3 does.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The bucket's region.
    #[arg(long)]
    region: Option<String>,
    /// TOML file with `access_key_id` and `secret_access_key`.
    #[arg(long, value_name = "FILE")]
    credentials: Option<String>,
}

impl From {
    pub(super) fn settings(self, common: &Common) -> anyhow::Result<Backup> {
        let configured = common.config()?.backup;
        Ok(Backup {
            repository: self.from.unwrap_or(configured.repository),
            key_file: self.key.unwrap_or(configured.key_file),
            endpoint: self.endpoint.unwrap_or(configured.endpoint),
            region: self.region.unwrap_or(configured.region),
            credentials_file: self.credentials.unwrap_or(configured.credentials_file),
            ..Backup::default()
        })
    }

    /// Opens it; it must be there.
    ///
    /// # Errors
    /// When it is not there or not named, and when the key does not fit.
    pub async fn open(self, common: &Common) -> anyhow::Result<Repository> {
        let settings = self.settings(common)?;
        let unnamed = || Failure::usage("no repository: set backup.repository, or say --from");
        let place = backup::place(&settings)?.ok_or_else(unnamed)?;
        let key = backup::key(&settings.key_file)?;
        Ok(Repository::open(place.objects(false)?, &key).await?)
    }
}

/// The backup repository.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Take a base now: the state of a running server, from which recovery begins
    Start(Start),
    /// Show what can be recovered: histories, earliest and latest moment, sizes
    Status(From),
    /// Show the bases
    List(From),
    /// Show all that a base says of itself
    Describe(Describe),
    /// Let go what is old: bases, logs before them, and content that nothing names any more.
    /// Without --yes it only says what would go
    Expire(Expire),
    /// Keep a base, whatever else goes
    Pin(Pin),
    /// Keep it no longer than others
    Unpin(Pin),
    /// Look whether everything is there and sound
    Verify(Verify),
    /// Keys that open the repository
    #[command(subcommand)]
    Keys(keys::Keys),
}

/// `backup start`
#[derive(Debug, Args)]
pub struct Start {
    /// Of the node that is asked, though another one feeds the repository.
    #[arg(long)]
    here: bool,
    /// Do not wait until it is there; `archive status` shows how it goes.
    #[arg(long)]
    no_wait: bool,
}

/// `backup describe`
#[derive(Debug, Args)]
pub struct Describe {
    #[command(flatten)]
    from: From,
    /// Its index (`@1234`), its name as `backup list` shows it, or `latest`.
    base: String,
}

/// `backup verify`
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    from: From,
    /// files: all is there, sizes fit; chain: also the log is one chain and has all its
    /// blobs; data: also every octet is read; restore: also the newest state is made of it,
    /// and is the one that the log recorded.
    #[arg(long, default_value = "chain", value_parser = level)]
    level: Level,
    /// Of `data` the n-th of t parts, a different one each day.
    #[arg(long, value_name = "n/t", value_parser = subset)]
    subset: Option<Subset>,
    /// Where `restore` makes the state and removes it again; it takes as much room as the
    /// views of a node. Without it where temporary files lie.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "files" => Ok(Level::Files),
        "chain" => Ok(Level::Chain),
        "data" => Ok(Level::Data),
        "restore" => Ok(Level::Restore),
        _ => Err("write files, chain, data or restore".to_owned()),
    }
}

fn subset(text: &str) -> Result<Subset, String> {
    Subset::parse(text).ok_or_else(|| "write 1/7 for the first of seven parts".to_owned())
}

/// # Errors
/// Those of the repository.
pub async fn run(common: &Common, verb: BackupVerb) -> anyhow::Result<Exit> {
    match verb {
        BackupVerb::Start(start) => run_start(common, start).await,
        BackupVerb::Status(from) => {
            let report = verify(&from.open(common).await?, Level::Files, None).await?;
            show(common.json, &report, table::status)
        }
        BackupVerb::List(from) => {
            let report = verify(&from.open(common).await?, Level::Files, None).await?;
            list(common.json, &report)
        }
        BackupVerb::Describe(verb) => describe(common, verb).await,
        BackupVerb::Expire(verb) => backup_expire::run(common, verb).await,
        BackupVerb::Pin(verb) => backup_expire::pin(common, verb, true).await,
        BackupVerb::Unpin(verb) => backup_expire::pin(common, verb, false).await,
        BackupVerb::Verify(verb) => {
            let repository = verb.from.open(common).await?;
            let report = match verb.level {
                Level::Restore => {
                    let scratch = verb.scratch.unwrap_or_else(std::env::temp_dir);
                    verify_restored(&repository, verb.subset, &scratch).await?
                }
                level => verify(&repository, level, verb.subset).await?,
            };
            show(common.json, &report, table::verified)
        }
        BackupVerb::Keys(verb) => keys::run(common, verb).await,
    }
}

fn show(
    json: bool,
    report: &Report,
    table: impl Fn(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    if json {
        output::json_lines([report])?;
    } else {
        table(report)?;
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Partly })
}

fn list(json: bool, report: &Report) -> anyhow::Result<Exit> {
    if !json {
        table::bases(report)?;
        return Ok(Exit::Done);
    }
    let line = |history: &History, base: &BaseRow| {
        let mut line = serde_json::to_value(base)?;
        if let Some(line) = line.as_object_mut() {
            line.insert("lineage".to_owned(), history.lineage.clone().into());
        }
        Ok(line)
    };
    let lines = report.bases().map(|(history, base)| line(history, base));
    output::json_lines(lines.collect::<serde_json::Result<Vec<_>>>()?)?;
    Ok(Exit::Done)
}

/// The one base that a name, an index, or the beginning of one means.
pub(super) async fn find_base(
    repository: &Repository,
    wish: &str,
) -> anyhow::Result<(String, BaseName)> {
    let mut found = Vec::new();
    for lineage in repository.lineages().await? {
        for name in repository.bases(&lineage).await? {
            let text = name.name(&lineage);
            let last = text.rsplit('/').next().unwrap_or_default();
            let index = wish.trim_start_matches('@').parse() == Ok(name.index.0);
            if index || last == wish || text == wish || wish == "latest" {
                found.push((lineage.clone(), name));
            }
        }
    }
    if wish == "latest" {
        found = found.into_iter().max_by_key(|(_, name)| name.index).into_iter().collect();
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Exit::Failed, format!("there is no base {wish}")).into()),
        _ => {
            let text = format!("several histories have a base {wish}: write its whole name");
            Err(Failure::usage(text).into())
        }
    }
}

async fn describe(common: &Common, verb: Describe) -> anyhow::Result<Exit> {
    let repository = verb.from.open(common).await?;
    let (lineage, name) = find_base(&repository, &verb.base).await?;
    let base = repository.base(&lineage, &name).await?;
    let lacks = repository.lacks(&base, &repository.pieces().await?);
    if common.json {
        output::json_lines([&base])?;
    } else {
        table::base(&base);
    }
    lacks.iter().for_each(|error| eprintln!("{error}"));
    Ok(if lacks.is_empty() { Exit::Done } else { Exit::Partly })
}

async fn run_start(common: &Common, start: Start) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let before: BaseRun = client.get("/v1/backup/base").await?;
    let path = format!("/v1/backup/base?here={}", start.here);
    let _: BaseRun = client.call(Method::POST, &path, Bytes::new()).await?;
    if start.no_wait {
        return Ok(Exit::Done);
    }
    let bar = if common.json { ProgressBar::hidden() } else { table::bar() };
    let mut look = tokio::time::interval(LOOK);
    let run = loop {
        look.tick().await;
        let run: BaseRun = client.get("/v1/backup/base").await?;
        table::progress(&bar, &run);
        let other = run.begun != before.begun || before.state == BaseState::Running;
        if other && matches!(run.state, BaseState::Done | BaseState::Failed) {
            break run;
        }
    };
    bar.finish_and_clear();
    if common.json {
        output::json_lines([&run])?;
    } else {
        table::run(&run);
    }
    Ok(if run.state == BaseState::Done { Exit::Done } else { Exit::Failed })
}

/// The realtime archive.
#[derive(Debug, Subcommand)]
pub enum ArchiveVerb {
    /// Show how far the archive is behind, and why
    Status,
}

/// # Errors
/// When no server runs, or none of its configuration has a repository.
pub async fn archive(common: &Common, _: ArchiveVerb) -> anyhow::Result<Exit> {
    let status: Option<ArchiveStatus> = common.client()?.get("/v1/archive").await?;
    let Some(status) = status else {
        let text = "this node has no repository: set backup.repository";
        return Err(Failure::new(Exit::Failed, text).into());
    };
    if common.json {
        output::json_lines([&status])?;
    } else {
        table::archive(&status, "");
    }
    let well = status.error.is_none() && status.state != ArchiveState::Failing;
    Ok(if well { Exit::Done } else { Exit::Partly })
}
