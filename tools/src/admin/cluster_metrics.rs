//! The cluster as this node sees it, for monitoring.

use std::fmt::Error;

use prometheus_client::metrics::MetricType;
use redoubt_log::raft::{Cluster, ClusterMember};

use super::metrics::Out;
use crate::cluster::ClusterBody;

/// How a member's number is read.
type Read = fn(&ClusterMember) -> Option<f64>;

pub(super) fn encode(out: &mut Out<'_>, cluster: &Cluster, elections: u64) -> Result<(), Error> {
    let leader = ClusterBody::of(cluster, "").followed_leader();
    let leads = leader == Some(cluster.node);
    out.gauge("cluster_is_leader", "Whether this node leads", f64::from(u8::from(leads)))?;
    let known = leader.map_or(-1.0, |leader| leader.0 as f64);
    out.gauge("cluster_leader", "The node that leads, -1 while nobody does", known)?;
    out.counter("cluster_elections", "Leaders that this node has seen elected", elections)?;
    out.gauge("cluster_voters", "Members that vote", cluster.voters().count() as f64)?;
    out.gauge("cluster_level", "The level in force", f64::from(cluster.level))?;
    let lag = "Records that a member is behind, as far as this node knows";
    members(out, "cluster_lag_records", lag, cluster, |m| m.lag_records.map(|lag| lag as f64))?;
    let heard = "Seconds since a member was heard";
    members(out, "cluster_last_contact_seconds", heard, cluster, |m| {
        m.last_contact.map(|past| past.as_secs_f64())
    })
}

fn members(
    out: &mut Out<'_>,
    name: &str,
    help: &str,
    cluster: &Cluster,
    read: Read,
) -> Result<(), Error> {
    let mut family = out.metric(name, help, None, MetricType::Gauge)?;
    for member in cluster.members.iter().filter(|member| member.node != cluster.node) {
        let Some(value) = read(member) else { continue };
        family.encode_family(&[("node", member.node.to_string())])?.encode_gauge(&value)?;
    }
    Ok(())
}
