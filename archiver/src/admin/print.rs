//! The answer for people: tables like kubectl's, whose columns are as wide as the rows of a page need.
//!
//! What people typed, and what archives said, is shown as one line without anything that a terminal would act upon.

use std::io::{self, Write};

use jiff::Timestamp;

use super::protocol::{Line, Outcome};
use crate::{
    render::line,
    spool::held::{Batch, Details, Open},
};

/// Rows of a page.
const PAGE: usize = 500;
/// The most of a reason in a table.
const REASON: usize = 60;

const HEAD: [&str; 7] = ["BATCH", "ENDPOINT", "MESSAGES", "CONVERSATION", "OLDEST", "AGE", "REASON"];

/// Shows lines as they come.
pub(super) struct Printer {
    act: &'static str,
    now: Timestamp,
    rows: Vec<[String; 7]>,
    widths: Option<[usize; 7]>,
}

impl Printer {
    pub(super) fn new(act: &'static str, now: Timestamp) -> Self {
        Self { act, now, rows: Vec::new(), widths: None }
    }

    pub(super) fn line(&mut self, shown: Line, to: &mut impl Write) -> io::Result<()> {
        match shown {
            Line::Batch(batch) => self.row(of_batch(&batch, self.now), to),
            Line::Open(open) => self.row(of_open(&open, self.now), to),
            Line::Details(details) => show(&details, self.now, to),
            Line::Done { what, now } => writeln!(to, "{}: {}", line(&what, 400), line(&now, 400)),
            _ => Ok(()),
        }
    }

    fn row(&mut self, row: [String; 7], to: &mut impl Write) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() >= PAGE { self.end(to) } else { Ok(()) }
    }

    /// Shows the rows that wait to be aligned with others.
    pub(super) fn end(&mut self, to: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let first = self.widths.is_none();
        let before = self.widths.unwrap_or(HEAD.map(str::len));
        let widths: [usize; 7] = std::array::from_fn(|column| before[column].max(width(column)));
        self.widths = Some(widths);
        let head = first.then(|| HEAD.map(str::to_owned));
        for row in head.into_iter().chain(std::mem::take(&mut self.rows)) {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(to, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
        }
        Ok(())
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome, to: &mut impl Write) -> io::Result<()> {
        self.end(to)?;
        let count = |batches: u64, messages: u64| {
            let s = |count, one, more| if count == 1 { one } else { more };
            let (es, s) = (s(batches, "", "es"), s(messages, "", "s"));
            format!("{batches} batch{es} ({messages} message{s})")
        };
        let all = count(outcome.batches, outcome.messages);
        match self.act {
            "held list" if (outcome.batches, outcome.messages) == (0, 0) => writeln!(to, "Nothing is held.")?,
            "held release" => writeln!(to, "{all} released, {} refused.", outcome.refused)?,
            "held reroute" => writeln!(to, "{all} rerouted, {} refused.", outcome.refused)?,
            "replay" => writeln!(to, "{all} to be delivered once more, {} refused.", outcome.refused)?,
            "replay --dry-run" => writeln!(to, "{all} would be delivered once more, {} refused.", outcome.refused)?,
            _ => {}
        }
        if outcome.dropped_batches > 0 {
            let dropped = count(outcome.dropped_batches, outcome.dropped_messages);
            writeln!(
                to,
                "{dropped} of that time, endpoint and source cannot be: their content was dropped after \
                 storage.retainDelivered, or earlier for want of room."
            )?;
        }
        Ok(())
    }
}

fn of_batch(batch: &Batch, now: Timestamp) -> [String; 7] {
    [
        batch.batch.clone(),
        batch.endpoint.clone(),
        batch.messages.to_string(),
        line(&batch.subject, 40),
        batch.oldest_at.strftime("%Y-%m-%d %H:%M").to_string(),
        age(batch.oldest_at, now),
        line(batch.reason.as_deref().unwrap_or(&batch.state), REASON),
    ]
}

fn of_open(open: &Open, now: Timestamp) -> [String; 7] {
    [
        "-".to_owned(),
        open.endpoint.clone(),
        open.messages.to_string(),
        "(not in a batch yet)".to_owned(),
        open.oldest_at.strftime("%Y-%m-%d %H:%M").to_string(),
        age(open.oldest_at, now),
        line(&open.reason, REASON),
    ]
}

/// How long ago, as kubectl says it.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (days @ 10.., ..) => format!("{days}d"),
        (days @ 1.., hours, _) => format!("{days}d{}h", hours % 24),
        (_, hours @ 1.., minutes) => format!("{hours}h{}m", minutes % 60),
        (.., minutes @ 1..) => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}

fn show(details: &Details, now: Timestamp, to: &mut impl Write) -> io::Result<()> {
    let batch = &details.batch;
    let at = |at: Timestamp| format!("{at} ({} ago)", age(at, now));
    let tried = match (details.attempts, details.may_be_there) {
        (0, false) => "never".to_owned(),
        (attempts, true) => format!("{attempts} failed; the archive may have the mail"),
        (attempts, false) => format!("{attempts} failed; the archive does not have the mail"),
    };
    let mut rows = vec![
        ("Batch", batch.batch.clone()),
        ("State", batch.state.clone()),
        ("Reason", batch.reason.as_deref().map(|reason| line(reason, 2_000)).unwrap_or_default()),
        ("Endpoint", format!("{} (UID {})", batch.endpoint, details.endpoint_uid)),
        ("Conversation", format!("{} ({})", line(&batch.subject, 200), line(&batch.source, 200))),
        ("Sealed", at(details.sealed_at)),
        ("Tried", tried),
        ("Next try", details.next_at.map(|at| at.to_string()).unwrap_or_default()),
        ("Delivered", details.delivered_at.map(at).unwrap_or_default()),
        ("Reply", details.reply.as_deref().map(|reply| line(reply, 2_000)).unwrap_or_default()),
        ("Digest", details.digest.clone()),
        ("Previous", details.previous_digest.clone().unwrap_or_default()),
        ("Replaces", details.replaces.clone().unwrap_or_default()),
        ("Message-ID", format!("<{}>", line(&details.message_id, 500))),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    for (name, value) in rows {
        writeln!(to, "{:<14}{value}", format!("{name}:"))?;
    }
    writeln!(to, "Messages:     {}", details.members.len())?;
    for member in &details.members {
        let (source, id) = (member.source.as_deref().unwrap_or("-"), member.id.as_deref().unwrap_or("(forgotten)"));
        let sent = member.sent_at.map_or("content not there, or unreadable".to_owned(), |at| format!("sent {at}"));
        let received = member.received_at.map(|at| format!(", received {at}")).unwrap_or_default();
        writeln!(to, "  {}/{}  {sent}{received}", line(source, 200), line(id, 200))?;
    }
    writeln!(to, "What to do:   {}", details.advice.replace('\n', "\n              "))
}
