//! The administrators' mails: the operator's own notifier, with a relay that is away at times and loses replies.

use std::{sync::Arc, time::Duration};

use ::operator::{
    fence::Fence,
    metrics::Metrics,
    notify::{Failure, Letter, Matter, News, Notifier, Sent},
};
use imarchive_crds::{Address, RetryStatus, Stage};
use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    history::{History, What},
    plan::{DAY, Plan},
    resources,
};

/// How long a mail takes.
const SENDING: Duration = Duration::from_secs(2);

/// The notifier of an operator that runs; what it remembers goes with it.
pub struct Mailing {
    notifier: Notifier,
    asks: mpsc::UnboundedSender<()>,
    _task: JoinSet<()>,
}

impl Mailing {
    /// `asks` is told when something became of a mail.
    pub fn start(plan: Arc<Plan>, history: Arc<History>, asks: mpsc::UnboundedSender<()>) -> Self {
        let (notifier, fence) = (Notifier::new(true), Fence::default());
        fence.open_until(Instant::now() + Duration::from_millis(plan.ends + DAY));
        let send = move |letter| send(letter, plan.clone(), history.clone());
        let mut task = JoinSet::new();
        // When a mail was told is for people: nothing here follows from it.
        task.spawn(notifier.clone().run(send, fence, || Timestamp::UNIX_EPOCH, Metrics::new().expect("metrics")));
        Self { notifier, asks, _task: task }
    }

    /// Notes in `retry` what the administrators were told, when `shown` is published.
    pub fn note(&self, endpoint: usize, shown: Option<&RetryStatus>, retry: &mut RetryStatus) {
        let told = self.notifier.notices(&resources::name(endpoint), &resources::uid(endpoint), shown).told;
        ::operator::endpoint::retry::note(retry, &told);
    }

    /// Hands on what is news in what was published.
    pub fn tell(&self, endpoint: usize, published: &RetryStatus) {
        let (name, uid, asks) = (resources::name(endpoint), resources::uid(endpoint), self.asks.clone());
        let letter = Matter::of(published).map(|matter| letter(&name, &uid, matter));
        self.notifier.due(&name, &uid, letter, move || {
            // Nobody listens any more when the simulation ends.
            let _ = asks.send(());
        });
    }
}

async fn send(letter: Letter, plan: Arc<Plan>, history: Arc<History>) -> Result<Sent, Failure> {
    sleep(SENDING).await;
    let failure = |words: &str| Failure { stage: Stage::Connect, code: None, words: words.to_owned() };
    if plan.relay_is_back(history.now()).is_none() {
        return Err(failure("no connection"));
    }
    let endpoint = resources::number(&letter.endpoint);
    // By the letter, and by when it comes: the next time it may be heard.
    let heard = plan.dice(&format!("letter {} {}", letter.id(), history.now())) % 100 < 95;
    for news in letter.news() {
        let (outage, attempt) = match news {
            News::Attempt { outage, attempt } => (outage, Some(attempt)),
            News::End { outage } => (outage, None),
        };
        history.note(What::Notified { endpoint, outage, attempt, heard });
    }
    if heard { Ok(Sent::default()) } else { Err(failure("the reply was lost")) }
}

/// What tells of `matter`; the rest is for people.
fn letter(name: &str, uid: &str, matter: Matter) -> Letter {
    Letter {
        administrators: vec![Address::parse("compliance@acme.example").expect("an address")],
        organization: "Acme".to_owned(),
        namespace: "acme".to_owned(),
        endpoint: name.to_owned(),
        uid: uid.to_owned(),
        host: None,
        matter,
        waiting: 0,
        oldest_at: None,
        held: 0,
        expired: 0,
        give_up_after: "2160h".to_owned(),
        suspended: false,
    }
}
