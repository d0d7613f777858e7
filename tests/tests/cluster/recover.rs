//! A majority is lost for good.

use redoubt_tests::cluster::members;

use super::mail::{all_agree, deliver, deliver_until_taken, set, tokens, with_alice};

#[test]
fn a_survivor_goes_on_alone_and_grows_again() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "everywhere");
    let survivor = cluster.follower();
    cluster.caught_up();
    // What the other two acknowledge without it is what will be lost.
    cluster.node_mut(survivor).stop();
    let other = (0..3).find(|n| *n != survivor).unwrap();
    deliver_until_taken(&cluster, other, "without the survivor");
    (0..3).filter(|n| *n != survivor).for_each(|n| cluster.node_mut(n).kill());
    let (code, plan) = cluster.verb(survivor, &["cluster", "recover"]);
    assert_eq!(code, 6, "{plan}");
    for expected in ["LOST", "KEPT", "goes on alone", "never start again", "--yes"] {
        assert!(plan.contains(expected), "{expected}: {plan}");
    }
    let done = cluster.node(survivor).verb(&["cluster", "recover", "--yes"]);
    assert!(done.contains("a cluster of its own"), "{done}");
    cluster.node_mut(survivor).serve_with(&[]);
    cluster.node_mut(survivor).start_again();
    assert_eq!(tokens(&cluster, survivor), set(["everywhere"]));
    deliver(&cluster, survivor, "alone");
    // One of the lost ones comes back from the dead: the survivor is not its cluster any more.
    cluster.node_mut(other).begin();
    deliver(&cluster, survivor, "undisturbed");
    cluster.node_mut(other).kill();
    // The lost ones are no members any more, and none that is to join.
    let status = cluster.status(survivor).unwrap();
    assert_eq!(members(&status).len(), 1);
    let new = cluster.join(survivor);
    cluster.join(new);
    assert!(cluster.id(new) > 3, "ids go on");
    all_agree(&cluster, &set(["everywhere", "alone", "undisturbed"]));
}

#[test]
fn a_running_node_is_not_recovered() {
    let cluster = with_alice(1);
    let (code, said) = cluster.verb(0, &["cluster", "recover", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("in use"), "{said}");
}
