//! What the parts count, in the text form that Prometheus reads (OpenMetrics).
//! The parts keep plain numbers; here they get names and units.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use redoubt_protocols::server::{Counter, ProtocolStats};

use super::App;

/// All metrics.
pub fn text(app: &App) -> String {
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
        protocols(&mut out, &self.0)?;
        Ok(())
    }
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
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn metric<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.metric(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.metric(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Buckets with their upper bounds in seconds, not cumulative; the last has none.
    fn seconds(
        &mut self,
        name: &str,
        help: &str,
        sum: f64,
        buckets: &[(f64, u64)],
    ) -> Result<(), Error> {
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.metric(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}
