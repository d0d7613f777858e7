//! The table of `cluster status`.

use super::cluster::trouble;
use crate::cluster::{ClusterBody, MemberLine, Part};
use crate::output;

/// Prints the members, one a line.
///
/// # Errors
/// When standard output is closed.
pub(super) fn table(body: &ClusterBody) -> anyhow::Result<()> {
    let leader = body.leader.map_or("nobody".into(), |leader| format!("node {leader}"));
    println!("cluster {}, term {}: {leader} leads, level {}", body.cluster, body.term, body.level);
    if let Some(next) = body.next_level {
        println!("every node supports level {next}: `redoubt cluster finalize` raises it");
    }
    if body.changing {
        println!("a change of the members is under way");
    }
    let heading = [
        "node",
        "role",
        "match",
        "lag",
        "behind",
        "heard",
        "clock",
        "disk free",
        "level",
        "version",
        "starts",
        "address",
        "alarms",
    ];
    let rows: Vec<_> = body.members.iter().map(row).collect();
    output::table(heading, &rows)
}

fn row(member: &MemberLine) -> [String; 13] {
    let alarms = trouble(member).len();
    [
        member.node.to_string(),
        role(member),
        known(member.matched),
        known(member.lag_records),
        seconds(member.lag_seconds),
        seconds(member.last_contact_seconds),
        member.clock_offset_ms.map_or_else(nothing, |ms| format!("{ms:+} ms")),
        member.disk_free_bytes.map_or_else(nothing, output::bytes),
        known(member.level),
        member.version.clone().unwrap_or_else(nothing),
        known(member.incarnation),
        member.address.clone(),
        if alarms == 0 { nothing() } else { alarms.to_string() },
    ]
}

fn nothing() -> String {
    "-".into()
}

fn role(member: &MemberLine) -> String {
    let role = match member.role {
        Part::Leader => "leader",
        Part::Voter => "voter",
        Part::Learner => "learner",
        Part::Joining => "joining",
    };
    if member.light { format!("light {role}") } else { role.into() }
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(nothing, |value| value.to_string())
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(nothing, |value| format!("{value:.1} s"))
}

/// Prints what is wrong, a line each.
pub(super) fn troubles(body: &ClusterBody) {
    for member in &body.members {
        for text in trouble(member) {
            println!("node {}: {text}", member.node);
        }
    }
}
