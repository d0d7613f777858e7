//! Clients: deliveries, appends, flags, moves, expunges, mailboxes; on any node,
//! retried with the same operation id until somebody says what came of it.

use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::{AccountId, BlobId, MailboxId, OperationId, ThreadKey, Timestamp, Uid};
use redoubt_log::raft::{ProposeError, ReadError};
use redoubt_log::record::*;
use redoubt_log::world::sim::Host;
use redoubt_store::storage::MemStorage;
use redoubt_store::view::View;

use super::Group;
use super::machine::{Machine, Running};

pub(super) const ACCOUNTS: u64 = 2;
const MAILBOXES: u64 = 5;

/// The first records: a domain and its accounts.
pub(super) fn directory() -> Vec<Change> {
    let domain = "example.org".to_owned();
    let settings = DomainSettings::default();
    let mut changes = vec![Change::DomainAdd(DomainAdd { domain: domain.clone(), settings })];
    changes.extend((1..=ACCOUNTS).map(|n| {
        let address = Address { local: format!("user{n}"), domain: domain.clone() };
        let settings = AccountSettings::default();
        Change::AccountAdd(AccountAdd { address, settings, password: None })
    }));
    changes
}

/// One client, for as long as the run lasts.
pub(super) async fn client(group: Group) {
    let main = group.main().clone();
    let mut view = None;
    while !group.is_over() {
        main.rest(Duration::from_millis(main.pick(1..60))).await;
        match main.pick(0..4) {
            0 => view = read(&group).await.or(view),
            _ => {
                let wish = Wish::of(&main, view.as_ref());
                settle(&group, wish).await;
            }
        }
    }
}

/// A linearizable read, and what it saw.
pub(super) async fn read(group: &Group) -> Option<View> {
    let machine = group.any()?;
    let floor = group.ledger().floor();
    let views = machine.views().clone();
    let seen = machine.with(move |host, running| async move {
        let deadline = host.later(Duration::from_millis(host.pick(100..2000)));
        let answer: Result<_, ReadError> = running.node.read_index(deadline).await;
        answer.ok().map(|index| (index, views.now()))
    });
    let (index, now) = seen.await??;
    let view = View::new(Arc::<MemStorage>::new(now)).ok()?;
    let applied = view.applied().map(|applied| applied.index);
    if applied < Some(index) {
        let what = format!("node {} said {index} and had applied {applied:?}", machine.id());
        group.ledger().violation(what);
    }
    group.ledger().read(machine.id(), floor, applied);
    Some(view)
}

/// What came of a proposal.
#[derive(Debug)]
pub(super) enum Fate {
    /// It was acknowledged.
    Done(Outcome),
    /// It never was, and never will be, in the log.
    Refused,
    /// It may have been done, or may yet be.
    Unknown,
}

impl Fate {
    fn of_refusal(unknown: bool) -> Self {
        if unknown { Self::Unknown } else { Self::Refused }
    }
}

/// Proposes something until its fate is known; gives up when the run is over, and
/// when the disk is full or the level too low.
pub(super) async fn settle(group: &Group, wish: Wish) -> Fate {
    let main = group.main().clone();
    let operation = OperationId(main.random());
    let mut unknown = false;
    while !group.is_over() {
        let Some(machine) = group.any() else {
            main.rest(Duration::from_millis(20)).await;
            continue;
        };
        match attempt(&machine, &wish, operation).await {
            Some(Ok(outcome)) => {
                group.ledger().acknowledged(operation, &outcome);
                group.check_quorum(outcome.index);
                return Fate::Done(outcome);
            }
            None | Some(Err(ProposeError::Unknown(_))) => {
                unknown = true;
                group.ledger().count(|counts| counts.unknown += 1);
            }
            Some(Err(ProposeError::DiskFull | ProposeError::Level { .. })) => {
                return Fate::of_refusal(unknown);
            }
            Some(Err(ProposeError::TooLarge(why) | ProposeError::Blob { why, .. })) => {
                group.ledger().violation(format!("a good record was refused: {why}"));
            }
            Some(Err(_)) => {}
        }
        main.rest(Duration::from_millis(main.pick(1..80))).await;
    }
    Fate::Unknown
}

async fn attempt(
    machine: &Machine,
    wish: &Wish,
    operation: OperationId,
) -> Option<Result<Outcome, ProposeError>> {
    let wish = wish.clone();
    machine
        .with(move |host, running| async move {
            let deadline = host.later(Duration::from_millis(host.pick(50..3000)));
            let _using = running.blobs.using();
            let Some(change) = wish.change(&running) else {
                return Err(ProposeError::Unavailable);
            };
            let (actor, why) = (Actor::SYSTEM, Why::default());
            let record = Record { stamp: Timestamp::now(), operation, actor, why, change };
            running.node.propose(record, deadline).await
        })
        .await
}

/// What a client wants; messages come with their octets.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// Anything without content.
    Plain(Change),
    /// A delivery to some accounts.
    Deliver(Vec<u8>, Vec<u64>),
    /// An append.
    Append(Vec<u8>, u64, u32),
}

impl Wish {
    fn of(main: &Host, view: Option<&View>) -> Self {
        let (account, mailbox) = (AccountId(main.pick(1..ACCOUNTS + 1)), any_mailbox(main));
        let name = format!("box{}", main.pick(0..MAILBOXES));
        match main.pick(0..16) {
            0..6 => {
                let to = (1..=ACCOUNTS).filter(|_| main.pick(0..3) > 0).collect();
                Self::Deliver(message(main), to)
            }
            6..8 => Self::Append(message(main), account.0, mailbox.0),
            8 => Self::Plain(Change::MailboxCreate(MailboxCreate {
                account,
                parent: None,
                name,
                special_use: None,
            })),
            9 if main.pick(0..3) == 0 => {
                Self::Plain(Change::MailboxDelete(MailboxDelete { account, mailbox }))
            }
            9 => Self::Plain(Change::MailboxRename(MailboxRename {
                account,
                mailbox,
                parent: None,
                name,
            })),
            10..12 => Self::Plain(Change::Expunge(Expunge {
                account,
                mailbox,
                uids: some_uids(main),
                only_deleted: main.random(),
            })),
            12..14 => Self::Plain(moved(main, view, account, mailbox)),
            _ => Self::Plain(Change::SetFlags(SetFlags {
                account,
                mailbox,
                reader: account,
                uids: some_uids(main),
                how: FlagChange::Add,
                flags: Flags(main.pick(0..32) as u8),
                keywords: Vec::new(),
                unchanged_since: None,
            })),
        }
    }

    /// Puts the octets into this node's packs, as `Mailstore::deliver` does.
    fn change(self, running: &Running) -> Option<Change> {
        match self {
            Self::Plain(change) => Some(change),
            Self::Deliver(octets, to) => {
                let envelope = running.blobs.put(&octets[..16.min(octets.len())]).ok()?.id;
                let recipients = to.into_iter().map(recipient).collect();
                let message = put(running, &octets)?;
                let received = Timestamp::now();
                Some(Change::Deliver(Deliver { message, received, envelope, recipients }))
            }
            Self::Append(octets, account, mailbox) => {
                let item = AppendItem {
                    message: put(running, &octets)?,
                    received: Timestamp::now(),
                    flags: Flags::NONE,
                    keywords: Vec::new(),
                    uid: None,
                    operation: None,
                };
                Some(Change::Append(Append {
                    account: AccountId(account),
                    mailbox: MailboxId(mailbox),
                    items: vec![item],
                }))
            }
        }
    }
}

fn moved(main: &Host, view: Option<&View>, account: AccountId, from: MailboxId) -> Change {
    let there =
        view.and_then(|view| view.placements(account, from, account, Uid::MIN, Uid::MAX, 20).ok());
    let there = there.unwrap_or_default();
    let items = there
        .iter()
        .filter(|_| main.pick(0..3) == 0)
        .map(|p| Placed { uid: p.uid, email: p.email })
        .collect();
    let to = any_mailbox(main);
    match main.random() {
        true => Change::Move(Move { account, from, to, items }),
        false => Change::Copy(Copy { account, from, to, items }),
    }
}

fn any_mailbox(main: &Host) -> MailboxId {
    MailboxId(main.pick(1..MAILBOXES) as u32)
}

fn some_uids(main: &Host) -> Vec<Uid> {
    (0..main.pick(1..5)).filter_map(|_| Uid::new(main.pick(1..30) as u32)).collect()
}

fn recipient(account: u64) -> Recipient {
    Recipient {
        account: AccountId(account),
        mailbox: MailboxId(1),
        operation: None,
        flags: Flags::NONE,
        keywords: Vec::new(),
    }
}

/// Octets of a message: a head of its own, and a body that others may share.
fn message(main: &Host) -> Vec<u8> {
    let mut octets = main.random::<u64>().to_le_bytes().to_vec();
    let (body, len) = (main.pick(0..12) as u8, main.pick(0..4));
    octets.extend((0..(len * 900 + 40) as usize).map(|n| (n as u8).wrapping_mul(body | 1)));
    octets
}

/// The body is hinted as a part, so that large ones are blobs of their own.
fn put(running: &Running, octets: &[u8]) -> Option<Message> {
    use redoubt_log::blob::{PartEncoding, PartHint};
    let part =
        PartHint { start: 8, len: octets.len() as u64 - 8, encoding: PartEncoding::Identity };
    let blob = running.blobs.put_message(octets, &[part]).ok()?.id;
    let thread = ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([1; 16]) };
    Some(Message { blob, original: BlobId::of(octets), size: octets.len() as u64, thread })
}
