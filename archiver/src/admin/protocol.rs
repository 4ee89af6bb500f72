//! What a person's command and the archiver say to each other: one line of JSON there, and lines of JSON back.

use std::str::FromStr;

use imarchive_crds::{Address, Span};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spool::held::{Batch, Details, Open};

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// What is held?
    List {
        /// Of these.
        of: Which,
    },
    /// Everything about one batch.
    Show {
        /// Its name.
        batch: String,
        /// Its mail instead.
        mail: bool,
    },
    /// They shall wait for delivery again.
    Release {
        /// These.
        of: Which,
    },
    /// They shall go to another endpoint.
    Reroute {
        /// These.
        of: Which,
        /// That one.
        to: String,
    },
    /// They shall be delivered once more.
    Replay {
        /// These.
        of: Replayed,
        /// Or only be told.
        dry_run: bool,
    },
}

/// Which of the delivered batches: those that all of this is true of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// Of this chat system.
    pub source: Option<String>,
    /// Taken by the archive then or later.
    pub since: Option<When>,
    /// Taken by the archive then or earlier.
    pub until: Option<When>,
    /// With a message that this user sent or got.
    pub user: Option<Address>,
    /// With a message of this conversation; of that user, if one is named.
    pub conversation: Option<String>,
}

/// A time: stated, or so long ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Then.
    At(Timestamp),
    /// So long before now.
    Ago(Span),
}

impl When {
    /// The time that is meant, at `now`.
    pub fn at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => *at,
            Self::Ago(span) => now.checked_sub(span.duration()).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = Span::parse(text).map(Self::Ago);
        let at = text.parse().map(Self::At);
        span.ok().or(at.ok()).ok_or("neither a time (2026-11-23T09:00:00Z) nor how long ago (36h, 90m)".to_owned())
    }
}

/// Which of the held batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// Those with these names.
    Batches(Vec<String>),
    /// All, or those of an endpoint or for a reason. What is held in no batch is among them.
    Those {
        /// The endpoint.
        endpoint: Option<String>,
        /// How the reason begins, in whatever case.
        reason: Option<String>,
    },
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Line {
    /// A batch.
    Batch(Batch),
    /// Messages that are held in no batch.
    Open(Open),
    /// All that is known of a batch.
    Details(Box<Details>),
    /// Some bytes of a mail, in base64.
    Mail(String),
    /// Done for this one.
    Done {
        /// Which.
        what: String,
        /// What became of it.
        now: String,
    },
    /// Not done for this one.
    Refused {
        /// Which.
        what: String,
        /// Why, and what to do instead.
        why: String,
    },
    /// The last line.
    End(Outcome),
    /// The last line, when the spool failed.
    Failed(String),
}

/// What came of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Batches that it told of, or changed.
    pub batches: u64,
    /// Messages in them, and in no batch.
    pub messages: u64,
    /// What was asked for, and not done.
    pub refused: u64,
    /// Of a replay: batches whose content was dropped since they were delivered. By user or conversation they cannot be told
    /// apart any more: these are all that the rest is true of.
    #[serde(default)]
    pub dropped_batches: u64,
    /// Messages in them.
    #[serde(default)]
    pub dropped_messages: u64,
}

impl Request {
    /// What is done, for the log.
    pub(super) fn act(&self) -> &'static str {
        match self {
            Self::List { .. } => "held list",
            Self::Show { mail: false, .. } => "held show",
            Self::Show { mail: true, .. } => "held show --mail",
            Self::Release { .. } => "held release",
            Self::Reroute { .. } => "held reroute",
            Self::Replay { dry_run: false, .. } => "replay",
            Self::Replay { dry_run: true, .. } => "replay --dry-run",
        }
    }

    /// To what, for the log. What looks like somebody's address is left out, wherever it was typed.
    pub(super) fn said(&self) -> String {
        let said = match self {
            Self::Show { batch, .. } => batch.clone(),
            Self::List { of } | Self::Release { of } => of.to_string(),
            Self::Reroute { of, to } => format!("{of} --to {to}"),
            Self::Replay { of, .. } => of.to_string(),
        };
        let word = |word| if str::contains(word, '@') { "(address)" } else { word };
        said.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batches(names) if names.len() > 5 => write!(f, "{} batches by name", names.len()),
            Self::Batches(names) => f.write_str(&names.join(" ")),
            Self::Those { endpoint, reason } => {
                let named = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
                let said: Vec<_> =
                    [named("--endpoint", endpoint), named("--reason", reason)].into_iter().flatten().collect();
                f.write_str(if said.is_empty() { "--all".to_owned() } else { said.join(" ") }.as_str())
            }
        }
    }
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let when = |when: &When| match when {
            When::At(at) => at.to_string(),
            When::Ago(span) => span.to_string(),
        };
        let said = [
            self.endpoint.as_ref().map(|endpoint| format!("--endpoint {endpoint}")),
            self.source.as_ref().map(|source| format!("--source {source}")),
            self.since.as_ref().map(|at| format!("--since {}", when(at))),
            self.until.as_ref().map(|at| format!("--until {}", when(at))),
            self.user.as_ref().map(|_| "--user (given)".to_owned()),
            // The name of a room may be that of a person.
            self.conversation.as_ref().map(|_| "--conversation (given)".to_owned()),
        ];
        f.write_str(&said.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_stated_or_so_long_ago() {
        let now = Timestamp::from_second(100_000).expect("in range");
        let at = |text: &str| text.parse::<When>().map(|when| when.at(now).as_second());
        assert_eq!((at("1h"), at("1970-01-01T00:00:07Z")), (Ok(96_400), Ok(7)));
        assert!(at("yesterday").is_err() && at("").is_err());
        assert_eq!("87600h".parse::<When>().map(|when| when.at(now) <= now), Ok(true));
    }

    #[test]
    fn the_log_says_what_was_asked_for_without_anybodys_address() {
        let user = Address::parse("alice@acme.example").expect("valid");
        let of = Replayed { endpoint: Some("journal".into()), user: Some(user), ..Replayed::default() };
        assert_eq!(Request::Replay { of, dry_run: false }.said(), "--endpoint journal --user (given)");
        let of = Which::Those { endpoint: None, reason: Some("refused: 550 <alice@acme.example>".into()) };
        assert_eq!(Request::Release { of }.said(), "--reason refused: 550 (address)");
        let of = Which::Those { endpoint: None, reason: None };
        assert_eq!(Request::Reroute { of, to: "vault".into() }.said(), "--all --to vault");
    }
}
