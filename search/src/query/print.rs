//! A query back to text: what is read again as the same query.

use std::fmt::{self, Display, Formatter};

use super::ast::{Clock, Expr, Held, Indexed, Place, Role, State, Who};
use super::date::When;
use super::pattern::{Chain, Person};

/// In quotation marks.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// As it is where that reads as one value, or else in quotation marks.
pub(super) fn written(text: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')' | '*' | ':' | '\\');
    let keyword = matches!(text, "AND" | "OR" | "NOT" | "NEAR");
    match text.is_empty() || text.starts_with('-') || keyword || text.contains(special) {
        true => quoted(text),
        false => text.to_owned(),
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::And(all) => joined(f, all, " ", |expr| matches!(expr, Self::Or(_))),
            Self::Or(all) => joined(f, all, " OR ", |_| false),
            Self::Not(expr) if is_list(expr) => write!(f, "-({expr})"),
            Self::Not(expr) => write!(f, "-{expr}"),
            Self::Text(place, chain) => text(f, place, chain),
            Self::HasHeader(name) => write!(f, "header[{name}]:*"),
            Self::People(role, person) => people(f, *role, person),
            Self::Is(State::Attached) => f.write_str("has:attachment"),
            Self::Is(state) => write!(f, "is:{}", state.word()),
            Self::Time(clock, when, _) => time(f, *clock, when),
            Self::Size(least, most) => range(f, "size", *least, *most),
            Self::ModSeq(least, most) => range(f, "modseq", *least, *most),
            Self::Uid(ranges) => uids(f, ranges),
            expr => f.write_str(&expr.named()),
        }
    }
}

impl Expr {
    /// An operator with one plain value.
    fn named(&self) -> String {
        let op =
            |name: &str, value: &dyn Display| format!("{name}:{}", written(&value.to_string()));
        match self {
            Self::Attachment(media) => format!("attachment:{media}"),
            Self::In(name) => op("in", name),
            Self::Under(name) => op("under", name),
            Self::Account(name) => op("account", name),
            Self::Domain(name) => op("domain", name),
            Self::Keyword(name) => op("keyword", name),
            Self::MessageId(id) => op("msgid", id),
            Self::Email(id) => op("emailid", id),
            Self::Thread(id) => op("threadid", id),
            Self::Blob(id) => op("blob", id),
            Self::DeletedBy(Who::System) => "deletedby:system".to_owned(),
            Self::DeletedBy(Who::Mta) => "deletedby:mta".to_owned(),
            Self::DeletedBy(Who::Uid(uid)) => format!("deletedby:uid={uid}"),
            Self::DeletedBy(Who::Account(name)) => op("deletedby", name),
            Self::MovedFrom(name) => op("movedfrom", name),
            Self::Held(Held::Any(held)) => op("held", &if *held { "yes" } else { "no" }),
            Self::Held(Held::By(id)) => op("held", id),
            Self::Indexed(Indexed::Full) => "indexed:full".to_owned(),
            Self::Indexed(Indexed::Partial) => "indexed:partial".to_owned(),
            Self::Indexed(Indexed::None) => "indexed:none".to_owned(),
            Self::Gone => "deleted:any".to_owned(),
            // All others are written above.
            _ => String::new(),
        }
    }
}

fn is_list(expr: &Expr) -> bool {
    matches!(expr, Expr::And(_) | Expr::Or(_))
}

fn joined(
    f: &mut Formatter<'_>,
    all: &[Expr],
    between: &str,
    in_brackets: impl Fn(&Expr) -> bool,
) -> fmt::Result {
    for (n, expr) in all.iter().enumerate() {
        f.write_str(if n > 0 { between } else { "" })?;
        match in_brackets(expr) {
            true => write!(f, "({expr})")?,
            false => write!(f, "{expr}")?,
        }
    }
    Ok(())
}

fn text(f: &mut Formatter<'_>, place: &Place, chain: &Chain) -> fmt::Result {
    let name = match place {
        Place::Anywhere => return write!(f, "{chain}"),
        Place::Content => "content",
        Place::Subject => "subject",
        Place::Body => "body",
        Place::Text => "text",
        Place::FileName => "filename",
        Place::List => "list",
        Place::Header(name) => return header(f, name, chain),
    };
    match chain.rest.is_empty() {
        true => write!(f, "{name}:{chain}"),
        false => write!(f, "{name}:({chain})"),
    }
}

fn header(f: &mut Formatter<'_>, name: &str, chain: &Chain) -> fmt::Result {
    match chain.rest.is_empty() {
        true => write!(f, "header[{name}]:{chain}"),
        false => write!(f, "header[{name}]:({chain})"),
    }
}

fn people(f: &mut Formatter<'_>, role: Role, person: &Person) -> fmt::Result {
    write!(f, "{}:{person}", role.word())
}

fn time(f: &mut Formatter<'_>, clock: Clock, when: &When) -> fmt::Result {
    write!(f, "{}:{when}", clock.word())
}

fn range(f: &mut Formatter<'_>, name: &str, least: u64, most: u64) -> fmt::Result {
    match (least, most) {
        (least, most) if least == most => write!(f, "{name}:{least}"),
        (least, u64::MAX) => write!(f, "{name}:{least}.."),
        (0, most) => write!(f, "{name}:..{most}"),
        (least, most) => write!(f, "{name}:{least}..{most}"),
    }
}

fn uids(f: &mut Formatter<'_>, ranges: &[(u32, u32)]) -> fmt::Result {
    f.write_str("uid:")?;
    for (n, (first, last)) in ranges.iter().enumerate() {
        f.write_str(if n > 0 { "," } else { "" })?;
        match (first, last) {
            (first, last) if first == last => write!(f, "{first}")?,
            (first, &u32::MAX) => write!(f, "{first}..")?,
            (first, last) => write!(f, "{first}..{last}")?,
        }
    }
    Ok(())
}

impl State {
    /// As `is:` has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unread => "unread",
            Self::Flagged => "flagged",
            Self::Unflagged => "unflagged",
            Self::Answered => "answered",
            Self::Unanswered => "unanswered",
            Self::Draft => "draft",
            Self::Deleted => "deleted",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::ToMe => "tome",
            Self::FromMe => "fromme",
            Self::CcMe => "ccme",
            Self::Solo => "solo",
            Self::Anywhere => "anywhere",
            Self::Attached => "attachment",
        }
    }
}

impl Role {
    /// Its operator.
    pub fn word(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
            Self::ToFrom => "tofrom",
            Self::ToCc => "tocc",
            Self::FromCc => "fromcc",
            Self::ToFromCc => "tofromcc",
            Self::Participants => "participants",
            Self::EnvelopeFrom => "envfrom",
            Self::EnvelopeTo => "envto",
        }
    }
}

impl Clock {
    /// Its operator.
    pub fn word(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Received => "received",
            Self::Before => "before",
            Self::After => "after",
            Self::Since => "since",
            Self::On => "on",
            Self::Older => "older",
            Self::Newer => "newer",
            Self::Sent => "sent",
            Self::Existed => "existed",
            Self::Deleted => "deleted",
        }
    }
}
