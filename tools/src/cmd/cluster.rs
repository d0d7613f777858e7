//! `redoubt cluster ...`

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::NodeId;

use super::Common;
use super::cluster_table::{table, troubles};
use crate::admin::client::Client;
use crate::cluster::{ClusterBody, MemberLine, TokenBody, TokenWish, TransferWish, not_a_member};
use crate::exit::{Exit, Failure};
use crate::output;

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// Members of the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Show the members: role, lag, disk, version, last contact, alarms
    Status(Status),
    /// Make a token that lets one new node join
    Token(Token),
    /// Hand leadership to another node, for planned maintenance
    Transfer {
        /// Which node; without it the one that is furthest.
        node: Option<NodeId>,
    },
    /// Remove a node for good; its id is never used again
    Remove {
        /// Which node.
        node: NodeId,
    },
    /// Raise the cluster's level once every node is upgraded; there is no way back
    Finalize,
    /// Make a group of this node alone, when a majority is lost for good (stopped server)
    Recover,
}

/// `cluster status`
#[derive(Debug, Args)]
pub struct Status {
    /// Look again every second, until interrupted.
    #[arg(long)]
    watch: bool,
}

/// `cluster token`
#[derive(Debug, Args)]
pub struct Token {
    /// For how long it is good: `90s`, `30m`, `1h`, `2d`.
    #[arg(long, default_value = "1h", value_name = "TIME")]
    valid: String,
    /// For a light voter: log and blobs, no views, serves nobody.
    #[arg(long)]
    light: bool,
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: ClusterVerb) -> anyhow::Result<Exit> {
    match verb {
        ClusterVerb::Status(verb) => status(common, &verb).await,
        ClusterVerb::Token(verb) => token(common, &verb).await,
        ClusterVerb::Transfer { node } => transfer(common, node).await,
        ClusterVerb::Remove { node } => remove(common, node).await,
        ClusterVerb::Finalize => finalize(common).await,
        ClusterVerb::Recover => super::cluster_recover::run(common).await,
    }
}

async fn look(client: &Client) -> anyhow::Result<ClusterBody> {
    client.get("/v1/cluster").await
}

async fn status(common: &Common, verb: &Status) -> anyhow::Result<Exit> {
    let client = common.client()?;
    loop {
        let body = look(&client).await?;
        print(common.json, verb.watch, &body)?;
        if !verb.watch {
            return Ok(if body.leader.is_some() { Exit::Done } else { Exit::Partly });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn print(json: bool, watch: bool, body: &ClusterBody) -> anyhow::Result<()> {
    if json {
        return output::json_lines([body]);
    }
    if watch {
        // Home, and clear what is below.
        print!("\x1b[H\x1b[J");
        std::io::stdout().flush()?;
    }
    table(body)?;
    troubles(body);
    Ok(())
}

async fn token(common: &Common, verb: &Token) -> anyhow::Result<Exit> {
    let wish = TokenWish { valid_seconds: seconds(&verb.valid)?, light: verb.light };
    let made: TokenBody = common.client()?.send(Method::POST, "/v1/cluster/token", &wish).await?;
    if common.json {
        output::json_lines([&made])?;
        return Ok(Exit::Done);
    }
    println!("{}", made.token);
    // Beside the token, so that `$(redoubt cluster token)` is the token alone.
    let light = if verb.light { " --light" } else { "" };
    eprintln!(
        "good for one node until {}; on the new machine, with an empty data directory:\n  \
         redoubt serve --data DIR --join {} --join-token TOKEN{light}",
        rfc3339(made.expires),
        made.address
    );
    Ok(Exit::Done)
}

/// A time such as `30m`, in seconds.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let wrong = || Failure::usage(format!("--valid {text}: write 90s, 30m, 1h or 2d"));
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match text.get(digits.len()..) {
        Some("s" | "") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 24 * 3600,
        _ => return Err(wrong().into()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(count.saturating_mul(unit))
}

async fn transfer(common: &Common, node: Option<NodeId>) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let wish = TransferWish { to: node };
    let leader: NodeId = client.send(Method::POST, "/v1/cluster/transfer", &wish).await?;
    say(common, &format!("node {leader} leads"), &serde_json::json!({ "leader": leader }))
}

async fn remove(common: &Common, node: NodeId) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let body = look(&client).await?;
    output::confirm(&removal(&body, node)?, common.yes)?;
    client.send::<_, ()>(Method::DELETE, &format!("/v1/cluster/nodes/{node}"), &()).await?;
    let done = format!("node {node} is removed; its data directory is of no use any more");
    say(common, &done, &serde_json::json!({ "removed": node }))
}

/// What a removal comes to, before it is asked for.
fn removal(body: &ClusterBody, node: NodeId) -> anyhow::Result<String> {
    let unknown = || Failure::new(Exit::Failed, not_a_member(node));
    let member = body.member(node).ok_or_else(unknown)?;
    let stay = body.members.iter().filter(|other| other.votes() && other.node != node);
    let stay: Vec<String> = stay.map(|member| member.node.to_string()).collect();
    let need = stay.len() / 2 + 1;
    Ok(format!(
        "node {node} ({}) is removed for good; it can come back under a new id only.\n\
         {} voters stay ({}), of which {need} must run",
        member.address,
        stay.len(),
        stay.join(", ")
    ))
}

async fn finalize(common: &Common) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let before = look(&client).await?;
    let plan = match before.next_level {
        Some(next) => format!(
            "the cluster's level goes from {} to {next}: a node with the version before cannot \
             run here any more, and there is no way back",
            before.level
        ),
        None => format!("the cluster is at level {}", before.level),
    };
    if before.next_level.is_some() {
        output::confirm(&plan, common.yes)?;
    }
    let level: u32 = client.send(Method::POST, "/v1/cluster/finalize", &()).await?;
    let text = match level > before.level {
        true => format!("the cluster is at level {level}"),
        false => format!("nothing to finalize: the cluster is at level {level}"),
    };
    say(common, &text, &serde_json::json!({ "level": level, "before": before.level }))
}

fn say(common: &Common, text: &str, json: &serde_json::Value) -> anyhow::Result<Exit> {
    match common.json {
        true => output::json_lines([json])?,
        false => println!("{text}"),
    }
    Ok(Exit::Done)
}

/// A member's trouble in words, if it has any.
pub(super) fn trouble(member: &MemberLine) -> Vec<String> {
    let mut found: Vec<String> = member.trouble.iter().cloned().collect();
    if member.growth_allowed == Some(false) {
        found.push(
            "its disk is full: it takes no new mail, and does not lead; free some space".into(),
        );
    }
    found.extend(member.alarms.iter().cloned());
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #[test]
    fn times_read() {
        let read = |text| super::seconds(text).ok();
        assert_eq!([read("90s"), read("30m"), read("1h")], [Some(90), Some(1800), Some(3600)]);
        assert_eq!([read("2d"), read("7"), read("1w")], [Some(172_800), Some(7), None]);
        assert_eq!([read(""), read("h")], [None, None]);
    }
}
