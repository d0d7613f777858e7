//! What `backup` and `archive status` print for people.

use indicatif::{ProgressBar, ProgressStyle};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{LogIndex, Timestamp};
use redoubt_snapshot::archive::{ArchiveStatus, BasePhase, BaseRun, BaseState};
use redoubt_snapshot::repo::base::Description;
use redoubt_snapshot::verify::{BaseRow, History, Report, Span, Status};

use crate::output;

fn moment(time: Option<i64>) -> String {
    time.map_or_else(|| "-".to_owned(), |ms| rfc3339(Timestamp(ms)))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Mixed => "mixed",
        Status::Error => "error",
    }
}

fn ratio(report: &Report) -> String {
    report.ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} of mail for each octet"))
}

/// The moments that can be had, a line each.
pub(super) fn status(report: &Report) -> anyhow::Result<()> {
    let word = if report.findings.is_empty() { "ok" } else { "damaged" };
    let (objects, blobs, bytes) = (report.objects, report.blobs, output::bytes(report.bytes));
    println!("{word}: {objects} objects, {bytes}, {blobs} blobs{}", ratio(report));
    let rows: Vec<[String; 7]> = report.histories.iter().flat_map(lines).collect();
    let heading = ["history", "status", "earliest", "latest", "from", "bases", "ranges"];
    output::table(heading, &rows)?;
    findings(report);
    Ok(())
}

fn lines(history: &History) -> Vec<[String; 7]> {
    let line = |span: Option<&Span>| {
        let at = |index: Option<LogIndex>, time: Option<i64>| {
            index.map_or_else(|| "-".to_owned(), |index| format!("{} @{index}", moment(time)))
        };
        let from = span.map_or("-", |span| if span.base { "base" } else { "entry 0" });
        [
            history.lineage.clone(),
            word(history.status).to_owned(),
            at(span.map(|span| span.first), span.and_then(|span| span.first_time)),
            at(span.map(|span| span.last), span.and_then(|span| span.last_time)),
            from.to_owned(),
            history.bases.len().to_string(),
            history.ranges.to_string(),
        ]
    };
    match history.spans.as_slice() {
        [] => vec![line(None)],
        spans => spans.iter().map(|span| line(Some(span))).collect(),
    }
}

/// What verifying came to.
pub(super) fn verified(report: &Report) -> anyhow::Result<()> {
    status(report)?;
    if report.read > 0 {
        println!("{} were read", output::bytes(report.read));
    }
    if let Some(restored) = &report.restored {
        let begin = restored.base.map_or_else(|| "entry 0".into(), |base| format!("base @{base}"));
        println!(
            "restored from {begin} to entry {}: {} entries in {:.1} s, {} times the state that \
             was recorded; it is {}",
            restored.index,
            restored.entries,
            restored.took_ms as f64 / 1e3,
            restored.compared,
            restored.state_hash
        );
    }
    Ok(())
}

fn findings(report: &Report) {
    for finding in &report.findings {
        let affects = finding.affects.as_ref();
        let affects = affects.map_or_else(String::new, |what| format!(" (affects {what})"));
        println!("{}: {}{affects}", finding.object, finding.problem);
    }
}

/// The bases, a line each.
pub(super) fn bases(report: &Report) -> anyhow::Result<()> {
    let row = |(history, base): (&History, &BaseRow)| {
        [
            base.name.clone(),
            moment(Some(base.time)),
            base.counts.emails.to_string(),
            output::bytes(base.counts.raw_bytes),
            output::bytes(base.sizes.files),
            output::bytes(base.sizes.sent.saturating_add(base.sizes.blobs)),
            if base.pinned { "yes".to_owned() } else { String::new() },
            history.lineage.clone(),
        ]
    };
    let rows: Vec<_> = report.bases().map(row).collect();
    output::table(["base", "moment", "emails", "mail", "state", "sent", "pinned", "history"], &rows)
}

/// All that a base says of itself, but for its pieces.
pub(super) fn base(base: &Description) {
    let name = base.name().name(&base.lineage);
    println!("name        {}", name.rsplit('/').next().unwrap_or_default());
    println!("history     {}", base.lineage);
    println!("moment      {} @{}", rfc3339(base.time()), base.index());
    println!("chain       {}", base.manifest.chain);
    println!("state hash  {}", base.manifest.state_hash);
    println!("taken       {} to {}", moment(Some(base.begun)), moment(Some(base.ended)));
    println!("by          node {}, redoubt {}, level {}", base.node, base.version, base.level);
    let counts = base.counts;
    println!(
        "holds       {} accounts, {} mailboxes, {} emails of {}, {} blobs",
        counts.accounts,
        counts.mailboxes,
        counts.emails,
        output::bytes(counts.raw_bytes),
        base.blobs.count
    );
    let sizes = base.sizes;
    println!(
        "takes       {} in {} files; {} and {} of blobs were sent, {} were there",
        output::bytes(sizes.files),
        base.files.len(),
        output::bytes(sizes.sent),
        output::bytes(sizes.blobs),
        output::bytes(sizes.reused)
    );
}

/// A bar for a base under way.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {msg}";
    ProgressStyle::with_template(style).map_or(bar.clone(), |style| bar.with_style(style))
}

pub(super) fn progress(bar: &ProgressBar, run: &BaseRun) {
    bar.set_length(run.all);
    bar.set_position(run.done);
    let what = match run.phase {
        BasePhase::Checkpoint => "the state is read".to_owned(),
        BasePhase::Blobs => format!("{} of blobs", output::bytes(run.blobs)),
        BasePhase::Files => String::new(),
    };
    bar.set_message(run.error.clone().unwrap_or(what));
}

/// What came of a base.
pub(super) fn run(run: &BaseRun) {
    let index = run.index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    let took = run.took_ms as f64 / 1e3;
    let sent = output::bytes(run.sent.saturating_add(run.blobs));
    match (&run.error, run.state) {
        (Some(error), _) => println!("no base was taken: {error}"),
        (None, BaseState::Done) => {
            let all = output::bytes(run.all);
            println!("base @{index}: {all} in {took:.1} s, {sent} of it and of blobs were sent");
        }
        (None, _) => println!("base @{index}: {sent} sent in {took:.1} s"),
    }
}

/// How the archive is.
pub(super) fn archive(status: &ArchiveStatus, indent: &str) {
    let index = status.index.map_or_else(|| "nothing".into(), |index| format!("entry {index}"));
    let time = status.time.map_or_else(String::new, |time| format!(" of {}", rfc3339(time)));
    println!("{indent}repository  {}", status.repository);
    println!("{indent}state       {:?}", status.state);
    println!("{indent}archived    {index}{time}");
    let (records, behind) = (status.lag_records, status.lag_ms as f64 / 1e3);
    println!("{indent}behind      {records} records, {behind:.1} s");
    let (entries, blobs, sent) = (status.entries, status.blobs, output::bytes(status.bytes));
    println!("{indent}sent        {entries} entries, {blobs} blobs, {sent}");
    if let Some(node) = status.feeder {
        println!("{indent}fed by      node {node}");
    }
    if let Some(error) = &status.error {
        println!("{indent}error       {error} ({} times)", status.failures);
    }
    if status.base.state != BaseState::None {
        print!("{indent}base        {:?}: ", status.base.state);
        run(&status.base);
    }
    if let Some(last) = &status.verify.last {
        let (when, level) = (moment(Some(last.begun)), last.level);
        let found = last.first.as_deref().unwrap_or("nothing was found");
        println!("{indent}verified    {when}, {level:?}: {found}");
    }
    if let Some(last) = &status.expire.last {
        let (when, freed) = (moment(Some(last.ended)), output::bytes(last.bytes));
        println!("{indent}expired     {when}: {} bases, {freed}", last.bases);
    }
    if let Some(error) = &status.expire.error {
        println!("{indent}not expired {error}");
    }
}
