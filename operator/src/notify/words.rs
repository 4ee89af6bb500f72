//! What a mail says, before it is given a form.

use imarchive_crds::{PastOutage, RetryLogRow, RetryStatus};
use jiff::Timestamp;

use super::letter::{Letter, Matter};
use crate::{
    endpoint::failure::{remedy, words as row_words},
    status::counted,
};

/// The most attempts that are listed.
const LISTED: usize = 20;

/// The words of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The Subject.
    pub subject: String,
    /// What happened, in one sentence.
    pub headline: String,
    /// What it means, in whole sentences.
    pub meaning: String,
    /// What is known of it.
    pub facts: Vec<(&'static str, String)>,
    /// Attempts that nobody was told of before, when there is more than one: each with its time and what went wrong.
    pub attempts: Vec<(String, String)>,
    /// The command that shows more.
    pub command: String,
}

/// What `letter` says.
pub fn words(letter: &Letter) -> Words {
    match &letter.matter {
        Matter::Failed { retry, rows, latest } => failed(letter, retry, rows, latest),
        Matter::Ended(past) => ended(letter, past),
    }
}

fn failed(letter: &Letter, retry: &RetryStatus, rows: &[RetryLogRow], latest: &RetryLogRow) -> Words {
    let since = retry.first_failure_at.as_ref().map_or(latest.at.0, |time| time.0);
    let name = name(letter);
    let mut facts = about(letter);
    facts.push(("What failed", format!("{}.", row_words(latest))));
    facts.push(("What to do", remedy(latest)));
    facts.push(("Since", point(since)));
    facts.push(("Attempt", format!("number {}, at {}", latest.attempt, point(latest.at.0))));
    facts.push(("Waiting", waiting(letter)));
    facts.push((
        "Next attempt",
        match (&retry.next_attempt_at, letter.suspended) {
            (_, true) => "none while spec.suspend of the endpoint is true".to_owned(),
            (Some(next), false) => format!("at {}", point(next.0)),
            (None, false) => "by itself".to_owned(),
        },
    ));
    if let Some(give_up) = &retry.give_up_at {
        facts.push((
            "Gives up",
            format!(
                "from {} on: what has waited for {} by then is held for a person. Nothing is deleted, and new messages go \
                 on being kept.",
                point(give_up.0),
                letter.give_up_after
            ),
        ));
    }
    facts.extend(held(letter));
    let shown = rows.len().saturating_sub(LISTED);
    let listed = rows.iter().skip(shown).filter(|_| rows.len() > 1);
    Words {
        subject: format!(
            "imarchive: {name} cannot be delivered to since {} (attempt {})",
            minute(since),
            latest.attempt
        ),
        headline: format!(
            "Messages of {} cannot be delivered to the archive {}.",
            letter.organization, letter.endpoint
        ),
        meaning:
            "They are kept, and tried again by themselves: nothing is lost, and chat goes on being archived. You are \
                  mailed at every attempt that fails, and once when it is over."
                .to_owned(),
        facts,
        attempts: listed.map(|row| (format!("{}, {}", row.attempt, point(row.at.0)), row_words(row))).collect(),
        command: command(letter),
    }
}

fn ended(letter: &Letter, past: &PastOutage) -> Words {
    let name = name(letter);
    let lasted = lasting(past.first_failure_at.0, past.ended_at.0);
    let attempts = counted(past.attempts, "attempt");
    let mut facts = about(letter);
    facts.push(("From", point(past.first_failure_at.0)));
    facts.push(("Until", format!("{}, for {lasted}", point(past.ended_at.0))));
    facts.push(("Attempts", format!("{} failed", past.attempts)));
    facts.push(("Waited", format!("{} when it ended; they are being delivered", counted(past.messages, "message"))));
    facts.extend(held(letter));
    Words {
        subject: format!("imarchive: {name} is delivered to again, after {lasted} ({attempts})"),
        headline: format!(
            "Messages of {} are delivered to the archive {} again.",
            letter.organization, letter.endpoint
        ),
        meaning: match letter.held {
            0 => "Nothing was lost, and nothing is to be done: what waited is being delivered, the oldest first."
                .to_owned(),
            _ => "Nothing was lost. What waited is being delivered, the oldest first; what is held waits for you."
                .to_owned(),
        },
        facts,
        attempts: Vec::new(),
        command: command(letter),
    }
}

fn about(letter: &Letter) -> Vec<(&'static str, String)> {
    let host = letter.host.as_ref().map(|host| format!(", {host}")).unwrap_or_default();
    vec![("Organization", letter.organization.clone()), ("Endpoint", format!("{}{host}", name(letter)))]
}

fn waiting(letter: &Letter) -> String {
    let count = counted(letter.waiting, "message");
    match letter.oldest_at {
        Some(oldest) => format!("{count}; the oldest was taken at {}", point(oldest)),
        None => count,
    }
}

fn held(letter: &Letter) -> Option<(&'static str, String)> {
    let (held, expired) = (counted(letter.held, "batch"), letter.expired);
    let release = format!("kubectl exec -n {} archiver-0 -- /archiver held release --reason Expired", letter.namespace);
    match (letter.held, expired) {
        (0, _) => None,
        (_, 0) => Some(("Held", format!("{held}, which need a person and are kept"))),
        (_, _) => Some((
            "Held",
            format!(
                "{held}, which need a person and are kept; {expired} of them waited for longer than {}. When the archive \
                 takes mail again: {release}",
                letter.give_up_after
            ),
        )),
    }
}

fn name(letter: &Letter) -> String {
    format!("{}/{}", letter.namespace, letter.endpoint)
}

fn command(letter: &Letter) -> String {
    format!("kubectl describe archivingendpoint {} -n {}", letter.endpoint, letter.namespace)
}

fn point(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long it is from `begin` to `end`, in the two largest units.
fn lasting(begin: Timestamp, end: Timestamp) -> String {
    let seconds = end.duration_since(begin).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::letter::tests::{end, letter_of, outage};
    use serde_json::json;

    fn words_of(retry: serde_json::Value) -> Words {
        words(&letter_of(retry).expect("a letter"))
    }

    fn fact<'a>(words: &'a Words, label: &str) -> &'a str {
        words.facts.iter().find(|(found, _)| *found == label).map_or("", |(_, text)| text)
    }

    #[test]
    fn the_subject_names_the_endpoint_since_when_and_which_attempt() {
        let subject = "imarchive: acme/journal cannot be delivered to since 2026-11-23 11:00 UTC (attempt 3)";
        assert_eq!(words_of(outage(false)).subject, subject);
        let subject = "imarchive: acme/journal is delivered to again, after 3 h 0 min (3 attempts)";
        assert_eq!(words_of(end()).subject, subject);
    }

    #[test]
    fn a_failed_attempt_is_told_with_all_that_an_administrator_asks() {
        let words = words_of(outage(false));
        assert_eq!(fact(&words, "Organization"), "Acme & Söhne");
        assert_eq!(fact(&words, "Endpoint"), "acme/journal, journal.archive.example:587");
        assert_eq!(fact(&words, "What failed"), "Connect: 198.18.0.1:587: Connection refused.");
        assert!(fact(&words, "What to do").starts_with("Check port, and whether the archive is down"));
        assert_eq!(fact(&words, "Since"), "2026-11-23 11:00:00 UTC");
        assert_eq!(fact(&words, "Attempt"), "number 3, at 2026-11-23 13:00:00 UTC");
        assert_eq!(fact(&words, "Waiting"), "1234 messages; the oldest was taken at 2026-11-23 09:00:00 UTC");
        assert_eq!(fact(&words, "Next attempt"), "at 2026-11-23 17:00:00 UTC");
        assert!(fact(&words, "Gives up").starts_with("from 2027-02-21 11:00:00 UTC on: what has waited for 2160h"));
        assert!(fact(&words, "Held").contains("held release --reason Expired"));
        assert_eq!(words.command, "kubectl describe archivingendpoint journal -n acme");
        assert_eq!(words.attempts, []);
    }

    #[test]
    fn attempts_that_nobody_was_told_of_are_listed_the_latest_twenty() {
        assert_eq!(words_of(outage(true)).attempts.len(), 3);
        let mut long = outage(true);
        let row = long["log"][0].clone();
        long["log"] = json!(vec![row; 50]);
        assert_eq!(words_of(long).attempts.len(), LISTED);
    }

    #[test]
    fn the_end_says_how_long_how_many_and_what_waited() {
        let words = words_of(end());
        assert_eq!(fact(&words, "Until"), "2026-11-23 14:00:00 UTC, for 3 h 0 min");
        assert_eq!(fact(&words, "Attempts"), "3 failed");
        assert_eq!(fact(&words, "Waited"), "1200 messages when it ended; they are being delivered");
        assert!(words.meaning.contains("what is held waits for you"));
    }

    #[test]
    fn a_length_of_time_has_its_two_largest_units() {
        let of = |seconds| lasting(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).expect("in range"));
        assert_eq!(
            [of(-5), of(59), of(61), of(7_260), of(90_000)],
            ["0 s", "59 s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]
        );
    }
}
