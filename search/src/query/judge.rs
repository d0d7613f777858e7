//! The one exact evaluation: whether an email matches at one of its standings.

use idna::domain_to_unicode;
use redoubt_log::record::{Flags, Principal, SpecialUse};
use redoubt_store::search::casemap;

use super::ast::{Clock, Expr, Held, Indexed, Place, Role, State, Who};
use super::pattern::{Chain, Person};
use crate::facts::texts;
use crate::facts::{AccountFacts, Facts, FactsError, Gone, Mailbox, Source, Standing};
use crate::words::Words;

type Judged = Result<bool, FactsError>;

/// The most that [`Expr::cost`] says.
const DEAREST: u8 = 4;

/// What costs less is looked at first.
pub(super) fn judge(expr: &Expr, facts: &mut dyn Facts, at: &Standing) -> Judged {
    match expr {
        Expr::And(all) => Ok(!any(all, facts, at, false)?),
        Expr::Or(all) => any(all, facts, at, true),
        Expr::Not(inner) => Ok(!judge(inner, facts, at)?),
        expr => one(expr, facts, at),
    }
}

/// Whether any of these comes to this answer.
fn any(all: &[Expr], facts: &mut dyn Facts, at: &Standing, answer: bool) -> Judged {
    for cost in 0..=DEAREST {
        for expr in all.iter().filter(|expr| expr.cost() == cost) {
            if judge(expr, facts, at)? == answer {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn one(expr: &Expr, facts: &mut dyn Facts, at: &Standing) -> Judged {
    let email = facts.email();
    Ok(match expr {
        Expr::Text(place, chain) => text(place, chain, facts)?,
        Expr::HasHeader(name) => {
            facts.headers()?.iter().any(|field| field.own && field.name.eq_ignore_ascii_case(name))
        }
        Expr::People(role, person) => people(*role, person, facts)?,
        Expr::Attachment(media) => {
            let attachments = facts.attachments()?;
            attachments.iter().any(|a| media.is(&a.media_type, a.name.as_deref()))
        }
        Expr::In(name) => is_called(&at.mailbox, name),
        Expr::Under(name) => is_under(&at.mailbox, name),
        Expr::Keyword(word) => at.keywords.iter().any(|have| have.eq_ignore_ascii_case(word)),
        Expr::Is(state) => is(*state, facts, at)?,
        Expr::Time(clock, _, bounds) => time(*clock, *bounds, facts, at)?,
        Expr::Size(least, most) => (*least..=*most).contains(&email.size),
        Expr::Email(id) => email.id == *id,
        Expr::Thread(id) => email.thread == *id,
        Expr::Blob(id) => email.blob == *id || facts.original()? == *id,
        Expr::Uid(ranges) => ranges.iter().any(|(f, l)| (*f..=*l).contains(&at.uid.get())),
        Expr::ModSeq(least, most) => (*least..=*most).contains(&at.modseq.0),
        Expr::MessageId(id) => facts.message_id()?.is_some_and(|have| have == *id),
        Expr::Gone => at.gone.is_some(),
        expr => of_account(expr, facts, at)?,
    })
}

/// What the account is, and what was done in it.
fn of_account(expr: &Expr, facts: &mut dyn Facts, at: &Standing) -> Judged {
    let account = facts.account()?;
    Ok(match expr {
        Expr::Account(name) => is_account(&account, name),
        Expr::Domain(name) => same_domain(&account.address.domain, name),
        Expr::Held(Held::Any(held)) => facts.holds()?.is_empty() != *held,
        Expr::Held(Held::By(id)) => facts.holds()?.iter().any(|hold| hold.0 == *id),
        Expr::DeletedBy(who) => match &at.gone {
            Some(gone) => did(who, gone, facts)?,
            None => false,
        },
        Expr::MovedFrom(name) => facts.moved_from()?.iter().any(|from| is_called(from, name)),
        Expr::Indexed(wanted) => {
            let extraction = facts.extraction()?;
            match wanted {
                Indexed::Full => extraction == crate::texts::Indexed::All,
                Indexed::Partial => extraction == crate::texts::Indexed::Partial,
                Indexed::None => extraction == crate::texts::Indexed::None,
            }
        }
        // All others are judged above.
        _ => true,
    })
}

// ----------------------------------------------------------------------- text

fn text(place: &Place, chain: &Chain, facts: &mut dyn Facts) -> Judged {
    let sources: &[Source] = match place {
        Place::Anywhere => &[Source::Header, Source::FileNames, Source::Bodies, Source::Extracted],
        Place::Content => &[Source::Bodies, Source::Extracted],
        Place::Subject => &[Source::Subject],
        Place::Body => &[Source::Bodies],
        Place::Text => &[Source::Header, Source::Bodies],
        Place::FileName => &[Source::FileNames],
        Place::Header(name) => return in_header(name, chain, facts),
        Place::List => return in_header("List-Id", chain, facts),
    };
    for source in sources {
        if facts.words(*source)?.iter().any(|text| chain.is_in(text)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_header(name: &str, chain: &Chain, facts: &mut dyn Facts) -> Judged {
    let headers = facts.headers()?;
    let mut named = headers.iter().filter(|f| f.own && f.name.eq_ignore_ascii_case(name));
    Ok(named.any(|field| chain.is_in(&Words::of(&field.value))))
}

// --------------------------------------------------------------------- people

fn people(role: Role, person: &Person, facts: &mut dyn Facts) -> Judged {
    if matches!(role, Role::EnvelopeFrom | Role::EnvelopeTo) {
        return in_envelope(role, person, facts);
    }
    let people = facts.people()?;
    let (from, to, cc, bcc) = (&people.from, &people.to, &people.cc, &people.bcc);
    let lists: &[&Vec<texts::Person>] = match role {
        Role::From => &[from],
        Role::To => &[to],
        Role::Cc => &[cc],
        Role::Bcc => &[bcc],
        Role::ToFrom => &[to, from],
        Role::ToCc => &[to, cc],
        Role::FromCc => &[from, cc],
        Role::ToFromCc => &[to, from, cc],
        _ => &[from, to, cc, bcc],
    };
    Ok(lists.iter().any(|list| list.iter().any(|have| is_person(have, person))))
}

fn in_envelope(role: Role, person: &Person, facts: &mut dyn Facts) -> Judged {
    let Some(envelope) = facts.envelope()? else { return Ok(false) };
    let addresses = match role {
        Role::EnvelopeFrom => std::slice::from_ref(&envelope.sender),
        _ => envelope.recipients.as_slice(),
    };
    let one = |address: &String| {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let name = String::new();
        is_person(&texts::Person { name, local: local.into(), domain: domain.into() }, person)
    };
    Ok(addresses.iter().any(one))
}

fn is_person(have: &texts::Person, want: &Person) -> bool {
    match want {
        Person::Named(pattern) => have.texts().iter().any(|text| pattern.is_in(&Words::of(text))),
        Person::Address { local, domain } => {
            let same_local = local.is_empty() || same_text(&have.local, local);
            let same_domain = domain.is_empty() || same_domain(&have.domain, domain);
            same_local && same_domain && !have.address().is_empty()
        }
    }
}

fn same_text(one: &str, other: &str) -> bool {
    casemap(one) == casemap(other)
}

/// Two domains are the same in either of the ways in which they are written (RFC 5890).
fn same_domain(one: &str, other: &str) -> bool {
    same_text(one, other) || same_text(&domain_to_unicode(one).0, &domain_to_unicode(other).0)
}

/// Whether someone is the account: by its own address or another name, with or without a
/// subaddress.
fn is_me(have: &texts::Person, account: &AccountFacts) -> bool {
    account.addresses.iter().any(|mine| {
        let local = account.separator.and_then(|separator| have.local.split_once(separator));
        let same = same_text(&have.local, &mine.local)
            || local.is_some_and(|(local, _)| same_text(local, &mine.local));
        same && same_domain(&have.domain, &mine.domain)
    })
}

// ---------------------------------------------------------------------- state

fn is(state: State, facts: &mut dyn Facts, at: &Standing) -> Judged {
    let has = |flag: Flags| at.flags.contains(flag);
    Ok(match state {
        State::Read => has(Flags::SEEN),
        State::Unread => !has(Flags::SEEN),
        State::Flagged => has(Flags::FLAGGED),
        State::Unflagged => !has(Flags::FLAGGED),
        State::Answered => has(Flags::ANSWERED),
        State::Unanswered => !has(Flags::ANSWERED),
        State::Draft => has(Flags::DRAFT),
        State::Deleted => has(Flags::DELETED),
        State::Anywhere => true,
        State::Attached => facts.attachments()?.iter().any(|attachment| attachment.shown),
        State::Received => facts.envelope()?.is_some(),
        State::Solo => facts.is_alone()?,
        State::Sent | State::FromMe => {
            let draft = state == State::Sent && has(Flags::DRAFT);
            !draft && mine(facts, |people| &people.from)?
        }
        State::ToMe => mine(facts, |people| &people.to)?,
        State::CcMe => mine(facts, |people| &people.cc)?,
    })
}

fn mine(facts: &mut dyn Facts, list: fn(&texts::People) -> &Vec<texts::Person>) -> Judged {
    let (people, account) = (facts.people()?, facts.account()?);
    Ok(list(&people).iter().any(|person| is_me(person, &account)))
}

// ----------------------------------------------------------------------- time

fn time(clock: Clock, bounds: (i64, i64), facts: &mut dyn Facts, at: &Standing) -> Judged {
    let within = |time: i64| bounds.0 <= time && time < bounds.1;
    Ok(match clock {
        Clock::Sent => facts.sent()?.is_some_and(|sent| within(sent.0)),
        Clock::Deleted => at.gone.as_ref().is_some_and(|gone| within(gone.by.time.0)),
        Clock::Existed => {
            let end = at.gone.as_ref().map_or(i64::MAX, |gone| gone.by.time.0);
            at.saved.0 < bounds.1 && bounds.0 < end
        }
        _ => within(facts.email().received.0),
    })
}

// ---------------------------------------------------------------------- place

/// By its whole name, or by what it is used for.
fn is_called(mailbox: &Mailbox, name: &str) -> bool {
    same_text(&mailbox.name, name) || is_used_for(mailbox.special_use, name)
}

fn is_used_for(special_use: Option<SpecialUse>, name: &str) -> bool {
    let used = match special_use {
        Some(SpecialUse::Archive) => "archive",
        Some(SpecialUse::Drafts) => "drafts",
        Some(SpecialUse::Junk) => "junk",
        Some(SpecialUse::Sent) => "sent",
        Some(SpecialUse::Trash) => "trash",
        None => return false,
    };
    used.eq_ignore_ascii_case(name.strip_prefix('\\').unwrap_or(name))
}

fn is_under(mailbox: &Mailbox, name: &str) -> bool {
    let (have, above) = (casemap(&mailbox.name), casemap(name));
    is_called(mailbox, name) || have.strip_prefix(&above).is_some_and(|rest| rest.starts_with('/'))
}

fn is_account(account: &AccountFacts, name: &str) -> bool {
    let by_id = name.parse().is_ok_and(|id: redoubt_log::id::AccountId| id == account.id);
    by_id
        || account.addresses.iter().any(|mine| match name.rsplit_once('@') {
            Some((local, domain)) => {
                same_text(&mine.local, local) && same_domain(&mine.domain, domain)
            }
            None => same_text(&mine.local, name),
        })
}

// -------------------------------------------------------------------- history

fn did(who: &Who, gone: &Gone, facts: &mut dyn Facts) -> Judged {
    let actor = &gone.by.actor;
    Ok(match who {
        Who::System => actor.principal == Principal::System,
        Who::Mta => actor.principal == Principal::Mta,
        Who::Uid(uid) => actor.principal == Principal::LocalUser(*uid),
        Who::Account(name) => {
            let id = match actor.principal {
                Principal::Account(id) | Principal::Person(id) => Some(id),
                _ => actor.on_behalf_of,
            };
            match id {
                Some(id) => facts.other_account(id)?.is_some_and(|by| is_account(&by, name)),
                None => false,
            }
        }
    })
}
