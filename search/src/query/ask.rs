//! What an index is asked for a query: always a superset of what matches.

use super::ast::{Clock, Expr, Place, Role, State};
use super::media::Media;
use super::pattern::{Chain, Pattern, Person};
use crate::ask::{Ask, Field, Needle};
use crate::words::Words;

/// An ask, and whether it means the same as what it was made of.
type Asked = (Ask, bool);

const ALL: Asked = (Ask::All, false);

/// What is asked, and whether an exact answer needs no confirmation.
pub(super) fn ask(expr: &Expr) -> Asked {
    match expr {
        Expr::All | Expr::Is(State::Anywhere) => (Ask::All, true),
        Expr::And(all) => both(all.iter().map(ask).collect(), Ask::And, &Ask::All),
        Expr::Or(all) => either(all.iter().map(ask).collect()),
        Expr::Not(inner) => match ask(inner) {
            (ask, true) => (Ask::Not(Box::new(ask)), true),
            _ => ALL,
        },
        Expr::Text(place, chain) => text(place, chain),
        Expr::People(role, person) => people(*role, person),
        Expr::Attachment(media) => (attachment(media), false),
        Expr::MessageId(id) => (phrase(&[Field::Header], id), false),
        Expr::HasHeader(name) => (phrase(&[Field::Header], name), false),
        Expr::Time(Clock::Sent | Clock::Existed | Clock::Deleted, ..) => ALL,
        Expr::Time(_, _, (from, until)) => (Ask::Received(*from, *until), true),
        _ => ALL,
    }
}

fn both(asked: Vec<Asked>, list: fn(Vec<Ask>) -> Ask, nothing: &Ask) -> Asked {
    let exact = asked.iter().all(|(_, exact)| *exact);
    let mut asks: Vec<Ask> = asked.into_iter().map(|(ask, _)| ask).collect();
    asks.retain(|ask| ask != nothing);
    let one = match asks.len() {
        0 => nothing.clone(),
        1 => asks.pop().unwrap_or_else(|| nothing.clone()),
        _ => list(asks),
    };
    (one, exact)
}

fn either(asked: Vec<Asked>) -> Asked {
    if asked.iter().any(|(ask, _)| *ask == Ask::All) {
        let exact = asked.iter().any(|(ask, exact)| *ask == Ask::All && *exact);
        return (Ask::All, exact);
    }
    both(asked, Ask::Or, &Ask::Nothing)
}

fn text(place: &Place, chain: &Chain) -> Asked {
    let (fields, exact): (&[Field], bool) = match place {
        Place::Anywhere => {
            (&[Field::Header, Field::Body, Field::Attachment, Field::Extracted], false)
        }
        Place::Content => (&[Field::Body, Field::Extracted], true),
        Place::Subject => (&[Field::Subject], true),
        Place::Body => (&[Field::Body], true),
        Place::Text => (&[Field::Header, Field::Body], true),
        Place::Header(_) | Place::List => (&[Field::Header], false),
        Place::FileName => (&[Field::Attachment], false),
    };
    let alone = chain.rest.is_empty();
    let asked = chain.patterns().map(|one| pattern(fields, one)).collect();
    let (ask, is_exact) = both(asked, Ask::And, &Ask::All);
    (ask, is_exact && exact && alone)
}

fn in_fields(fields: &[Field], needle: Needle) -> Ask {
    Ask::Text { fields: fields.to_vec(), needle }
}

/// Accents are folded by an index; only without them its answer is exact.
fn pattern(fields: &[Field], pattern: &Pattern) -> Asked {
    let words = &pattern.words;
    let exact = !words.is_marked();
    let last = words.len().saturating_sub(1);
    let word = |number: usize| words.marked(number).to_owned();
    let needle = match (pattern.open_start, pattern.open_end) {
        (false, false) if last == 0 => Needle::Word(word(0)),
        (false, false) => Needle::Phrase((0..=last).map(word).collect()),
        (false, true) if last == 0 => Needle::Prefix(word(0)),
        (true, false) if last == 0 => Needle::Suffix(word(0)),
        (true, true) if last == 0 => Needle::Substring(word(0)),
        (start, end) => return (open_phrase(fields, words, (start, end)), false),
    };
    (in_fields(fields, needle), exact)
}

/// Each word by itself.
fn open_phrase(fields: &[Field], words: &Words, open: (bool, bool)) -> Ask {
    let last = words.len().saturating_sub(1);
    let each = |number: usize| {
        let word = words.marked(number).to_owned();
        in_fields(
            fields,
            match number {
                0 if open.0 => Needle::Suffix(word),
                number if number == last && open.1 => Needle::Prefix(word),
                _ => Needle::Word(word),
            },
        )
    };
    Ask::And((0..=last).map(each).collect())
}

/// The words of a text, one behind the other; of a text without words everything.
fn phrase(fields: &[Field], text: &str) -> Ask {
    let found = Pattern::phrase(text);
    match found.words.is_empty() {
        true => Ask::All,
        false => pattern(fields, &found).0,
    }
}

fn people(role: Role, person: &Person) -> Asked {
    let fields = role.fields();
    if fields.is_empty() {
        return ALL;
    }
    match person {
        Person::Named(named) => (pattern(fields, named).0, false),
        Person::Address { local, domain } => {
            // A domain may be written in either of two ways.
            let plain =
                |text: &&str| text.is_ascii() && !text.to_ascii_lowercase().contains("xn--");
            let parts = [local.as_str(), domain.as_str()];
            let parts = parts.iter().filter(|part| !part.is_empty()).filter(|part| plain(part));
            let asks = parts.map(|part| (phrase(fields, part), false)).collect();
            both(asks, Ask::And, &Ask::All)
        }
    }
}

impl Role {
    /// The fields of an index that it looks at; none of an envelope.
    fn fields(self) -> &'static [Field] {
        match self {
            Self::From => &[Field::From],
            Self::To => &[Field::To],
            Self::Cc => &[Field::Cc],
            Self::Bcc => &[Field::Bcc],
            Self::ToFrom => &[Field::To, Field::From],
            Self::ToCc => &[Field::To, Field::Cc],
            Self::FromCc => &[Field::From, Field::Cc],
            Self::ToFromCc => &[Field::To, Field::From, Field::Cc],
            Self::Participants => &[Field::From, Field::To, Field::Cc, Field::Bcc],
            Self::EnvelopeFrom | Self::EnvelopeTo => &[],
        }
    }
}

/// By media types and by what names end with.
fn attachment(media: &Media) -> Ask {
    let fields = &[Field::Attachment];
    match media {
        Media::Any => Ask::All,
        Media::Type(media, subtype) => {
            phrase(fields, &format!("{media}/{}", subtype.as_deref().unwrap_or_default()))
        }
        Media::Alias(alias) => {
            let all = alias.types.iter().chain(alias.endings);
            either(all.map(|text| (phrase(fields, text), false)).collect()).0
        }
    }
}
