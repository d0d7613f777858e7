//! A joiner's first steps: what it was told goes into `cluster.toml`, then it
//! asks the members for an id until one answers.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use redoubt_log::id::OperationId;
use redoubt_store::mailstore::{ClusterFile, Joining, Layout, NodeFile, ShardSecret};

use super::verify::connector;
use super::wire::{Answer, Grant, IdQuestion, Question, receive, send};
use crate::exit::{Exit, Failure};
use crate::peers::dial::connect;
use crate::peers::{Authority, PeerError, Token, cluster_name};

/// How long members are asked for an id before the joiner gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// What an operator gives to a new node.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// A member: `HOST:PORT`.
    pub member: String,
    /// The token.
    pub token: Token,
    /// Whether it is to be a light voter.
    pub light: bool,
}

/// Writes down what is to be joined; the data directory must be empty, or have
/// begun with this before. The caller holds its lock. Blocks.
///
/// # Errors
/// When the directory holds something else.
pub fn begin(layout: &Layout, ticket: &Ticket) -> anyhow::Result<()> {
    let file = ClusterFile::load(layout)?;
    let identity = NodeFile::load(layout)?;
    if file.joined {
        return same_cluster(identity, ticket);
    }
    if file.joining.is_none() && (identity.is_some() || layout.log().exists()) {
        let text = format!(
            "{} holds a store of its own already: name an empty folder with --data",
            layout.root().display()
        );
        return Err(Failure::new(Exit::Refused, text).into());
    }
    let joiner = file.joining.map_or_else(OperationId::random, |joining| joining.joiner);
    let joining =
        Joining { joiner, token: ticket.token.to_string(), members: vec![ticket.member.clone()] };
    let file = ClusterFile { light: ticket.light, joining: Some(joining), ..file };
    Ok(file.save(layout)?)
}

/// One that has joined just starts: `--join` may stay in a unit file.
fn same_cluster(identity: Option<NodeFile>, ticket: &Ticket) -> anyhow::Result<()> {
    let lineage = identity.map(|identity| identity.lineage).unwrap_or_default();
    if lineage == ticket.token.lineage {
        return Ok(());
    }
    let text = format!(
        "this node belongs to the cluster {lineage}, the token is for {}: name an empty folder \
         with --data",
        ticket.token.lineage
    );
    Err(Failure::new(Exit::Refused, text).into())
}

/// Gets an id from the cluster and puts down what comes with it, if that is not
/// done yet. The caller holds the directory's lock.
///
/// # Errors
/// When the cluster refuses, or no member answers in time.
pub async fn get_id(layout: &Layout, address: &str, level: u32) -> anyhow::Result<()> {
    let file = ClusterFile::load(layout)?;
    let Some(joining) = file.joining.clone().filter(|_| !file.joined) else { return Ok(()) };
    let token: Token = joining.token.parse()?;
    let question = IdQuestion {
        lineage: token.lineage.clone(),
        secret: token.secret,
        joiner: joining.joiner,
        address: address.into(),
        light: file.light,
        level,
    };
    let grant = ask_until_answered(&token, &joining.members, question).await?;
    tracing::info!(node = %grant.node, cluster = grant.lineage, "the cluster has given an id");
    put_down(layout, file, joining, &grant)
}

async fn ask_until_answered(
    token: &Token,
    members: &[String],
    question: IdQuestion,
) -> anyhow::Result<Grant> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let question = Question::Id(question);
    for member in members.iter().cycle() {
        let why = match ask(token, member, &question).await {
            Ok(Answer::Id(grant)) => return Ok(*grant),
            Ok(Answer::Refused(why)) => {
                let text = format!("the cluster refuses this node: {why}");
                return Err(Failure::new(Exit::Refused, text).into());
            }
            Ok(Answer::Later(why)) => why,
            Ok(Answer::Seat { .. }) => PeerError::OtherProtocol.to_string(),
            // Nothing of this gets better by itself.
            Err(error @ (PeerError::OtherAuthority | PeerError::OtherNode)) => {
                return Err(not_meant(member, &error));
            }
            Err(error) => error.to_string(),
        };
        if tokio::time::Instant::now() >= deadline {
            let text = format!(
                "no id within {PATIENCE:?}; {member}: {why}. Check the address (a member's \
                 peer.advertise) and that it runs, then start this again"
            );
            return Err(Failure::new(Exit::NotReachable, text).into());
        }
        tracing::info!(member, "no id yet: {why}");
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::usage("--join names nobody").into())
}

fn not_meant(member: &str, error: &PeerError) -> anyhow::Error {
    let text = format!(
        "{member} is not of the cluster that the token is for: {error}. Check the address, and \
         make a new token on a member of the cluster that you mean"
    );
    Failure::new(Exit::Refused, text).into()
}

pub(super) async fn ask(
    token: &Token,
    member: &str,
    question: &Question,
) -> Result<Answer, PeerError> {
    let io = |error: std::io::Error| crate::peers::explain(&error);
    let connector = connector(token.authority).map_err(|error| PeerError::Io(error.to_string()))?;
    let mut stream = connect(&connector, cluster_name(&token.lineage), member).await?;
    send(&mut stream, question).await.map_err(io)?;
    match tokio::time::timeout(PATIENCE, receive(&mut stream)).await {
        Ok(answer) => answer.map_err(io),
        Err(_) => Err(PeerError::Io("it does not answer".into())),
    }
}

/// The last file says that all others are there.
fn put_down(
    layout: &Layout,
    file: ClusterFile,
    joining: Joining,
    grant: &Grant,
) -> anyhow::Result<()> {
    layout.prepare()?;
    ShardSecret::save(layout, grant.secret)?;
    if let Some((certificate, key)) = &grant.authority {
        save_authority(layout.root(), certificate, key)?;
    }
    NodeFile { node: grant.node, lineage: grant.lineage.clone() }.save(layout)?;
    let joining = Joining { members: grant.members.clone(), ..joining };
    ClusterFile { joined: true, joining: Some(joining), ..file }.save(layout)?;
    Ok(())
}

fn save_authority(data: &Path, certificate: &str, key: &str) -> anyhow::Result<()> {
    let authority = Authority::from_pem(certificate.to_owned(), key)
        .context("the cluster has sent an authority that does not read")?;
    authority.save(data)
}
