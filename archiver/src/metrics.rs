//! What Prometheus is told. Labels are names of objects and words of our vocabularies: never people, never content.

use imarchive_crds::Reason;
use jiff::Timestamp;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::spool::{
    append::Outcome,
    books::{Books, State},
    room::Space,
};

/// The archiver's metrics.
pub struct Metrics {
    registry: Registry,
    taken: IntCounterVec,
    refused: IntCounterVec,
    requests: HistogramVec,
    messages: IntGaugeVec,
    deliveries: IntCounterVec,
    failures: IntCounterVec,
    backlog: IntGaugeVec,
    oldest: IntGaugeVec,
    outage: IntGaugeVec,
    free: IntGaugeVec,
    released: IntCounterVec,
    sessions: IntGaugeVec,
}

impl Metrics {
    /// Metrics in a registry of their own.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let buckets = vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
        let opts = HistogramOpts::new("imarchive_ingest_request_seconds", "Time from a request to its answer.");
        let requests = HistogramVec::new(opts.buckets(buckets), &["code"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self {
            taken: counter("imarchive_ingest_messages_total", "Messages answered for, by outcome.", &["outcome"])?,
            refused: counter("imarchive_ingest_refused_total", "Requests refused, by problem.", &["problem"])?,
            messages: gauge("imarchive_messages", "The books: messages by state.", &["state"])?,
            deliveries: counter("imarchive_deliveries_total", "Batches that an archive took.", &["endpoint"])?,
            failures: counter("imarchive_delivery_failures_total", "Failed attempts.", &["endpoint", "reason"])?,
            backlog: gauge("imarchive_pending_messages", "Messages waiting for an endpoint.", &["endpoint"])?,
            oldest: gauge(
                "imarchive_oldest_pending_timestamp_seconds",
                "When the oldest message that waits for an endpoint was taken.",
                &["endpoint"],
            )?,
            outage: gauge("imarchive_outage_attempts", "Failed attempts in an endpoint's outage.", &["endpoint"])?,
            free: gauge("imarchive_spool_free_bytes", "Bytes that may be written yet.", &[])?,
            released: counter("imarchive_released_batches_total", "Batches dropped early for want of room.", &[])?,
            sessions: gauge("imarchive_sessions", "Mails under way to an endpoint, each in a session.", &["endpoint"])?,
            requests,
            registry,
        })
    }

    /// A request was answered.
    pub fn answered(&self, code: u16, seconds: f64) {
        self.requests.with_label_values(&[&code.to_string()]).observe(seconds);
    }

    /// A message was answered for.
    pub fn taken(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Stored => "stored",
            Outcome::Repeated => "repeated",
            Outcome::Excluded => "excluded",
        };
        self.taken.with_label_values(&[outcome]).inc();
    }

    /// A request was refused.
    pub fn refused(&self, problem: &str) {
        self.refused.with_label_values(&[problem]).inc();
    }

    /// An archive took a batch.
    pub fn delivered(&self, endpoint: &str) {
        self.deliveries.with_label_values(&[endpoint]).inc();
    }

    /// An attempt failed.
    pub fn failed(&self, endpoint: &str, reason: Reason) {
        self.failures.with_label_values(&[endpoint, &reason.to_string()]).inc();
    }

    /// The books, as they are now.
    pub fn books(&self, books: &Books) {
        let states = [
            (State::Delivered, books.delivered),
            (State::Waiting, books.waiting),
            (State::Held, books.held),
            (State::Excluded, books.excluded),
        ];
        for (state, count) in states {
            self.messages.with_label_values(&[state.name()]).set(count);
        }
        self.messages.with_label_values(&["acknowledged"]).set(books.acknowledged);
        self.messages.with_label_values(&["unrouted"]).set(books.unrouted);
    }

    /// What waits for an endpoint now, since when, and after how many failed attempts.
    pub fn backlog(&self, endpoint: &str, messages: i64, oldest_at: Option<Timestamp>, attempts: u32) {
        self.backlog.with_label_values(&[endpoint]).set(messages);
        self.outage.with_label_values(&[endpoint]).set(attempts.into());
        match oldest_at {
            Some(at) => self.oldest.with_label_values(&[endpoint]).set(at.as_second()),
            // It may never have been told of.
            None => drop(self.oldest.remove_label_values(&[endpoint])),
        }
    }

    /// How much room there is.
    pub fn space(&self, space: Space) {
        self.free.with_label_values::<&str>(&[]).set(i64::try_from(space.free).unwrap_or(i64::MAX));
    }

    /// Delivered batches were dropped before their time.
    pub fn released(&self, batches: u64) {
        self.released.with_label_values::<&str>(&[]).inc_by(batches);
    }

    /// So many mails are under way to an endpoint now.
    pub fn sessions(&self, endpoint: &str, count: usize) {
        self.sessions.with_label_values(&[endpoint]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An endpoint is gone: nothing waits for it any more, and it is not told of.
    pub fn gone(&self, endpoint: &str) {
        for gauge in [&self.backlog, &self.oldest, &self.outage, &self.sessions] {
            // It may never have been told of.
            let _ = gauge.remove_label_values(&[endpoint]);
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
