//! What is going to happen in a simulation: all of it follows from the seed.
//!
//! A fault happens at a virtual time, or to a mail, told by its content and by how often it came. None depends on how
//! often anything was called, so that a replay is the same whatever thread was faster.

use fastrand::Rng;
use sha2::{Digest, Sha256};

use crate::history::Millis;

pub const SECOND: Millis = 1000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;

/// What an archive does to everybody for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Refuses,
    /// No answer to one.
    Silent,
    /// 421 instead of a greeting.
    Closed,
    /// STARTTLS is not offered.
    Plain,
    /// 452 at MAIL.
    Full,
    /// 450 at RCPT, which is its way to slow us down.
    Busy,
    /// Every mail is refused at the dot.
    RefusesAll,
    /// Every mail is taken, and no reply comes.
    Mute,
}

/// What an archive does with one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Takes it and hangs up, or says nothing any more.
    TakeUnheard {
        hang: bool,
    },
    /// Takes it while the archiver is killed.
    TakeAndKill,
    /// The archiver is killed before it is taken.
    Kill,
    Refuse(u16),
}

/// What happens at a time.
#[derive(Clone, Debug)]
pub enum Act {
    Post(Vec<usize>),
    /// A chat server that did not hear its 200 sends again what it sent before.
    PostAgain(usize),
    Suspend {
        endpoint: usize,
        on: bool,
    },
    /// Killed, and away for so long.
    Crash {
        away: Millis,
    },
    LoseVolume,
    /// By so many seconds.
    Clock {
        by: i64,
    },
    Operator {
        away: bool,
    },
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its conversation, which may be a room.
    pub conversation: String,
    pub room: bool,
    pub sender: String,
    pub recipient: String,
    /// The endpoints that have to get it, by policy; none: excluded.
    pub endpoints: Vec<usize>,
}

/// All that is going to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub endpoints: usize,
    pub messages: Vec<Message>,
    pub acts: Vec<(Millis, Act)>,
    pub troubles: Vec<(usize, std::ops::Range<Millis>, Trouble)>,
    /// When the administrators' relay is away.
    pub relay: Vec<std::ops::Range<Millis>>,
    /// When everything is well again.
    pub healed: Millis,
    /// When everything must have been delivered.
    pub ends: Millis,
}

/// The longest rung with its jitter, a window, and what a poisoned mail needs to be found out, with a day to spare.
const DRAIN: Millis = 6 * DAY;

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let endpoints = rng.usize(1..=3);
        let days = match rng.u8(0..10) {
            0..=4 => rng.u64(6..13),
            5..=7 => rng.u64(15..36),
            _ => rng.u64(98..106),
        };
        let healed = days * DAY;
        let (messages, acts, troubles, relay) = (vec![], vec![], vec![], vec![]);
        let mut plan = Self { seed, endpoints, messages, acts, troubles, relay, healed, ends: healed + DRAIN };
        plan.talk(&mut rng);
        plan.trouble(&mut rng);
        plan.disturb(&mut rng);
        // A mail that is refused for good is told from an archive that refuses all by another one that it takes: when all
        // is well some come, so late also that what was refused only then is judged.
        for (endpoint, hours) in (0..endpoints).flat_map(|endpoint| [1, 40, 90].map(|hours| (endpoint, hours))) {
            let last = plan.message(&mut rng, "end", Some(endpoint));
            let at = healed + hours * HOUR + endpoint as u64 * MINUTE;
            plan.acts.push((at, Act::Post(vec![last])));
        }
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Messages, some in bursts, in few conversations.
    fn talk(&mut self, rng: &mut Rng) {
        for _ in 0..rng.usize(6..16) {
            let at = moment(rng, 0..self.healed);
            let conversation = rng.choice(["a", "b", "c"]).expect("one of them");
            let burst = if rng.u8(0..10) == 0 { rng.usize(50..56) } else { rng.usize(1..4) };
            let endpoint = rng.usize(0..self.endpoints);
            let messages = (0..burst).map(|_| self.message(rng, conversation, Some(endpoint))).collect();
            self.acts.push((at, Act::Post(messages)));
            if rng.u8(0..5) == 0 {
                let last = self.messages.len() - 1;
                self.acts.push((at + moment(rng, MINUTE..2 * DAY), Act::PostAgain(last)));
            }
        }
        // Early enough to be given up in the longest outage.
        let early = self.message(rng, "a", Some(0));
        self.acts.push((moment(rng, 0..2 * DAY), Act::Post(vec![early])));
        let at = moment(rng, 0..self.healed);
        let excluded = self.message(rng, "outside", None);
        self.acts.push((at, Act::Post(vec![excluded])));
    }

    /// A message in a conversation of this kind; `endpoint`: of its sender, or of none.
    fn message(&mut self, rng: &mut Rng, kind: &str, endpoint: Option<usize>) -> usize {
        let outside = || "bob@other.example".to_owned();
        let user = |endpoint: usize| format!("user{endpoint}@acme.example");
        let Some(from) = endpoint else {
            let (sender, recipient) = ("eve@other.example".to_owned(), outside());
            let conversation = kind.to_owned();
            self.messages.push(Message { conversation, room: false, sender, recipient, endpoints: vec![] });
            return self.messages.len() - 1;
        };
        // In "b" everybody talks to a user of the first endpoint, so that a message has several copies; "c" is a room.
        let recipient = match kind {
            "b" if from != 0 => user(0),
            "b" => "other0@acme.example".to_owned(),
            "end" => "end@other.example".to_owned(),
            _ => outside(),
        };
        let mut endpoints = vec![from];
        if kind == "b" && from != 0 {
            endpoints.insert(0, 0);
        }
        let sender = if kind == "c" && rng.bool() { format!("other{from}@acme.example") } else { user(from) };
        let conversation = format!("{kind}{from}");
        self.messages.push(Message { conversation, room: kind == "c", sender, recipient, endpoints });
        self.messages.len() - 1
    }

    /// Archives that are out of order: for minutes, a day, weeks, or for longer than anybody waits.
    fn trouble(&mut self, rng: &mut Rng) {
        for endpoint in 0..self.endpoints {
            let forever = self.healed > 95 * DAY && (endpoint == 0 || rng.bool());
            if forever {
                let from = moment(rng, HOUR..3 * DAY);
                let kind = trouble(rng);
                self.troubles.push((endpoint, from..self.healed, kind));
                continue;
            }
            for _ in 0..rng.u8(0..4) {
                let from = moment(rng, 0..self.healed);
                let long = match rng.u8(0..10) {
                    0..=4 => moment(rng, MINUTE..3 * HOUR),
                    5..=7 => moment(rng, 6 * HOUR..2 * DAY),
                    _ => moment(rng, 2 * DAY..20 * DAY),
                };
                let kind = trouble(rng);
                self.troubles.push((endpoint, from..(from + long).min(self.healed), kind));
            }
        }
    }

    /// What happens to the archiver, to the operator, to the clock and to the volume.
    fn disturb(&mut self, rng: &mut Rng) {
        let whole = 0..self.healed;
        for _ in 0..rng.u8(0..5) {
            let away = match rng.u8(0..4) {
                0 => moment(rng, HOUR..3 * DAY),
                _ => moment(rng, SECOND..10 * MINUTE),
            };
            self.acts.push((moment(rng, whole.clone()), Act::Crash { away }));
        }
        for _ in 0..rng.u8(0..4) {
            let from = moment(rng, whole.clone());
            self.acts.push((from, Act::Operator { away: true }));
            let long = if rng.bool() { SECOND..MINUTE } else { HOUR..6 * DAY };
            let until = (from + moment(rng, long)).min(self.healed);
            self.acts.push((until, Act::Operator { away: false }));
        }
        for _ in 0..rng.u8(0..3) {
            let from = moment(rng, whole.clone());
            let until = (from + moment(rng, MINUTE..2 * DAY)).min(self.healed);
            self.relay.push(from..until);
        }
        self.acts.push((self.healed, Act::Operator { away: false }));
        for endpoint in 0..self.endpoints {
            if rng.u8(0..4) == 0 {
                let from = moment(rng, whole.clone());
                self.acts.push((from, Act::Suspend { endpoint, on: true }));
                let until = (from + moment(rng, HOUR..5 * DAY)).min(self.healed);
                self.acts.push((until, Act::Suspend { endpoint, on: false }));
            }
        }
        if rng.u8(0..3) == 0 {
            for _ in 0..rng.u8(1..3) {
                let far = *rng.choice(&[HOUR, DAY, 30 * DAY, 365 * DAY]).expect("one of them") / SECOND;
                let by = if rng.bool() { far as i64 } else { -(far as i64) };
                self.acts.push((moment(rng, whole.clone()), Act::Clock { by }));
            }
        }
        if rng.u8(0..5) == 0 {
            self.acts.push((moment(rng, whole), Act::LoseVolume));
        }
    }

    /// What the archive of `endpoint` does to everybody now.
    pub fn trouble_at(&self, endpoint: usize, now: Millis) -> Option<Trouble> {
        let on = |(of, when, _): &&(usize, std::ops::Range<Millis>, Trouble)| *of == endpoint && when.contains(&now);
        self.troubles.iter().find(on).map(|(_, _, trouble)| *trouble)
    }

    /// Since when the administrators' relay is back; `None`: it is away.
    pub fn relay_is_back(&self, now: Millis) -> Option<Millis> {
        let away = self.relay.iter().any(|when| when.contains(&now));
        let before = self.relay.iter().map(|when| when.end).filter(|end| *end <= now);
        (!away).then(|| before.max().unwrap_or(0))
    }

    /// What an archive does with a mail that begins with `message`, when it comes for the time number `time`, from 0.
    pub fn verdict(&self, endpoint: usize, message: usize, time: u32) -> Verdict {
        if self.is_last(message) {
            return Verdict::Take;
        }
        match (self.nature(endpoint, message), self.dice(&format!("mail {endpoint} {message} {time}"))) {
            (Nature::Poisoned, _) => Verdict::Refuse(554),
            (Nature::Unwelcome(times), _) if time < times => Verdict::Refuse(451),
            (_, dice) if time < 3 => match dice % 100 {
                0..6 => Verdict::TakeUnheard { hang: dice & 128 == 0 },
                6..10 => Verdict::TakeAndKill,
                10..12 => Verdict::Kill,
                _ => Verdict::Take,
            },
            _ => Verdict::Take,
        }
    }

    /// What batches are made of: what two users say to each other, and in a room what each of them says there.
    pub fn thread(&self, message: usize) -> String {
        let Message { conversation, room, sender, recipient, .. } = &self.messages[message];
        if *room { format!("{conversation} {sender}") } else { format!("{sender} {recipient}") }
    }

    /// Whether it is one of those that come when all is well.
    fn is_last(&self, message: usize) -> bool {
        self.messages[message].conversation.starts_with("end")
    }

    fn nature(&self, endpoint: usize, message: usize) -> Nature {
        match self.dice(&format!("nature {endpoint} {message}")) % 100 {
            0..3 => Nature::Poisoned,
            dice @ 3..9 => Nature::Unwelcome(dice as u32 / 3),
            _ => Nature::Plain,
        }
    }

    /// The same for the same seed and words.
    pub fn dice(&self, words: &str) -> u64 {
        let hash = Sha256::digest(format!("{} {words}", self.seed));
        u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))
    }
}

#[derive(PartialEq)]
enum Nature {
    Plain,
    /// Refused with 554, always.
    Poisoned,
    /// Refused with 451 so many times.
    Unwelcome(u32),
}

fn trouble(rng: &mut Rng) -> Trouble {
    use Trouble::{Busy, Closed, Full, Mute, Plain, Refuses, RefusesAll, Silent};
    *rng.choice(&[Refuses, Refuses, Silent, Closed, Plain, Full, Busy, RefusesAll, Mute]).expect("one of them")
}

/// A moment to the millisecond, so that hardly two things fall on the same.
fn moment(rng: &mut Rng, within: std::ops::Range<Millis>) -> Millis {
    rng.u64(within)
}
