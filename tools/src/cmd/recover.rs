//! `redoubt recover`: a data directory out of the backup repository, on a bare machine.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use redoubt_log::dump::rfc3339;
use redoubt_log::record::Address;
use redoubt_snapshot::plan::{Plan, Target, lineage, plan};
use redoubt_snapshot::recover::{Done, Progress, Wishes, check_empty, recover};
use redoubt_store::account::normal_address;
use redoubt_store::moment::Moment;

use super::Common;
use super::backup::From;
use crate::exit::{Exit, Failure};
use crate::output;

/// Makes a data directory of what the repository holds, as a cluster of its own.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    from: From,
    /// The moment: `latest`, a time (`2026-03-01T12:00:00Z`, `yesterday 14:00`, `-2h`), or an
    /// index (`@1234`).
    #[arg(long, default_value = "latest", value_name = "MOMENT", allow_hyphen_values = true)]
    at: String,
    /// The new data directory; it must not be there, or be empty.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Only this account, by the address that it has at the moment, or had when it was deleted.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// Which history, where the repository holds several that no other goes on from.
    #[arg(long)]
    lineage: Option<String>,
    /// Recover although blobs are not in the repository.
    #[arg(long)]
    missing: bool,
    /// Clients keep what they have: only when it is certain that nothing was lost.
    #[arg(long)]
    keep_uidvalidity: bool,
}

fn target(text: &str) -> anyhow::Result<Target> {
    if text == "latest" {
        return Ok(Target::Latest);
    }
    let moment = Moment::parse(text, &jiff::Zoned::now())
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(match moment {
        Moment::Index(index) => Target::Index(index),
        Moment::Time(time) => Target::Time(time),
    })
}

fn address(common: &Common, name: &str) -> anyhow::Result<Address> {
    let domain = common.config()?.default_domain;
    let wrong = || Failure::usage(format!("{name} is no address"));
    Ok(normal_address(name, &domain).ok_or_else(wrong)?)
}

/// # Errors
/// Those of the repository; nothing is at `--into` then.
pub async fn run(common: &Common, verb: Recover) -> anyhow::Result<Exit> {
    let target = target(&verb.at)?;
    let account = verb.account.as_deref().map(|name| address(common, name)).transpose()?;
    check_empty(&verb.into)?;
    let repository = verb.from.clone().open(common).await?;
    let lineage = lineage(&repository, verb.lineage.as_deref()).await?;
    let plan = plan(&repository, &lineage, target, &mut |_| {}).await?;
    if verb.keep_uidvalidity && !plan.is_latest() {
        let text = "--keep-uidvalidity is for the latest moment only: what came later is lost";
        return Err(Failure::new(Exit::Refused, text).into());
    }
    let text = describe(&plan, &verb, account.as_ref());
    output::confirm(&text, common.yes)?;
    if common.yes && !common.json {
        println!("{text}");
    }
    let mut bars = Bars::new(common.json);
    let (keep_validity, missing) = (verb.keep_uidvalidity, verb.missing);
    let wishes = Wishes { account, keep_validity, missing };
    let mut progress = |progress| bars.show(progress);
    let done = recover(&repository, &plan, &verb.into, wishes, &mut progress).await;
    bars.bar.finish_and_clear();
    tell(common.json, &verb, &plan, &done?)
}

/// One bar after the other, each of its own phase.
struct Bars {
    bar: ProgressBar,
    phase: Option<&'static str>,
    hidden: bool,
}

impl Bars {
    fn new(hidden: bool) -> Self {
        Self { bar: ProgressBar::hidden(), phase: None, hidden }
    }

    fn show(&mut self, progress: Progress) {
        let (phase, done, all) = match progress {
            Progress::Base { done, all } => (BASE, done, all),
            Progress::Entries { done, all } => (ENTRIES, done, all),
            Progress::Later { done, all } => (LATER, done, all),
            Progress::Blobs { done, all } => (CONTENT, done, all),
        };
        if self.phase != Some(phase) && !self.hidden {
            self.phase = Some(phase);
            self.bar.finish_and_clear();
            let style = ProgressStyle::with_template(phase);
            let bar = ProgressBar::new(all);
            self.bar = style.map_or(bar.clone(), |style| bar.with_style(style));
        }
        self.bar.set_position(done);
    }
}

const BASE: &str = "the base   {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
const ENTRIES: &str = "the log    {bar:30} {pos}/{len} entries, {per_sec}, {eta} left";
const LATER: &str = "what binds {bar:30} {pos}/{len} entries, {per_sec}, {eta} left";
const CONTENT: &str = "content    {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";

fn describe(plan: &Plan, verb: &Recover, account: Option<&Address>) -> String {
    let later = match plan.is_latest() {
        true => "that is all that the repository holds".to_owned(),
        false => format!(
            "NOT RECOVERED: what came later, up to entry {} of {}",
            plan.newest,
            rfc3339(plan.newest_time)
        ),
    };
    let validity = match verb.keep_uidvalidity {
        true => "UIDVALIDITY stays",
        false => "every mailbox gets a new UIDVALIDITY, and clients download again",
    };
    let damaged: String =
        plan.damaged.iter().map(|what| format!("\npassed over: {what}")).collect();
    let blind = plan.blind.map_or(String::new(), |index| {
        format!(
            "\nholds that were set or released from entry {index} on are not known: it is in no \
             sound range"
        )
    });
    let what = account.map_or("all accounts".to_owned(), |address| {
        format!("the account {address} and nothing of any other")
    });
    let begins = plan.base.as_ref().map_or("from the first entry on".to_owned(), |base| {
        format!("the base of entry {} is fetched and", base.index())
    });
    let parents: String = plan
        .stages
        .iter()
        .rev()
        .skip(1)
        .map(|stage| {
            format!("\nwhich goes on from history {} at entry {}", stage.lineage, stage.upto)
        })
        .collect();
    format!(
        "{} becomes a cluster of its own, made of {what} in history {} up to entry {} of {}: \
         {later}; {begins} {} ranges of the log are read; {validity}.{parents}{blind}{damaged}",
        verb.into.display(),
        plan.lineage,
        plan.index,
        rfc3339(plan.time),
        plan.ranges()
    )
}

fn tell(json: bool, verb: &Recover, plan: &Plan, done: &Done) -> anyhow::Result<Exit> {
    let Done { recovered, entries, blobs, bytes, missing, holds_over_none, blind } = done;
    if json {
        output::json_lines([serde_json::json!({
            "into": verb.into,
            "node": recovered.identity.node,
            "cluster": recovered.identity.lineage,
            "index": recovered.index,
            "time": rfc3339(recovered.time),
            "state_hash": recovered.state_hash,
            "entries": entries,
            "blobs": blobs,
            "bytes": bytes,
            "missing": missing,
            "not_recovered": { "upto": plan.newest, "time": rfc3339(plan.newest_time) },
            "holds_over_none": holds_over_none,
            "holds_unknown_from": blind,
        })])?;
    } else {
        let into = verb.into.display();
        println!(
            "done: {entries} entries and {blobs} blobs, {}; {missing} blobs were missing. The state \
             at entry {} is {}. Start it with `redoubt serve --data {into}`, and run `redoubt check`",
            output::bytes(*bytes),
            recovered.index,
            recovered.state_hash
        );
        if let Some(index) = blind {
            println!("holds that were set or released from entry {index} on are not known");
        }
        if *holds_over_none > 0 {
            println!(
                "{holds_over_none} holds are over accounts that were made later: what they hold \
                 is in the repository alone"
            );
        }
    }
    Ok(if *missing == 0 && blind.is_none() { Exit::Done } else { Exit::Partly })
}
