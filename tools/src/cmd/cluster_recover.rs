//! `redoubt cluster recover`: one survivor goes on alone.

use redoubt_log::dump::rfc3339;
use redoubt_store::mailstore::{NodeFile, Survivor, look_at_survivor, recover_alone};

use super::Common;
use crate::exit::Exit;
use crate::{output, server};

/// # Errors
/// When a server runs on the data directory, or its log cannot be read.
pub(super) async fn run(common: &Common) -> anyhow::Result<Exit> {
    let config = common.config()?;
    let options = server::options(&config);
    let look = options.clone();
    let survivor = tokio::task::spawn_blocking(move || look_at_survivor(&look)).await??;
    output::confirm(&plan(&survivor), common.yes)?;
    let address = config.peer.advertise.clone();
    let made = tokio::task::spawn_blocking(move || recover_alone(&options, &address)).await??;
    if common.json {
        output::json_lines([json(&survivor, &made)])?;
        return Ok(Exit::Done);
    }
    if common.yes {
        println!("{}", plan(&survivor));
    }
    println!(
        "done: node {} is a cluster of its own, {}. Start it with `redoubt serve`, run `redoubt \
         check`, and let new nodes join from empty data directories",
        made.node, made.lineage
    );
    Ok(Exit::Done)
}

/// What is about to happen, and what may be lost.
fn plan(survivor: &Survivor) -> String {
    let Survivor { node, lineage, survey } = survivor;
    let last = survey.last.map_or("nothing".into(), |last| format!("entry {}", last.index));
    let time = survey.time.map_or("-".into(), rfc3339);
    let known = survey.committed.map_or("none".into(), |committed| committed.index.to_string());
    let others: Vec<String> = survey
        .voters
        .iter()
        .filter(|voter| *voter != node)
        .map(|voter| format!("node {voter}"))
        .collect();
    let others = if others.is_empty() { "the others".into() } else { others.join(", ") };
    format!(
        "node {node} of cluster {lineage} goes on alone, with all that its log holds: up to {last} \
         of {time}.\n\
         LOST: whatever {others} acknowledged after that without this node. Nobody can say here \
         whether there was any; a message that an MTA still has comes again.\n\
         KEPT: entries after {known}, which this node did not know to be committed; some may never \
         have been acknowledged.\n\
         First make sure that {others} never start again with their old data directories: they \
         would serve their clients what this node does not have."
    )
}

fn json(survivor: &Survivor, made: &NodeFile) -> serde_json::Value {
    serde_json::json!({
        "node": made.node,
        "cluster": made.lineage,
        "old_cluster": survivor.lineage,
        "last": survivor.survey.last.map(|id| id.index),
        "time": survivor.survey.time.map(rfc3339),
        "committed": survivor.survey.committed.map(|id| id.index),
        "voters": survivor.survey.voters,
    })
}
