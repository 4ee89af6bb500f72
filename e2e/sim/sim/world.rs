//! The world of one seed: starts the archiver, lets the plan happen to it, and looks.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use archiver::{
    directory::{self, Endpoint},
    now::Now,
    spool::tries,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    archive::{Archives, Keys},
    core::Core,
    history::{Copy, Event, History, Millis, What},
    lookout::Lookout,
    operator::Operator,
    plan::{Act, Plan, SECOND},
    resources,
};

/// Between a kill by the plan of a mail, and the next start.
const RESTART: Millis = 7 * SECOND;

struct World {
    home: PathBuf,
    plan: Arc<Plan>,
    history: Arc<History>,
    archives: Archives,
    operator: Operator,
    /// It is asked to look at the statuses again.
    asks: mpsc::UnboundedReceiver<()>,
    /// Seconds that the wall clock is ahead.
    ahead: Arc<AtomicI64>,
    now: Now,
    core: Option<Core>,
    generation: u32,
    /// The next archiver finds an empty volume.
    new: bool,
    suspended: Vec<bool>,
    /// Sent, and not answered with 200 yet.
    unanswered: Vec<usize>,
    /// Answered with 200 by this volume.
    acknowledged: Vec<usize>,
    lookout: Lookout,
}

/// Plays `plan` in `home`, to its end.
pub async fn play(plan: Arc<Plan>, keys: Keys, home: &Path) -> Vec<Event> {
    let history = Arc::new(History::new());
    let (kill, mut kills) = mpsc::unbounded_channel();
    let (ask, asks) = mpsc::unbounded_channel();
    let ahead = Arc::new(AtomicI64::new(0));
    let mut world = World {
        home: home.to_owned(),
        archives: Archives::new(keys, plan.clone(), history.clone(), kill),
        operator: Operator::new(plan.clone(), history.clone(), ask),
        asks,
        now: clock(ahead.clone()),
        ahead,
        core: None,
        generation: 0,
        new: false,
        suspended: vec![false; plan.endpoints],
        unanswered: vec![],
        acknowledged: vec![],
        lookout: Lookout::new(plan.endpoints),
        plan,
        history,
    };
    world.begin();
    let plan = world.plan.clone();
    let mut acts = plan.acts.iter().peekable();
    let mut restart = Some(0);
    loop {
        let act = acts.peek().map(|(at, _)| *at);
        let look = world.lookout.next();
        let next = [act, look, restart, Some(plan.ends)].into_iter().flatten().min().unwrap_or(plan.ends);
        match world.wait(next, &mut kills).await {
            Woken::Killed => {
                world.crash().await;
                restart = restart.or(Some(world.history.now() + RESTART));
                continue;
            }
            Woken::Turned => {
                world.observe().await;
                continue;
            }
            Woken::Asked => {
                world.reconcile();
                continue;
            }
            Woken::Ended(why) => {
                world.history.note(What::Ended { why });
                return world.history.events();
            }
            Woken::Time => {}
        }
        let now = world.history.now();
        if restart.is_some_and(|at| at <= now) {
            restart = None;
            world.start().await;
        } else if act.is_some_and(|at| at <= now) {
            let act = acts.next().map(|(_, act)| act.clone());
            if let Some(away) = world.act(act.expect("peeked")).await {
                restart = Some(restart.unwrap_or(0).max(now + away));
            }
        } else if look.is_some_and(|at| at <= now) {
            world.look_for_attempts(now).await;
        } else {
            world.take_stock().await;
            return world.history.events();
        }
    }
}

enum Woken {
    Time,
    Turned,
    Asked,
    Killed,
    Ended(String),
}

impl World {
    /// The folders that every archiver of this seed finds.
    fn begin(&self) {
        for folder in ["tokens", "resources"] {
            std::fs::create_dir_all(self.home.join(folder)).expect("a folder");
        }
        std::fs::write(self.home.join("tokens/chat"), "t").expect("written");
    }

    async fn wait(&mut self, until: Millis, kills: &mut mpsc::UnboundedReceiver<()>) -> Woken {
        let until = self.history.instant(until);
        let Some(core) = &mut self.core else {
            return tokio::select! {
                biased;
                Some(()) = self.asks.recv() => Woken::Asked,
                () = sleep_until(until) => Woken::Time,
            };
        };
        tokio::select! {
            biased;
            Some(()) = kills.recv() => Woken::Killed,
            Ok(()) = core.turned.changed() => Woken::Turned,
            Some(()) = self.asks.recv() => Woken::Asked,
            Some(ended) = core.tasks.join_next() => Woken::Ended(format!("{ended:?}")),
            () = sleep_until(until) => Woken::Time,
        }
    }

    /// Does what the plan says; answers for how long the archiver is away, when it was killed.
    async fn act(&mut self, act: Act) -> Option<Millis> {
        match act {
            Act::Post(messages) => {
                self.unanswered.extend(messages);
                self.post().await;
            }
            Act::PostAgain(message) => {
                if self.acknowledged.contains(&message) && self.core.is_some() {
                    self.send(&[message]).await;
                }
            }
            Act::Suspend { endpoint, on } => {
                self.history.note(What::Suspended { endpoint, on });
                self.suspended[endpoint] = on;
                self.lookout.is_able(endpoint, self.history.now());
                self.publish();
            }
            Act::Crash { away } => {
                self.crash().await;
                return Some(away);
            }
            Act::LoseVolume => {
                if self.core.is_none() {
                    self.start().await;
                    // What it was answered now is a part of what stands in its books.
                    sleep(Duration::from_millis(1)).await;
                }
                self.take_stock().await;
                self.crash().await;
                self.history.note(What::VolumeLost);
                std::fs::remove_dir_all(self.volume()).expect("removed");
                self.generation += 1;
                self.acknowledged.clear();
                self.new = true;
                return Some(RESTART);
            }
            Act::Clock { by } => {
                self.history.note(What::Clock { by });
                self.ahead.fetch_add(by, Ordering::SeqCst);
            }
            Act::Operator { away } => {
                if self.operator.is_away() != away {
                    self.history.note(What::OperatorAway { on: away });
                }
                self.operator.turn(away);
                self.observe().await;
            }
        }
        None
    }

    async fn start(&mut self) {
        if self.core.is_some() {
            return;
        }
        if std::mem::take(&mut self.new) {
            self.operator.forget_archiver();
            self.lookout.lose_volume(self.history.now(), &self.operator.published);
        }
        let folder = self.home.join("resources");
        let resources = resources::read(&folder, &self.suspended, &self.operator.published);
        let client = self.archives.client(self.generation);
        let tokens = self.home.join("tokens");
        self.core = Some(Core::start(&self.volume(), &tokens, resources, client, self.now.clone()).await);
        self.history.note(What::Started { generation: self.generation });
        (0..self.plan.endpoints).for_each(|endpoint| self.lookout.is_able(endpoint, self.history.now()));
        self.observe().await;
        self.post().await;
    }

    /// Kills the archiver; what its threads are committing is committed or not.
    async fn crash(&mut self) {
        if self.core.take().is_some() {
            self.history.note(What::Crashed);
            self.archives.killed();
            // Its tasks are dropped once the runtime gets to them.
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn volume(&self) -> PathBuf {
        self.home.join(format!("volume{}", self.generation))
    }

    async fn post(&mut self) {
        let messages = std::mem::take(&mut self.unanswered);
        if self.core.is_none() {
            self.unanswered = messages;
        } else if !messages.is_empty() {
            self.send(&messages).await;
        }
    }

    async fn send(&mut self, messages: &[usize]) {
        let Some(core) = &self.core else { return };
        let documents: Value = messages.iter().map(|message| resources::document(&self.plan, *message)).collect();
        let (status, answer) = core.post(&documents).await;
        assert_eq!(status, 200, "{answer}");
        for (message, result) in messages.iter().zip(answer["results"].as_array().expect("results")) {
            let status = result["status"].as_str().expect("a status").to_owned();
            self.history.note(What::Acknowledged { message: *message, status });
            if !self.acknowledged.contains(message) {
                self.acknowledged.push(*message);
            }
        }
    }

    /// The archiver's rows are looked at, and what stands in them is folded.
    async fn observe(&mut self) {
        if let Some(core) = &self.core {
            let endpoints: Vec<Endpoint> = core.publish.borrow().endpoints.values().cloned().collect();
            let before = self.history.count();
            self.operator.look(&core.spool, &endpoints, (self.now)()).await;
            self.history.since(before).iter().for_each(|event| self.lookout.see(event));
        }
        self.reconcile();
    }

    /// The operator folds and publishes.
    fn reconcile(&mut self) {
        if self.operator.reconcile() {
            self.publish();
        }
    }

    /// Tells the archiver what the resources say by now.
    fn publish(&self) {
        let Some(core) = &self.core else { return };
        let suspended = &self.suspended;
        core.publish.send_modify(|resources| {
            let endpoints = Arc::make_mut(resources).endpoints.values_mut();
            for (number, (endpoint, suspend)) in endpoints.zip(suspended).enumerate() {
                endpoint.suspend = *suspend;
                endpoint.published = self.operator.published.get(&number).map(directory::attempts);
            }
        });
    }

    /// Looks whether an attempt was made whose time has come.
    async fn look_for_attempts(&mut self, now: Millis) {
        for endpoint in self.lookout.missing(now, &self.history) {
            let Some(core) = self.core.as_ref().filter(|_| !self.suspended[endpoint]) else { continue };
            let (name, wall) = (resources::name(endpoint), (self.now)());
            let waits = core.spool.read(move |connection| tries::due(connection, &name, wall, 1)).await;
            if !waits.expect("readable").is_empty() {
                self.history.note(What::Overdue { endpoint });
            }
        }
    }

    /// Notes where every message is that this volume acknowledged, and its books.
    async fn take_stock(&mut self) {
        let Some(core) = &self.core else { return };
        for message in &self.acknowledged {
            let look = core.look(*message).await.unwrap_or_else(|| json!({"state": "unknown"}));
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let copy = |copy: &Value| Copy {
                endpoint: text(&copy["endpoint"]),
                state: text(&copy["state"]).unwrap_or_default(),
                batch: text(&copy["batch"]),
                reason: text(&copy["reason"]),
            };
            let copies = look["copies"].as_array().into_iter().flatten().map(copy).collect();
            let state = text(&look["state"]).unwrap_or_default();
            self.history.note(What::Stands { message: *message, state, copies });
        }
        let books = core.books().await;
        self.history.note(What::Books {
            acknowledged: books.acknowledged,
            delivered: books.delivered,
            waiting: books.waiting,
            held: books.held,
            excluded: books.excluded,
        });
    }
}

/// Tokio's virtual time, so many seconds ahead, as the time of day.
fn clock(ahead: Arc<AtomicI64>) -> Now {
    let (began, instant) = (Timestamp::from_second(1_800_000_000).expect("in range"), Instant::now());
    Arc::new(move || began + instant.elapsed() + jiff::SignedDuration::from_secs(ahead.load(Ordering::SeqCst)))
}
