//! `redoubt backup ...` and `redoubt archive status`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::Timestamp;
use redoubt_snapshot::archive::{ArchiveState, ArchiveStatus};
use redoubt_snapshot::repo::{MasterKey, Repository, keys};
use redoubt_snapshot::verify::{Level, Report, Subset, verify};

use super::Common;
use crate::config::Backup;
use crate::exit::{Exit, Failure};
use crate::{backup, output};

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
    fn settings(self, common: &Common) -> anyhow::Result<Backup> {
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
    /// Show what can be recovered: histories, first and last entry, sizes
    #[command(visible_alias = "list")]
    Status(From),
    /// Look whether everything is there and sound
    Verify(Verify),
    /// Keys that open the repository
    #[command(subcommand)]
    Keys(Keys),
}

/// `backup verify`
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    from: From,
    /// files: all is there, sizes fit; chain: also the log is one chain and has all its
    /// blobs; data: also every octet is read.
    #[arg(long, default_value = "chain", value_parser = level)]
    level: Level,
    /// Of `data` the n-th of t parts, a different one each day.
    #[arg(long, value_name = "n/t", value_parser = subset)]
    subset: Option<Subset>,
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "files" => Ok(Level::Files),
        "chain" => Ok(Level::Chain),
        "data" => Ok(Level::Data),
        _ => Err("write files, chain or data".to_owned()),
    }
}

fn subset(text: &str) -> Result<Subset, String> {
    Subset::parse(text).ok_or_else(|| "write 1/7 for the first of seven parts".to_owned())
}

/// `backup keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key, in a file that is not there yet. Keep a copy elsewhere: without it
    /// the repository is lost
    Init {
        /// The file.
        file: PathBuf,
    },
    /// Let a new key open everything, and seal what comes with data keys that the old
    /// one does not open
    Rotate {
        /// Which repository.
        #[command(flatten)]
        from: From,
        /// The file with the new key.
        #[arg(long, value_name = "FILE")]
        new: PathBuf,
    },
    /// Show the keys that open the repository
    List(From),
}

/// # Errors
/// Those of the repository.
pub async fn run(common: &Common, verb: BackupVerb) -> anyhow::Result<Exit> {
    match verb {
        BackupVerb::Status(from) => {
            let repository = from.open(common).await?;
            let report = verify(&repository, Level::Chain, None).await?;
            show(common.json, &report)
        }
        BackupVerb::Verify(verb) => {
            let repository = verb.from.open(common).await?;
            let report = verify(&repository, verb.level, verb.subset).await?;
            show(common.json, &report)
        }
        BackupVerb::Keys(verb) => keys_verb(common, verb).await,
    }
}

fn show(json: bool, report: &Report) -> anyhow::Result<Exit> {
    if json {
        output::json_lines([report])?;
    } else {
        table(report)?;
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Partly })
}

fn table(report: &Report) -> anyhow::Result<()> {
    let word = if report.findings.is_empty() { "ok" } else { "damaged" };
    let index = |index: Option<redoubt_log::id::LogIndex>| {
        index.map_or_else(|| "-".to_owned(), |index| index.to_string())
    };
    let rows: Vec<[String; 5]> = report
        .histories
        .iter()
        .map(|history| {
            let time = history.time.map_or_else(|| "-".to_owned(), |ms| rfc3339(Timestamp(ms)));
            let (first, last) = (index(history.first), index(history.last));
            [history.lineage.clone(), first, last, time, history.ranges.to_string()]
        })
        .collect();
    let (objects, blobs) = (report.objects, report.blobs);
    println!("{word}: {objects} objects, {}, {blobs} blobs", output::bytes(report.bytes));
    output::table(["history", "first", "last", "time", "ranges"], &rows)?;
    for finding in &report.findings {
        println!("{}: {}", finding.object, finding.problem);
    }
    Ok(())
}

async fn keys_verb(common: &Common, verb: Keys) -> anyhow::Result<Exit> {
    match verb {
        Keys::Init { file } => {
            let key = MasterKey::make(&file)?;
            let path = file.display();
            println!("{}", key.id());
            eprintln!("{path} is the key. Keep a copy elsewhere: without it the backup is lost");
        }
        Keys::Rotate { from, new } => rotate(common, from, &new).await?,
        Keys::List(from) => {
            let settings = from.settings(common)?;
            let unnamed = || Failure::usage("no repository: set backup.repository, or say --from");
            let place = backup::place(&settings)?.ok_or_else(unnamed)?;
            let listed = keys::list(&place.objects(false)?).await?;
            let hex = redoubt_snapshot::repo::seal::hex;
            let rows: Vec<_> = listed
                .iter()
                .map(|key| [key.number.to_string(), hex(&key.data), hex(&key.master)])
                .collect();
            output::table(["number", "data key", "opened by"], &rows)?;
        }
    }
    Ok(Exit::Done)
}

async fn rotate(common: &Common, from: From, new: &std::path::Path) -> anyhow::Result<()> {
    let settings = from.settings(common)?;
    let unnamed = || Failure::usage("no repository: set backup.repository, or say --from");
    let place = backup::place(&settings)?.ok_or_else(unnamed)?;
    let old = MasterKey::read(std::path::Path::new(&settings.key_file))?;
    let new = MasterKey::read(new)?;
    keys::rotate(&place.objects(false)?, &old, &new).await?;
    println!("{} opens everything; set backup.key_file on every node, then restart it", new.id());
    Ok(())
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
        lines(&status);
    }
    let well = status.error.is_none() && status.state != ArchiveState::Failing;
    Ok(if well { Exit::Done } else { Exit::Partly })
}

fn lines(status: &ArchiveStatus) {
    let index = status.index.map_or_else(|| "nothing".into(), |index| format!("entry {index}"));
    let time = status.time.map_or_else(String::new, |time| format!(" of {}", rfc3339(time)));
    println!("repository  {}", status.repository);
    println!("state       {:?}", status.state);
    println!("archived    {index}{time}");
    println!("behind      {} records, {:.1} s", status.lag_records, status.lag_ms as f64 / 1e3);
    println!(
        "sent        {} entries, {} blobs, {}",
        status.entries,
        status.blobs,
        output::bytes(status.bytes)
    );
    if let Some(error) = &status.error {
        println!("error       {error} ({} times)", status.failures);
    }
}
