//! `redoubt recover`: a data directory out of the backup repository, on a bare machine.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use redoubt_log::dump::rfc3339;
use redoubt_snapshot::plan::{Plan, Target, lineage, plan};
use redoubt_snapshot::recover::{Done, Wishes, check_empty, recover};
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
    /// Which history, where the repository holds several.
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

/// # Errors
/// Those of the repository; nothing is at `--into` then.
pub async fn run(common: &Common, verb: Recover) -> anyhow::Result<Exit> {
    let target = target(&verb.at)?;
    check_empty(&verb.into)?;
    let repository = verb.from.clone().open(common).await?;
    let lineage = lineage(&repository, verb.lineage.as_deref()).await?;
    let plan = plan(&repository, &lineage, target, &mut |_| {}).await?;
    if verb.keep_uidvalidity && !plan.is_latest() {
        let text = "--keep-uidvalidity is for the latest moment only: what came later is lost";
        return Err(Failure::new(Exit::Refused, text).into());
    }
    let text = describe(&plan, &verb);
    output::confirm(&text, common.yes)?;
    if common.yes && !common.json {
        println!("{text}");
    }
    let bar = bar(common.json, plan.index.0);
    let wishes = Wishes { keep_validity: verb.keep_uidvalidity, missing: verb.missing };
    let mut progress = |done, _| bar.set_position(done);
    let done = recover(&repository, &plan, &verb.into, wishes, &mut progress).await;
    bar.finish_and_clear();
    tell(common.json, &verb, &done?)
}

fn bar(json: bool, entries: u64) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(entries.saturating_add(1));
    let style = "{bar:30} {pos}/{len} entries {per_sec}, {eta} left";
    ProgressStyle::with_template(style).map_or(bar.clone(), |style| bar.with_style(style))
}

fn describe(plan: &Plan, verb: &Recover) -> String {
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
    format!(
        "{} becomes a cluster of its own, made of history {} up to entry {} of {}: {later}; \
         {} ranges of the log are read; {validity}.{damaged}",
        verb.into.display(),
        plan.lineage,
        plan.index,
        rfc3339(plan.time),
        plan.ranges.len()
    )
}

fn tell(json: bool, verb: &Recover, done: &Done) -> anyhow::Result<Exit> {
    let Done { recovered, entries, blobs, bytes, missing } = done;
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
    }
    Ok(if *missing == 0 { Exit::Done } else { Exit::Partly })
}
