//! `redoubt policy add|set|list|show|simulate|lock|approve|remove|event`

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{PolicyId, Timestamp};
use redoubt_log::record::{
    PolicyAnchor, PolicyDirection, PolicyMailbox, PolicyScope, PolicySettings, PolicyWhose,
    SpecialUse,
};
use redoubt_store::retention::PolicyVersion;
use redoubt_store::view::{MonthEffect, PolicyEffect};

use super::Common;
use super::approval::Word;
use super::class::seconds;
use crate::admin::client::{Client, encode};
use crate::admin::policies::{EventBody, PolicyBody, PolicyLine, Supposed, Whose};
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with policies. POLICY is a name or an id.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Make a policy: what it keeps it keeps at once, what it takes waits for seven days
    Add {
        /// What it is called.
        name: String,
        /// What it says.
        #[command(flatten)]
        says: Says,
    },
    /// Change what it says; what is not named stays
    Set {
        /// Its name or id.
        policy: String,
        /// What it is called from now on.
        #[arg(long)]
        name: Option<String>,
        /// What it says.
        #[command(flatten)]
        says: Says,
    },
    /// List all that bind
    List,
    /// Show a policy, its versions, and what it would do if it acted now
    Show {
        /// Its name or id.
        policy: String,
    },
    /// Tell what a new policy, or a changed one, would do, and would have done to the history
    Simulate {
        /// The policy that would change; none for a new one.
        policy: Option<String>,
        /// What it would say.
        #[command(flatten)]
        says: Says,
    },
    /// Let it be made longer only, for good
    Lock {
        /// Its name or id.
        policy: String,
    },
    /// Approve a version that waits for a second person
    Approve {
        /// Its name or id.
        policy: String,
        /// Which version: the newest where none is named.
        #[arg(long)]
        version: Option<u32>,
        /// What is said of it.
        #[command(flatten)]
        word: Word,
    },
    /// End a policy: it keeps what it keeps for seven days more
    Remove {
        /// Its name or id.
        policy: String,
    },
    /// Say that something happened to an account which policies count from
    Event {
        /// To whom: an address or an id.
        account: String,
        /// What, as policies name it.
        name: String,
        /// When (RFC 3339); now where it is not said.
        #[arg(long)]
        time: Option<jiff::Timestamp>,
    },
}

/// Which way mail went.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Way {
    /// It was delivered.
    Received,
    /// It stands in the mailbox for sent mail.
    Sent,
    /// Either.
    Any,
}

/// What a policy says.
#[derive(Debug, Clone, Default, Args)]
pub struct Says {
    /// Over everybody's mail.
    #[arg(long, group = "whose")]
    all: bool,
    /// Over that of a domain's accounts.
    #[arg(long, group = "whose")]
    domain: Option<String>,
    /// Over that of a class of service.
    #[arg(long, group = "whose")]
    class: Option<String>,
    /// Over one account's.
    #[arg(long, group = "whose")]
    account: Option<String>,
    /// Over what stands in this mailbox or below it; `\Trash` and the like go by use, `any` is all.
    #[arg(long)]
    mailbox: Option<String>,
    /// Over what has this keyword; `any` is all.
    #[arg(long)]
    tag: Option<String>,
    /// Over what went this way.
    #[arg(long)]
    direction: Option<Way>,
    /// Over what a query finds (docs/search.md): what an email is, not what may change; `any` is all.
    #[arg(long)]
    query: Option<String>,
    /// From when on it counts: `received`, `sent`, `saved`, `labelled` or `event:NAME`.
    #[arg(long)]
    anchor: Option<String>,
    /// For how long mail is kept whatever is deleted: a number with s, m, h or d, or `none`.
    #[arg(long, value_name = "TIME|none")]
    keep: Option<String>,
    /// After how long mail goes, or `none`.
    #[arg(long, value_name = "TIME|none")]
    delete: Option<String>,
    /// Whether it keeps drafts too.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    drafts: Option<bool>,
    /// Whether a second person has to approve it before anything goes by it.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    review: Option<bool>,
    /// Emails that may go by it in a day (UTC), or `none` for no bound.
    #[arg(long, value_name = "NUMBER|none")]
    daily: Option<String>,
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: PolicyVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        PolicyVerb::Add { name, says } => {
            let body = says.over(nothing(name))?;
            let id: PolicyId = client.send(Method::POST, "/v1/policies", &body).await?;
            show(common, &client, &id.to_string()).await?;
        }
        PolicyVerb::Set { policy, name, says } => {
            let mut now = settings(&client, &policy).await?;
            now.name = name.unwrap_or(now.name);
            let body = says.over(now)?;
            let id: PolicyId = client.send(Method::PUT, &path(&policy, ""), &body).await?;
            show(common, &client, &id.to_string()).await?;
        }
        PolicyVerb::List => list(common, client.get("/v1/policies").await?)?,
        PolicyVerb::Show { policy } => show(common, &client, &policy).await?,
        PolicyVerb::Simulate { policy, says } => simulate(common, &client, policy, says).await?,
        PolicyVerb::Lock { policy } => {
            let plan =
                format!("policy {policy} can only be made longer from now on, and never ends");
            output::confirm(&plan, common.yes)?;
            client.send::<_, ()>(Method::POST, &path(&policy, "/lock"), &()).await?;
        }
        PolicyVerb::Approve { policy, version, word } => {
            let policy = find(&client, &policy).await?.policy;
            let newest = policy.newest().map_or(0, |newest| newest.number);
            let of = format!("policy:{}:{}", policy.id, version.unwrap_or(newest));
            word.say(common, &client, &of).await?;
        }
        PolicyVerb::Remove { policy } => {
            client.send::<_, ()>(Method::DELETE, &path(&policy, ""), &()).await?;
        }
        PolicyVerb::Event { account, name, time } => {
            let time = time.map_or_else(Timestamp::now, |at| Timestamp(at.as_millisecond()));
            let path = format!("/v1/accounts/{}/events", encode(&account));
            client.send::<_, ()>(Method::POST, &path, &EventBody { name, time }).await?;
        }
    }
    Ok(Exit::Done)
}

fn path(policy: &str, then: &str) -> String {
    format!("/v1/policies/{}{then}", encode(policy))
}

async fn find(client: &Client, policy: &str) -> anyhow::Result<PolicyLine> {
    client.get(&path(policy, "")).await
}

async fn settings(client: &Client, policy: &str) -> anyhow::Result<PolicySettings> {
    let line = find(client, policy).await?;
    let said = line.policy.settings().cloned();
    said.ok_or_else(|| Failure::usage(format!("policy {policy} was removed")).into())
}

fn nothing(name: String) -> PolicySettings {
    let whose = PolicyWhose::All;
    PolicySettings {
        name,
        scope: PolicyScope { whose, mailbox: None, tag: None, direction: None, query: None },
        anchor: PolicyAnchor::Received,
        floor: None,
        delete: None,
        drafts: false,
        review: false,
        daily: None,
    }
}

fn usage(text: String) -> anyhow::Error {
    Failure::usage(text).into()
}

impl Says {
    fn over(self, now: PolicySettings) -> anyhow::Result<PolicyBody> {
        let whose = self.whose();
        let scope = PolicyScope {
            mailbox: self.mailbox.as_deref().map_or(Ok(now.scope.mailbox), mailbox)?,
            tag: self.tag.map_or(now.scope.tag, |tag| Some(tag).filter(|tag| tag != "any")),
            query: self.query.map_or(now.scope.query, |query| Some(query).filter(|q| q != "any")),
            direction: self.direction.map_or(now.scope.direction, |way| match way {
                Way::Received => Some(PolicyDirection::Received),
                Way::Sent => Some(PolicyDirection::Sent),
                Way::Any => None,
            }),
            ..now.scope
        };
        let settings = PolicySettings {
            scope,
            anchor: self.anchor.as_deref().map_or(Ok(now.anchor), anchor)?,
            floor: self.keep.as_deref().map_or(Ok(now.floor), time)?,
            delete: self.delete.as_deref().map_or(Ok(now.delete), time)?,
            drafts: self.drafts.unwrap_or(now.drafts),
            review: self.review.unwrap_or(now.review),
            daily: self.daily.as_deref().map_or(Ok(now.daily), number)?,
            ..now
        };
        Ok(PolicyBody { settings, whose })
    }

    fn whose(&self) -> Whose {
        match (self.all, &self.domain, &self.class, &self.account) {
            (true, ..) => Whose::All,
            (_, Some(domain), ..) => Whose::Domain(domain.clone()),
            (_, _, Some(class), _) => Whose::Class(class.clone()),
            (_, _, _, Some(account)) => Whose::Account(account.clone()),
            _ => Whose::AsBefore,
        }
    }
}

const USES: [(&str, SpecialUse); 5] = [
    ("\\Archive", SpecialUse::Archive),
    ("\\Drafts", SpecialUse::Drafts),
    ("\\Junk", SpecialUse::Junk),
    ("\\Sent", SpecialUse::Sent),
    ("\\Trash", SpecialUse::Trash),
];

fn mailbox(text: &str) -> anyhow::Result<Option<PolicyMailbox>> {
    if text == "any" {
        return Ok(None);
    }
    let known = USES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    match known {
        Some((_, special_use)) => Ok(Some(PolicyMailbox::Use(*special_use))),
        None if text.starts_with('\\') => Err(usage(format!("no mailbox has the use {text}"))),
        None => Ok(Some(PolicyMailbox::Named(text.to_owned()))),
    }
}

fn anchor(text: &str) -> anyhow::Result<PolicyAnchor> {
    match text {
        "received" => Ok(PolicyAnchor::Received),
        "sent" => Ok(PolicyAnchor::Sent),
        "saved" => Ok(PolicyAnchor::Saved),
        "labelled" => Ok(PolicyAnchor::Labelled),
        text => match text.strip_prefix("event:") {
            Some(name) => Ok(PolicyAnchor::Event(name.to_owned())),
            None => Err(usage(format!(
                "{text:?} is none of received, sent, saved, labelled, event:NAME"
            ))),
        },
    }
}

fn time(text: &str) -> anyhow::Result<Option<u64>> {
    match text {
        "none" => Ok(None),
        text => seconds(text).map(Some),
    }
}

fn number(text: &str) -> anyhow::Result<Option<u32>> {
    match text {
        "none" => Ok(None),
        text => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(usage(format!("{text:?} is not a number of emails, nor none"))),
        },
    }
}

fn list(common: &Common, lines: Vec<PolicyLine>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(lines);
    }
    let rows: Vec<_> = lines.iter().filter_map(row).collect();
    output::table(["id", "name", "over", "from", "keeps", "takes", "state", "taken"], &rows)
}

fn row(line: &PolicyLine) -> Option<[String; 8]> {
    let newest = line.policy.newest()?;
    let said = newest.settings.as_ref();
    let said_or = |of: fn(&PolicySettings) -> String| said.map_or_else(|| "-".into(), of);
    Some([
        line.policy.id.to_string(),
        said_or(|said| said.name.clone()),
        said_or(|said| over(&said.scope)),
        said_or(|said| from(&said.anchor)),
        said_or(|said| span(said.floor)),
        said_or(|said| span(said.delete)),
        state(line, newest),
        line.taken.to_string(),
    ])
}

fn state(line: &PolicyLine, version: &PolicyVersion) -> String {
    let locked = if line.policy.locked { "locked, " } else { "" };
    let acts = match (version.approved, version.acts <= line.now) {
        (None, _) if version.review => "waits for a second person".to_owned(),
        (Some(false), _) => "refused".to_owned(),
        (_, true) => "acts".to_owned(),
        (_, false) => format!("acts from {}", rfc3339(version.acts)),
    };
    format!("{locked}{acts}")
}

fn over(scope: &PolicyScope) -> String {
    let mut text = match &scope.whose {
        PolicyWhose::All => "all".to_owned(),
        PolicyWhose::Domain(domain) => format!("domain {domain}"),
        PolicyWhose::Class(class) => format!("class {class}"),
        PolicyWhose::Account(account) => format!("account {account}"),
    };
    match &scope.mailbox {
        Some(PolicyMailbox::Named(name)) => text += &format!(", in {name}"),
        Some(PolicyMailbox::Use(wished)) => {
            let known = USES.iter().find(|(_, special_use)| special_use == wished);
            text += &format!(", in {}", known.map_or("?", |(name, _)| name));
        }
        None => {}
    }
    scope.tag.iter().for_each(|tag| text += &format!(", tag {tag}"));
    match scope.direction {
        Some(PolicyDirection::Received) => text += ", received",
        Some(PolicyDirection::Sent) => text += ", sent",
        None => {}
    }
    scope.query.iter().for_each(|query| text += &format!(", query {query}"));
    text
}

fn from(anchor: &PolicyAnchor) -> String {
    match anchor {
        PolicyAnchor::Received => "received".to_owned(),
        PolicyAnchor::Sent => "sent".to_owned(),
        PolicyAnchor::Saved => "saved".to_owned(),
        PolicyAnchor::Labelled => "labelled".to_owned(),
        PolicyAnchor::Event(name) => format!("event:{name}"),
    }
}

fn span(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s % 86_400 == 0 => format!("{}d", s / 86_400),
        Some(s) if s % 3600 == 0 => format!("{}h", s / 3600),
        Some(s) => format!("{s}s"),
    }
}

async fn show(common: &Common, client: &Client, policy: &str) -> anyhow::Result<()> {
    let line = find(client, policy).await?;
    let effect: PolicyEffect = client.get(&path(policy, "/effect")).await?;
    if common.json {
        let mut shown = serde_json::to_value(&line)?;
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("effect".to_owned(), serde_json::to_value(effect)?);
        }
        return output::object(true, &shown);
    }
    list(common, vec![line.clone()])?;
    for version in &line.policy.versions {
        let what = match &version.settings {
            Some(said) => format!("keeps {}, takes {}", span(said.floor), span(said.delete)),
            None => "ends".to_owned(),
        };
        let said = line.decided.get(&version.number);
        let said = said.map_or_else(String::new, |said| format!(", {}", said.told()));
        println!("version {}: {what}, set {}{said}", version.number, rfc3339(version.set));
    }
    tell(&effect);
    Ok(())
}

fn tell(effect: &PolicyEffect) {
    println!("if it acted now: of {} emails it would keep {}", effect.emails, effect.kept);
    let (due, live, bytes) = (effect.due, effect.due_live, output::bytes(effect.due_bytes));
    println!("and with all others {due} would go at once ({bytes}), {live} of them live");
    if effect.held > 0 {
        println!("holds keep {} more that would go", effect.held);
    }
}

async fn simulate(
    common: &Common,
    client: &Client,
    policy: Option<String>,
    says: Says,
) -> anyhow::Result<()> {
    let now = match &policy {
        Some(policy) => settings(client, policy).await?,
        None => nothing("supposed".to_owned()),
    };
    let body = Supposed { policy, body: says.over(now)? };
    let effect: PolicyEffect = client.send(Method::POST, "/v1/policies/simulate", &body).await?;
    match common.json {
        true => output::object(true, &effect),
        false => {
            tell(&effect);
            months(&effect)
        }
    }
}

fn months(effect: &PolicyEffect) -> anyhow::Result<()> {
    if effect.months.is_empty() {
        return Ok(());
    }
    println!("had it always acted, by what is known of the mail today:");
    let row = |(month, of): (&String, &MonthEffect)| {
        let (taken, live, spared) = (of.taken, of.taken_live, of.spared);
        let bytes = output::bytes(of.taken_bytes);
        [month.clone(), taken.to_string(), bytes, live.to_string(), spared.to_string()]
    };
    let rows: Vec<_> = effect.months.iter().map(row).collect();
    output::table(["month", "taken", "size", "of them live", "deleted but kept"], &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(mailbox("\\trash").unwrap(), Some(PolicyMailbox::Use(SpecialUse::Trash)));
        assert_eq!(mailbox("any").unwrap(), None);
        assert!(mailbox("\\Inbox").is_err() && anchor("born").is_err());
        assert_eq!(anchor("event:left").unwrap(), PolicyAnchor::Event("left".into()));
        assert_eq!((time("none").unwrap(), time("30d").unwrap()), (None, Some(30 * 86_400)));
        assert!(number("many").is_err() && time("soon").is_err());
        let says = Says { keep: Some("1d".into()), ..Says::default() };
        let body = says.over(nothing("x".into())).unwrap();
        assert_eq!((body.settings.floor, body.whose), (Some(86_400), Whose::AsBefore));
    }
}
