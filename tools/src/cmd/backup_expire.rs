//! `redoubt backup expire`, `pin` and `unpin`

use std::time::Duration;

use clap::Args;
use redoubt_snapshot::expire::{ExpireError, Keep, Plan, Wishes, expire, plan};
use redoubt_snapshot::repo::Repository;

use super::Common;
use super::backup::{From, find_base};
use crate::exit::{Exit, Failure};
use crate::output;

/// `backup expire`
#[derive(Debug, Args)]
pub struct Expire {
    #[command(flatten)]
    from: From,
    /// Keep every moment of so long: `90d`, `12w`, `36h`. Without any wish what the
    /// configuration says (`keep_for_days`, `keep_bases`).
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_for: Option<Duration>,
    /// Keep so many bases, and every moment from the oldest of them on.
    #[arg(long, value_name = "N")]
    keep_bases: Option<usize>,
    /// Remove this base.
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// Remove all of a history that has ended; needs --force.
    #[arg(long, value_name = "HISTORY", conflicts_with = "base")]
    history: Option<String>,
    /// Although moments are lost that were to stay.
    #[arg(long)]
    force: bool,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?}: write 90d, 12w or 36h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(wrong()),
    };
    let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(hours * 3600).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

impl Expire {
    fn keep(&self, common: &Common) -> anyhow::Result<Keep> {
        let asked = self.base.is_some() || self.history.is_some();
        if asked || self.keep_for.is_some() || self.keep_bases.is_some() {
            return Ok(Keep { window: self.keep_for, bases: self.keep_bases });
        }
        let keep = common.config()?.backup.keep();
        if keep.window.is_none() && keep.bases.is_none() {
            let text = "what is to stay? say --keep-for or --keep-bases, or set \
                        backup.keep_for_days or backup.keep_bases";
            return Err(Failure::usage(text).into());
        }
        Ok(keep)
    }
}

/// # Errors
/// When it would remove what is needed, and those of the repository.
pub(super) async fn run(common: &Common, verb: Expire) -> anyhow::Result<Exit> {
    let keep = verb.keep(common)?;
    let repository = verb.from.open(common).await?;
    let base = match &verb.base {
        Some(wish) => Some(find_base(&repository, wish).await?),
        None => None,
    };
    let (history, force) = (verb.history, verb.force);
    let wishes = Wishes { keep, base, history, force, ..Wishes::default() };
    let plan = plan(&repository, &wishes).await.map_err(refused)?;
    if plan.is_empty() {
        if common.json {
            output::json_lines([&plan])?;
        } else {
            println!("nothing goes{}", waiting(&plan));
        }
        return Ok(Exit::Done);
    }
    if common.json {
        output::json_lines([&plan])?;
        output::confirm("", common.yes)?;
    } else {
        let text = describe(&plan);
        output::confirm(&text, common.yes)?;
        println!("{text}");
    }
    done(common.json, &repository, &plan).await
}

async fn done(json: bool, repository: &Repository, plan: &Plan) -> anyhow::Result<Exit> {
    let bar = if json { indicatif::ProgressBar::hidden() } else { super::backup_table::bar() };
    let mut progress = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let removed = expire(repository, plan, &mut progress).await;
    bar.finish_and_clear();
    let removed = removed.map_err(refused)?;
    if !json {
        println!("done: {removed} objects, {}", output::bytes(plan.bytes()));
    }
    Ok(Exit::Done)
}

fn refused(error: ExpireError) -> anyhow::Error {
    match error {
        ExpireError::Repository(error) => error.into(),
        error => Failure::new(Exit::Refused, error.to_string()).into(),
    }
}

fn waiting(plan: &Plan) -> String {
    match plan.waiting.len() {
        0 => String::new(),
        count => format!("; {count} objects wait for their day"),
    }
}

fn describe(plan: &Plan) -> String {
    let mut lines = Vec::new();
    lines.extend(plan.histories.iter().map(|lineage| format!("history  {lineage}")));
    lines.extend(plan.bases.iter().map(|base| format!("base     {base}")));
    let floors = plan.floors.iter().filter(|(lineage, _)| !plan.histories.contains(*lineage));
    lines.extend(floors.map(|(lineage, floor)| {
        format!("log      of {lineage} up to entry {floor}: the earliest moment is then that of it")
    }));
    let sum = |objects: &std::collections::BTreeMap<String, u64>| {
        format!("{} objects, {}", objects.len(), output::bytes(objects.values().sum()))
    };
    lines.push(format!("ranges   {}", sum(&plan.ranges)));
    lines.push(format!("content  {} that nothing needs, named a day ago or more", sum(&plan.now)));
    lines.push(format!("named    {}, to be removed by a run a day from now", sum(&plan.later)));
    lines.join("\n")
}

/// `backup pin` and `backup unpin`
#[derive(Debug, Args)]
pub struct Pin {
    #[command(flatten)]
    from: From,
    /// Its index (`@1234`), its name as `backup list` shows it, or `latest`.
    base: String,
}

/// # Errors
/// When there is no such base, and those of the repository.
pub(super) async fn pin(common: &Common, verb: Pin, stays: bool) -> anyhow::Result<Exit> {
    let repository = verb.from.open(common).await?;
    let (lineage, name) = find_base(&repository, &verb.base).await?;
    match stays {
        true => repository.pin(&lineage, &name).await?,
        false => repository.unpin(&lineage, &name).await?,
    }
    let what = if stays { "stays until it is unpinned" } else { "is expired as others are" };
    println!("the base of entry {} {what}", name.index);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(duration("1w"), duration("168h"));
        for wrong in ["", "5", "d", "-1d", "1y", "99999999999999999999d", "1.5d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
