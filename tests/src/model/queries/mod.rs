//! Queries, judged by plain reading of what the model remembers and of mail whose every word is
//! known: slow, and sharing no rule with `search`.

mod mail;

use std::cell::Cell;

use mail::{Mail, Mails, Wanted, near, tokens};
use redoubt_extract::Status;
use redoubt_log::dump::rfc3339;
use redoubt_search::find::Finder;
use redoubt_search::query::{Context, Query};
use redoubt_store::travel::{Cursor, Search, Which};
use redoubt_store::view::View;

use super::travel::{Story, story};
use super::*;

// -------------------------------------------------------------------- queries

/// A query in small numbers.
#[derive(Debug, Clone)]
pub enum Asked {
    And(Vec<Asked>),
    Or(Vec<Asked>),
    Not(Box<Asked>),
    Text(u8, u8),
    Near(u8, u8, u8, u8),
    Has(u8),
    Person(u8, u8, u8),
    Kind(u8),
    In(u8, bool),
    Keyword(u8),
    Is(u8),
    Time(u8, u8, u8),
    /// A day in the query's zone.
    Day(u8, u8),
    Size(u64, u64),
    Uid(u32, u32),
    ModSeq(u64),
    MessageId(u8),
    Id(u8, u8),
    Gone,
    DeletedBy(u8),
    MovedFrom(u8),
    Held(bool),
    Indexed(u8),
}

const PLACES: [&str; 9] = [
    "",
    "content:",
    "subject:",
    "body:",
    "text:",
    "header[X-Berry]:",
    "filename:",
    "header[From]:",
    "list:",
];
const ROLES: [&str; 11] = [
    "from",
    "to",
    "cc",
    "bcc",
    "tofrom",
    "tocc",
    "fromcc",
    "tofromcc",
    "participants",
    "envfrom",
    "envto",
];
/// Zones of queries, and what their clocks are ahead in milliseconds.
const ZONES: [(&str, i64); 3] = [("UTC", 0), ("+05:30", 19_800_000), ("-08:00", -28_800_000)];
const DAYS: [&str; 4] = ["date", "sent", "existed", "deleted"];
const STATES: [&str; 15] = [
    "read",
    "unread",
    "flagged",
    "unflagged",
    "answered",
    "unanswered",
    "draft",
    "deleted",
    "tome",
    "fromme",
    "ccme",
    "solo",
    "anywhere",
    "sent",
    "received",
];
const KINDS: [&str; 5] = ["pdf", "image/png", "word", "application/*", "any"];
const KEYWORDS: [&str; 4] = ["$Forwarded", "WORK", "y", "none"];
const CLOCKS: [&str; 6] = ["date", "before", "after", "sent", "existed", "deleted"];
const INDEXED: [&str; 3] = ["none", "partial", "full"];

/// Who did a record, and when.
pub type Doings = BTreeMap<LogIndex, (Actor, Timestamp)>;

/// What one email is at one standing.
struct At<'a> {
    place: (MailboxId, Uid),
    email: EmailId,
    message: &'a MessageM,
    data: &'a EmailM,
    mailbox: (String, Option<SpecialUse>),
    gone: Option<LogIndex>,
    mail: Mail,
}

/// A moment of an account.
struct Scene<'a> {
    story: &'a Story<'a>,
    state: &'a State,
    doings: &'a Doings,
    mails: &'a Mails,
    held: bool,
    names: Vec<String>,
    times: Vec<i64>,
    ids: Vec<EmailId>,
    moved: BTreeMap<EmailId, Vec<(String, Option<SpecialUse>)>>,
    /// What the clocks of the query's zone are ahead, in milliseconds.
    ahead: Cell<i64>,
}

fn pick<T>(list: &[T], n: u8) -> &T {
    &list[usize::from(n) % list.len()]
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Scene<'_> {
    /// As a person would write it.
    fn text(&self, asked: &Asked) -> String {
        let all = |list: &[Asked], between: &str| {
            let parts: Vec<String> =
                list.iter().map(|one| format!("({})", self.text(one))).collect();
            parts.join(between)
        };
        match asked {
            Asked::And(list) => all(list, " "),
            Asked::Or(list) => all(list, " OR "),
            Asked::Not(one) => format!("-({})", self.text(one)),
            Asked::Text(place, word) => {
                format!("{}{}", pick(&PLACES, *place), Wanted::new(*word).text)
            }
            Asked::Near(place, gap, a, b) => {
                let (a, b) = (Wanted::new(*a).text, Wanted::new(*b).text);
                format!("{}({a} NEAR({gap}) {b})", pick(&PLACES, *place))
            }
            Asked::Has(0) => "has:attachment".into(),
            Asked::Has(_) => "header[X-Berry]:*".into(),
            Asked::Person(role, how, who) => {
                let address = pick(&self.mails.addresses, *who);
                let (local, domain) = address.split_once('@').unwrap();
                let value = match how % 4 {
                    0 => address.to_uppercase(),
                    1 => format!("@{domain}"),
                    2 => format!("{local}@"),
                    _ => Wanted::new(*who).text,
                };
                format!("{}:{value}", pick(&ROLES, *role))
            }
            Asked::Kind(kind) => format!("attachment:{}", pick(&KINDS, *kind)),
            Asked::In(name, under) => {
                let op = if *under { "under" } else { "in" };
                format!("{op}:{}", quoted(self.name(*name)))
            }
            Asked::Keyword(word) => format!("keyword:{}", pick(&KEYWORDS, *word)),
            Asked::Is(state) => format!("is:{}", pick(&STATES, *state)),
            Asked::Time(clock, from, to) => {
                let time = |n: &u8| {
                    let time = pick(&self.times, *n).div_euclid(1000) * 1000;
                    rfc3339(Timestamp(time)).replace(".000", "")
                };
                match *pick(&CLOCKS, *clock) {
                    clock @ ("before" | "after") => format!("{clock}:{}", time(from)),
                    clock => format!("{clock}:{}..{}", time(from), time(to)),
                }
            }
            Asked::Day(clock, day) => {
                let local = pick(&self.times, *day) + self.ahead.get();
                let day = rfc3339(Timestamp(local)).chars().take(10).collect::<String>();
                format!("{}:{day}", pick(&DAYS, *clock))
            }
            Asked::Size(least, most) => format!("size:{least}..{}", least + most),
            Asked::Uid(first, more) => format!("uid:1,{first}..{}", first + more),
            Asked::ModSeq(least) => format!("modseq:{least}.."),
            Asked::MessageId(id) => format!("msgid:<{}@mail>", id % 7),
            Asked::Id(0, n) => format!("emailid:{}", pick(&self.ids, *n)),
            Asked::Id(1, n) => format!("threadid:{}", ThreadId(*pick(&self.ids, *n))),
            Asked::Id(_, n) => format!("blob:{}", self.blob(*n)),
            Asked::Gone => "deleted:any".into(),
            Asked::DeletedBy(0) => "deletedby:system".into(),
            Asked::DeletedBy(1) => "deletedby:uid=0".into(),
            Asked::DeletedBy(id) => format!("deletedby:{id}"),
            Asked::MovedFrom(name) => format!("movedfrom:{}", quoted(self.name(*name))),
            Asked::Held(held) => format!("held:{}", if *held { "yes" } else { "no" }),
            Asked::Indexed(how) => format!("indexed:{}", pick(&INDEXED, *how)),
        }
    }

    fn name(&self, n: u8) -> &str {
        pick::<String>(&self.names, n)
    }

    fn blob(&self, n: u8) -> BlobId {
        let id = pick(&self.ids, n);
        let all = self.story.moments.iter().rev();
        let found = all.filter_map(|(_, account)| account.emails.get(id)).next();
        found.map_or(BlobId::default(), |email| email.blob)
    }

    fn holds(&self, asked: &Asked, at: &At<'_>) -> bool {
        match asked {
            Asked::And(list) => list.iter().all(|one| self.holds(one, at)),
            Asked::Or(list) => list.iter().any(|one| self.holds(one, at)),
            Asked::Not(one) => !self.holds(one, at),
            Asked::Text(place, word) => {
                let word = Wanted::new(*word);
                texts(&at.mail, *place).iter().any(|text| !word.places(&tokens(text)).is_empty())
            }
            Asked::Near(place, gap, a, b) => {
                let (a, b, gap) = (Wanted::new(*a), Wanted::new(*b), usize::from(*gap));
                texts(&at.mail, *place).iter().any(|text| near(text, &a, &b, gap))
            }
            Asked::Has(0) => at.mail.attached.is_some(),
            Asked::Has(_) => !at.mail.named("X-Berry").is_empty(),
            Asked::Person(role, how, who) => self.corresponds(*role, *how, *who, at),
            Asked::Kind(kind) => at.mail.attached.as_ref().is_some_and(|(name, media, _)| {
                match *pick(&KINDS, *kind) {
                    "pdf" => *media == "application/pdf" || name.ends_with(".pdf"),
                    "word" => name.ends_with(".doc"),
                    "image/png" => *media == "image/png",
                    "application/*" => media.starts_with("application/"),
                    _ => true,
                }
            }),
            Asked::In(name, under) => called(&at.mailbox, self.name(*name), *under),
            Asked::Keyword(word) => {
                let word = pick(&KEYWORDS, *word).to_lowercase();
                at.message.keywords.iter().any(|have| have.to_lowercase() == word)
            }
            Asked::Is(state) => self.is(pick::<&str>(&STATES, *state), at),
            Asked::Time(clock, from, to) => {
                let second = |n: u8| pick(&self.times, n).div_euclid(1000) * 1000;
                self.within(pick::<&str>(&CLOCKS, *clock), second(*from), second(*to) + 1000, at)
            }
            Asked::Day(clock, day) => {
                const DAY: i64 = 86_400_000;
                let local = pick(&self.times, *day) + self.ahead.get();
                let from = local.div_euclid(DAY) * DAY - self.ahead.get();
                self.within(pick::<&str>(&DAYS, *clock), from, from + DAY, at)
            }
            Asked::Size(least, most) => *least <= at.data.size && at.data.size <= least + most,
            Asked::Uid(first, more) => {
                let uid = at.place.1.get();
                uid == 1 || *first <= uid && uid <= first + more
            }
            Asked::ModSeq(least) => at.message.modseq >= *least,
            Asked::MessageId(id) => at.mail.named("Message-ID") == [format!("<{}@mail>", id % 7)],
            Asked::Id(0, n) => at.email == *pick(&self.ids, *n),
            Asked::Id(1, n) => at.data.thread == ThreadId(*pick(&self.ids, *n)),
            Asked::Id(_, n) => at.data.blob == self.blob(*n),
            Asked::Gone => at.gone.is_some(),
            Asked::DeletedBy(who) => at.gone.is_some_and(|index| {
                let principal = self.doings[&index].0.principal;
                match who {
                    0 => principal == Principal::System,
                    1 => principal == Principal::LocalUser(0),
                    id => {
                        let id = AccountId(u64::from(*id));
                        let there = self.state.accounts.get(&id);
                        let there = there.filter(|a| a.settings.state != AccountState::Deleted);
                        principal == Principal::Account(id) && there.is_some()
                    }
                }
            }),
            Asked::MovedFrom(name) => {
                let moved = self.moved.get(&at.email).map_or(&[][..], Vec::as_slice);
                moved.iter().any(|from| called(from, self.name(*name), false))
            }
            Asked::Held(held) => *held == self.held,
            Asked::Indexed(how) => {
                let attached = at.mail.attached.as_ref();
                let read =
                    attached.map(|(_, _, text)| match text.as_ref().map(|text| text.status) {
                        Some(Status::Ok | Status::Skipped) => "full",
                        Some(Status::Partial) => "partial",
                        _ => "none",
                    });
                read.unwrap_or("full") == *pick(&INDEXED, *how)
            }
        }
    }

    fn corresponds(&self, role: u8, how: u8, who: u8, at: &At<'_>) -> bool {
        let envelope = at.data.envelope.map(|blob| self.mails.envelope(&blob));
        let (sender, recipients) = envelope.unzip();
        let unnamed = |address: String| (String::new(), address);
        let of_envelope: Option<Vec<(String, String)>> = match *pick(&ROLES, role) {
            "envfrom" => Some(sender.into_iter().map(unnamed).collect()),
            "envto" => Some(recipients.into_iter().flatten().map(unnamed).collect()),
            _ => None,
        };
        let people = |list: &usize| at.mail.people[*list].clone();
        let lists: &[usize] = match *pick(&ROLES, role) {
            "from" => &[0],
            "to" => &[1],
            "cc" => &[2],
            "bcc" => &[3],
            "tofrom" => &[0, 1],
            "tocc" => &[1, 2],
            "fromcc" => &[0, 2],
            "tofromcc" => &[0, 1, 2],
            _ => &[0, 1, 2, 3],
        };
        let wanted = pick(&self.mails.addresses, who).to_lowercase();
        let (local, domain) = wanted.split_once('@').unwrap();
        let word = Wanted::new(who);
        let people = of_envelope.unwrap_or_else(|| lists.iter().flat_map(people).collect());
        people.iter().any(|(name, address)| {
            let address = address.to_lowercase();
            match how % 4 {
                0 => address == wanted,
                1 => address.ends_with(&format!("@{domain}")),
                2 => address.starts_with(&format!("{local}@")),
                _ => [name, &address].iter().any(|text| !word.places(&tokens(text)).is_empty()),
            }
        })
    }

    fn is(&self, state: &str, at: &At<'_>) -> bool {
        let flag = |bit: u8| at.message.flags & bit != 0;
        let mine = |list: usize| {
            at.mail.people[list].iter().any(|(_, address)| {
                let address = address.to_lowercase();
                let aliases = self.state.aliases.iter().filter(|(_, id)| **id == self.story.id);
                let own = &self.state.accounts[&self.story.id].address;
                std::iter::once(own).chain(aliases.map(|(alias, _)| alias)).any(|mine| {
                    address == mine.to_string() || {
                        let plain = address.split_once('@').unwrap();
                        let local = plain.0.split('+').next().unwrap();
                        format!("{local}@{}", plain.1) == mine.to_string()
                    }
                })
            })
        };
        match state {
            "read" => flag(1),
            "unread" => !flag(1),
            "answered" => flag(2),
            "unanswered" => !flag(2),
            "flagged" => flag(4),
            "unflagged" => !flag(4),
            "deleted" => flag(8),
            "draft" => flag(16),
            "fromme" => mine(0),
            "sent" => mine(0) && !flag(16),
            "received" => at.data.envelope.is_some(),
            "tome" => mine(1),
            "ccme" => mine(2),
            "solo" => {
                let live = self.story.now().mailboxes.iter().filter(|m| m.stage == Stage::Live);
                let there: BTreeSet<EmailId> =
                    live.flat_map(|m| m.messages.iter().map(|p| p.email)).collect();
                let emails = &self.story.now().emails;
                let of = there.iter().filter(|id| emails[id].thread == at.data.thread);
                of.collect::<Vec<_>>() == [&at.email]
            }
            _ => true,
        }
    }

    fn within(&self, clock: &str, from: i64, to: i64, at: &At<'_>) -> bool {
        let gone = at.gone.map(|index| self.doings[&index].1.0);
        match clock {
            "before" => at.data.received.0 < from,
            "after" => at.data.received.0 >= from,
            "date" => from <= at.data.received.0 && at.data.received.0 < to,
            "sent" => at.mail.sent.is_some_and(|sent| from <= sent * 1000 && sent * 1000 < to),
            "existed" => at.message.saved.0 < to && gone.is_none_or(|gone| from < gone),
            _ => gone.is_some_and(|gone| from <= gone && gone < to),
        }
    }
}

fn texts(mail: &Mail, place: u8) -> Vec<String> {
    let body = vec![mail.body.clone()];
    match *pick(&PLACES, place) {
        "content:" => [body, mail.extracted()].concat(),
        "subject:" => mail.named("Subject"),
        "body:" => body,
        "text:" => [mail.lines(), body].concat(),
        "filename:" => mail.file_names(),
        "header[X-Berry]:" => mail.named("X-Berry"),
        "header[From]:" => mail.named("From"),
        "list:" => mail.named("List-Id"),
        _ => [mail.lines(), body, mail.file_names(), mail.extracted()].concat(),
    }
}

fn called(mailbox: &(String, Option<SpecialUse>), name: &str, under: bool) -> bool {
    let (have, name) = (mailbox.0.to_lowercase(), name.to_lowercase());
    let used = mailbox.1.map(|used| format!("{used:?}").to_lowercase());
    have == name || used == Some(name.clone()) || under && have.starts_with(&format!("{name}/"))
}

// ----------------------------------------------------------------- comparison

/// Panics where a query finds anything else than plain reading does, at some of the moments.
/// How many queries found something, and how many found nothing.
pub fn queries(
    now: &View,
    model: &Model,
    doings: &Doings,
    asked: &[Asked],
    moments: usize,
) -> [usize; 2] {
    let mut counts = [0; 2];
    let indexes: Vec<LogIndex> = model.past.keys().copied().collect();
    for (n, index) in indexes.iter().enumerate() {
        if n % (indexes.len() / moments).max(1) != 0 && n + 1 != indexes.len() {
            continue;
        }
        let state = &model.past[index];
        let mut addresses: Vec<String> =
            state.accounts.values().map(|a| a.address.to_string()).collect();
        addresses.extend(state.aliases.keys().map(ToString::to_string));
        addresses.extend(["bob@else.test".into(), "apple@d0.test".into()]);
        let emails =
            model.past.values().flat_map(|s| s.accounts.values()).flat_map(|a| a.emails.values());
        let envelopes = emails.filter_map(|email| email.envelope).collect();
        let mails = Mails { addresses, envelopes };
        for id in state.accounts.keys() {
            let Some(story) = story(model, *id, *index) else { continue };
            let held = model.holds.values().any(|hold| model.reaches(hold, *id));
            let scene = scene(&story, state, doings, &mails, held);
            let view = now.at(*index);
            for (n, asked) in asked.iter().enumerate() {
                counts[usize::from(!compare(&view, &scene, asked, n))] += 1;
            }
        }
    }
    counts
}

fn scene<'a>(
    story: &'a Story<'a>,
    state: &'a State,
    doings: &'a Doings,
    mails: &'a Mails,
    held: bool,
) -> Scene<'a> {
    let mut names: BTreeSet<String> = ["sent".to_owned(), "Archive".to_owned()].into();
    let mut ids = BTreeSet::from([EmailId::default()]);
    let mut moved: BTreeMap<EmailId, Vec<(String, Option<SpecialUse>)>> = BTreeMap::new();
    for (_, was, is, account) in story.steps() {
        let known = account.mailboxes.iter().filter(|m| m.stage != Stage::Deleted);
        names.extend(known.map(|m| account.whole_name(m.id)));
        ids.extend(is.values().map(|(email, _)| *email));
        for email in ids.clone() {
            let only = |here: &super::travel::Shown, there: &super::travel::Shown| {
                let here =
                    here.iter().filter(|(place, e)| e.0 == email && !there.contains_key(place));
                here.map(|(place, _)| *place).collect::<Vec<_>>()
            };
            let gone = only(&was, &is)
                .into_iter()
                .filter(|place| super::travel::is_live(account, place.0));
            let gone: Vec<_> = gone.take(only(&is, &was).len()).collect();
            let from = gone.into_iter().map(|(mailbox, _)| named(account, mailbox));
            moved.entry(email).or_default().extend(from);
        }
    }
    let times = doings.values().map(|(_, time)| time.0).chain([0, 4_000_000_000_000]).collect();
    let (names, ids) = (names.into_iter().collect(), ids.into_iter().collect());
    Scene { story, state, doings, mails, held, names, times, ids, moved, ahead: Cell::new(0) }
}

fn named(account: &AccountM, mailbox: MailboxId) -> (String, Option<SpecialUse>) {
    (account.whole_name(mailbox), account.mailbox(mailbox).and_then(|m| m.special_use))
}

/// What stood where, and went at which index.
type Found = BTreeMap<(MailboxId, Uid), (EmailId, Option<LogIndex>)>;

fn expected(scene: &Scene<'_>, asked: &Asked) -> Found {
    let mut found = Found::new();
    let mut before: Option<&AccountM> = None;
    for (index, was, is, account) in scene.story.steps() {
        for (place, (email, _)) in was.iter().filter(|(place, _)| !is.contains_key(place)) {
            let came = is.iter().any(|(other, (id, _))| id == email && !was.contains_key(other));
            if super::travel::is_live(account, place.0) && came {
                continue;
            }
            let at = standing(scene, before.unwrap(), *place, *email, Some(index));
            if scene.holds(asked, &at) {
                found.insert(*place, (*email, Some(index)));
            }
        }
        before = Some(account);
    }
    let now = scene.story.now();
    for (place, (email, _)) in super::travel::shown(now) {
        if scene.holds(asked, &standing(scene, now, place, email, None)) {
            found.insert(place, (email, None));
        }
    }
    found
}

fn standing<'a>(
    scene: &Scene<'_>,
    account: &'a AccountM,
    place: (MailboxId, Uid),
    email: EmailId,
    gone: Option<LogIndex>,
) -> At<'a> {
    let mailbox = account.mailboxes.iter().find(|m| m.id == place.0).unwrap();
    let message = mailbox.messages.iter().find(|m| m.uid == place.1).unwrap();
    let data = &account.emails[&email];
    let mail = Mails::of(scene.mails, &data.blob);
    At { place, email, message, data, mailbox: named(account, place.0), gone, mail }
}

/// The moment and the zone of a query stand in the query itself.
fn compare(view: &View, scene: &Scene<'_>, asked: &Asked, n: usize) -> bool {
    let (zone, ahead) = ZONES[n % ZONES.len()];
    scene.ahead.set(ahead);
    let text = format!("zone:\"{zone}\" asof:@{} {}", view.index(), scene.text(asked));
    let context = Context { now: Timestamp(0), ..Context::utc() };
    let query = Query::parse(&text, &context).unwrap_or_else(|error| panic!("{error}"));
    let moment = query.as_of().unwrap().resolve(view, Timestamp(0)).unwrap();
    let view = &view.at(moment.index);
    let account = scene.story.id;
    let search = Search { view, account, mailboxes: &[], which: Which::Both, among: None };
    let mut finder = Finder::new(&query, view, account, scene.mails, scene.mails);
    let (mut found, mut after) = (Found::new(), None::<Cursor>);
    loop {
        let page = search.piece(&mut finder, after, 5).unwrap();
        for hit in page.hits {
            let gone = hit.gone.map(|gone| gone.by.index);
            found.insert((hit.place.mailbox, hit.place.uid), (hit.placement.email, gone));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, expected(scene, asked), "account {account} at {}: {text}", view.index());
    !found.is_empty()
}
