//! What the broker has counted, in the form that Prometheus reads.
//!
//! Owns the names. Adds nothing up: the totals are given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataplane::{BUCKETS, HistogramTotals, ServiceRuntime, ServiceTotals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use protocol::Error;

use super::process_gauges::{lossy, process_gauges};
use super::service_metrics::ServiceMetrics;

/// What the whole broker has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Every service.
    pub(crate) services: Vec<ServiceMetrics>,
    /// Fetches of credentials, by provider and outcome.
    pub(crate) fetches: Vec<FetchCount>,
    /// How long fetches took, by provider.
    pub(crate) fetch_durations: BTreeMap<Arc<str>, HistogramTotals>,
    /// Reloads that were put in force, and that were refused.
    pub(crate) reloads: (u64, u64),
    /// Connections of any kind, handshakes and farewells included.
    pub(crate) connections: u64,
    /// Stores, and whether each is left alone because it does not answer.
    pub(crate) breakers: BTreeMap<Arc<str>, bool>,
    /// Leases of stores.
    pub(crate) leases: u64,
    /// Whether a stop was asked for and sessions drain.
    pub(crate) draining: bool,
    /// Worker threads.
    pub(crate) workers: u64,
    /// What they move bytes with, and why.
    pub(crate) io: (&'static str, &'static str),
    /// Bytes that secrets take, by what protects them.
    pub(crate) secrets: Vec<(&'static str, u64)>,
    /// When the process started.
    pub(crate) started: Option<SystemTime>,
}

/// Fetches of one provider with one outcome.
#[derive(Clone, Debug)]
pub(crate) struct FetchCount {
    /// The provider's name.
    pub(crate) provider: Arc<str>,
    /// `ok`, or the cause of the failure.
    pub(crate) outcome: &'static str,
    /// How many.
    pub(crate) count: u64,
}

/// What a page is made of. Thousands of services take milliseconds to add up and write down, so that is done on a
/// thread of its own; taking this is all that the control plane's does.
pub(crate) struct Scrape {
    metrics: Metrics,
    services: Vec<(ServiceMetrics, Arc<ServiceRuntime>)>,
}

impl Scrape {
    /// Metrics whose services' counters have not been added up.
    pub(crate) fn new(metrics: Metrics, services: Vec<(ServiceMetrics, Arc<ServiceRuntime>)>) -> Self {
        Self { metrics, services }
    }

    /// The whole page.
    pub(crate) fn render(self) -> String {
        let mut metrics = self.metrics;
        for (mut service, runtime) in self.services {
            service.totals = runtime.totals();
            metrics.services.push(service);
        }
        metrics.render()
    }
}

impl Metrics {
    /// The whole page.
    fn render(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        // Formatting into memory: nothing in it can fail.
        let _ = prometheus_client::encoding::text::encode(&mut page, &registry);
        page
    }

    fn counters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        count: impl Fn(&ServiceMetrics) -> u64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in &self.services {
            let labels = [("service", service.name.as_str()), ("protocol", service.protocol)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count(service), None)?;
        }
        Ok(())
    }

    fn gauges<N: prometheus_client::encoding::EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&ServiceMetrics) -> Option<N>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for service in &self.services {
            let Some(value) = value(service) else { continue };
            let labels = [("service", service.name.as_str()), ("protocol", service.protocol)];
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        histogram: impl Fn(&ServiceTotals) -> &HistogramTotals,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for service in &self.services {
            let histogram = histogram(&service.totals);
            let count = histogram.count();
            if count == 0 {
                continue;
            }
            let buckets = buckets(histogram);
            let labels = [("service", service.name.as_str()), ("protocol", service.protocol)];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                histogram.sum_seconds,
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn failures(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "secretless_sessions_failed",
            "Connections that failed, by cause",
            None,
            MetricType::Counter,
        )?;
        for service in &self.services {
            for (cause, count) in
                Error::LABELS.iter().zip(service.totals.failed).filter(|(_, count)| *count > 0)
            {
                let labels =
                    [("service", service.name.as_str()), ("protocol", service.protocol), ("cause", *cause)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn bytes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("secretless_bytes", "Bytes relayed", None, MetricType::Counter)?;
        for service in &self.services {
            let totals = &service.totals;
            for (direction, count) in
                [("to_target", totals.bytes_to_target), ("to_client", totals.bytes_to_client)]
            {
                let labels = [
                    ("service", service.name.as_str()),
                    ("protocol", service.protocol),
                    ("direction", direction),
                ];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn whole_broker(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "secretless_credential_fetch",
            "Fetches of a credential's values, by provider and outcome",
            None,
            MetricType::Counter,
        )?;
        for fetches in &self.fetches {
            let labels = [("provider", &*fetches.provider), ("outcome", fetches.outcome)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&fetches.count, None)?;
        }
        let mut family = encoder.encode_descriptor(
            "secretless_credential_fetch_duration_seconds",
            "Fetching a credential's values, by provider",
            None,
            MetricType::Histogram,
        )?;
        for (provider, histogram) in &self.fetch_durations {
            let buckets = buckets(histogram);
            let labels = [("provider", &**provider)];
            let mut family = family.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(
                histogram.sum_seconds,
                histogram.count(),
                &buckets,
                None,
            )?;
        }
        let mut family = encoder.encode_descriptor(
            "secretless_store_breaker_open",
            "1 if the store does not answer and is asked every few seconds only",
            None,
            MetricType::Gauge,
        )?;
        for (store, is_open) in &self.breakers {
            family.encode_family(&[("provider", &**store)])?.encode_gauge(&u32::from(*is_open))?;
        }
        let mut family = encoder.encode_descriptor(
            "secretless_reload",
            "Reloads of the configuration, by outcome",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [("applied", self.reloads.0), ("refused", self.reloads.1)] {
            family
                .encode_family(&[("outcome", outcome)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let gauges: [(&str, &str, f64); 5] = [
            (
                "secretless_connections",
                "Connections that exist, handshakes and farewells included",
                lossy(self.connections),
            ),
            ("secretless_leases", "Leases that stores have given and not got back", lossy(self.leases)),
            ("secretless_draining", "1 from a stop until the end", f64::from(u8::from(self.draining))),
            ("secretless_workers", "Worker threads", lossy(self.workers)),
            ("process_start_time_seconds", "When the process started, since 1970", self.started_seconds()),
        ];
        for (name, help, value) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        for (name, help, value) in process_gauges() {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let mut family = encoder.encode_descriptor(
            "secretless_secret_memory_bytes",
            "Memory that secrets take, by what protects it",
            None,
            MetricType::Gauge,
        )?;
        for (protection, bytes) in &self.secrets {
            family.encode_family(&[("protection", *protection)])?.encode_gauge(&lossy(*bytes))?;
        }
        let mut family = encoder.encode_descriptor(
            "secretless_io",
            "What bytes are moved with, and why",
            None,
            MetricType::Info,
        )?;
        family.encode_info(&[("driver", self.io.0), ("reason", self.io.1)])?;
        let mut family =
            encoder.encode_descriptor("secretless_build", "What is running", None, MetricType::Info)?;
        family.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }

    fn started_seconds(&self) -> f64 {
        let started = self.started.unwrap_or(UNIX_EPOCH);
        started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.counters(encoder, "secretless_sessions_opened", "Connections accepted", |service| {
            service.totals.opened
        })?;
        self.counters(
            encoder,
            "secretless_sessions_established",
            "Sessions whose handshake succeeded",
            |service| service.totals.established,
        )?;
        self.counters(
            encoder,
            "secretless_handshakes_abandoned",
            "Connections that ended while the target was in the middle of its handshake",
            |service| service.totals.abandoned,
        )?;
        self.counters(
            encoder,
            "secretless_sessions_recycled",
            "Sessions that were ended because their credential had been replaced",
            |service| service.totals.recycled,
        )?;
        self.counters(
            encoder,
            "secretless_credential_rotations",
            "How often the target has accepted a newer credential",
            |service| service.rotations,
        )?;
        self.counters(
            encoder,
            "secretless_credential_retries",
            "How often a session was told to try another credential than the one that it had",
            |service| service.retried,
        )?;
        self.counters(
            encoder,
            "secretless_sessions_closed",
            "Connections that ended, in whatever way",
            |service| service.totals.closed,
        )?;
        self.gauges(encoder, "secretless_sessions_active", "Sessions that are open", |service| {
            Some(service.active)
        })?;
        self.failures(encoder)?;
        self.bytes(encoder)?;
        self.histograms(encoder, "secretless_dial_duration_seconds", "Connecting to the target", |totals| {
            &totals.dial
        })?;
        self.histograms(
            encoder,
            "secretless_handshake_duration_seconds",
            "From accept until both legs are up",
            |totals| &totals.handshake,
        )?;
        self.gauges(encoder, "secretless_listener_up", "1 if the service takes connections", |service| {
            Some(u32::from(service.listening))
        })?;
        self.gauges(
            encoder,
            "secretless_credential_generation",
            "Which credential is in force: grows with each new one",
            |service| service.credential.map(|(generation, _)| lossy(generation)),
        )?;
        self.gauges(
            encoder,
            "secretless_credential_age_seconds",
            "How long ago the credential that is in force came",
            |service| service.credential.map(|(_, age)| age.as_secs_f64()),
        )?;
        self.gauges(
            encoder,
            "secretless_credential_available",
            "1 if the service has a credential",
            |service| Some(u32::from(service.available)),
        )?;
        self.gauges(
            encoder,
            "secretless_credential_refused",
            "1 if the target refuses the newest credential",
            |service| Some(u32::from(service.refused)),
        )?;
        self.gauges(
            encoder,
            "secretless_credential_stale",
            "1 if the credential serves though its store has not given it again when it should have",
            |service| Some(u32::from(service.stale)),
        )?;
        self.gauges(
            encoder,
            "secretless_target_breaker_open",
            "1 if an address of the target does not answer and is dialled every few seconds only",
            |service| Some(u32::from(service.is_target_silent)),
        )?;
        self.gauges(
            encoder,
            "secretless_credential_lease_seconds",
            "How long the newest credential's lease lasts if it is not renewed",
            |service| service.lease_left.map(|left| left.as_secs_f64()),
        )?;
        self.whole_broker(encoder)
    }
}

/// Counts with the upper bounds of their buckets.
fn buckets(histogram: &HistogramTotals) -> Vec<(f64, u64)> {
    BUCKETS.into_iter().chain([f64::INFINITY]).zip(histogram.buckets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_each_services_counters_and_ends() {
        let mut totals =
            ServiceTotals { opened: 3, established: 2, bytes_to_client: 7, ..ServiceTotals::default() };
        totals.failed[0] = 1;
        totals.dial.buckets[0] = 2;
        totals.dial.sum_seconds = 0.5;
        let service =
            ServiceMetrics { name: "a \"b\"".into(), protocol: "pg", totals, ..ServiceMetrics::default() };
        let io = ("epoll", "forbidden");
        let secrets = vec![("memfd_secret", 96)];
        let page =
            Metrics { services: vec![service], reloads: (1, 2), io, secrets, ..Metrics::default() }.render();
        for line in [
            r#"secretless_sessions_opened_total{service="a \"b\"",protocol="pg"} 3"#,
            r#"secretless_bytes_total{service="a \"b\"",protocol="pg",direction="to_client"} 7"#,
            r#"secretless_sessions_failed_total{service="a \"b\"",protocol="pg",cause="abandoned"} 1"#,
            r#"secretless_dial_duration_seconds_bucket{le="0.0005",service="a \"b\"",protocol="pg"} 2"#,
            r#"secretless_dial_duration_seconds_bucket{le="+Inf",service="a \"b\"",protocol="pg"} 2"#,
            r#"secretless_dial_duration_seconds_count{service="a \"b\"",protocol="pg"} 2"#,
            r#"secretless_reload_total{outcome="refused"} 2"#,
            r#"secretless_io_info{driver="epoll",reason="forbidden"} 1"#,
            r#"secretless_secret_memory_bytes{protection="memfd_secret"} 96.0"#,
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
        assert!(!page.contains("handshake_duration_seconds_bucket"), "what was not used has no histogram");
    }
}
