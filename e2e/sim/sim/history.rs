//! What happened in a simulation, as it is judged and as its trace has it.
//!
//! The trace of a seed is the same at each replay: its lines hold nothing that is made anew (a spool's UUID, a mail's
//! boundary), and those of one virtual millisecond are sorted, since threads that commit may overtake each other within it.

use std::sync::Mutex;

use imarchive_crds::hex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Virtual milliseconds since the simulation began.
pub type Millis = u64;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Millis,
    pub what: What,
}

/// What happened. Endpoints and messages are told by their numbers in the plan.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "some of it is for who reads the trace")]
pub enum What {
    /// An archiver begins, on the volume of this generation.
    Started {
        generation: u32,
    },
    /// It was killed.
    Crashed,
    /// It ended by itself, which it never should.
    Ended {
        why: String,
    },
    /// The volume is gone; the next start finds an empty one.
    VolumeLost,
    /// The wall clock jumped by so many seconds.
    Clock {
        by: i64,
    },
    Suspended {
        endpoint: usize,
        on: bool,
    },
    /// Nobody folds, and nothing is published.
    OperatorAway {
        on: bool,
    },
    /// The chat server got its 200.
    Acknowledged {
        message: usize,
        status: String,
    },
    /// The archive's host was asked for a connection.
    Dialed {
        endpoint: usize,
    },
    /// All of a mail was heard.
    Arrived {
        mail: Mail,
        fate: Fate,
    },
    /// An attempt is in the archiver's own record.
    Failed {
        endpoint: usize,
        outage: i64,
        attempt: i64,
        stage: String,
        reason: String,
    },
    /// And this outage is over in it.
    Recovered {
        endpoint: usize,
        outage: i64,
    },
    /// What the operator published.
    Published {
        endpoint: usize,
        outage: i64,
        attempt: i64,
    },
    /// The administrators were told of this attempt, or of the outage's end; `heard`: and the operator knows it.
    Notified {
        endpoint: usize,
        outage: i64,
        attempt: Option<i64>,
        heard: bool,
    },
    /// An attempt should have been made by now: something waits for it, and nothing stands in its way.
    Overdue {
        endpoint: usize,
    },
    /// Where a message is, when a volume is lost and at the end.
    Stands {
        message: usize,
        state: String,
        copies: Vec<Copy>,
    },
    /// The books then.
    Books {
        acknowledged: i64,
        delivered: i64,
        waiting: i64,
        held: i64,
        excluded: i64,
    },
}

/// A copy of a message, as the archiver tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub endpoint: Option<String>,
    pub state: String,
    pub batch: Option<String>,
    pub reason: Option<String>,
}

/// A mail, as the archive read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub generation: u32,
    pub endpoint: usize,
    pub sequence: i64,
    pub digest: String,
    pub previous: Option<String>,
    /// In the order of the transcript.
    pub messages: Vec<usize>,
    /// Of all its bytes; not in the trace, since a boundary is random.
    pub bytes: [u8; 32],
}

/// What an archive did with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken, and said so.
    Taken,
    /// Taken; the reply was lost.
    TakenUnheard,
    /// Taken, and said so to an archiver that was gone.
    TakenByCrash,
    /// The archiver was killed before the archive took it.
    LostByCrash,
    /// Refused, for now or for good.
    Refused(u16),
}

impl Fate {
    /// Whether the archive has the mail now.
    pub fn has(self) -> bool {
        matches!(self, Self::Taken | Self::TakenUnheard | Self::TakenByCrash)
    }
}

/// What happened until now.
pub struct History {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub fn new() -> Self {
        Self { began: Instant::now(), events: Mutex::default() }
    }

    pub fn now(&self) -> Millis {
        self.began.elapsed().as_millis() as Millis
    }

    /// The moment of virtual time that is `at`.
    pub fn instant(&self, at: Millis) -> Instant {
        self.began + std::time::Duration::from_millis(at)
    }

    pub fn note(&self, what: What) {
        let event = Event { at: self.now(), what };
        self.events.lock().expect("no panic").push(event);
    }

    /// All of it, in the order of the trace.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().expect("no panic").clone();
        // Answers have an order of their own, which is that of the commits; and attempts are numbers: 9 comes before 10.
        let key = |event: &Event| match event.what {
            What::Acknowledged { .. } => String::new(),
            What::Notified { endpoint, outage, attempt, .. } => {
                format!("0 {endpoint} {outage:06} {:06}", attempt.unwrap_or(i64::MAX))
            }
            What::Published { endpoint, outage, attempt } => format!("1 {endpoint} {outage:06} {attempt:06}"),
            _ => event.line(),
        };
        events.sort_by_cached_key(|event| (event.at, event.rank(), key(event)));
        events
    }

    /// How many events there are.
    pub fn count(&self) -> usize {
        self.events.lock().expect("no panic").len()
    }

    /// Those after the first `count`.
    pub fn since(&self, count: usize) -> Vec<Event> {
        self.events.lock().expect("no panic")[count..].to_vec()
    }

    /// When the archive's host was last asked for a connection.
    pub fn last_dial(&self, endpoint: usize) -> Option<Millis> {
        let events = self.events.lock().expect("no panic");
        let dial = |event: &&Event| matches!(event.what, What::Dialed { endpoint: of } if of == endpoint);
        events.iter().rev().find(dial).map(|event| event.at)
    }
}

impl Event {
    /// Of events of one millisecond: what follows from another comes after it.
    fn rank(&self) -> u8 {
        match self.what {
            What::Clock { .. } | What::Suspended { .. } | What::OperatorAway { .. } => 0,
            What::Dialed { .. } | What::Arrived { .. } => 1,
            What::Failed { .. } => 2,
            What::Recovered { .. } => 3,
            What::Published { .. } | What::Notified { .. } => 4,
            What::Stands { .. } => 5,
            What::Books { .. } => 6,
            What::Crashed | What::Ended { .. } => 7,
            What::VolumeLost => 8,
            What::Started { .. } => 9,
            What::Acknowledged { .. } | What::Overdue { .. } => 10,
        }
    }

    /// Its line in the trace.
    pub fn line(&self) -> String {
        let what = match &self.what {
            What::Arrived { mail: Mail { generation, endpoint, sequence, digest, messages, .. }, fate } => format!(
                "Arrived {fate:?} endpoint {endpoint} generation {generation} sequence {sequence} of {messages:?} {digest:.8}"
            ),
            what => format!("{what:?}"),
        };
        format!("{:>10}.{:03} {what}", self.at / 1000, self.at % 1000)
    }
}

/// What two runs of a seed must agree in.
pub fn hash(events: &[Event]) -> String {
    let mut hash = Sha256::new();
    for event in events {
        hash.update(event.line());
        hash.update("\n");
    }
    hex(&hash.finalize())
}
