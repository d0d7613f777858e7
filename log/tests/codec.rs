//! Properties of the codec: what is encoded decodes to the same, and no bytes
//! make it panic.

#![allow(clippy::unwrap_used, missing_docs)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use redoubt_log::codec::{CodecError, KINDS, decode_record, encode_record, from_bytes, to_bytes};
use redoubt_log::id::*;
use redoubt_log::record::*;

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

fn blob() -> impl Strategy<Value = BlobId> {
    any::<[u8; 32]>().prop_map(BlobId)
}

fn keys() -> impl Strategy<Value = ThreadKeys> {
    (vec(any::<[u8; 16]>().prop_map(ThreadKey), 0..5), any::<[u8; 16]>())
        .prop_map(|(message_ids, subject)| ThreadKeys { message_ids, subject: ThreadKey(subject) })
}

fn message() -> impl Strategy<Value = Message> {
    (blob(), blob(), any::<u64>(), keys()).prop_map(|(blob, original, size, thread)| Message {
        blob,
        original,
        size,
        thread,
    })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let operation = option::of(any::<[u8; 16]>().prop_map(OperationId));
    (any::<u64>(), any::<u32>(), operation, any::<u8>(), vec(text(), 0..3)).prop_map(
        |(account, mailbox, operation, flags, keywords)| Recipient {
            account: AccountId(account),
            mailbox: MailboxId(mailbox),
            operation,
            flags: Flags(flags),
            keywords,
        },
    )
}

fn deliver() -> impl Strategy<Value = Change> {
    (message(), any::<i64>(), blob(), vec(recipient(), 0..20)).prop_map(
        |(message, received, envelope, recipients)| {
            let received = Timestamp(received);
            Change::Deliver(Deliver { message, received, envelope, recipients })
        },
    )
}

fn set_flags() -> impl Strategy<Value = Change> {
    let how = prop_oneof![Just(FlagChange::Add), Just(FlagChange::Remove)];
    let uids = vec((1..=u32::MAX).prop_filter_map("not 0", Uid::new), 0..100);
    (uids, how, any::<u8>(), vec(text(), 0..3), option::of(any::<u64>())).prop_map(
        |(uids, how, flags, keywords, since)| {
            Change::SetFlags(SetFlags {
                account: AccountId(1),
                mailbox: MailboxId(2),
                reader: AccountId(3),
                uids,
                how,
                flags: Flags(flags),
                keywords,
                unchanged_since: since.map(ModSeq),
            })
        },
    )
}

fn create() -> impl Strategy<Value = Change> {
    (any::<u64>(), option::of(any::<u32>()), text()).prop_map(|(account, parent, name)| {
        Change::MailboxCreate(MailboxCreate {
            account: AccountId(account),
            parent: parent.map(MailboxId),
            name,
            special_use: None,
        })
    })
}

fn record() -> impl Strategy<Value = Record> {
    let from = option::of(any::<std::net::IpAddr>());
    let change = prop_oneof![deliver(), set_flags(), create()];
    (any::<i64>(), any::<[u8; 16]>(), from, option::of(blob()), change).prop_map(
        |(stamp, operation, from, reason, change)| Record {
            stamp: Timestamp(stamp),
            operation: OperationId(operation),
            actor: Actor::mta(from),
            why: Why { policy: None, reason },
            change,
        },
    )
}

proptest! {
    #[test]
    fn a_record_comes_back(record in record()) {
        let bytes = encode_record(&record).unwrap();
        prop_assert_eq!(decode_record(&bytes), Ok(record));
    }

    #[test]
    fn no_bytes_make_it_panic(kind in prop::sample::select(KINDS), body in vec(any::<u8>(), 0..300)) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&body);
        if let Ok(record) = decode_record(&bytes) {
            prop_assert_eq!(decode_record(&encode_record(&record).unwrap()), Ok(record));
        }
        let _ = decode_record(&body);
        let _ = from_bytes::<Vec<(String, Option<u64>)>>(&body);
    }

    #[test]
    fn an_altered_record_never_panics(record in record(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_record(&record).unwrap();
        let place = place.index(bytes.len());
        if let Some(place) = bytes.get_mut(place) {
            *place = byte;
        }
        let _ = decode_record(&bytes);
    }

    #[test]
    fn a_value_comes_back(value in vec((text(), any::<u64>(), option::of(any::<i32>())), 0..50)) {
        let bytes = to_bytes(&value).unwrap();
        prop_assert_eq!(from_bytes(&bytes), Ok(value));
        let trailing = from_bytes::<Vec<(String, u64, Option<i32>)>>(&[&bytes[..], &[1]].concat());
        prop_assert_eq!(trailing, Err(CodecError::Trailing { bytes: 1 }));
    }
}
