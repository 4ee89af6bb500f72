//! The facts about a batch as a whole, which stand above its messages, and how numbers and times are written.

use jiff::Timestamp;

use super::{Replaces, clean, files::File, roster::Participant};
use crate::{
    batch::Sealed,
    message::{ConversationKind, Kind, PersonKind, Recorded},
};

/// The most that is shown of a name.
const NAME: usize = 200;

/// Labels and facts, in the order in which a reader asks for them.
pub fn facts(
    sealed: &Sealed,
    roster: &[Participant<'_>],
    files: &[Vec<File<'_>>],
    replaces: Option<Replaces<'_>>,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Conversation", place(sealed)),
        ("Time (UTC)", span(&sealed.messages)),
        ("Messages", messages(&sealed.messages)),
        ("Participants", people(roster)),
    ];
    if files.iter().any(|files| !files.is_empty()) {
        facts.push(("Files", attached(files)));
    }
    facts.push(("Batch", clean::line(&sealed.name(), NAME)));
    facts.push(("SHA-256", sealed.digest.clone()));
    if let Some(previous) = &sealed.previous_digest {
        facts.push((
            "Previous",
            format!("{}-{}, SHA-256 {previous}", clean::line(&sealed.endpoint, NAME), sealed.sequence - 1),
        ));
    }
    if let Some(Replaces { sequence, digest }) = replaces {
        facts.push(("Replaces", format!("{}-{sequence}, SHA-256 {digest}", clean::line(&sealed.endpoint, NAME))));
    }
    facts
}

fn place(sealed: &Sealed) -> String {
    let kind = match sealed.conversation.kind {
        ConversationKind::Direct => "direct chat",
        ConversationKind::Room => "room",
    };
    format!("{kind} {} of {}", clean::line(&sealed.conversation.id, NAME), clean::line(&sealed.source, NAME))
}

fn span(messages: &[Recorded]) -> String {
    let times = messages.iter().map(|recorded| recorded.message.sent_at);
    match (times.clone().min(), times.max()) {
        (Some(first), Some(last)) if first != last => format!("{} to {}", time(&first), time(&last)),
        (Some(only), _) => time(&only),
        (None, _) => String::new(),
    }
}

/// `10: 3 messages, 2 edits, 1 join`: how many, and of what kinds when they are not all the same.
fn messages(messages: &[Recorded]) -> String {
    let kinds = [
        (Kind::Message, "message"),
        (Kind::File, "shared file"),
        (Kind::Edit, "edit"),
        (Kind::Delete, "delete"),
        (Kind::Join, "join"),
        (Kind::Leave, "leave"),
    ];
    let of = |kind| messages.iter().filter(|recorded| recorded.message.kind == kind).count();
    let counts = kinds.into_iter().map(|(kind, thing)| (of(kind), thing)).filter(|(number, _)| *number > 0);
    listed(messages.len(), "message", counts)
}

/// `5 participants: 3 users, 2 guests`
fn people(roster: &[Participant<'_>]) -> String {
    let kinds = [
        (PersonKind::User, "user"),
        (PersonKind::Guest, "guest"),
        (PersonKind::Bot, "bot"),
        (PersonKind::System, "system"),
    ];
    let of = |kind| roster.iter().filter(|participant| participant.kind == kind).count();
    let counts = kinds.into_iter().map(|(kind, thing)| (of(kind), thing)).filter(|(number, _)| *number > 0);
    listed(roster.len(), "user", counts)
}

/// The number of all and then of each kind, unless all are of the kind that needs no word.
fn listed(all: usize, usual: &str, counts: impl Iterator<Item = (usize, &'static str)>) -> String {
    let counts: Vec<_> = counts.collect();
    match counts[..] {
        [(_, only)] if only == usual => all.to_string(),
        _ => {
            let counts: Vec<_> = counts.into_iter().map(|(number, thing)| count(number, thing)).collect();
            format!("{all}: {}", counts.join(", "))
        }
    }
}

/// `3, 2 of them attached: 25 bytes`
fn attached(files: &[Vec<File<'_>>]) -> String {
    let all = files.iter().flatten().count();
    let contents: Vec<_> = files.iter().flatten().filter_map(|file| file.content).collect();
    let size = bytes(contents.iter().map(|content| content.len() as u64).sum());
    match contents.len() {
        0 => format!("{all}, none of them attached"),
        some if some == all => format!("{all}, attached: {size}"),
        some => format!("{all}, {some} of them attached: {size}"),
    }
}

/// With milliseconds; what it is said of says that it is UTC.
pub fn time(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// `1 message`, `2 messages`
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// `16 bytes`, `4.8 MiB (5,000,000 bytes)`: to the byte, and so that a person can tell how much it is.
pub fn bytes(size: u64) -> String {
    let exact = match size {
        1 => "1 byte".to_owned(),
        _ => format!("{} bytes", grouped(size)),
    };
    let steps = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match steps.into_iter().find(|(_, step)| size >= *step) {
        Some((unit, step)) => {
            let tenths = u128::from(size) * 10 / u128::from(step);
            format!("{}.{} {unit} ({exact})", tenths / 10, tenths % 10)
        }
        None => exact,
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_readable() {
        for (size, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1024, "1.0 KiB (1,024 bytes)"),
            (5_000_000, "4.7 MiB (5,000,000 bytes)"),
            (u64::MAX, "17179869183.9 GiB (18,446,744,073,709,551,615 bytes)"),
        ] {
            assert_eq!(bytes(size), shown);
        }
    }
}
