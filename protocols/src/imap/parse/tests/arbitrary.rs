//! Any command that a client can mean.

use std::num::{NonZeroU32, NonZeroU64};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use redoubt_log::id::{ModSeq, Timestamp, UidValidity};
use redoubt_log::record::{FlagChange, Flags, SpecialUse};

use crate::imap::frame::Literal;
use crate::imap::types::*;

fn nz() -> impl Strategy<Value = NonZeroU32> {
    prop_oneof![1..20_u32, Just(u32::MAX), any::<u32>()]
        .prop_map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
}

fn modseq(least: u64) -> impl Strategy<Value = ModSeq> {
    prop_oneof![least..9, least..=i64::MAX as u64].prop_map(ModSeq)
}

fn set() -> impl Strategy<Value = SequenceSet> {
    let number = prop_oneof![nz().prop_map(SetNumber::Number), Just(SetNumber::Star)];
    let range = prop_oneof![
        number.clone().prop_map(|n| SetRange { first: n, last: n }),
        (number.clone(), number).prop_map(|(first, last)| SetRange { first, last }),
    ];
    vec(range, 1..5).prop_map(|ranges| SequenceSet { ranges })
}

fn messages() -> impl Strategy<Value = MessageSet> {
    prop_oneof![
        Just(MessageSet::saved()),
        (set(), any::<bool>()).prop_map(|(numbers, saved)| MessageSet { numbers, saved }),
    ]
}

fn set_without_star() -> impl Strategy<Value = SequenceSet> {
    let range = (nz(), nz()).prop_map(|(first, last)| SetRange {
        first: SetNumber::Number(first),
        last: SetNumber::Number(last),
    });
    vec(range, 1..4).prop_map(|ranges| SequenceSet { ranges })
}

fn atom() -> impl Strategy<Value = String> {
    "[!#$&'+-Z^-z|}~\\[]{1,12}"
}

/// Text without NUL, which no string can have.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,8}", "[^\\x00]{0,12}", Just("NIL".to_owned())]
}

/// Header names and the like: one printable word, perhaps odd.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Z][a-z-]{0,8}", "[ -~]{1,8}"]
}

fn mailbox() -> impl Strategy<Value = MailboxName> {
    prop_oneof![
        Just("INBOX".to_owned()),
        "[A-Za-z/& %*é台😀\"\\\\]{0,11}[A-Za-z&é]",
        Just("inbox/x".to_owned())
    ]
    .prop_map(|name| MailboxName::new(&name))
}

fn flag_list() -> impl Strategy<Value = FlagList> {
    let keywords = prop::collection::btree_set("[a-z$_]{1,6}", 0..4);
    (0..32_u8, keywords).prop_map(|(flags, keywords)| FlagList {
        flags: Flags(flags),
        keywords: keywords.into_iter().collect(),
    })
}

fn numbering() -> impl Strategy<Value = Numbering> {
    prop_oneof![Just(Numbering::Sequence), Just(Numbering::Uid)]
}

pub(super) fn tagged() -> impl Strategy<Value = TaggedCommand> {
    let tag = "[a-zA-Z0-9.\\]-]{1,8}".prop_map(|tag| Tag::new(&tag).unwrap());
    (tag, command()).prop_map(|(tag, command)| TaggedCommand { tag, command })
}

fn command() -> impl Strategy<Value = Command> {
    let plain = prop::sample::select(vec![
        Command::Capability,
        Command::Noop,
        Command::Logout,
        Command::StartTls,
        Command::Namespace,
        Command::Idle,
        Command::Check,
        Command::Close,
        Command::Unselect,
        Command::Expunge { uids: None },
    ]);
    prop_oneof![
        plain,
        any_session(),
        mailboxes(),
        select().prop_map(Command::Select),
        list().prop_map(Command::List),
        append().prop_map(Command::Append),
        search().prop_map(Command::Search),
        fetch().prop_map(Command::Fetch),
        store().prop_map(Command::Store),
        (search(), vec(criterion(), 1..4))
            .prop_map(|(search, criteria)| Command::Sort(Sort { search, criteria })),
        thread().prop_map(Command::Thread),
        copy().prop_map(Command::Copy),
        copy().prop_map(Command::Move),
        messages().prop_map(|uids| Command::Expunge { uids: Some(uids) }),
    ]
}

fn any_session() -> impl Strategy<Value = Command> {
    let field = (text(), option::of(text()));
    let secret = || vec(1..=255_u8, 0..9).prop_map(Secret);
    let enable = prop_oneof![
        Just(Enable::CondStore),
        Just(Enable::Qresync),
        Just(Enable::Imap4Rev2),
        Just(Enable::Utf8Accept),
        "X[A-Z]{1,4}".prop_map(Enable::Other),
    ];
    prop_oneof![
        vec(field, 0..4).prop_map(Command::Id),
        ("[A-Z][A-Z0-9-]{1,9}", option::of(secret())).prop_map(|(mechanism, initial)| {
            Command::Authenticate(Authenticate { mechanism, initial })
        }),
        (text(), secret()).prop_map(|(user, password)| Command::Login(Login { user, password })),
        vec(enable, 1..4).prop_map(Command::Enable),
    ]
}

fn mailboxes() -> impl Strategy<Value = Command> {
    let one_use = prop_oneof![
        Just(CreateUse::Known(SpecialUse::Drafts)),
        Just(CreateUse::Known(SpecialUse::Trash)),
        Just(CreateUse::Other("\\All".to_owned())),
    ];
    prop_oneof![
        (mailbox(), vec(one_use, 0..3))
            .prop_map(|(mailbox, uses)| Command::Create { mailbox, uses }),
        mailbox().prop_map(Command::Delete),
        (mailbox(), mailbox()).prop_map(|(from, to)| Command::Rename { from, to }),
        mailbox().prop_map(Command::Subscribe),
        mailbox().prop_map(Command::Unsubscribe),
        (mailbox(), pattern()).prop_map(|(reference, pattern)| Command::Lsub {
            reference: reference.to_string(),
            pattern
        }),
        (mailbox(), status_items()).prop_map(|(mailbox, items)| Command::Status { mailbox, items }),
    ]
}

fn pattern() -> impl Strategy<Value = ListPattern> {
    "[A-Za-z/& %*é]{0,8}".prop_map(ListPattern)
}

fn status_items() -> impl Strategy<Value = StatusItems> {
    use StatusItem::*;
    let all = vec![
        Messages,
        Recent,
        UidNext,
        UidValidity,
        Unseen,
        Deleted,
        Size,
        HighestModSeq,
        MailboxId,
    ];
    prop::sample::subsequence(all, 1..=9).prop_shuffle()
}

fn select() -> impl Strategy<Value = Select> {
    let sequence_match = prop::collection::btree_map(1..99_u32, 0..9_u32, 1..5).prop_map(rising);
    let qresync = (nz(), modseq(1), option::of(set_without_star()), option::of(sequence_match))
        .prop_map(|(validity, mod_seq, known_uids, sequence_match)| Qresync {
            uid_validity: UidValidity(validity),
            mod_seq,
            known_uids,
            sequence_match,
        });
    (mailbox(), any::<bool>(), any::<bool>(), option::of(qresync)).prop_map(
        |(mailbox, read_only, condstore, qresync)| Select {
            mailbox,
            read_only,
            condstore,
            qresync,
        },
    )
}

fn rising(pairs: std::collections::BTreeMap<u32, u32>) -> SequenceMatch {
    let set = |numbers: Vec<u32>| SequenceSet {
        ranges: numbers
            .into_iter()
            .map(|n| SetNumber::Number(NonZeroU32::new(n).unwrap()))
            .map(|n| SetRange { first: n, last: n })
            .collect(),
    };
    let numbers = set(pairs.keys().copied().collect());
    let uids = pairs.iter().scan(0, |uid, (number, more)| {
        *uid += number + more;
        Some(*uid)
    });
    SequenceMatch { numbers, uids: set(uids.collect()) }
}

fn list() -> impl Strategy<Value = List> {
    let selection =
        (any::<[bool; 4]>()).prop_map(|[subscribed, remote, recursive, special_use]| {
            let recursive_match = recursive && (subscribed || special_use);
            ListSelection { subscribed, remote, recursive_match, special_use }
        });
    let returns = (any::<[bool; 3]>(), option::of(status_items())).prop_map(
        |([subscribed, children, special_use], status)| ListReturn {
            subscribed,
            children,
            special_use,
            status,
        },
    );
    (selection, mailbox(), vec(pattern(), 1..4), returns, any::<bool>()).prop_map(
        |(selection, reference, patterns, returns, extended)| {
            let extended = extended
                || selection != ListSelection::default()
                || returns != ListReturn::default()
                || patterns.len() > 1;
            List { selection, reference: reference.to_string(), patterns, returns, extended }
        },
    )
}

fn append() -> impl Strategy<Value = Append> {
    // Whole seconds, of years that the grammar can say in any zone.
    let date = (-60_000_000_000..250_000_000_000_i64).prop_map(|seconds| Timestamp(seconds * 1000));
    let literal = (0..=i64::MAX as u64, any::<bool>(), any::<bool>())
        .prop_map(|(size, synchronizing, binary)| Literal { size, synchronizing, binary });
    (mailbox(), flag_list(), option::of(date), literal).prop_map(
        |(mailbox, flags, date, literal)| Append {
            mailbox,
            item: AppendItem { flags, date, literal },
        },
    )
}

fn copy() -> impl Strategy<Value = Copy> {
    (numbering(), messages(), mailbox()).prop_map(|(numbering, set, mailbox)| Copy {
        numbering,
        set,
        mailbox,
    })
}

fn store() -> impl Strategy<Value = Store> {
    let how =
        prop_oneof![Just(FlagChange::Add), Just(FlagChange::Remove), Just(FlagChange::Replace)];
    (numbering(), messages(), option::of(modseq(0)), how, any::<bool>(), flag_list()).prop_map(
        |(numbering, set, unchanged_since, how, silent, flags)| Store {
            numbering,
            set,
            unchanged_since,
            how,
            silent,
            flags,
        },
    )
}

fn fetch() -> impl Strategy<Value = Fetch> {
    let modifiers = (option::of(modseq(0)), any::<bool>(), option::of(partial_range()));
    (numbering(), messages(), vec(item(), 1..6), modifiers).prop_map(
        |(numbering, set, mut all, (changed_since, vanished, partial))| {
            let mut items = Vec::new();
            all.retain(|item| {
                !items.contains(item) && {
                    items.push(item.clone());
                    true
                }
            });
            let vanished = vanished && numbering == Numbering::Uid && changed_since.is_some();
            Fetch { numbering, set, items, changed_since, vanished, partial }
        },
    )
}

fn partial_range() -> impl Strategy<Value = PartialRange> {
    (nz(), nz(), any::<bool>()).prop_map(|(first, last, from_end)| PartialRange {
        first,
        last,
        from_end,
    })
}

fn item() -> impl Strategy<Value = FetchItem> {
    use FetchItem::*;
    let plain = prop::sample::select(vec![
        Body,
        BodyStructure,
        Envelope,
        Flags,
        InternalDate,
        Rfc822,
        Rfc822Header,
        Rfc822Size,
        Rfc822Text,
        Uid,
        ModSeq,
        EmailId,
        ThreadId,
        SaveDate,
    ]);
    let partial = (0..=i64::MAX as u64, 1..=i64::MAX as u64)
        .prop_map(|(first, count)| Partial { first, count: NonZeroU64::new(count).unwrap() });
    let section = (section(), option::of(partial), any::<bool>())
        .prop_map(|(section, partial, peek)| Section { section, partial, peek });
    prop_oneof![plain, section]
}

fn section() -> impl Strategy<Value = Section> {
    let fields = || vec(name(), 1..4);
    let text = prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        fields().prop_map(SectionText::HeaderFields),
        fields().prop_map(SectionText::HeaderFieldsNot),
    ];
    prop_oneof![
        (vec(nz(), 0..4), option::of(text)).prop_map(|(part, text)| Section { part, text }),
        vec(nz(), 1..4).prop_map(|part| Section { part, text: Some(SectionText::Mime) }),
    ]
}

fn search() -> impl Strategy<Value = Search> {
    let returns = (any::<[bool; 6]>(), option::of(partial_range())).prop_map(
        |([min, max, all, count, save, relevancy], partial)| SearchReturn {
            min,
            max,
            all: partial.is_none() && (all || !(min || max || count || save || relevancy)),
            count,
            save,
            relevancy,
            partial,
        },
    );
    (numbering(), option::of(returns), key()).prop_map(|(numbering, returns, key)| Search {
        numbering,
        returns,
        key,
    })
}

fn criterion() -> impl Strategy<Value = SortCriterion> {
    use SortKey::*;
    let all = vec![Arrival, Cc, Date, From, Size, Subject, To, DisplayFrom, DisplayTo, Relevancy];
    (prop::sample::select(all), any::<bool>())
        .prop_map(|(key, reverse)| SortCriterion { key, reverse })
}

fn thread() -> impl Strategy<Value = Thread> {
    use ThreadAlgorithm::{OrderedSubject, References};
    let algorithm = prop::sample::select(vec![OrderedSubject, References]);
    (numbering(), algorithm, key()).prop_map(|(numbering, algorithm, key)| Thread {
        numbering,
        algorithm,
        key,
    })
}

fn key() -> impl Strategy<Value = SearchKey> {
    leaf().prop_recursive(5, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone())
            .prop_map(|(left, right)| SearchKey::Or(Box::new(left), Box::new(right)));
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(SearchKey::And),
            two,
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            inner.prop_map(|key| SearchKey::Fuzzy(Box::new(key))),
        ]
    })
}

fn leaf() -> impl Strategy<Value = SearchKey> {
    // 9999-12-31 at most.
    let day = || (-700_000..2_932_896_i32).prop_map(Day);
    let size = 0..=i64::MAX as u64;
    let flag =
        prop::sample::select(vec![Flags::SEEN, Flags::ANSWERED, Flags::DELETED, Flags::DRAFT]);
    prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::Saved),
        Just(SearchKey::Recent),
        Just(SearchKey::SaveDateSupported),
        set().prop_map(SearchKey::Sequence),
        set().prop_map(SearchKey::Uid),
        flag.prop_map(SearchKey::Flags),
        atom().prop_map(SearchKey::Keyword),
        prop_oneof![
            text().prop_map(SearchKey::Bcc),
            text().prop_map(SearchKey::Cc),
            text().prop_map(SearchKey::From),
            text().prop_map(SearchKey::To),
            text().prop_map(SearchKey::Subject),
            text().prop_map(SearchKey::Body),
            text().prop_map(SearchKey::Text),
            (text(), text()).prop_map(|(name, value)| SearchKey::Header { name, value }),
            name().prop_map(SearchKey::EmailId),
            name().prop_map(SearchKey::ThreadId),
        ],
        prop_oneof![
            day().prop_map(SearchKey::Before),
            day().prop_map(SearchKey::On),
            day().prop_map(SearchKey::Since),
            day().prop_map(SearchKey::SentBefore),
            day().prop_map(SearchKey::SentOn),
            day().prop_map(SearchKey::SentSince),
            day().prop_map(SearchKey::SavedBefore),
            day().prop_map(SearchKey::SavedOn),
            day().prop_map(SearchKey::SavedSince),
        ],
        size.clone().prop_map(SearchKey::Larger),
        size.prop_map(SearchKey::Smaller),
        modseq(0).prop_map(SearchKey::ModSeq),
    ]
}
