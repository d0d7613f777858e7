//! One file for each kind and version of record, in `tests/golden`: each decodes for
//! ever, and the newest version is written to the same bytes.
//!
//! A new kind or version: `REDOUBT_WRITE_GOLDEN=1 cargo test -p redoubt-log --test golden`
//! writes the files that are missing. It never changes one that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use redoubt_log::codec::{self, CodecError, KINDS, decode_record, encode_record};
use redoubt_log::id::*;
use redoubt_log::record::*;

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn address() -> Address {
    Address { local: "alice".into(), domain: "example.org".into() }
}

fn settings() -> DomainSettings {
    DomainSettings {
        catch_all: Some(AccountId(70000)),
        junk_header: Some(JunkHeader { name: "X-Spam".into(), value_prefix: "yes".into() }),
        default_quota: Some(1 << 40),
        over_quota_defers: true,
        ..DomainSettings::default()
    }
}

fn message(n: u8) -> Message {
    Message {
        blob: BlobId([n; 32]),
        original: BlobId([n + 1; 32]),
        size: 70_000,
        thread: ThreadKeys {
            message_ids: vec![ThreadKey([n; 16]), ThreadKey([n + 2; 16])],
            subject: ThreadKey([n + 3; 16]),
        },
    }
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn hold() -> HoldSet {
    let over = HoldOver::Domain("example.org".into());
    HoldSet {
        scope: HoldScope::Query(HoldQuery { over, text: "from:bob".into() }),
        name: "Smith v. Jones".into(),
        reason: "asked for by the court".into(),
        matter: Some(MatterId(7)),
        delay: 2_592_000,
    }
}

fn placed() -> Vec<Placed> {
    let email = EmailId { sequence: Sequence(1 << 33), ordinal: 3 };
    vec![Placed { uid: uid(7), email }, Placed { uid: uid(70_000), email }]
}

fn recipients() -> Vec<Recipient> {
    let recipient = |n: u8| Recipient {
        account: AccountId(n.into()),
        mailbox: MailboxId(n.into()),
        operation: (n == 1).then_some(OperationId([n; 16])),
        flags: Flags(n),
        keywords: vec!["$Junk".into(); n.into()],
    };
    vec![recipient(0), recipient(1)]
}

fn append() -> Append {
    let item = |n: u8| AppendItem {
        message: message(n),
        received: Timestamp(-1),
        flags: Flags::SEEN,
        keywords: vec!["grün".into()],
        uid: (n == 1).then(|| uid(9)),
        operation: (n == 1).then_some(OperationId([9; 16])),
    };
    Append { account: AccountId(1), mailbox: MailboxId(2), items: vec![item(1), item(2)] }
}

fn erased() -> Vec<EmailId> {
    let email = |ordinal| EmailId { sequence: Sequence(1 << 33), ordinal };
    vec![email(0), email(70_000)]
}

fn erase_waits() -> EraseReached {
    let pending = Some("it waits".into());
    EraseReached { place: ErasePlace::Repository, stays: 300, pending }
}

fn trim_rows() -> Vec<TrimRow> {
    let email = EmailId { sequence: Sequence(1 << 33), ordinal: 3 };
    vec![
        TrimRow::Versions(vec![0, 1, b'u']),
        TrimRow::Standing(email, MailboxId(3), uid(7)),
        TrimRow::Vanished(MailboxId(3), ModSeq(1 << 40), uid(8)),
        TrimRow::Record(LogIndex(9)),
    ]
}

fn class_settings() -> ClassSettings {
    let limits = Limits {
        history: Some(Limits::FOREVER),
        largest_message: Some(70_000),
        mailboxes: Some(300),
    };
    ClassSettings { quota: Some(1 << 30), limits }
}

fn capture_rule() -> CaptureRule {
    CaptureRule {
        scope: CaptureScope::Domain("example.org".into()),
        direction: CaptureDirection::Both,
        archive: AccountId(70_000),
    }
}

fn capture() -> Capture {
    let party = |account| CaptureParty { account, domain: "example.org".into() };
    Capture {
        message: message(1),
        received: Timestamp(1_700_000_000_000),
        envelope: BlobId([6; 32]),
        retry: OperationId([8; 16]),
        source: CaptureSource::Sent(vec![party(Some(AccountId(3))), party(None)]),
        archives: vec![AccountId(70_000)],
    }
}

fn matter_settings() -> MatterSettings {
    MatterSettings { about: "Wer wusste wann was?".into(), review_exports: true, closed: true }
}

/// One of each kind, every optional field used somewhere.
fn changes() -> Vec<Change> {
    let mut all = other_changes();
    all.extend(policies());
    all
}

fn policy_settings() -> PolicySettings {
    PolicySettings {
        name: "mail".into(),
        scope: PolicyScope {
            whose: PolicyWhose::Class(ClassId(300)),
            mailbox: Some(PolicyMailbox::Use(SpecialUse::Sent)),
            tag: Some("invoice".into()),
            direction: Some(PolicyDirection::Sent),
            query: Some("from:example.org".into()),
        },
        anchor: PolicyAnchor::Event("left".into()),
        floor: Some(70_000),
        delete: Some(1 << 40),
        drafts: true,
        review: true,
        daily: Some(300),
    }
}

fn policies() -> Vec<Change> {
    let (account, policy, version) = (AccountId(300), PolicyId(301), 302);
    let emails = vec![EmailId { sequence: 77.into(), ordinal: 1 }];
    let label = || Label { account, policy, emails: emails.clone() };
    vec![
        Change::PolicySet(PolicySet { policy: Some(policy), settings: policy_settings() }),
        Change::PolicyLock(PolicyLock { policy }),
        Change::PolicyRemove(PolicyRemove { policy }),
        Change::Label(label()),
        Change::Unlabel(label()),
        Change::RetentionEvent(RetentionEvent {
            account,
            name: "left".into(),
            time: Timestamp(1_700_000_000_123),
        }),
        Change::PurgePolicy(PurgePolicy {
            account,
            policy,
            version,
            items: vec![PurgeItem {
                email: emails[0],
                placements: vec![(MailboxId(3), uid(70_000))],
            }],
            decided: LogIndex(1 << 33),
        }),
        Change::PolicyMatched(PolicyMatched {
            policy,
            version,
            account,
            emails: emails.iter().map(|email| (*email, Held::Unread)).collect(),
            upto: 78.into(),
        }),
        Change::PoliciesKept(PoliciesKept {
            policies: vec![KeptPolicy { policy, settings: policy_settings(), locked: true }],
            next: PolicyId(302),
        }),
    ]
}

fn other_changes() -> Vec<Change> {
    let (account, mailbox, from, to) = (AccountId(1), MailboxId(3), MailboxId(4), MailboxId(5));
    let account_settings = AccountSettings {
        display_name: "Alice".into(),
        state: AccountState::ReceiveOnly,
        quota: Some(1 << 30),
    };
    let domain = || "example.org".to_owned();
    let alias = Address { local: "a".into(), domain: domain() };
    vec![
        Change::DomainAdd(DomainAdd { domain: domain(), settings: settings() }),
        Change::DomainSet(DomainSet { domain: domain(), settings: DomainSettings::default() }),
        Change::DomainRemove(DomainRemove { domain: domain() }),
        Change::AccountAdd(AccountAdd {
            address: address(),
            settings: account_settings.clone(),
            password: Some("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".into()),
        }),
        Change::AccountSet(AccountSet { account, settings: account_settings }),
        Change::AccountRename(AccountRename { account, address: address() }),
        Change::AccountDelete(AccountDelete { account }),
        Change::AccountSweep(AccountSweep { account, mailbox, uids: vec![uid(3), uid(70000)] }),
        Change::AliasAdd(AliasAdd { alias: alias.clone(), account }),
        Change::AliasRemove(AliasRemove { alias }),
        Change::CredentialSet(CredentialSet { account, name: "phone".into(), phc: "$x".into() }),
        Change::CredentialRemove(CredentialRemove { account, name: "phone".into() }),
        Change::ClassAdd(ClassAdd { name: "staff".into(), settings: class_settings() }),
        Change::ClassSet(ClassSet {
            class: ClassId(300),
            name: "staff".into(),
            settings: ClassSettings::default(),
        }),
        Change::ClassRemove(ClassRemove { class: ClassId(300) }),
        Change::AccountClass(AccountClass {
            account,
            class: Some(ClassId(300)),
            own: class_settings().limits,
        }),
        Change::DomainClass(DomainClass { domain: domain(), class: Some(ClassId(300)) }),
        Change::RoleGrant(RoleGrant { account, role: Role::Discovery, domain: Some(domain()) }),
        Change::RoleRevoke(RoleGrant { account, role: Role::Auditor, domain: None }),
        Change::PersonalTokenAdd(PersonalTokenAdd {
            token: Hash([3; 32]),
            account,
            name: "laptop".into(),
            expires: Some(Timestamp(1_800_000_000_000)),
        }),
        Change::PersonalTokenRevoke(PersonalTokenRevoke { token: Hash([3; 32]) }),
        Change::CaptureSet(CaptureSet { rule: capture_rule() }),
        Change::CaptureRemove(CaptureRemove { rule: CaptureId(300) }),
        Change::MailboxCreate(MailboxCreate {
            account,
            parent: Some(mailbox),
            name: "Entwürfe".into(),
            special_use: Some(SpecialUse::Drafts),
        }),
        Change::MailboxRename(MailboxRename { account, mailbox, parent: None, name: "n".into() }),
        Change::MailboxDelete(MailboxDelete { account, mailbox }),
        Change::Subscribe(Subscribe { account, name: "a/b".into(), subscribed: true }),
        Change::MailboxNamed(MailboxNamed {
            account,
            mailbox,
            name: "a/b".into(),
            then: NamedChange::Rename { parent: Some(mailbox), name: "n".into() },
        }),
        Change::Deliver(Deliver {
            message: message(1),
            received: Timestamp(1_700_000_000_000),
            envelope: BlobId([5; 32]),
            recipients: recipients(),
        }),
        Change::Append(append()),
        Change::Copy(Copy { account, from, to, items: placed() }),
        Change::Move(Move { account, from, to, items: placed() }),
        Change::SetFlags(SetFlags {
            account,
            mailbox,
            reader: AccountId(2),
            uids: vec![uid(1), uid(u32::MAX)],
            how: FlagChange::Remove,
            flags: Flags::FLAGGED,
            keywords: vec!["k".into()],
            unchanged_since: Some(ModSeq(1 << 40)),
        }),
        Change::Expunge(Expunge { account, mailbox, uids: vec![uid(8)], only_deleted: true }),
        Change::Capture(capture()),
        Change::DeliverCaptured(DeliverCaptured {
            deliver: Deliver {
                message: message(2),
                received: Timestamp(1_700_000_000_000),
                envelope: BlobId([6; 32]),
                recipients: recipients(),
            },
            archives: vec![AccountId(7), AccountId(70_000)],
        }),
        Change::HistoryFloor(HistoryFloor {
            account,
            floor: LogIndex(70_000),
            time: Timestamp(1_700_000_000_000),
        }),
        Change::HistoryTrim(HistoryTrim { account, rows: trim_rows() }),
        Change::HoldSet(hold()),
        Change::HoldRelease(HoldRelease { hold: HoldId(300), delay: 86_400 }),
        Change::HoldStays(HoldStays { hold: HoldId(300) }),
        Change::HoldEnd(HoldEnd { hold: HoldId(300) }),
        Change::HoldMove(HoldMove { hold: HoldId(300), matter: MatterId(301) }),
        Change::HoldMarks(HoldMarks {
            hold: HoldId(300),
            judged: vec![Judged {
                account,
                after: Some(EmailId { sequence: Sequence(70_000), ordinal: 1 }),
                upto: EmailId { sequence: Sequence(70_009), ordinal: 0 },
                marks: vec![
                    (EmailId { sequence: Sequence(70_001), ordinal: 0 }, Held::Matches),
                    (EmailId { sequence: Sequence(70_009), ordinal: 0 }, Held::Unread),
                ],
            }],
        }),
        Change::HoldsKept(HoldsKept {
            holds: vec![KeptHold {
                hold: HoldId(301),
                terms: hold(),
                set: Timestamp(1_700_000_000_000),
                at: LogIndex(70_000),
                releasing: Some(Releasing {
                    since: Timestamp(1_700_000_000_000),
                    until: Timestamp(1_700_086_400_000),
                    by: Principal::Person(AccountId(2)),
                    ending: false,
                }),
                accounts: vec![AccountId(70_000)],
            }],
            ended: vec![HoldId(299)],
            next: HoldId(400),
        }),
        Change::CountReferences(CountReferences {}),
        Change::BlobsDead(BlobsDead {
            blobs: vec![BlobId([3; 32]), BlobId([4; 32])],
            decided: LogIndex(80_000),
        }),
        Change::EraseBegin(EraseBegin {
            erasure: OperationId([9; 16]),
            account,
            asked: BlobId([1; 32]),
            list: vec![BlobId([2; 32]), BlobId([3; 32])],
            emails: 70_000,
            review: true,
        }),
        Change::ErasePiece(ErasePiece {
            erasure: OperationId([9; 16]),
            account,
            first: 2000,
            emails: erased(),
        }),
        Change::EraseReport(EraseReport {
            erasure: OperationId([9; 16]),
            node: NodeId(300),
            places: vec![
                EraseReached { place: ErasePlace::Views, stays: 0, pending: None },
                erase_waits(),
            ],
        }),
        Change::ErasuresKept(ErasuresKept {
            erasure: OperationId([9; 16]),
            account,
            begun: Timestamp(1_700_000_000_000),
            emails: erased(),
        }),
        Change::RestoreBegin(RestoreBegin {
            restore: OperationId([9; 16]),
            account,
            source: AccountId(2),
            mode: RestoreMode::Rewind,
            at: Some(LogIndex(1 << 33)),
            until: None,
            wish: BlobId([1; 32]),
            plan: vec![BlobId([2; 32]), BlobId([3; 32])],
            steps: 70_000,
            options: RestoreOptions { over_quota: true, inbox_if_gone: false },
        }),
        Change::RestorePiece(RestorePiece {
            restore: OperationId([9; 16]),
            account,
            first: 2000,
            steps: restore_steps(),
        }),
        Change::RestoreNow(RestoreNow {
            restore: OperationId([9; 16]),
            account,
            source: account,
            at: Some(LogIndex(7)),
            steps: restore_steps(),
            options: RestoreOptions::default(),
        }),
        Change::RestoreAudit(RestoreAudit {
            restore: OperationId([9; 16]),
            account,
            wish: BlobId([1; 32]),
            plan: vec![BlobId([2; 32])],
            counts: RestoreCounts { created: 1, changed: 2, merged: 3, skipped: 4, failed: 500 },
            ended: RestoreEnded::Cancelled,
        }),
        Change::DiscoveryBegin(DiscoveryBegin {
            job: OperationId([9; 16]),
            work: DiscoveryWork::Export,
            of: Some(OperationId([8; 16])),
            asked: BlobId([1; 32]),
            pinned: LogIndex(1 << 33),
            matter: Some(MatterId(300)),
        }),
        Change::DiscoveryEnd(DiscoveryEnd {
            job: OperationId([9; 16]),
            found: 70_000,
            failed: 3,
            ended: DiscoveryEnded::Cancelled,
            manifest: Some(Hash([4; 32])),
        }),
        Change::HeadKey(HeadKey { node: NodeId(300), key: Hash([5; 32]) }),
        Change::MailRead(MailRead {
            account: AccountId(300),
            how: MailReadHow::Content,
            asked: BlobId([6; 32]),
        }),
        Change::Logins(Logins {
            node: NodeId(300),
            since: Timestamp(1_700_000_000_123),
            until: Timestamp(1_700_000_060_123),
            counts: vec![LoginCount {
                account: Some(AccountId(300)),
                from: Some("2001:db8::1".parse().unwrap()),
                protocol: LoginProtocol::Imap,
                good: 300,
                failed: 2,
                last: Timestamp(1_700_000_050_123),
            }],
            left_out: 7,
        }),
        Change::Refused(Refused {
            node: NodeId(300),
            verb: "account delete".into(),
            object: "DELETE /v1/accounts/alice@example.org".into(),
            reason: "hold 7 is over it".into(),
            since: Timestamp(1_700_000_000_123),
            until: Timestamp(1_700_000_060_123),
            times: 300,
        }),
        Change::DiscoveryRemove(DiscoveryRemove { job: OperationId([9; 16]) }),
        Change::DiscoveryLook(DiscoveryLook {
            job: OperationId([9; 16]),
            after: 1 << 33,
            limit: 500,
        }),
        Change::MatterAdd(MatterAdd { name: "case 7".into(), settings: matter_settings() }),
        Change::MatterSet(MatterSet {
            matter: MatterId(300),
            name: "case 7".into(),
            settings: matter_settings(),
        }),
        Change::MatterMember(MatterMember {
            matter: MatterId(300),
            account,
            role: Some(MatterRole::Reviewer),
        }),
        Change::MatterCustodian(MatterCustodian { matter: MatterId(300), account, is: true }),
        Change::MatterNote(MatterNote { matter: MatterId(300), text: "two\nlines".into() }),
        Change::Approval(Approval {
            of: Approves::Policy { policy: PolicyId(300), version: 301 },
            given: true,
            note: "as agreed".into(),
        }),
        Change::Version(Version { apply: 2 }),
        Change::CheckpointMark(CheckpointMark { index: LogIndex(9), state: Hash([6; 32]) }),
        Change::TokenAdd(TokenAdd { token: Hash([7; 32]), expires: Timestamp(-1), light: true }),
        Change::NodeAdd(NodeAdd {
            token: Hash([7; 32]),
            joiner: OperationId([8; 16]),
            address: "mail2.example.org:7072".into(),
            light: true,
        }),
        Change::NodeRemove(NodeRemove { node: NodeId(300) }),
        Change::Archived(Archived { index: LogIndex(1 << 33), chain: Hash([9; 32]) }),
        Change::NewLineage(NewLineage {
            from: "00112233445566778899aabbccddeeff".into(),
            index: LogIndex(77),
            to: "ffeeddccbbaa99887766554433221100".into(),
            node: NodeId(301),
        }),
        Change::Renumber(Renumber {
            account,
            mailboxes: vec![mailbox, from],
            skip: 1 << 20,
            validity: true,
        }),
        Change::RightsKept(RightsKept {
            given: 0b10_0101,
            next_matter: MatterId(301),
            rights: rights(account),
        }),
    ]
}

/// One of each.
fn rights(account: AccountId) -> Vec<Right> {
    let (matter, at) = (MatterId(300), Timestamp(1_700_000_000_123));
    let grant = RoleGrant { account, role: Role::Discovery, domain: Some("example.org".into()) };
    let by = Principal::LocalUser(1000);
    let name = "laptop".to_owned();
    let kept = KeptToken { account, name: name.clone(), made: at, by, expires: Some(at) };
    let (settings, opened) = (matter_settings(), at);
    vec![
        Right::State { account, state: AccountState::Locked },
        Right::Password { account, name, is: Some(("$argon2id$x".into(), at)) },
        Right::Grant { grant, is: Some((LogIndex(1 << 33), at)) },
        Right::Token { token: Hash([8; 32]), is: Some(kept) },
        Right::Token { token: Hash([9; 32]), is: None },
        Right::Matter { matter, name: "case 7".into(), settings, opened, by },
        Right::Member { matter, account, is: Some((MatterRole::Lead, at)) },
        Right::Custodian { matter, account, is: None },
    ]
}

/// One of each.
fn restore_steps() -> Vec<RestoreStep> {
    let email = EmailId { sequence: 77.into(), ordinal: 1 };
    let (mailbox, flags, keywords) = (MailboxId(3), Flags::SEEN, vec!["work".to_owned()]);
    let to = RestoreTo::Made(4);
    let place = |to| RestorePlace { to, flags, keywords: keywords.clone(), copies: 1 };
    vec![
        RestoreStep::Account { address: address(), settings: AccountSettings::default() },
        RestoreStep::Mailbox {
            slot: 4,
            parent: Some(RestoreTo::Mailbox(mailbox)),
            name: "n".into(),
            special_use: Some(SpecialUse::Sent),
        },
        RestoreStep::Rename { mailbox, parent: Some(to), name: "m".into() },
        RestoreStep::Delete { mailbox },
        RestoreStep::Subscribe { name: "a/b".into(), subscribed: true },
        RestoreStep::Email(RestoreEmail {
            from: AccountId(2),
            email,
            blob: BlobId([4; 32]),
            envelope: Some(BlobId([5; 32])),
            twin: Some(email),
            places: vec![place(to), place(RestoreTo::Mailbox(mailbox))],
        }),
        RestoreStep::Flags {
            mailbox,
            uid: uid(9),
            email,
            modseq: ModSeq(1 << 40),
            flags,
            keywords: keywords.clone(),
        },
        RestoreStep::Move { from: mailbox, uid: uid(9), email, to, flags, keywords },
        RestoreStep::Expunge { mailbox, uid: uid(9), email },
    ]
}

fn record(change: Change) -> Record {
    Record {
        stamp: Timestamp(1_700_000_000_123),
        operation: OperationId([3; 16]),
        actor: Actor {
            principal: Principal::Account(AccountId(300)),
            on_behalf_of: Some(AccountId(2)),
            from: Some("2001:db8::1".parse().unwrap()),
        },
        why: Why { policy: Some((4, 5)), reason: Some(BlobId([8; 32])) },
        change,
    }
}

fn path(kind: u16, version: u16) -> PathBuf {
    dir().join(format!("record-{kind:04x}-v{version}.bin"))
}

#[test]
fn every_kind_reads_and_writes_as_it_always_did() {
    let write = std::env::var_os("REDOUBT_WRITE_GOLDEN").is_some();
    let mut kinds = BTreeSet::new();
    for change in changes() {
        let record = record(change);
        let bytes = encode_record(&record).unwrap();
        let (kind, version) = codec::record_kind(&bytes).unwrap();
        let path = path(kind, version);
        if write && !path.exists() {
            fs::write(&path, &bytes).unwrap();
        }
        let golden = fs::read(&path).expect("a golden file for each kind and version");
        assert_eq!(bytes, golden, "{} is written otherwise", path.display());
        assert_eq!(decode_record(&golden), Ok(record));
        kinds.insert(kind);
    }
    assert_eq!(kinds, KINDS.iter().copied().collect(), "one of each kind");
}

#[test]
fn every_file_decodes() {
    let mut seen = 0;
    for entry in fs::read_dir(dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("record-")) {
            let record = decode_record(&fs::read(&path).unwrap()).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name.contains(&format!("{:04x}", record.change.kind())), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= KINDS.len());
}

/// The numbers of the variants are in the bytes: their order is fixed.
#[test]
fn the_order_of_variants_is_fixed() {
    use serde::Serialize;
    fn numbers<T: Serialize>(values: &[T]) -> Vec<u8> {
        values.iter().map(|value| codec::to_bytes(value).unwrap()[0]).collect()
    }
    let system = Principal::System;
    let principals =
        [system, Principal::Mta, Principal::Account(AccountId(1)), Principal::LocalUser(1)];
    assert_eq!(numbers(&principals), [0, 1, 2, 3]);
    assert_eq!(numbers(&[Principal::Person(AccountId(1))]), [4]);
    assert_eq!(numbers(&Role::ALL), Role::ALL.map(Role::number));
    use AccountState as S;
    let states = [S::Active, S::Locked, S::ReceiveOnly, S::Closed, S::Deleted];
    assert_eq!(numbers(&states), [0, 1, 2, 3, 4]);
    use SpecialUse as U;
    assert_eq!(numbers(&[U::Archive, U::Drafts, U::Junk, U::Sent, U::Trash]), [0, 1, 2, 3, 4]);
    let whose = [
        PolicyWhose::All,
        PolicyWhose::Domain(String::new()),
        PolicyWhose::Class(ClassId(1)),
        PolicyWhose::Account(AccountId(1)),
    ];
    assert_eq!(numbers(&whose), [0, 1, 2, 3]);
    use PolicyAnchor as P;
    let anchors = [P::Received, P::Sent, P::Saved, P::Labelled, P::Event(String::new())];
    assert_eq!(numbers(&anchors), [0, 1, 2, 3, 4]);
    use FlagChange as F;
    assert_eq!(numbers(&[F::Add, F::Remove, F::Replace]), [0, 1, 2]);
}

#[test]
fn every_cut_and_every_byte_behind_is_refused() {
    for change in changes() {
        let bytes = encode_record(&record(change)).unwrap();
        for len in 0..bytes.len() {
            assert!(decode_record(&bytes[..len]).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode_record(&longer), Err(CodecError::Trailing { bytes: 1 }));
    }
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let known = encode_record(&record(Change::Version(Version { apply: 1 }))).unwrap();
    let mut bytes = known.clone();
    bytes[2] = 9;
    let newer = CodecError::UnknownVersion { kind: 0x0701, version: 9 };
    assert_eq!(decode_record(&bytes), Err(newer));
    bytes[0] = 0xff;
    assert_eq!(decode_record(&bytes), Err(CodecError::UnknownKind { kind: 0x07ff, version: 9 }));
    assert_eq!(decode_record(&known[..3]), Err(CodecError::NoHeader { bytes: 3 }));
}

#[test]
fn bounds_hold_both_ways() {
    let flags = |count: u32| {
        record(Change::Expunge(Expunge {
            account: AccountId(1),
            mailbox: MailboxId(1),
            uids: (1..=count).map(uid).collect(),
            only_deleted: false,
        }))
    };
    let most = u32::try_from(MAX_CHANGES).unwrap();
    let full = encode_record(&flags(most)).unwrap();
    assert_eq!(decode_record(&full), Ok(flags(most)));
    let over = CodecError::TooManyChanges { changes: MAX_CHANGES + 1, max: MAX_CHANGES };
    assert_eq!(encode_record(&flags(most + 1)), Err(over.clone()));
    assert_eq!(decode_record(&one_more(&full)), Err(over));

    let name = "x".repeat(MAX_RECORD_BYTES);
    let alias = Subscribe { account: AccountId(1), name, subscribed: true };
    let long = encode_record(&record(Change::Subscribe(alias)));
    assert!(matches!(long, Err(CodecError::TooLong { .. })));
    let long = decode_record(&vec![0; MAX_RECORD_BYTES + 1]);
    assert!(matches!(long, Err(CodecError::TooLong { .. })));
    let value = codec::to_bytes(&vec![7_u8; codec::MAX_VALUE_BYTES]);
    assert!(matches!(value, Err(CodecError::TooLong { .. })));
}

/// The full expunge with one UID more than allowed: its count and its list altered.
fn one_more(full: &[u8]) -> Vec<u8> {
    let count = u16::try_from(MAX_CHANGES).unwrap();
    let place =
        full.windows(3).position(|w| w == [251, count.to_le_bytes()[0], count.to_le_bytes()[1]]);
    let place = place.unwrap() + 1;
    let mut bytes = full.to_vec();
    bytes[place..place + 2].copy_from_slice(&(count + 1).to_le_bytes());
    bytes.insert(place + 2, 1);
    bytes
}

#[test]
fn a_hostile_length_allocates_little() {
    let mut bytes = vec![0x04, 0x02, 1, 0];
    bytes.extend_from_slice(&[0; 22]);
    bytes.extend_from_slice(&[253, 255, 255, 255, 255, 255, 255, 255, 127]);
    assert!(decode_record(&bytes).is_err());
    let value = codec::from_bytes::<String>(&[253, 255, 255, 255, 255, 255, 255, 255, 127]);
    assert!(value.is_err());
}

/// Whoever asks the audit trail for a kind names it as the log's listing does.
#[test]
fn the_audit_trail_knows_every_kind_by_its_name() {
    let named = |kind: u16| redoubt_log::audit::KINDS.iter().find(|(known, _)| *known == kind);
    for change in changes() {
        let kind = change.kind();
        let payload = [vec![0; 16], encode_record(&record(change)).unwrap()].concat();
        let entry = redoubt_log::segment::LogEntry {
            id: redoubt_log::segment::LogId {
                term: redoubt_log::id::Term(1),
                index: redoubt_log::id::LogIndex(1),
            },
            kind: redoubt_log::segment::EntryKind::Record,
            time: Timestamp(0),
            stamp: Timestamp(0),
            payload: payload.into(),
            chain: Hash([0; 32]),
            position: 1,
        };
        let name = redoubt_log::dump::entry(&entry).kind;
        assert_eq!(named(kind), Some(&(kind, name)), "a row of log/src/audit.rs for {kind:#06x}");
    }
}
