//! What each verb of a cluster says to a wish that makes no sense: what is wrong,
//! and what to do.

use redoubt_tests::clock::Clock;
use redoubt_tests::cluster::{Cluster, free_port, member, said};
use redoubt_tests::process::Redoubt;

use super::mail::with_alice;

/// Arguments, exit code, and what is said among others.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

fn all_refused(cluster: &Cluster, n: usize, cases: &[Case<'_>]) {
    for (arguments, expected, words) in cases {
        let (code, said) = cluster.verb(n, &[&["cluster"], *arguments].concat());
        assert_eq!(code, *expected, "{arguments:?}: {said}");
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        assert!(missing.is_empty(), "{arguments:?} does not say {missing:?}: {said}");
    }
}

#[test]
fn a_cluster_refuses_and_says_what_to_do() {
    let mut cluster = with_alice(3);
    let leader = cluster.leader();
    let dead = (leader + 1) % 3;
    cluster.node_mut(dead).kill();
    let id = cluster.id(dead);
    cluster.wait(leader, "aware that one is gone", |status| {
        let seconds = member(status, id).and_then(|m| m["last_contact_seconds"].as_f64());
        seconds.is_none_or(|seconds| seconds > 3.0)
    });
    let (id, other) = (id.to_string(), cluster.id(3 - leader - dead).to_string());
    let who = "`redoubt cluster status` shows who is";
    let cases: [Case<'_>; 13] = [
        (&["transfer", "99"], 1, &["node 99 is not a member", who]),
        (&["transfer", "mail2"], 2, &["mail2", "--help"]),
        (&["transfer", &id], 5, &["is not heard", "start it, or look at the network"]),
        (&["remove", "99", "--yes"], 1, &["node 99 is not a member", who]),
        (&["remove"], 2, &["<NODE>"]),
        (&["remove", &other], 6, &["removed for good", "--yes"]),
        (&["remove", &other, "--yes"], 5, &["no majority", "start the others first"]),
        (&["finalize", "--yes"], 5, &["does not answer", "start it, or remove it"]),
        (&["token", "--valid", "soon"], 2, &["--valid soon", "write 90s, 30m, 1h or 2d"]),
        (&["token", "--valid", "0s"], 5, &["a second to a week"]),
        (&["token", "--valid", "8d"], 5, &["a second to a week"]),
        (&["recover", "--yes"], 1, &["is in use", "stop that one first"]),
        (&["promote", "2"], 2, &["promote", "--help"]),
    ];
    all_refused(&cluster, leader, &cases);
    // The same on a follower, which asks the leader.
    let follower = 3 - leader - dead;
    all_refused(&cluster, follower, &cases[..3]);
    // No server at all.
    let stopped = ["status", "token", "transfer", "finalize"];
    for verb in stopped {
        let verb = [verb];
        let words: &[&str] = &["no server answers", "start it with `redoubt serve`"];
        all_refused(&cluster, dead, &[(&verb, 4, words)]);
    }
}

#[test]
fn a_node_alone_refuses_and_says_what_to_do() {
    let mut cluster = Cluster::of(1);
    let cases: [Case<'_>; 3] = [
        (&["remove", "1", "--yes"], 5, &["nobody is left who serves", "join first"]),
        (&["transfer"], 5, &["no other voter", "`redoubt cluster status`"]),
        (&["transfer", "1"], 0, &["node 1 leads"]),
    ];
    all_refused(&cluster, 0, &cases);
    cluster.node_mut(0).stop();
    cluster.node_mut(0).set("REDOUBT_LISTEN_PEER", "off");
    cluster.node_mut(0).start_again();
    all_refused(&cluster, 0, &[(&["token"], 5, &["no peers", "set listen.peer"])]);
}

/// What was begun must give up by itself.
fn gives_up(mut node: Redoubt, code: i32, words: &[&str]) {
    let (found, said) = node.ended();
    assert_eq!(found, code, "{said}");
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    assert!(missing.is_empty(), "it does not say {missing:?}: {said}");
}

#[test]
fn who_cannot_join_learns_why_and_what_to_do() {
    let mut cluster = Cluster::of(1);
    let token = cluster.token(0, &[]);
    // Arguments that do not fit.
    let alone = cluster.joiner(0, &token, &[]);
    for (arguments, words) in [
        (&["serve", "--join", "127.0.0.1:1"][..], "--join-token"),
        (&["serve", "--join-token", "redoubt-join-x"], "--join"),
        (&["serve", "--join", "127.0.0.1:1", "--join-token", "redoubt-join-x"], "no join token"),
    ] {
        let (code, said) = said(&alone.run(arguments));
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    // Used: another one is needed, and it is said where from.
    let mut first = cluster.joiner(0, &token, &[]);
    first.start_again();
    cluster.take_in(first);
    let mut used = cluster.joiner(0, &token, &[]);
    used.begin();
    gives_up(used, 5, &["has been used", "`redoubt cluster token` on a member makes another"]);
    // A clock by which the cluster's certificates are not good yet.
    let token = cluster.token(0, &[]);
    let mut early = cluster.joiner(0, &token, &[]);
    let clock = Clock::new(cluster.home()).unwrap().expect("`make setup-test`: libfaketime");
    clock.set(-20 * 365 * 86_400).unwrap();
    for (name, value) in clock.environment() {
        early.set(name, value.to_str().unwrap());
    }
    // Nobody there, and somebody who speaks something else.
    let nobody = free_port().to_string();
    let imap = cluster.node(0).imap().to_string();
    let mut lost = [(&nobody, "refused"), (&imap, "does not speak")].map(|(address, why)| {
        let mut lost = cluster.joiner(0, &token, &[]);
        lost.serve_with(&["--join", address, "--join-token", &token]);
        (lost, vec![address.as_str(), why, "Check the address"])
    });
    // All of them try for a while, so at one time.
    early.begin();
    lost.iter_mut().for_each(|(lost, _)| lost.begin());
    gives_up(early, 4, &["not valid yet", "set the clocks of both machines (NTP)"]);
    lost.into_iter().for_each(|(lost, words)| gives_up(lost, 4, &words));
}
