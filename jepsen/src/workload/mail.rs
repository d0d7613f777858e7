//! Deliveries as an MTA makes them, and sessions that watch them arrive.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Shared};
use super::imap::Style;
use super::lmtp::Delivery;
use super::messages::{Make, hash};
use super::{Running, Threads, Workload};
use crate::history::Ask;
use crate::target::Targets;

const ACCOUNTS: u32 = 4;
const MAILERS: u32 = 3;
/// Text octets of messages.
const SIZES: [usize; 5] = [200, 900, 3_000, 12_000, 70_000];
/// Attachments that messages share, and their octets.
const ATTACHMENTS: [(u32, usize); 3] = [(1, 5_000), (2, 24_000), (3, 90_000)];
/// How often a message is tried before it is given up.
const TRIES: u32 = 30;
/// How many messages a watcher asks for that were there before it came.
const NEWEST: u32 = 100;

/// Deliveries to many recipients, with an MTA's retries; sessions that watch the INBOXes.
#[derive(Debug, Default)]
pub struct Mail;

fn account(number: u32) -> String {
    format!("d{number}@example.org")
}

impl Workload for Mail {
    fn name(&self) -> &'static str {
        "deliveries"
    }

    fn accounts(&self) -> Vec<String> {
        (0..ACCOUNTS).map(account).collect()
    }

    fn start(&self, targets: &Targets, origin: Instant, seed: u64) -> Box<dyn Running> {
        let shared = Shared::new(targets, origin);
        let mut threads = Threads::new(&shared);
        for number in 0..MAILERS {
            let name = format!("mta{number}");
            let seed = seed ^ u64::from(number) << 8;
            threads.write(Client::new(&shared, &name, "", Style::Plain, seed), mta);
        }
        let styles = [Style::Qresync, Style::Plain, Style::CondStore];
        for (number, style) in (0..).zip(styles) {
            let name = format!("watch-d{number}");
            let seed = seed ^ u64::from(number + 100) << 8;
            let client = Client::new(&shared, &name, &account(number), style, seed).listening();
            threads.listen(client, watch);
        }
        Box::new(threads)
    }
}

/// A message on its way.
struct Queued {
    make: Make,
    to: BTreeSet<String>,
    tries: u32,
    not_before: Instant,
}

/// Sends new messages, and again those that are not through.
fn mta(mut client: Client) {
    let mut queue: Vec<Queued> = Vec::new();
    let mut delivery: Option<Delivery> = None;
    let mut sent = 0;
    while !client.is_over() {
        let now = Instant::now();
        let due = queue.iter().position(|queued| queued.not_before <= now);
        let mut queued = match due {
            Some(at) => queue.swap_remove(at),
            None if queue.len() < 40 => {
                sent += 1;
                new(&mut client, sent)
            }
            None => {
                client.pause(50, 150);
                continue;
            }
        };
        attempt(&mut client, &mut delivery, &mut queued);
        let again = queued.tries < TRIES && (queued.tries < 2 || client.below(20) > 0);
        if !queued.to.is_empty() && again {
            queue.push(queued);
        }
        client.pause(120, 400);
    }
}

fn new(client: &mut Client, number: u32) -> Queued {
    let token = format!("{}-{number}", client.name);
    let size = match client.below(20) {
        0..9 => 0,
        9..14 => 1,
        14..17 => 2,
        17..19 => 3,
        _ => 4,
    };
    let attachment = (client.below(5) == 0).then(|| client.one(&ATTACHMENTS)).flatten();
    let all = 1 << ACCOUNTS;
    let some = 1 + client.below(all - 1);
    let to = (0..ACCOUNTS).filter(|number| some & bit(*number) != 0).map(account).collect();
    let make = Make { token, text: SIZES[size], attachment };
    Queued { make, to, tries: 0, not_before: Instant::now() }
}

fn bit(number: u32) -> u32 {
    1 << number
}

/// Those that are answered for good are through: 2xx and 5xx.
fn attempt(client: &mut Client, delivery: &mut Option<Delivery>, queued: &mut Queued) {
    queued.tries += 1;
    let wait = u64::from(queued.tries.min(8)) * 200;
    queued.not_before = Instant::now() + Duration::from_millis(wait);
    if delivery.is_none() || client.below(25) == 0 {
        let Some(target) = client.target() else { return };
        let shared = (&client.shared().recorder, client.end());
        *delivery = Delivery::connect(shared, &target, &client.name);
    }
    let Some(connection) = delivery else { return };
    let octets = queued.make.octets();
    let ask = Ask::Deliver {
        token: queued.make.token.clone(),
        hash: hash(&octets),
        to: queued.to.iter().cloned().collect(),
    };
    let (answers, usable) = connection.deliver(ask, &octets);
    for (to, code) in answers {
        if !(400..500).contains(&code) {
            queued.to.remove(&to);
        }
    }
    if !usable {
        *delivery = None;
    }
}

/// Listens to an INBOX that only grows, by NOOP and IDLE, and now and then elsewhere.
fn watch(mut client: Client) {
    while !client.is_over() {
        look(&mut client);
        client.pause(50, 250);
    }
    super::last_look(&mut client, "INBOX");
}

fn look(client: &mut Client) -> Option<()> {
    client.select("INBOX")?;
    let count = u32::try_from(client.cache.slots.len()).unwrap_or(u32::MAX);
    let newest = client.cache.slots.iter().flatten().next_back().copied();
    let from = newest.map_or(count.saturating_sub(NEWEST).max(1), |uid| uid + 1);
    if client.cache.slots.last().is_some_and(Option::is_none) {
        client.ask(Ask::Fetch { from })?;
    }
    match client.below(40) {
        0 => client.leave(),
        1..4 => {
            let uid = client.cache.slots.iter().flatten().next_back().copied().unwrap_or(1);
            client.ask(Ask::Read { first: uid, last: uid })?;
        }
        4..15 => {
            client.ask(Ask::Noop)?;
        }
        _ => {
            let time = 300 + u64::from(client.below(1_500));
            client.idle(Duration::from_millis(time))?;
        }
    }
    Some(())
}

impl Threads {
    /// Starts a client that writes.
    pub(super) fn write(&mut self, client: Client, work: fn(Client)) {
        self.writers.push(thread::spawn(move || work(client)));
    }

    /// Starts a client that goes on until the writers have ended.
    pub(super) fn listen(&mut self, client: Client, work: fn(Client)) {
        self.listeners.push(thread::spawn(move || work(client)));
    }
}
