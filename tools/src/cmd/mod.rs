//! The verbs, one file each.

pub mod account;
pub mod alias;
pub mod approval;
pub mod audit;
pub mod audit_list;
pub mod audit_verify;
pub mod backup;
mod backup_expire;
mod backup_keys;
mod backup_table;
pub mod bench;
pub mod capture;
pub mod check;
pub mod class;
pub mod cluster;
mod cluster_recover;
mod cluster_table;
pub mod config;
pub mod deliver;
pub mod diff;
pub mod discover;
mod discover_wait;
pub mod domain;
pub mod dump;
pub mod erase;
pub mod export;
pub mod find;
pub mod history;
pub mod hold;
pub mod import;
pub mod label;
pub mod ls;
pub mod mailbox;
pub mod matter;
pub mod past;
pub mod policy;
pub mod rebuild;
pub mod recover;
pub mod reload;
pub mod restore;
pub mod role;
pub mod serve;
pub mod show;
pub mod status;
pub mod stop;
pub mod token;
pub mod verify_export;
pub mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use redoubt_log::databases;

use crate::admin::client::Client;
use crate::admin::roles::PREFIX;
use crate::config::Config;
use crate::exit::{Exit, Failure, code_of};

/// A mailstore on a redo log: nothing lost, any moment back.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly done or not proven,
/// 4 server not reachable, 5 refused, 6 needs --yes.
#[derive(Debug, Parser)]
#[command(name = "redoubt", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE", env = "REDOUBT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data directory; above the configuration's `data`.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// Do it without asking.
    #[arg(long, global = true)]
    pub yes: bool,
    /// A file with a personal token; above REDOUBT_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Common {
    /// The configuration with what the command line says above it.
    ///
    /// # Errors
    /// [`Exit::Usage`] with the key and what to write instead.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config =
            crate::config::load(self.config.as_deref(), |name| std::env::var(name).ok())
                .map_err(|error| Failure::usage(error.to_string()))?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }

    /// The running server.
    ///
    /// # Errors
    /// Those of [`Common::config`].
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.config()?.admin_socket()).with_token(self.token()?))
    }

    /// The personal token that is given, if one is.
    fn token(&self) -> anyhow::Result<Option<String>> {
        let text = match &self.token_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("--token-file {}: {error}", file.display()))
            })?),
            None => std::env::var("REDOUBT_TOKEN").ok(),
        };
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match text {
            Some(text) if !text.starts_with(PREFIX) || text.contains(char::is_whitespace) => {
                Err(Failure::usage("this is no personal token: `redoubt token add` makes one")
                    .into())
            }
            text => Ok(text),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve(serve::Serve),
    /// Stop the running server, after its sessions' commands have ended
    Stop(stop::Stop),
    /// Read certificates again, without a pause
    Reload,
    /// Show what the running server does
    Status,
    /// Read documents for a server that started this
    #[command(hide = true)]
    ExtractWorker,
    /// Check every invariant and every blob of a data directory
    Check(check::Check),
    /// Build the views again from the log
    Rebuild(rebuild::Rebuild),
    /// Print the log
    Dump(dump::Dump),
    /// Domains
    #[command(subcommand)]
    Domain(domain::Domain),
    /// Accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Classes of service: quotas, history and limits for many accounts
    #[command(subcommand)]
    Class(class::Class),
    /// Mail that is kept in archive accounts too
    #[command(subcommand)]
    Capture(capture::Capture),
    /// Retention policies: what is kept for how long, and when it goes
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// Explain why an email is kept, and when it goes
    Why(why::Why),
    /// Put policies on emails, or take them off
    #[command(subcommand)]
    Label(label::LabelVerb),
    /// Other names for accounts
    #[command(subcommand)]
    Alias(alias::Alias),
    /// Who may do what
    #[command(subcommand)]
    Role(role::RoleVerb),
    /// Personal tokens, by which people show who they are
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Matters: what is looked into, by whom, and in whose mail
    #[command(subcommand)]
    Matter(matter::MatterVerb),
    /// What a second person has to approve
    #[command(subcommand)]
    Approval(approval::ApprovalVerb),
    /// Mailboxes of an account
    #[command(subcommand)]
    Mailbox(mailbox::Mailbox),
    /// Members of the cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterVerb),
    /// List mailboxes, or the emails of one, as they are or were
    Ls(ls::Ls),
    /// Find emails, also those that were expunged
    Find(find::Find),
    /// Show an email, as it is or was
    Show(show::Show),
    /// Tell what happened to an email, a mailbox or an account, when and by whom
    History(history::History),
    /// Tell what is different between two moments
    Diff(diff::Diff),
    /// The backup repository
    #[command(subcommand)]
    Backup(backup::BackupVerb),
    /// The realtime archive into it
    #[command(subcommand)]
    Archive(backup::ArchiveVerb),
    /// Make a data directory of the repository, on a bare machine
    Recover(recover::Recover),
    /// Deliver a message through the running server
    Deliver(deliver::Deliver),
    /// Bring back what was
    #[command(subcommand)]
    Restore(restore::Restore),
    /// Take over mail from mbox, Maildir or EML files
    Import(import::Import),
    /// Search many accounts, live and in history
    Discover(discover::Discover),
    /// Holds: what is kept whatever else is said
    #[command(subcommand)]
    Hold(hold::HoldVerb),
    /// Write out what a search found, with proofs
    Export(export::Export),
    /// Let mail go for good, with all that is known of it
    #[command(subcommand)]
    Erase(erase::Erase),
    /// Heads of the log that others can hold it to
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Check an export, without a server
    VerifyExport(verify_export::VerifyExport),
    /// Measure this machine's disk, and a fresh server on it
    Bench(bench::Bench),
    /// The configuration
    #[command(subcommand)]
    Config(config::ConfigVerb),
}

/// How long the end of the process waits for databases.
const CLOSED: Duration = Duration::from_secs(10);

/// Runs the verb that the command line names.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.verb, Verb::ExtractWorker) {
        return redoubt_extract::worker::main();
    }
    if !matches!(cli.verb, Verb::Serve(_)) {
        end_where_nobody_reads();
    }
    let ended = run(cli);
    if !databases::all_closed_within(CLOSED) {
        eprintln!("redoubt: a database is still being closed; nothing is lost by that");
    }
    match ended {
        Ok(exit) => exit.into(),
        // `redoubt account list | head`: whoever reads has enough.
        Err(error) if nobody_reads(&error) => Exit::Done.into(),
        Err(error) => {
            eprintln!("redoubt: {error:#}");
            code_of(&error).into()
        }
    }
}

/// `println!` panics where whoever read has enough; that is no fault of the verb, which ends.
fn end_where_nobody_reads() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(Exit::Done as i32);
        }
        others(panic);
    }));
}

fn nobody_reads(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let json = || error.downcast_ref::<serde_json::Error>().and_then(|e| e.io_error_kind());
    io.or_else(json) == Some(std::io::ErrorKind::BrokenPipe)
}

fn run(Cli { common, verb }: Cli) -> anyhow::Result<Exit> {
    if let Verb::Serve(verb) = verb {
        return serve::run(&common, verb);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(client_verb(&common, verb))
}

async fn client_verb(common: &Common, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Serve(_) | Verb::ExtractWorker => {
            Err(Failure::usage("this verb is no client's").into())
        }
        Verb::Stop(verb) => stop::run(common, verb).await,
        Verb::Reload => reload::run(common).await,
        Verb::Status => status::run(common).await,
        Verb::Check(verb) => check::run(common, verb).await,
        Verb::Rebuild(verb) => rebuild::run(common, verb).await,
        Verb::Dump(verb) => dump::run(common, verb).await,
        Verb::Domain(verb) => domain::run(common, verb).await,
        Verb::Account(verb) => account::run(common, verb).await,
        Verb::Class(verb) => class::run(common, verb).await,
        Verb::Capture(verb) => capture::run(common, verb).await,
        Verb::Policy(verb) => policy::run(common, verb).await,
        Verb::Why(verb) => why::run(common, verb).await,
        Verb::Label(verb) => label::run(common, verb).await,
        Verb::Alias(verb) => alias::run(common, verb).await,
        Verb::Role(verb) => role::run(common, verb).await,
        Verb::Token(verb) => token::run(common, verb).await,
        Verb::Matter(verb) => matter::run(common, verb).await,
        Verb::Approval(verb) => approval::run(common, verb).await,
        Verb::Mailbox(verb) => mailbox::run(common, verb).await,
        Verb::Cluster(verb) => cluster::run(common, verb).await,
        Verb::Ls(verb) => ls::run(common, verb).await,
        Verb::Find(verb) => find::run(common, verb).await,
        Verb::Show(verb) => show::run(common, verb).await,
        Verb::History(verb) => history::run(common, verb).await,
        Verb::Diff(verb) => diff::run(common, verb).await,
        Verb::Backup(verb) => backup::run(common, verb).await,
        Verb::Archive(verb) => backup::archive(common, verb).await,
        Verb::Recover(verb) => recover::run(common, verb).await,
        Verb::Deliver(verb) => deliver::run(common, verb).await,
        Verb::Restore(verb) => restore::run(common, verb).await,
        Verb::Import(verb) => import::run(common, verb).await,
        Verb::Discover(verb) => discover::run(common, verb).await,
        Verb::Hold(verb) => hold::run(common, verb).await,
        Verb::Export(verb) => export::run(common, verb).await,
        Verb::Erase(verb) => erase::run(common, verb).await,
        Verb::Audit(verb) => audit::run(common, verb).await,
        Verb::VerifyExport(verb) => verify_export::run(common, verb).await,
        Verb::Bench(verb) => bench::run(common, verb).await,
        Verb::Config(verb) => config::run(common, verb),
    }
}
