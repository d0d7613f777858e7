//! Waits for a search or export, and tells how far it is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use redoubt_log::id::OperationId;

use super::Common;
use super::discover::counted;
use crate::admin::client::Client;
use crate::admin::discovery::wire::JobLine;

/// How often the server is asked how far it is.
const ASK_SOON: Duration = Duration::from_millis(50);
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often it is told where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A line that changes on a terminal, a line now and then elsewhere: JSON with `--json`, all on
/// standard error.
struct Progress {
    bar: ProgressBar,
    json: bool,
    terminal: bool,
    told: Instant,
}

impl Progress {
    fn new(common: &Common) -> Self {
        let terminal = std::io::stderr().is_terminal() && !common.json;
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(target);
        Self { bar, json: common.json, terminal, told: Instant::now() }
    }

    fn tell(&mut self, job: &JobLine) {
        self.bar.set_message(so_far(job));
        self.bar.tick();
        if self.terminal || self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let line = if self.json { serde_json::to_string(job).ok() } else { Some(so_far(job)) };
        // Whoever closed it does not want to know.
        let _ = line.map(|line| writeln!(std::io::stderr(), "{line}"));
    }
}

/// How far a job is, how fast it goes, and when it is done.
pub(super) fn so_far(job: &JobLine) -> String {
    let JobLine { accounts_done, accounts, looked, found, failed, effort, .. } = job;
    let mut text = match job.work.as_str() {
        "search" => format!(
            "{accounts_done} of {}, {looked} looked at, {found} found",
            counted(*accounts, "account")
        ),
        _ => format!("{} of {} written", found + failed, counted(effort.all, "email")),
    };
    if let (Some(rate), Some(left)) = (job.per_second, job.seconds_left) {
        let left = indicatif::HumanDuration(Duration::from_secs(left));
        text += &format!(", {rate:.0} a second, {left} left");
    }
    if let Some(why) = &job.why {
        text += &format!("; {why}");
    }
    text
}

/// Waits for the end of a job.
///
/// # Errors
/// Those of the server.
pub(super) async fn wait(
    common: &Common,
    client: &Client,
    job: OperationId,
) -> anyhow::Result<JobLine> {
    let (mut progress, mut pause) = (Progress::new(common), ASK_SOON);
    loop {
        let line: JobLine = client.get(&format!("/v1/discovery/jobs/{job}")).await?;
        if line.phase.has_ended() {
            progress.bar.finish_and_clear();
            return Ok(line);
        }
        progress.tell(&line);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_EVERY);
    }
}
