//! `redoubt why`

use clap::Args;
use redoubt_log::dump::rfc3339;
use redoubt_store::retention::{Kept, Until};

use super::Common;
use crate::admin::client::encode;
use crate::admin::why::Reasons;
use crate::exit::Exit;
use crate::output;

/// Why an email is kept, and when it goes.
#[derive(Debug, Args)]
pub struct Why {
    /// Whose email: an address or an id.
    account: String,
    /// Its id (e1f-0): `redoubt ls` and `redoubt find` show it.
    email: String,
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Why) -> anyhow::Result<Exit> {
    let path = format!("/v1/accounts/{}/why/{}", encode(&verb.account), encode(&verb.email));
    let reasons: Reasons = common.client()?.get(&path).await?;
    match common.json {
        true => output::object(true, &reasons)?,
        false => lines(&reasons).into_iter().for_each(|line| println!("{line}")),
    }
    Ok(Exit::Done)
}

fn lines(reasons: &Reasons) -> Vec<String> {
    let name = |kept: &Kept| {
        let known = reasons.names.iter().find(|(id, _)| *id == kept.policy);
        let name = known.map_or("(ended)", |(_, name)| name);
        format!("policy {} ({name}), version {}", kept.policy, kept.version)
    };
    let until = |kept: &Kept| match kept.until {
        Until::Time(time) => rfc3339(time),
        Until::Unknown => "a time that is not known yet".to_owned(),
    };
    let place = reasons.mailboxes.join(", ");
    let mut lines = vec![match (reasons.live, reasons.expunged) {
        (true, _) => format!("it came at {} and stands in {place}", rfc3339(reasons.entered)),
        (false, Some(time)) => format!("it was expunged from {place} at {}", rfc3339(time)),
        (false, None) => format!("it was expunged from {place}"),
    }];
    lines.extend(reasons.held_by.map(|hold| format!("hold {hold} is over it: nothing of it goes")));
    lines.extend(reasons.draft.then(|| "it is a draft".to_owned()));
    for judged in &reasons.verdict.by {
        lines.extend(
            judged.floor.map(|kept| format!("kept until {} by {}", until(&kept), name(&kept))),
        );
        lines.extend(
            judged.deletion.map(|kept| format!("due at {} by {}", until(&kept), name(&kept))),
        );
    }
    if reasons.verdict.by.is_empty() {
        lines.push("no policy is over it".to_owned());
    }
    lines.push(match reasons.goes {
        Some(time) => format!("by policies it goes at {}", rfc3339(time)),
        None => "no policy takes it".to_owned(),
    });
    lines
}
