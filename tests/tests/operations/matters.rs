//! Matters, searches and exports in them, approvals: at random.

use super::*;

/// What is done about a matter.
#[derive(Debug, Clone)]
pub enum MatterWhat {
    Add { name: u8, review: bool },
    Set { matter: u8, name: u8, review: bool, closed: bool },
    Member { matter: u8, account: u8, role: u8 },
    Custodian { matter: u8, account: u8, is: bool },
    Note { matter: u8 },
    Begin { job: u8, of: u8, export: bool, matter: u8 },
    End { job: u8, completed: bool },
    Approve { job: u8, given: bool },
    Approver {},
}

pub fn matters() -> impl Strategy<Value = MatterWhat> {
    use MatterWhat::*;
    prop_oneof![
        (0u8..5, any::<bool>()).prop_map(|(name, review)| Add { name, review }),
        (0u8..4, 0u8..5, any::<bool>(), any::<bool>())
            .prop_map(|(matter, name, review, closed)| Set { matter, name, review, closed }),
        (0u8..4, 0u8..5, 0u8..4).prop_map(|(matter, account, role)| Member {
            matter,
            account,
            role
        }),
        (0u8..4, 0u8..5, any::<bool>()).prop_map(|(matter, account, is)| Custodian {
            matter,
            account,
            is
        }),
        (0u8..4).prop_map(|matter| Note { matter }),
        (0u8..5, 0u8..5, any::<bool>(), 0u8..4).prop_map(|(job, of, export, matter)| Begin {
            job,
            of,
            export,
            matter
        }),
        (0u8..5, any::<bool>()).prop_map(|(job, completed)| End { job, completed }),
        (0u8..5, any::<bool>()).prop_map(|(job, given)| Approve { job, given }),
        Just(Approver {}),
    ]
}

fn matter(n: u8) -> MatterId {
    MatterId(u64::from(n))
}

fn job(n: u8) -> OperationId {
    OperationId([0xd0 + n; 16])
}

fn settings(review_exports: bool, closed: bool) -> MatterSettings {
    MatterSettings { about: String::new(), review_exports, closed }
}

pub fn matter_change(what: MatterWhat, asked: BlobId) -> Change {
    let name = |n: u8| ["case 7", "case 8", "Case 7", "12", ""][usize::from(n)].to_owned();
    match what {
        MatterWhat::Add { name: n, review } => {
            Change::MatterAdd(MatterAdd { name: name(n), settings: settings(review, false) })
        }
        MatterWhat::Set { matter: m, name: n, review, closed } => Change::MatterSet(MatterSet {
            matter: matter(m),
            name: name(n),
            settings: settings(review, closed),
        }),
        MatterWhat::Member { matter: m, account: a, role } => {
            let all = [MatterRole::Reader, MatterRole::Reviewer, MatterRole::Lead];
            let role = all.get(usize::from(role)).copied();
            Change::MatterMember(MatterMember { matter: matter(m), account: account(a), role })
        }
        MatterWhat::Custodian { matter: m, account: a, is } => {
            Change::MatterCustodian(MatterCustodian { matter: matter(m), account: account(a), is })
        }
        MatterWhat::Note { matter: m } => {
            Change::MatterNote(MatterNote { matter: matter(m), text: "two\nlines".to_owned() })
        }
        MatterWhat::Begin { job: j, of, export, matter: m } => {
            Change::DiscoveryBegin(DiscoveryBegin {
                job: job(j),
                work: if export { DiscoveryWork::Export } else { DiscoveryWork::Search },
                of: export.then(|| job(of)),
                asked,
                pinned: LogIndex(0),
                matter: (m > 0).then(|| matter(m)),
            })
        }
        MatterWhat::End { job: j, completed } => Change::DiscoveryEnd(DiscoveryEnd {
            job: job(j),
            found: 1,
            failed: 0,
            ended: if completed { DiscoveryEnded::Completed } else { DiscoveryEnded::Failed },
            manifest: None,
        }),
        MatterWhat::Approve { job: j, given } => {
            Change::Approval(Approval { of: Approves::Export(job(j)), given, note: String::new() })
        }
        MatterWhat::Approver {} => {
            Change::RoleGrant(RoleGrant { account: account(1), role: Role::Approver, domain: None })
        }
    }
}
