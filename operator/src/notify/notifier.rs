//! Sends what is news, a few mails at once, and knows what it told until the statuses say it.
//!
//! Of each endpoint there is at most one letter: the one that its last reconcile made. One that cannot be sent is tried
//! again after a minute, doubling to 15, in the form that it has by then. What it remembers is a convenience: an operator
//! that forgets it makes the same letters anew from the statuses.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imarchive_crds::RetryStatus;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Failure, Letter, News, Told};
use crate::{context::Clock, fence::Fence, metrics::Metrics};

/// How many mails are sent at once: the relay is everybody's.
const AT_ONCE: usize = 4;
/// How long after a failure the next try is made.
const FIRST: Duration = Duration::from_secs(60);
/// The most that this grows to.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long a letter waits that may not go yet: nobody tells of a fence that opens.
const LOOK: Duration = Duration::from_secs(60);

/// What the notifier knows of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Whether there is a relay.
    pub relay: bool,
    /// What was told, and its status may not say yet.
    pub told: Told,
    /// What went wrong with the last mail.
    pub trouble: Option<String>,
}

/// A mail that the relay has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Why one of the administrators is not among its recipients.
    pub refused: Option<Failure>,
}

/// The letters that are due, and what became of others.
#[derive(Clone)]
pub struct Notifier {
    relay: bool,
    endpoints: Arc<Mutex<HashMap<String, Entry>>>,
    wake: Arc<Notify>,
}

/// Asks for the reconcile of an endpoint.
type Ask = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Entry {
    uid: String,
    due: Option<(Letter, Ask)>,
    /// A mail is on its way.
    sending: bool,
    told: Told,
    trouble: Option<String>,
    /// Mails in a row that could not be sent.
    failures: u32,
    not_before: Option<Instant>,
}

impl Notifier {
    /// With a relay, or without.
    pub fn new(relay: bool) -> Self {
        Self { relay, endpoints: Arc::default(), wake: Arc::default() }
    }

    /// What is known of the endpoint `name` with this UID, whose stored status is `shown`: what that says already is
    /// forgotten.
    pub fn notices(&self, name: &str, uid: &str, shown: Option<&RetryStatus>) -> Notices {
        let mut endpoints = self.lock();
        let Some(entry) = endpoints.get_mut(name).filter(|entry| entry.uid == uid) else {
            return Notices { relay: self.relay, ..Notices::default() };
        };
        entry.told.retain(|news, _| !is_shown(shown, *news));
        Notices { relay: self.relay, told: entry.told.clone(), trouble: entry.trouble.clone() }
    }

    /// Takes the letter that is due for the endpoint `name`, instead of the one before. `ask` is called when something
    /// became of it.
    pub fn due(&self, name: &str, uid: &str, letter: Option<Letter>, ask: impl Fn() + Send + Sync + 'static) {
        let mut endpoints = self.lock();
        if !self.relay || (letter.is_none() && !endpoints.contains_key(name)) {
            return;
        }
        let entry = endpoints.entry(name.to_owned()).or_default();
        if entry.uid != uid {
            // Another endpoint has the name now; a mail that is on its way speaks of the one before.
            *entry = Entry { uid: uid.to_owned(), sending: entry.sending, ..Entry::default() };
        }
        if letter.is_none() {
            (entry.failures, entry.not_before) = (0, None);
        }
        // It was made before the last mail went out, and would tell the same again.
        if letter.as_ref().is_some_and(|letter| letter.news().iter().any(|news| entry.told.contains_key(news))) {
            ask();
            return;
        }
        entry.due = letter.map(|letter| (letter, Arc::new(ask) as Ask));
        self.wake.notify_one();
    }

    /// The endpoint is gone.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Sends, until it is dropped.
    pub async fn run<F>(self, send: impl Fn(Letter) -> F, fence: Fence, clock: Clock, metrics: Metrics)
    where
        F: Future<Output = Result<Sent, Failure>> + Send + 'static,
    {
        let mut under_way = JoinSet::new();
        loop {
            let now = Instant::now();
            // Whoever does not lead any more leaves it to who does.
            let free = if fence.is_open(now) { AT_ONCE - under_way.len() } else { 0 };
            for (name, letter) in self.take(free, now) {
                let sent = send(letter.clone());
                under_way.spawn(async move { (name, letter, sent.await) });
            }
            let next = self.next(now);
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
                Some(ended) = under_way.join_next() => match ended {
                    Ok((name, letter, outcome)) => self.became(&name, &letter, outcome, clock, &metrics),
                    // It broke: the operator is started anew rather than to forget a letter.
                    Err(_) => return,
                },
            }
        }
    }

    /// Up to `most` letters whose time has come; they are on their way now.
    fn take(&self, most: usize, now: Instant) -> Vec<(String, Letter)> {
        let mut endpoints = self.lock();
        let ready = endpoints.iter_mut().filter(|(_, entry)| entry.is_ready(now)).take(most);
        let taken = ready.filter_map(|(name, entry)| {
            let letter = entry.due.as_ref()?.0.clone();
            entry.sending = true;
            Some((name.clone(), letter))
        });
        taken.collect()
    }

    /// When to look again, if a letter waits.
    fn next(&self, now: Instant) -> Option<Instant> {
        let endpoints = self.lock();
        let waiting = endpoints.values().filter(|entry| entry.due.is_some() && !entry.sending);
        waiting.map(|entry| entry.not_before.filter(|time| *time > now).unwrap_or(now + LOOK)).min()
    }

    fn became(&self, name: &str, letter: &Letter, outcome: Result<Sent, Failure>, clock: Clock, metrics: &Metrics) {
        let count = |result: &str| metrics.notifications.with_label_values(&[result]).inc();
        let endpoint = format!("{}/{}", letter.namespace, letter.endpoint);
        let mut endpoints = self.lock();
        let mut gone = Entry::default();
        let entry = endpoints.get_mut(name).filter(|entry| entry.uid == letter.uid).unwrap_or(&mut gone);
        let news = letter.news();
        match outcome {
            Ok(Sent { refused }) => {
                let result = if refused.is_some() { "sent_in_part" } else { "sent" };
                count(result);
                tracing::info!(endpoint, news = news.len(), result, "the administrators were mailed");
                let now = clock();
                entry.told.extend(news.into_iter().map(|news| (news, now)));
                entry.trouble = refused.map(|failure| format!("An administrator's address was refused: {failure}."));
                (entry.failures, entry.not_before) = (0, None);
                // It may tell what was just told; the reconcile says what is left.
                if let Some((_, ask)) = entry.due.take() {
                    ask();
                }
            }
            Err(failure) => {
                count("failed");
                entry.failures = entry.failures.saturating_add(1);
                let wait = backoff(entry.failures);
                tracing::warn!(
                    endpoint, news = news.len(), %failure, again_in_seconds = wait.as_secs(),
                    "the administrators could not be mailed; it is tried again"
                );
                entry.trouble = Some(format!("The administrators could not be mailed. {failure}."));
                entry.not_before = Some(Instant::now() + wait);
                if let Some((_, ask)) = &entry.due {
                    ask();
                }
            }
        }
        if let Some(entry) = endpoints.get_mut(name) {
            entry.sending = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_ready(&self, now: Instant) -> bool {
        self.due.is_some() && !self.sending && self.not_before.is_none_or(|time| time <= now)
    }
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST)
}

/// Whether the status says that it was told, or is past it.
fn is_shown(shown: Option<&RetryStatus>, news: News) -> bool {
    let Some(shown) = shown else { return false };
    match news {
        News::Attempt { outage, .. } if outage < shown.outage => true,
        News::Attempt { outage, attempt } => {
            let told = |row: &imarchive_crds::RetryLogRow| row.attempt == attempt && row.notified_at.is_some();
            outage == shown.outage && shown.log.iter().any(told)
        }
        News::End { outage } => {
            shown.last.as_ref().is_some_and(|last| last.outage > outage || last.notified_at.is_some())
        }
    }
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
