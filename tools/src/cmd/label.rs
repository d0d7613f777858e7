//! `redoubt label add|remove`

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::id::EmailId;

use super::Common;
use crate::admin::client::encode;
use crate::admin::policies::LabelBody;
use crate::exit::Exit;

/// What to do with labels.
#[derive(Debug, Subcommand)]
pub enum LabelVerb {
    /// Put a policy on emails: it keeps them from now on
    Add(Emails),
    /// Take a policy from emails; one that is locked stays
    Remove(Emails),
}

/// Which policy, and which emails.
#[derive(Debug, Args)]
pub struct Emails {
    /// The policy's name or id; its anchor is `labelled`.
    policy: String,
    /// Whose emails: an address or an id.
    account: String,
    /// Their ids (e1f-0): `redoubt ls` and `redoubt find` show them.
    #[arg(required = true)]
    emails: Vec<EmailId>,
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: LabelVerb) -> anyhow::Result<Exit> {
    let (put, Emails { policy, account, emails }) = match verb {
        LabelVerb::Add(emails) => (true, emails),
        LabelVerb::Remove(emails) => (false, emails),
    };
    let path = format!("/v1/accounts/{}/labels", encode(&account));
    let body = LabelBody { policy, emails, put };
    common.client()?.send::<_, ()>(Method::POST, &path, &body).await?;
    Ok(Exit::Done)
}
