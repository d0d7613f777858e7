//! Which role may call what: the one place that says so. `redoubt role table` prints it, and
//! docs/roles.md shows it.

use redoubt_log::record::Role::{
    self, Approver, Auditor, Compliance, Discovery, DomainAdmin, Operator,
};

/// What a call is over: what a role for one domain alone is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The server as a whole: a role for all domains is needed.
    All,
    /// The account that the path names.
    Account,
    /// The domain that the path names.
    Domain,
    /// The alias that the path names.
    Alias,
    /// What it answers or takes is looked at by the call itself.
    Parts,
}

/// Verbs that belong together, and who may say them.
#[derive(Debug)]
pub struct Verb {
    /// As people type it.
    pub name: &'static str,
    /// Any of these suffices.
    pub roles: &'static [Role],
    /// What it is over.
    pub over: Over,
    /// Whether a member of a matter may say it too: the call looks of which.
    pub members: bool,
    /// Whether it needs a person, known by a token: the server's own user never says it.
    pub person: bool,
    /// Method and path of its calls.
    pub calls: &'static [(&'static str, &'static str)],
}

const fn verb(
    name: &'static str,
    roles: &'static [Role],
    over: Over,
    calls: &'static [(&'static str, &'static str)],
) -> Verb {
    Verb { name, roles, over, members: false, person: false, calls }
}

const fn members(verb: Verb) -> Verb {
    Verb { members: true, ..verb }
}

const fn person(verb: Verb) -> Verb {
    Verb { person: true, ..verb }
}

/// Every call that a role may make. What stands nowhere here is for the server's own user alone.
pub const TABLE: &[Verb] = &[
    verb("status", &Role::ALL, Over::Parts, &[("GET", "/v1/status")]),
    verb("stop, reload", &[Operator], Over::All, &[("POST", "/v1/stop"), ("POST", "/v1/reload")]),
    verb(
        "check, scrub, compare, checkpoint",
        &[Operator],
        Over::All,
        &[
            ("GET", "/v1/check"),
            ("POST", "/v1/scrub"),
            ("POST", "/v1/compare"),
            ("POST", "/v1/checkpoint"),
        ],
    ),
    verb("dump", &[Operator, Auditor], Over::All, &[("GET", "/v1/log")]),
    verb(
        "index status, index rebuild",
        &[Operator],
        Over::All,
        &[("GET", "/v1/index"), ("POST", "/v1/index/rebuild")],
    ),
    verb(
        "backup, archive",
        &[Operator],
        Over::All,
        &[("GET", "/v1/archive"), ("GET", "/v1/backup/base"), ("POST", "/v1/backup/base")],
    ),
    verb(
        "cluster",
        &[Operator],
        Over::All,
        &[
            ("GET", "/v1/cluster"),
            ("POST", "/v1/cluster/token"),
            ("POST", "/v1/cluster/transfer"),
            ("POST", "/v1/cluster/finalize"),
            ("DELETE", "/v1/cluster/nodes/{node}"),
        ],
    ),
    verb(
        "class list, class show",
        &[Operator, DomainAdmin],
        Over::All,
        &[("GET", "/v1/classes"), ("GET", "/v1/classes/{class}")],
    ),
    verb(
        "class add, class set, class remove",
        &[Operator],
        Over::All,
        &[
            ("POST", "/v1/classes"),
            ("PUT", "/v1/classes/{class}"),
            ("DELETE", "/v1/classes/{class}"),
        ],
    ),
    verb(
        "capture rule list, capture status",
        &[Compliance, Auditor],
        Over::All,
        &[("GET", "/v1/captures"), ("GET", "/v1/captured")],
    ),
    verb(
        "capture rule add, capture rule remove",
        &[Compliance],
        Over::All,
        &[("POST", "/v1/captures"), ("DELETE", "/v1/captures/{rule}")],
    ),
    verb(
        "domain set --class, account set --class and limits",
        &[Operator],
        Over::All,
        &[("PUT", "/v1/domains/{name}/class"), ("PUT", "/v1/accounts/{account}/class")],
    ),
    verb("domain list", &[Operator, DomainAdmin], Over::Parts, &[("GET", "/v1/domains")]),
    verb(
        "domain show",
        &[Operator, DomainAdmin],
        Over::Domain,
        &[("GET", "/v1/domains/{name}"), ("GET", "/v1/domains/{name}/class")],
    ),
    verb(
        "domain add, domain remove",
        &[DomainAdmin],
        Over::All,
        &[("POST", "/v1/domains"), ("DELETE", "/v1/domains/{name}")],
    ),
    verb("domain set", &[DomainAdmin], Over::Domain, &[("PUT", "/v1/domains/{name}")]),
    verb(
        "account list, alias list",
        &[Operator, DomainAdmin],
        Over::Parts,
        &[("GET", "/v1/accounts"), ("GET", "/v1/aliases")],
    ),
    verb(
        "account show",
        &[Operator, DomainAdmin],
        Over::Account,
        &[("GET", "/v1/accounts/{account}"), ("GET", "/v1/accounts/{account}/effective")],
    ),
    verb(
        "account add, alias add",
        &[DomainAdmin],
        Over::Parts,
        &[("POST", "/v1/accounts"), ("POST", "/v1/aliases")],
    ),
    verb(
        "account set, passwd, rename, lock, unlock, close, delete",
        &[DomainAdmin],
        Over::Account,
        &[("PATCH", "/v1/accounts/{account}"), ("POST", "/v1/accounts/{account}/delete")],
    ),
    verb(
        "alias show, alias remove",
        &[DomainAdmin],
        Over::Alias,
        &[("GET", "/v1/aliases/{alias}"), ("DELETE", "/v1/aliases/{alias}")],
    ),
    verb(
        "mailbox",
        &[DomainAdmin],
        Over::Account,
        &[
            ("GET", "/v1/accounts/{account}/mailboxes"),
            ("POST", "/v1/accounts/{account}/mailboxes"),
            ("DELETE", "/v1/accounts/{account}/mailboxes"),
            ("POST", "/v1/accounts/{account}/mailboxes/rename"),
        ],
    ),
    verb(
        "deliver, import",
        &[Operator],
        Over::All,
        &[("POST", "/v1/deliver"), ("POST", "/v1/accounts/{account}/import")],
    ),
    verb(
        "restore",
        &[Operator],
        Over::All,
        &[
            ("GET", "/v1/restores"),
            ("POST", "/v1/restores"),
            ("POST", "/v1/restores/plan"),
            ("GET", "/v1/restores/{id}"),
            ("GET", "/v1/restores/{id}/outcomes"),
            ("POST", "/v1/restores/{id}/resume"),
            ("POST", "/v1/restores/{id}/cancel"),
        ],
    ),
    verb(
        "ls, history, diff",
        &[Operator, Discovery],
        Over::Account,
        &[
            ("GET", "/v1/accounts/{account}/travel/mailboxes"),
            ("GET", "/v1/accounts/{account}/travel/emails"),
            ("GET", "/v1/accounts/{account}/travel/history"),
            ("GET", "/v1/accounts/{account}/travel/diff"),
        ],
    ),
    verb(
        "find, show",
        &[Discovery],
        Over::Account,
        &[
            ("GET", "/v1/accounts/{account}/travel/find"),
            ("GET", "/v1/accounts/{account}/travel/email"),
            ("GET", "/v1/accounts/{account}/travel/content"),
        ],
    ),
    members(verb(
        "discover, export",
        &[Discovery],
        Over::Parts,
        &[
            ("POST", "/v1/discovery/searches"),
            ("POST", "/v1/discovery/exports"),
            ("GET", "/v1/discovery/jobs"),
            ("GET", "/v1/discovery/jobs/{job}"),
            ("DELETE", "/v1/discovery/jobs/{job}"),
            ("GET", "/v1/discovery/jobs/{job}/hits"),
            ("GET", "/v1/discovery/jobs/{job}/purged"),
            ("POST", "/v1/discovery/jobs/{job}/cancel"),
        ],
    )),
    verb("matter add", &[Discovery], Over::All, &[("POST", "/v1/matters")]),
    members(verb("matter list", &[Discovery, Compliance], Over::Parts, &[("GET", "/v1/matters")])),
    members(verb(
        "matter show, set, close, reopen, note",
        &[Discovery],
        Over::Parts,
        &[
            ("GET", "/v1/matters/{matter}"),
            ("PATCH", "/v1/matters/{matter}"),
            ("POST", "/v1/matters/{matter}/notes"),
        ],
    )),
    members(verb(
        "matter member",
        &[Discovery, Compliance],
        Over::Parts,
        &[("POST", "/v1/matters/{matter}/members")],
    )),
    verb(
        "matter custodian",
        &[Discovery],
        Over::Parts,
        &[("POST", "/v1/matters/{matter}/custodians")],
    ),
    verb(
        "approval list",
        &[Compliance, Approver, Auditor],
        Over::All,
        &[("GET", "/v1/approvals"), ("GET", "/v1/approvals/{of}")],
    ),
    person(verb(
        "approval give, approval refuse, hold approve, policy approve, erase approve",
        &[Approver],
        Over::All,
        &[("POST", "/v1/approvals/{of}")],
    )),
    verb(
        "erase plan, erase begin",
        &[Compliance],
        Over::All,
        &[("POST", "/v1/erasures/plan"), ("POST", "/v1/erasures")],
    ),
    verb(
        "erase list, erase show",
        &[Compliance, Approver, Auditor],
        Over::All,
        &[("GET", "/v1/erasures"), ("GET", "/v1/erasures/{id}"), ("GET", "/v1/erasures/{id}/kept")],
    ),
    verb(
        "audit keys, audit head",
        &[Operator, Discovery, Compliance, Approver, Auditor],
        Over::Parts,
        &[("GET", "/v1/heads/keys"), ("GET", "/v1/heads/consistency"), ("GET", "/v1/heads")],
    ),
    verb(
        "hold list, hold show",
        &[Compliance, Approver, Auditor],
        Over::All,
        &[("GET", "/v1/holds"), ("GET", "/v1/holds/{hold}")],
    ),
    verb(
        "hold set, hold release, hold cancel, hold move",
        &[Compliance],
        Over::All,
        &[
            ("POST", "/v1/holds"),
            ("POST", "/v1/holds/{hold}/release"),
            ("POST", "/v1/holds/{hold}/cancel"),
            ("POST", "/v1/holds/{hold}/move"),
        ],
    ),
    verb("audit list, audit export", &[Auditor], Over::All, &[("POST", "/v1/audit")]),
    verb("audit verify", &[Operator, Auditor], Over::All, &[("POST", "/v1/audit/verify")]),
    verb(
        "policy list, policy show, policy simulate",
        &[Compliance, Approver, Auditor],
        Over::All,
        &[
            ("GET", "/v1/policies"),
            ("GET", "/v1/policies/{policy}"),
            ("GET", "/v1/policies/{policy}/effect"),
            ("POST", "/v1/policies/simulate"),
        ],
    ),
    verb(
        "policy add, policy set, policy lock, policy remove, policy event",
        &[Compliance],
        Over::All,
        &[
            ("POST", "/v1/policies"),
            ("PUT", "/v1/policies/{policy}"),
            ("DELETE", "/v1/policies/{policy}"),
            ("POST", "/v1/policies/{policy}/lock"),
            ("POST", "/v1/accounts/{account}/events"),
        ],
    ),
    verb("label", &[Compliance], Over::All, &[("POST", "/v1/accounts/{account}/labels")]),
    verb(
        "why",
        &[Compliance, Approver, Auditor],
        Over::All,
        &[("GET", "/v1/accounts/{account}/why/{email}")],
    ),
    verb("role list", &[Operator, Auditor], Over::All, &[("GET", "/v1/roles")]),
    verb(
        "role grant, role revoke",
        &[Operator],
        Over::All,
        &[("POST", "/v1/roles"), ("POST", "/v1/roles/revoke")],
    ),
    verb(
        "token (one's own)",
        &Role::ALL,
        Over::Parts,
        &[("GET", "/v1/tokens"), ("POST", "/v1/tokens"), ("DELETE", "/v1/tokens/{token}")],
    ),
];

/// The verb of a call, with what stands in the path's places.
pub fn find(method: &str, path: &str) -> Option<(&'static Verb, Vec<(&'static str, String)>)> {
    let calls = TABLE.iter().flat_map(|verb| verb.calls.iter().map(move |call| (verb, call)));
    let fitting = calls.filter(|(_, (asked, _))| *asked == method);
    let fitting = fitting.filter_map(|(verb, (_, like))| Some((verb, *like, places(like, path)?)));
    // A path that is written out goes before one with places.
    let best = fitting.min_by_key(|(_, _, places)| places.len());
    best.map(|(verb, _, places)| (verb, places))
}

fn places(like: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (mut like, mut parts) = (like.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (like.next(), parts.next()) {
            (None, None) => return Some(found),
            (Some(name), Some(part)) => match name.strip_prefix('{') {
                Some(name) if !part.is_empty() => {
                    found.push((name.trim_end_matches('}'), decoded(part)?));
                }
                None if name == part => {}
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// Text of a URL's path (RFC 3986 section 2.1); `None` where it is no UTF-8 or broken.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

/// The table as docs/roles.md shows it.
pub fn markdown() -> String {
    let mut text = String::from("| verbs |");
    for role in Role::ALL {
        text += &format!(" {role} |");
    }
    text += "\n|---|";
    text += &"---|".repeat(Role::ALL.len());
    for verb in TABLE {
        text += &format!("\n| `{}` |", verb.name);
        for role in Role::ALL {
            text += match verb.roles.contains(&role) {
                true if role.has_domains() && verb.over == Over::All => " all domains |",
                true => " yes |",
                false if verb.members => " members |",
                false => " |",
            };
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn calls_are_found() {
        let (verb, places) = find("PATCH", "/v1/accounts/a%40b").unwrap();
        assert_eq!((verb.over, &places[..]), (Over::Account, &[("account", "a@b".to_owned())][..]));
        assert!(find("GET", "/v1/accounts/a/b").is_none() && find("GET", "/v1/nothing").is_none());
        assert!(find("GET", "/v1/accounts/a%4").is_none());
        assert!(find("GET", "/v1/accounts/").is_none());
        assert_eq!(find("POST", "/v1/restores/plan").unwrap().0.name, "restore");
    }

    #[test]
    fn no_call_stands_twice() {
        let mut calls: Vec<_> = TABLE.iter().flat_map(|verb| verb.calls).collect();
        let all = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), all);
    }

    /// A role for one domain is held to it only where the call names what it is over.
    #[test]
    fn paths_name_what_calls_are_over() {
        for verb in TABLE {
            let place = match verb.over {
                Over::Account => "/{account}",
                Over::Domain => "/{name}",
                Over::Alias => "/{alias}",
                Over::All | Over::Parts => continue,
            };
            assert!(verb.calls.iter().all(|(_, path)| path.contains(place)), "{}", verb.name);
        }
    }
}
