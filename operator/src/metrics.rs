//! What the operator counts about itself.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder, exponential_buckets,
};

/// The operator's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles, by kind.
    pub reconciles: IntCounterVec,
    /// Reconciles that failed, by kind and reason.
    pub errors: IntCounterVec,
    /// How long a reconcile took, by kind.
    pub seconds: HistogramVec,
    /// Tests that ended, by their result.
    pub tests: IntCounterVec,
    /// Writes that the API server took, by kind.
    pub writes: IntCounterVec,
    /// Objects that somebody else had changed, and that were put right, by kind.
    pub drift: IntCounterVec,
    /// Mails to administrators, by what became of them.
    pub notifications: IntCounterVec,
    /// 1 while this replica leads.
    pub leader: IntGauge,
}

impl Metrics {
    /// Metrics that start at nothing.
    pub fn new() -> prometheus::Result<Self> {
        let name = |name: &str| format!("imarchive_operator_{name}");
        let counter = |metric, help, labels: &[&str]| IntCounterVec::new(Opts::new(name(metric), help), labels);
        let buckets = exponential_buckets(0.001, 4.0, 8)?;
        let metrics = Self {
            registry: Registry::new(),
            reconciles: counter("reconciles_total", "Reconciles of an object.", &["kind"])?,
            errors: counter(
                "reconcile_errors_total",
                "Reconciles that failed and are tried again.",
                &["kind", "reason"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(name("reconcile_seconds"), "How long a reconcile took.").buckets(buckets),
                &["kind"],
            )?,
            tests: counter("tests_total", "Connectivity tests that ended.", &["result", "reason"])?,
            writes: counter("writes_total", "Writes that the API server took.", &["kind"])?,
            drift: counter(
                "drift_total",
                "Objects that somebody else had changed, and that were put right.",
                &["kind"],
            )?,
            notifications: counter(
                "notifications_total",
                "Mails to administrators: sent, sent_in_part (an address was refused), or failed and tried again.",
                &["result"],
            )?,
            leader: IntGauge::new(name("leader"), "1 while this replica leads, else 0.")?,
        };
        metrics.registry.register(Box::new(metrics.reconciles.clone()))?;
        metrics.registry.register(Box::new(metrics.errors.clone()))?;
        metrics.registry.register(Box::new(metrics.seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.tests.clone()))?;
        metrics.registry.register(Box::new(metrics.writes.clone()))?;
        metrics.registry.register(Box::new(metrics.drift.clone()))?;
        metrics.registry.register(Box::new(metrics.notifications.clone()))?;
        metrics.registry.register(Box::new(metrics.leader.clone()))?;
        Ok(metrics)
    }

    /// In the text format.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
