//! Roles: every cell of the table of verbs by role is tried against a real server, allowed and
//! refused, and what a role over one domain is held to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use bytes::Bytes;
use redoubt_log::record::Role;
use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::page::Page;
use redoubt_tests::scene::{Scene, all};
use redoubt_tools::admin::client::{Client, Method};
use redoubt_tools::admin::roles::table::{self, Over, TABLE, Verb};
use redoubt_tools::exit::{Exit, code_of};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const CAROL: &str = "carol@example.com";

/// Makes a token of an account; its secret.
fn token(scene: &Scene, account: &str) -> String {
    scene.json(&["token", "add", "--account", account])[0]["secret"].as_str().unwrap().to_owned()
}

/// Runs a verb as whoever a token is of.
fn by(scene: &Scene, token: &str, arguments: &[&str]) -> (i32, String) {
    let file = scene.server.data().join("token");
    std::fs::write(&file, token).unwrap();
    let file = file.to_string_lossy().into_owned();
    let (code, out, error) = scene.run(&[arguments, &["--token-file", file.as_str()]].concat());
    (code, out + &error)
}

fn client(scene: &Scene, token: Option<&str>) -> Client {
    Client::new(scene.server.data().join("admin.sock")).with_token(token.map(str::to_owned))
}

/// Whether a call is refused. Its places name nothing and its body is empty, so that one that is
/// let through does nothing, or no harm.
async fn is_refused(client: &Client, (method, path): (&str, &str)) -> bool {
    let path = path
        .replace("{account}", "nobody@example.org")
        .replace("{name}", "nowhere.example")
        .replace("{alias}", "nobody@example.org")
        .replace("{job}", "00000000000000000000000000000000")
        .replace("{id}", "00000000000000000000000000000000")
        .replace("{node}", "99")
        .replace("{class}", "nothing")
        .replace("{rule}", "99")
        .replace("{matter}", "nothing")
        .replace("{of}", "hold:999999")
        .replace("{policy}", "nothing")
        .replace("{email}", "e1-0")
        .replace("{hold}", "999999")
        .replace("{token}", "ffffffff");
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match client.call::<Value>(method, &path, Bytes::new()).await {
        Ok(_) => false,
        // The cluster refuses things of its own.
        Err(error) => {
            let said = error.to_string();
            let roles = ["needs the role", "needs a personal token", "this token"];
            code_of(&error) == Exit::Refused && roles.iter().any(|text| said.contains(text))
        }
    }
}

/// All calls but the one that ends the server.
fn calls() -> impl Iterator<Item = (&'static Verb, (&'static str, &'static str))> {
    let all = TABLE.iter().flat_map(|verb| verb.calls.iter().map(move |call| (verb, *call)));
    all.filter(|(_, (_, path))| *path != "/v1/stop")
}

#[tokio::test]
async fn every_cell_is_as_the_table_says() {
    let mut scene = Scene::of(&[ALICE]);
    let own = client(&scene, None);
    for (verb, call) in calls() {
        let refused = is_refused(&own, call).await;
        assert_eq!(refused, verb.person, "{} before any role is given", verb.name);
    }
    let nobody = "nobody-has@example.org";
    scene.server.account(nobody);
    let none = token(&scene, nobody);
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let account = format!("{role}@example.org");
        scene.server.account(&account);
        scene.code(&["role", "grant", &account, role.name()], 0);
        tokens.push((role, token(&scene, &account)));
    }
    let (mut allowed, mut refused) = (0, 0);
    for (role, token) in &tokens {
        let client = client(&scene, Some(token));
        for (verb, call) in calls() {
            let may = verb.roles.contains(role);
            assert_eq!(!is_refused(&client, call).await, may, "{role}: {} {call:?}", verb.name);
            *(if may { &mut allowed } else { &mut refused }) += 1;
        }
        let may = *role == Role::Operator;
        if !may {
            assert!(is_refused(&client, ("POST", "/v1/stop")).await, "{role}");
        }
    }
    assert!(allowed > 60 && refused > 120, "{allowed} allowed, {refused} refused");
    let (nobody, wrong) = (client(&scene, Some(&none)), client(&scene, Some("rdt-00")));
    for (verb, call) in calls() {
        assert!(is_refused(&nobody, call).await, "without a role: {}", verb.name);
        assert!(is_refused(&wrong, call).await, "with a token of nobody: {}", verb.name);
        let its_own =
            verb.roles.contains(&Role::Operator) || verb.roles.contains(&Role::DomainAdmin);
        let refused = is_refused(&own, call).await;
        assert_eq!(!refused, its_own, "without a token, once all are given: {}", verb.name);
    }
    let (code, said) = by(&scene, &tokens[0].1, &["stop"]);
    assert_eq!(code, 0, "{said}");
    scene.server.stopped();
}

#[test]
fn a_role_over_one_domain_ends_there() {
    let scene = Scene::of(&[ALICE, CAROL]);
    scene.fill(ALICE, &["secret plan"]);
    scene.fill(CAROL, &["secret garden"]);
    let grant = ["role", "grant", ALICE, "domain-admin", "--domain", "example.org"];
    scene.code(&grant, 0);
    let alice = token(&scene, ALICE);
    let may = |arguments: &[&str]| {
        let (code, said) = by(&scene, &alice, arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    };
    let may_not = |arguments: &[&str], why: &str| {
        let (code, said) = by(&scene, &alice, arguments);
        assert!(code == 5 && said.contains(why), "{arguments:?}: {code} {said}");
    };
    let domains = may(&["domain", "list", "--json"]);
    assert!(domains.contains("example.org") && !domains.contains("example.com"), "{domains}");
    let accounts = may(&["account", "list", "--json"]);
    assert!(accounts.contains(ALICE) && !accounts.contains(CAROL), "{accounts}");
    may(&["account", "add", "dora@example.org"]);
    may(&["account", "set", "dora", "--name", "Dora"]);
    may(&["alias", "add", "d@example.org", "dora"]);
    may(&["domain", "set", "example.org", "--quota", "5M"]);
    let elsewhere = "over example.org alone";
    may_not(&["account", "add", "eve@example.com"], elsewhere);
    may_not(&["account", "show", CAROL], elsewhere);
    may_not(&["account", "lock", CAROL], elsewhere);
    may_not(&["account", "rename", "dora", "dora@example.com"], elsewhere);
    may_not(&["account", "delete", CAROL, "--yes"], elsewhere);
    may_not(&["alias", "add", "x@example.com", "dora"], elsewhere);
    may_not(&["alias", "add", "x@example.org", CAROL], elsewhere);
    may_not(&["domain", "show", "example.com"], elsewhere);
    may_not(&["domain", "set", "example.com", "--quota", "5M"], elsewhere);
    may_not(&["domain", "add", "example.net"], "over all domains");
    may_not(&["mailbox", "list", CAROL], elsewhere);
    may_not(&["class", "add", "large"], "the role operator");
    may_not(&["ls", ALICE], "role operator or discovery");
    may_not(&["discover", "secret", "--all"], "the role discovery");
    // Discovery of one domain finds nothing else.
    scene.code(&["role", "grant", ALICE, "discovery", "--domain", "example.org"], 0);
    assert!(may(&["discover", "secret", "--domain", "example.org"]).contains("secret plan"));
    may_not(&["discover", "secret", "--all"], elsewhere);
    may_not(&["discover", "secret", "--account", CAROL], elsewhere);
    may_not(&["find", CAROL, "secret"], elsewhere);
    may(&["find", ALICE, "secret"]);
    // What another has found over more is not listed either.
    scene.server.account("both@example.org");
    scene.code(&["role", "grant", "both", "discovery"], 0);
    let both = token(&scene, "both");
    let (code, found) = by(&scene, &both, &["discover", "secret", "--all", "--json"]);
    assert_eq!(code, 0, "{found}");
    let first: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    let job = first["job"].as_str().unwrap();
    may_not(&["discover", "show", job, "--hits"], elsewhere);
    assert!(!may(&["discover", "list"]).contains(job));
    let (_, listed) = by(&scene, &both, &["discover", "list"]);
    assert!(listed.contains(job), "{listed}");
}

#[test]
fn a_token_is_its_account_and_no_more() {
    let scene = Scene::of(&[ALICE, CAROL]);
    scene.code(&["role", "grant", ALICE, "operator"], 0);
    let alice = token(&scene, ALICE);
    let carol = token(&scene, CAROL);
    let (code, said) = by(&scene, &alice, &["role", "grant", ALICE, "discovery"]);
    assert!(code == 1 && said.contains("nobody gives a role to himself"), "{code} {said}");
    let (code, said) = by(&scene, &alice, &["token", "add", "--account", CAROL]);
    assert!(code == 5 && said.contains("its own account alone"), "{code} {said}");
    let listed = by(&scene, &alice, &["token", "list", "--json"]).1;
    assert!(listed.contains(ALICE) && !listed.contains(CAROL), "{listed}");
    let (code, said) = by(&scene, &alice, &["role", "grant", CAROL, "auditor"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(by(&scene, &carol, &["role", "list"]).0, 0);
    // The records say who did it, and no secret.
    let log = scene.json(&["dump"]);
    let of = |kind: &str| {
        log.iter().filter(|line| line["kind"] == kind).map(Value::to_string).collect::<Vec<_>>()
    };
    let grants = of("role-grant");
    assert!(grants[0].contains("uid ") && grants[1].contains("token of account"), "{grants:?}");
    assert_eq!(of("personal-token-add").len(), 2);
    assert!(!log.iter().any(|line| line.to_string().contains(&alice["rdt-".len()..])));
    // Once a role was given, nobody has it without a token, also when it is taken back.
    scene.code(&["role", "revoke", CAROL, "auditor"], 0);
    let (code, said) = by(&scene, &carol, &["role", "list"]);
    assert!(code == 5 && said.contains("operator or auditor"), "{said}");
    scene.code(&["discover", "x", "--all"], 0);
    scene.code(&["role", "grant", CAROL, "discovery"], 0);
    scene.code(&["role", "revoke", CAROL, "discovery"], 0);
    let said = scene.code(&["discover", "x", "--all"], 5);
    assert!(said.contains("personal token") && said.contains("role grant"), "{said}");
    scene.code(&["role", "revoke", CAROL, "discovery"], 1);
    // Locked, expired and revoked tokens open nothing.
    scene.code(&["account", "lock", ALICE], 0);
    let (code, said) = by(&scene, &alice, &["status"]);
    assert!(code == 5 && said.contains("locked"), "{said}");
    scene.code(&["account", "unlock", ALICE], 0);
    assert_eq!(by(&scene, &alice, &["status"]).0, 0);
    let made = scene.json(&["token", "add", "--account", ALICE, "--expires", "1s"]);
    let short = made[0]["secret"].as_str().unwrap();
    let expired = until(PATIENCE, || {
        let (code, said) = by(&scene, short, &["status"]);
        (code == 5 && said.contains("expired")).then_some(())
    });
    assert!(expired.is_some(), "the token is still good");
    let id = scene.json(&["token", "list"]);
    let id = id
        .iter()
        .find(|t| t["account"] == ALICE && t["expires"] != made[0]["expires"])
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    scene.code(&["token", "revoke", &id], 0);
    let (code, said) = by(&scene, &alice, &["status"]);
    assert!(code == 5 && said.contains("revoked"), "{said}");
    scene.code(&["token", "revoke", &id], 1);
    assert_eq!(by(&scene, "no token", &["status"]).0, 2);
    let grant = ["role", "grant", ALICE, "auditor", "--domain", "example.org"];
    let (code, said) = scene.said(&grant);
    assert!(code == 1 && said.contains("over all domains"), "{said}");
    let (code, out, _) = all(scene.server.run(&["role", "table"]));
    assert_eq!((code, out), (0, table::markdown()));
}

/// Who logs in to an archive reads everybody's mail.
#[tokio::test]
async fn an_archive_is_opened_by_compliance_alone() {
    let scene = Scene::of(&[ALICE, CAROL]);
    scene.code(&["account", "add", "vault@example.org", "--archive"], 0);
    scene.code(&["role", "grant", ALICE, "domain-admin"], 0);
    scene.code(&["role", "grant", CAROL, "compliance"], 0);
    scene.code(&["role", "grant", CAROL, "domain-admin"], 0);
    let (alice, carol) = (token(&scene, ALICE), token(&scene, CAROL));
    let body = |address: &str| {
        let text = format!("{{\"address\":\"{address}\",\"password\":\"x\",\"archive\":true}}");
        Bytes::from(text)
    };
    let password = || Bytes::from_static(b"{\"password\":\"x\"}");
    for (token, may) in [(Some(alice.as_str()), false), (None, false), (Some(&carol), true)] {
        let client = client(&scene, token);
        let set = client.call::<Value>(Method::PATCH, "/v1/accounts/vault@example.org", password());
        let set = set.await.map_err(|error| error.to_string());
        let address = if may { "second@example.org" } else { "third@example.org" };
        let made = client.call::<Value>(Method::POST, "/v1/accounts", body(address)).await;
        let made = made.map_err(|error| error.to_string());
        assert_eq!((set.is_ok(), made.is_ok()), (may, may), "{token:?}: {set:?} {made:?}");
        let why = |error: &String| error.contains("the role compliance");
        assert!(may || set.is_err_and(|e| why(&e)) && made.is_err_and(|e| why(&e)), "{token:?}");
    }
}

#[test]
fn the_page_shows_the_table() {
    assert!(Page::read("roles.md").text().contains(&table::markdown()), "{}", table::markdown());
}

/// The paths of all routes stand in the table, so that none is forgotten.
#[test]
fn every_call_has_a_line_in_the_table() {
    let admin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/src/admin");
    let mut files = vec![admin];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for route in text.split(".route(").skip(1) {
            let (name, _) = route
                .split_once('"')
                .map(|(_, rest)| rest)
                .and_then(|r| r.split_once('"'))
                .unwrap();
            let name = match route.starts_with("&at(") {
                true => format!("/v1/accounts/{{account}}/travel/{name}"),
                false => name.to_owned(),
            };
            let monitoring = ["/livez", "/readyz", "/metrics"].contains(&name.as_str());
            let listed = TABLE.iter().flat_map(|v| v.calls).any(|(_, path)| *path == name);
            assert!(monitoring || listed, "{name} of {} is not in the table", path.display());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

/// A role over a domain is held to it by the path, or by the call; this names the latter.
#[test]
fn calls_that_look_themselves_are_few() {
    let parts = TABLE.iter().filter(|verb| verb.over == Over::Parts).map(|verb| verb.name);
    let bounded = parts.filter(|name| !["status", "audit keys, audit head"].contains(name));
    let bounded: Vec<_> = bounded.collect();
    let looked_at =
        ["domain list", "account list, alias list", "account add, alias add", "discover, export"];
    let own = |n: &&str| n.starts_with("token") || n.starts_with("matter ");
    assert!(bounded.iter().all(|n| looked_at.contains(n) || own(n)), "{bounded:?}");
}
