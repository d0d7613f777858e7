//! What status and metrics tell of the texts of attachments.

use redoubt_extract::Status;
use redoubt_search::texts::TextStats;
use serde_json::{Map, Value, json};

/// Counts by status, each by its name.
pub(super) fn by_status(counts: [u64; 5]) -> impl Iterator<Item = (&'static str, u64)> {
    Status::ALL.into_iter().zip(counts).map(|(status, count)| (status.name(), count))
}

/// For `redoubt status`.
pub(super) fn body(stats: &TextStats) -> Value {
    let kept: Map<String, Value> =
        by_status(stats.kept).map(|(name, count)| (name.into(), count.into())).collect();
    json!({
        "position": stats.position,
        "kept": kept,
        "octets": stats.octets,
        "untried": stats.untried,
        "workers": {
            "started": stats.counts.started,
            "slow": stats.counts.slow,
            "ended": stats.counts.ended,
            // Nothing is known before the first was started.
            "bounds": stats.in_force.map(|bounds| bounds.names()),
        },
    })
}
