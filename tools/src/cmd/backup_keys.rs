//! `redoubt backup keys ...`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use redoubt_log::id::Timestamp;
use redoubt_snapshot::repo::bundle::{Bundle, Opener};
use redoubt_snapshot::repo::{MasterKey, keys};
use redoubt_store::mailstore::{Layout, NodeFile};

use super::Common;
use super::backup::From;
use crate::exit::{Exit, Failure};
use crate::{backup, output};

/// Octets of the shortest passphrase.
const LEAST: usize = 12;

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
    /// Write the other secrets of this node, sealed, to a file for a second place: TLS keys,
    /// the cluster's authority, the shard's secret
    Export {
        /// The file; it must not be there.
        file: PathBuf,
        /// A file whose first line is the passphrase that opens it; the repository's key, which
        /// is then in it too. Without this the repository's key opens it.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Write what `export` wrote into a data directory, where it is not there
    Import {
        /// The file.
        file: PathBuf,
        /// The data directory.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// A file whose first line is the passphrase.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// # Errors
/// Those of the repository, and of key files.
pub(super) async fn run(common: &Common, verb: Keys) -> anyhow::Result<Exit> {
    match verb {
        Keys::Init { file } => {
            let key = MasterKey::make(&file)?;
            let path = file.display();
            println!("{}", key.id());
            eprintln!("{path} is the key. Keep a copy elsewhere: without it the backup is lost");
        }
        Keys::Export { file, passphrase_file } => {
            export(common, &file, passphrase_file.as_deref())?;
        }
        Keys::Import { file, into, passphrase_file } => {
            import(common, &file, &into, passphrase_file.as_deref())?;
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

async fn rotate(common: &Common, from: From, new: &Path) -> anyhow::Result<()> {
    let settings = from.settings(common)?;
    let unnamed = || Failure::usage("no repository: set backup.repository, or say --from");
    let place = backup::place(&settings)?.ok_or_else(unnamed)?;
    let old = MasterKey::read(Path::new(&settings.key_file))?;
    let new = MasterKey::read(new)?;
    keys::rotate(&place.objects(false)?, &old, &new).await?;
    println!("{} opens everything; set backup.key_file on every node, then restart it", new.id());
    Ok(())
}

/// What opens a bundle: a passphrase that was named, else the repository's key.
fn opener(common: &Common, passphrase: Option<&Path>) -> anyhow::Result<Opener> {
    let Some(path) = passphrase else {
        let key_file = common.config()?.backup.key_file;
        let unnamed = "which key seals it? set backup.key_file, or say --passphrase-file";
        return match key_file.as_str() {
            "" | "none" => Err(Failure::usage(unnamed).into()),
            path => Ok(Opener::Key(MasterKey::read(Path::new(path))?)),
        };
    };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    match text.lines().next().map(str::trim_end) {
        Some(words) if words.len() >= LEAST => Ok(Opener::Passphrase(words.to_owned())),
        _ => {
            let text = format!("{}: a passphrase has at least {LEAST} octets", path.display());
            Err(Failure::usage(text).into())
        }
    }
}

fn export(common: &Common, file: &Path, passphrase: Option<&Path>) -> anyhow::Result<()> {
    let config = common.config()?;
    let opener = opener(common, passphrase)?;
    let lineage = NodeFile::load(&Layout::new(&config.data))?.map(|node| node.lineage);
    let mut bundle = Bundle::new(&lineage.unwrap_or_default(), Timestamp::now().0);
    for folder in ["keys", "tls"] {
        for name in names_in(&config.data.join(folder))? {
            let path = format!("{folder}/{name}");
            bundle.add(&path, &config.data.join(&path))?;
        }
    }
    let (tls, peer) = (&config.tls, &config.peer);
    let mut outside = vec![&tls.certificate, &tls.key, &peer.ca, &peer.certificate, &peer.key];
    if matches!(opener, Opener::Passphrase(_)) && config.backup.key_file != "none" {
        outside.push(&config.backup.key_file);
    }
    for path in outside.into_iter().filter(|path| !path.is_empty()) {
        let whole = std::path::absolute(path)?;
        bundle.add(&whole.display().to_string(), &whole)?;
    }
    if bundle.files.is_empty() {
        let text = format!("there are no keys in {}", config.data.display());
        return Err(Failure::new(Exit::Failed, text).into());
    }
    bundle.write(file, &opener)?;
    bundle.files.iter().for_each(|file| println!("{}", file.path));
    eprintln!("{} has these files: keep it apart from the repository", file.display());
    Ok(())
}

fn names_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn import(
    common: &Common,
    file: &Path,
    into: &Path,
    passphrase: Option<&Path>,
) -> anyhow::Result<()> {
    let bundle = Bundle::read(file, &opener(common, passphrase)?)?;
    for (path, written) in bundle.unpack(into)? {
        let what = if written { "written" } else { "was there, stays" };
        println!("{}: {what}", path.display());
    }
    Ok(())
}
