//! The notifier, with a relay that does as it is told, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use imarchive_crds::Stage;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{advance, sleep};

use super::*;
use crate::notify::letter::tests::{end, letter_of, outage};

const NAME: &str = "ArchivingEndpoint acme/journal";

/// Answers each mail with the next of its answers, a second later; with the last of them for good.
struct Bench {
    notifier: Notifier,
    mails: Arc<Mutex<Vec<(Instant, Letter)>>>,
    asked: Arc<AtomicUsize>,
    metrics: Metrics,
    fence: Fence,
}

impl Bench {
    fn new(answers: Vec<Result<Sent, Failure>>) -> Self {
        let bench = Self {
            notifier: Notifier::new(true),
            mails: Arc::default(),
            asked: Arc::default(),
            metrics: Metrics::new().expect("metrics"),
            fence: Fence::default(),
        };
        bench.fence.open_until(Instant::now() + Duration::from_secs(86_400));
        let mails = bench.mails.clone();
        let send = move |letter: Letter| {
            let mut mails = mails.lock().expect("nobody panicked");
            let answer = answers[mails.len().min(answers.len() - 1)].clone();
            mails.push((Instant::now(), letter));
            async move {
                sleep(Duration::from_secs(1)).await;
                answer
            }
        };
        let clock: Clock = || Timestamp::UNIX_EPOCH;
        tokio::spawn(bench.notifier.clone().run(send, bench.fence.clone(), clock, bench.metrics.clone()));
        bench
    }

    fn due(&self, name: &str, letter: Option<Letter>) {
        let asked = self.asked.clone();
        let ask = move || {
            asked.fetch_add(1, Ordering::SeqCst);
        };
        self.notifier.due(name, "u", letter, ask);
    }

    /// When mails were sent, in seconds.
    fn sent_at(&self, begin: Instant) -> Vec<u64> {
        let mails = self.mails.lock().expect("nobody panicked");
        mails.iter().map(|(at, _)| at.duration_since(begin).as_secs()).collect()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn notices(&self) -> Notices {
        self.notifier.notices(NAME, "u", None)
    }
}

fn letter(retry: serde_json::Value) -> Letter {
    Letter { uid: "u".to_owned(), ..letter_of(retry).expect("a letter") }
}

fn refusal() -> Failure {
    Failure { stage: Stage::Connect, code: None, words: "Connection refused".to_owned() }
}

/// Lets virtual time pass, and all that happens in it.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        let_go().await;
        advance(Duration::from_secs(1)).await;
    }
    let_go().await;
}

async fn let_go() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_sent_once_and_its_reconcile_asked_for() {
    let bench = Bench::new(vec![Ok(Sent::default())]);
    bench.due(NAME, Some(letter(outage(true))));
    pass(120).await;
    assert_eq!((bench.sent_at(Instant::now()).len(), bench.asked()), (1, 1));
    assert_eq!(bench.notices().told.keys().copied().collect::<Vec<_>>(), letter(outage(true)).news());
}

#[tokio::test(start_paused = true)]
async fn while_the_relay_is_away_it_is_tried_after_a_minute_doubling_to_fifteen() {
    let bench = Bench::new(vec![Err(refusal())]);
    let begin = Instant::now();
    bench.due(NAME, Some(letter(outage(true))));
    pass(3600).await;
    // Each delay counts from the end of the try before, a second after its beginning.
    assert_eq!(bench.sent_at(begin), [0, 61, 182, 423, 904, 1805, 2706]);
    assert!(bench.notices().trouble.is_some_and(|trouble| trouble.contains("Connect: Connection refused")));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_grows_while_the_relay_is_away_goes_out_as_it_is_then() {
    let bench = Bench::new(vec![Err(refusal()), Ok(Sent::default())]);
    bench.due(NAME, Some(letter(outage(false))));
    pass(10).await;
    bench.due(NAME, Some(letter(outage(true))));
    pass(60).await;
    assert_eq!(bench.mails.lock().expect("nobody panicked")[1].1.news().len(), 3);
    assert_eq!(bench.notices().trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_letter_of_before_the_last_mail_is_not_sent_again_but_asked_anew() {
    let bench = Bench::new(vec![Ok(Sent::default())]);
    bench.due(NAME, Some(letter(outage(true))));
    pass(5).await;
    bench.due(NAME, Some(letter(outage(true))));
    pass(120).await;
    assert_eq!((bench.sent_at(Instant::now()).len(), bench.asked()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_the_status_says_is_forgotten() {
    let bench = Bench::new(vec![Ok(Sent::default())]);
    bench.due(NAME, Some(letter(outage(true))));
    pass(5).await;
    let mut shown = outage(true);
    for row in shown["log"].as_array_mut().expect("a log") {
        row["notifiedAt"] = json!("2026-11-23T19:00:00Z");
    }
    let shown: RetryStatus = serde_json::from_value(shown).expect("a status");
    assert_eq!(bench.notifier.notices(NAME, "u", Some(&shown)).told, Told::new());
}

#[tokio::test(start_paused = true)]
async fn a_few_are_sent_at_once_and_nobody_waits_for_an_endpoint_in_trouble() {
    let bench = Bench::new(vec![Ok(Sent::default())]);
    let begin = Instant::now();
    for number in 0..10 {
        bench.due(&format!("{number}"), Some(letter(outage(true))));
    }
    pass(5).await;
    assert_eq!(bench.sent_at(begin), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_sends_nothing() {
    let bench = Bench::new(vec![Ok(Sent::default())]);
    bench.fence.shut();
    bench.due(NAME, Some(letter(outage(true))));
    pass(300).await;
    assert_eq!(bench.sent_at(Instant::now()), [0u64; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_is_forgotten_with_its_letter() {
    let bench = Bench::new(vec![Err(refusal())]);
    bench.due(NAME, Some(letter(end())));
    pass(5).await;
    bench.notifier.forget(NAME);
    pass(600).await;
    assert_eq!((bench.sent_at(Instant::now()).len(), bench.notices().trouble), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_refused_address_keeps_nobody_else_from_being_told() {
    let bench = Bench::new(vec![Ok(Sent { refused: Some(refusal()) })]);
    bench.due(NAME, Some(letter(end())));
    pass(5).await;
    assert_eq!(bench.notices().told.len(), 1);
    assert!(
        bench.notices().trouble.is_some_and(|trouble| trouble.starts_with("An administrator's address was refused"))
    );
}

#[test]
fn without_a_relay_nothing_is_kept() {
    let notifier = Notifier::new(false);
    notifier.due(NAME, "u", Some(letter(end())), || {});
    assert!(notifier.lock().is_empty());
}
