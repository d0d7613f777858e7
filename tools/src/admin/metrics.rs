//! What the parts count, in the text form that Prometheus reads (OpenMetrics).
//! The parts keep plain numbers; here they get names and units.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use redoubt_log::blob::{BlobStats, SyncHistogram};
use redoubt_log::id::LogIndex;
use redoubt_log::segment::LATENCY_BUCKETS_US;
use redoubt_protocols::server::{Counter, ProtocolStats};
use redoubt_search::index::Index;
use redoubt_search::texts::TextStore;
use redoubt_snapshot::archive::{ArchiveState, BaseState, Watcher};
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::StoreStatus;

use super::{App, cluster_metrics};

/// All metrics.
pub(super) fn text(app: &App) -> String {
    let mut registry = Registry::with_prefix("redoubt");
    registry.register_collector(Box::new(Numbers(app.clone())));
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &registry) {
        tracing::error!(%error, "metrics cannot be written");
    }
    text
}

#[derive(Debug)]
struct Numbers(App);

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = Out(encoder);
        let status = self.0.mailstore.status();
        log(&mut out, &status)?;
        disk(&mut out, &status)?;
        alarms(&mut out, &status)?;
        scrub(&mut out, &status)?;
        archive(&mut out, &self.0)?;
        policies(&mut out, &self.0)?;
        texts(&mut out, &self.0)?;
        index_of(&mut out, &self.0)?;
        let cluster = self.0.mailstore.node().cluster();
        cluster_metrics::encode(&mut out, &cluster, self.0.cluster.elections())?;
        blobs(&mut out, &status.blobs)?;
        protocols(&mut out, &self.0)
    }
}

fn log(out: &mut Out<'_>, status: &StoreStatus) -> Result<(), Error> {
    let StoreStatus { log, proposals, node, .. } = status;
    let stopped = if node.stopped.is_some() { 1.0 } else { 0.0 };
    out.gauge("stopped", "Whether the node has stopped its shard", stopped)?;
    out.gauge("term", "The Raft term", node.term.0 as f64)?;
    out.gauge("applied_index", "The last applied entry", index(status.applied))?;
    out.gauge("committed_index", "The last committed entry", index(node.committed))?;
    out.gauge("apply_lag_records", "Committed entries not applied yet", status.apply_lag as f64)?;
    out.counter("records", "Records applied", status.records)?;
    out.counter("proposals_failed", "Records refused or with unknown outcome", proposals.failed)?;
    let bounds = LATENCY_BUCKETS_US;
    let commit = "From a record's proposal to its being applied";
    out.micros("commit", commit, proposals.micros, &bounds, &proposals.latency)?;
    out.micros("log_sync", "Syncs of the log", log.sync_us, &bounds, &log.sync_latency)?;
    out.counter("log_entries", "Entries written to the log", log.entries)?;
    out.counter("log_bytes", "Bytes written to the log", log.bytes)?;
    out.gauge("log_backlog_bytes", "Appended and not yet durable", log.backlog_bytes as f64)?;
    out.gauge("log_segments", "Segment files", log.segments as f64)
}

fn index(index: Option<LogIndex>) -> f64 {
    index.map_or(-1.0, |index| index.0 as f64)
}

fn disk(out: &mut Out<'_>, status: &StoreStatus) -> Result<(), Error> {
    out.gauge("disk_free_bytes", "Bytes free on the disk", status.disk_free as f64)?;
    let help = "Bytes free below which mail is deferred";
    out.gauge("disk_reserve_bytes", help, status.disk_reserve as f64)
}

/// Every kind has a line, 0 when nothing is wrong.
fn alarms(out: &mut Out<'_>, status: &StoreStatus) -> Result<(), Error> {
    let help = "Alarms that stand; redoubt status has their text";
    let mut family = out.metric("alarm", help, None, MetricType::Gauge)?;
    for kind in AlarmKind::ALL {
        let count = status.alarms.iter().filter(|alarm| alarm.kind == kind).count();
        family.encode_family(&[("kind", kind.name())])?.encode_gauge(&(count as f64))?;
    }
    Ok(())
}

/// Nothing where no repository is configured.
fn archive(out: &mut Out<'_>, app: &App) -> Result<(), Error> {
    let Some(status) = app.archive.as_ref().map(Watcher::status) else { return Ok(()) };
    let feeding = if status.state == ArchiveState::Feeding { 1.0 } else { 0.0 };
    out.gauge("archive_feeding", "Whether this node feeds the repository", feeding)?;
    out.gauge("archive_index", "The last archived entry", index(status.index))?;
    out.gauge("archive_lag_records", "Records not archived", status.lag_records as f64)?;
    let help = "For how long not everything has been archived";
    out.gauge("archive_lag_seconds", help, status.lag_ms as f64 / 1e3)?;
    out.counter("archive_entries", "Entries archived", status.entries)?;
    out.counter("archive_bytes", "Octets of blobs archived", status.bytes)?;
    out.gauge("archive_failures", "Tries that failed in a row", status.failures as f64)?;
    let running = if status.base.state == BaseState::Running { 1.0 } else { 0.0 };
    out.gauge("backup_base_running", "Whether this node takes a base", running)?;
    out.gauge("backup_base_index", "The entry of its last base", index(status.base.index))?;
    if let Some(last) = &status.expire.last {
        let help = "When it was expired";
        out.gauge("backup_expired_seconds", help, last.ended as f64 / 1e3)?;
    }
    let Some(last) = &status.verify.last else { return Ok(()) };
    out.gauge(
        "backup_verified_seconds",
        "When the repository was verified",
        last.begun as f64 / 1e3,
    )?;
    out.gauge("backup_verify_findings", "What was wrong with it then", last.findings as f64)
}

/// Nothing on a node that has not looked for what policies take.
fn policies(out: &mut Out<'_>, app: &App) -> Result<(), Error> {
    let round = app.mailstore.policy_round();
    if round.ended.0 == 0 {
        return Ok(());
    }
    let help = "When policies were last looked for what they take";
    out.gauge("policies_looked_seconds", help, round.ended.0 as f64 / 1e3)?;
    out.gauge("policies_taken", "Emails that policies took then", round.taken as f64)?;
    let help = "Emails that were due then and stayed";
    out.gauge("policies_waiting", help, round.waiting as f64)
}

/// Nothing where nothing is extracted.
fn texts(out: &mut Out<'_>, app: &App) -> Result<(), Error> {
    let Some(stats) = app.texts.as_ref().map(TextStore::stats) else { return Ok(()) };
    let help = "Texts of attachments that are kept, by what came of them";
    let mut family = out.metric("texts", help, None, MetricType::Gauge)?;
    for (status, count) in super::texts::by_status(stats.kept) {
        family.encode_family(&[("status", status)])?.encode_gauge(&(count as f64))?;
    }
    let help = "Documents read since the start, by what came of them";
    let mut family = out.metric("texts_extracted", help, None, MetricType::Counter)?;
    for (status, count) in super::texts::by_status(stats.counts.documents) {
        family
            .encode_family(&[("status", status)])?
            .encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
    }
    out.gauge("texts_bytes", "Octets of texts of attachments on disk", stats.octets as f64)?;
    let help = "The entry up to which attachments were extracted";
    out.gauge("texts_index", help, index(stats.position))?;
    out.counter("texts_untried", "Messages whose attachments could not be tried", stats.untried)?;
    let workers = stats.counts.started;
    out.counter("texts_workers", "Processes started to read documents", workers)?;
    let stopped = stats.counts.slow + stats.counts.ended;
    out.counter("texts_workers_stopped", "Of these stopped at a limit", stopped)
}

/// Nothing where no index is kept.
fn index_of(out: &mut Out<'_>, app: &App) -> Result<(), Error> {
    let Some(status) = app.index.as_ref().map(Index::status) else { return Ok(()) };
    let behind = status.accounts_behind as f64;
    out.gauge("index_accounts_behind", "Accounts with something to be indexed", behind)?;
    let help = "For how long the oldest of that has waited";
    out.gauge("index_behind_seconds", help, status.behind_seconds)?;
    out.counter("index_emails", "Emails indexed", status.emails)?;
    out.counter("index_text_bytes", "Octets of their texts", status.text_bytes)?;
    out.counter("index_commits", "Commits of indexes", status.commits)?;
    out.counter("index_rebuilt", "Indexes found damaged and built anew", status.rebuilt)?;
    out.counter("index_queries", "Searches that asked an index", status.queries)?;
    out.gauge("index_disk_bytes", "Octets of all indexes", status.disk_bytes as f64)
}

fn scrub(out: &mut Out<'_>, status: &StoreStatus) -> Result<(), Error> {
    let scrub = &status.scrub;
    out.counter("scrub_bytes", "Octets read by the scrub", scrub.octets_total)?;
    out.counter("scrub_findings", "What the scrub has found damaged", scrub.findings_total)?;
    let last = scrub.last.map_or(0.0, |last| last.ended.0 as f64 / 1e3);
    out.gauge("scrub_last_end_seconds", "When everything had been read, since 1970", last)?;
    out.gauge(
        "blobs_damaged",
        "Blobs known to be damaged or missing",
        status.blobs.damaged as f64,
    )?;
    out.counter("blobs_repaired", "Damaged blobs that peers have given", status.blobs.repaired)?;
    let compared = index(status.compared.as_ref().map(|verdict| verdict.index));
    out.gauge("compared_index", "Where replicas were compared last", compared)
}

fn blobs(out: &mut Out<'_>, blobs: &BlobStats) -> Result<(), Error> {
    out.gauge("blobs", "Different blobs", blobs.blobs as f64)?;
    out.gauge("blob_raw_bytes", "Their octets, uncompressed", blobs.raw_bytes as f64)?;
    out.gauge("blob_stored_bytes", "Their octets in the packs", blobs.stored_bytes as f64)?;
    let ratio = blobs.raw_bytes as f64 / (blobs.stored_bytes as f64).max(1.0);
    out.gauge("blob_compression_ratio", "Uncompressed over stored octets", ratio)?;
    out.counter("blob_dedup_hits", "Blobs that were there already", blobs.dedup_hits)?;
    out.counter("blob_dedup_bytes", "Octets that were not stored again", blobs.dedup_bytes)?;
    out.gauge("packs", "Pack files", blobs.packs as f64)?;
    let SyncHistogram { sum_micros, buckets, .. } = &blobs.syncs;
    out.micros("pack_sync", "Syncs of packs", *sum_micros, &SyncHistogram::BOUNDS, buckets)
}

/// How a protocol's counter is read.
type Read = fn(&ProtocolStats) -> &Counter;

fn protocols(out: &mut Out<'_>, app: &App) -> Result<(), Error> {
    let counters: [(&str, &str, Read); 11] = [
        ("sessions", "Connections accepted", |s| &s.sessions),
        ("sessions_ended", "Connections that ended", |s| &s.sessions_ended),
        ("commands", "Commands served", |s| &s.commands),
        ("failures", "Commands that failed by our fault", |s| &s.failures),
        ("received_bytes", "Octets read", |s| &s.bytes_in),
        ("sent_bytes", "Octets written", |s| &s.bytes_out),
        ("refused", "Connections and logins refused by a limit", |s| &s.refused),
        ("tls_sessions", "TLS handshakes done", |s| &s.tls_sessions),
        ("tls_failures", "TLS handshakes that failed", |s| &s.tls_failures),
        ("logins", "Logins", |s| &s.logins),
        ("login_failures", "Logins denied", |s| &s.login_failures),
    ];
    for (name, help, read) in counters {
        let mut family = out.metric(name, help, None, MetricType::Counter)?;
        for (protocol, stats) in app.stats.iter() {
            let value = read(stats).get();
            family
                .encode_family(&[("protocol", *protocol)])?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
    }
    Ok(())
}

/// Writes one metric after the other.
pub(super) struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    pub(super) fn metric<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.metric(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.metric(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A histogram in seconds from counts by upper bounds in microseconds, not
    /// cumulative; the last count has no bound.
    fn micros(
        &mut self,
        name: &str,
        help: &str,
        sum: u64,
        bounds: &[u64],
        counts: &[u64],
    ) -> Result<(), Error> {
        let seconds = bounds.iter().map(|bound| *bound as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = seconds.zip(counts.iter().copied()).collect();
        self.metric(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum as f64 / 1e6, counts.iter().sum(), &buckets, None)
    }
}
