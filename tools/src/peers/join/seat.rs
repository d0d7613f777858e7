//! A joiner's last steps: it runs, and asks until it is a voter.

use std::time::Duration;

use redoubt_store::mailstore::{Joining, Mailstore};

use super::enter::ask;
use super::wire::{Answer, Question, SeatQuestion};
use crate::exit::{Exit, Failure};
use crate::peers::Token;

const PAUSE: Duration = Duration::from_millis(300);
/// One line in the log for so many questions.
const TOLD: u32 = 10;

/// Asks the members for this node's seat until it votes, and remembers that it
/// does. Nothing to do for a node that has joined. `progress` gets what is to be
/// told meanwhile.
///
/// # Errors
/// When the cluster refuses, or the store has stopped.
pub async fn take_seat(
    mailstore: &Mailstore,
    address: &str,
    progress: impl Fn(&str),
) -> anyhow::Result<()> {
    let Some(joining) = mailstore.membership().joining else { return Ok(()) };
    tokio::select! {
        done = ask_until_voter(mailstore, &joining, address, progress) => done?,
        why = mailstore.stopped() => anyhow::bail!("the store has stopped: {why}"),
    }
    let store = mailstore.clone();
    tokio::task::spawn_blocking(move || store.joined()).await??;
    tracing::info!(node = %mailstore.identity().node, "joined: this node votes");
    Ok(())
}

async fn ask_until_voter(
    mailstore: &Mailstore,
    joining: &Joining,
    address: &str,
    progress: impl Fn(&str),
) -> anyhow::Result<()> {
    let token: Token = joining.token.parse()?;
    let node = mailstore.identity().node;
    let question =
        Question::Seat(SeatQuestion { node, joiner: joining.joiner, address: address.into() });
    let mut asked = 0_u32;
    for member in joining.members.iter().cycle() {
        let text = match ask(&token, member, &question).await {
            Ok(Answer::Seat { voter: true, .. }) => return Ok(()),
            Ok(Answer::Seat { lag: Some(lag), .. }) => {
                format!("catching up, {lag} records are missing")
            }
            Ok(Answer::Seat { lag: None, .. }) => "waiting for the leader's log".into(),
            Ok(Answer::Refused(why)) => {
                let text = format!("the cluster refuses this node: {why}");
                return Err(Failure::new(Exit::Refused, text).into());
            }
            Ok(Answer::Later(why)) => why,
            Ok(Answer::Id(_)) => "it answers something else".into(),
            Err(error) => error.to_string(),
        };
        if asked.is_multiple_of(TOLD) {
            tracing::info!(member, "joining: {text}");
        }
        progress(&text);
        asked = asked.wrapping_add(1);
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("cluster.toml names no member to ask")
}
