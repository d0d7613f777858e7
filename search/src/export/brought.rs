//! What the log's records say of emails.

use redoubt_log::codec::decode_record;
use redoubt_log::id::{AccountId, BlobId};
use redoubt_log::record::{AppendItem, Change, Record, RestoreStep};

/// Octets of salt before an entry's record.
const SALT: usize = 16;

/// What a record says of emails: octets, and whose they are.
pub(super) type Brought = Vec<(BlobId, Vec<AccountId>)>;

/// The record of an entry's payload; `None` where it is none that this program knows.
pub(super) fn record_of(payload: &[u8]) -> Option<Record> {
    decode_record(payload.get(SALT..)?).ok()
}

/// Whether an entry, by its payload, brought an email with these octets to an account.
pub fn brings(payload: &[u8], blob: &BlobId, account: AccountId) -> bool {
    let brought = record_of(payload).map(|record| brought(&record.change)).unwrap_or_default();
    brought.iter().any(|(octets, whose)| octets == blob && whose.contains(&account))
}

/// The emails that a record brings.
pub(super) fn brought(change: &Change) -> Brought {
    match change {
        Change::Deliver(deliver) => {
            let accounts = deliver.recipients.iter().map(|to| to.account).collect();
            vec![(deliver.message.blob, accounts)]
        }
        Change::DeliverCaptured(captured) => {
            let recipients = captured.deliver.recipients.iter().map(|to| to.account);
            let accounts = recipients.chain(captured.archives.iter().copied()).collect();
            vec![(captured.deliver.message.blob, accounts)]
        }
        Change::Capture(capture) => vec![(capture.message.blob, capture.archives.clone())],
        Change::Append(append) => {
            let one = |item: &AppendItem| item.message.blob;
            append.items.iter().map(|item| (one(item), vec![append.account])).collect()
        }
        Change::RestorePiece(piece) => restored(&piece.steps, piece.account),
        Change::RestoreNow(now) => restored(&now.steps, now.account),
        _ => Vec::new(),
    }
}

fn restored(steps: &[RestoreStep], account: AccountId) -> Brought {
    let email = |step: &RestoreStep| match step {
        RestoreStep::Email(email) => Some((email.blob, vec![account])),
        _ => None,
    };
    steps.iter().filter_map(email).collect()
}
