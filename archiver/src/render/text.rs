//! The plain text transcript.
//!
//! What people typed stands at least four columns in, and what the archive says of it before: no text can pose as the
//! next message.

use super::view::{Entry, Target, View, Who};

/// `view` as plain text.
pub fn text(view: &View) -> String {
    let mut out = format!("{}\n{}\n{}\n{}\n", isolated(&view.title), isolated(&view.place), view.span, view.counts);
    out.push_str("\nPARTICIPANTS\n\n");
    for (who, deeds) in &view.participants {
        out.push_str(&format!("  {}: {}\n", full(who), deeds.join(", ")));
    }
    if let Some(note) = &view.left_out {
        out.push_str(&format!("\n  {note}\n"));
    }
    out.push_str("\nMESSAGES\n");
    for entry in &view.entries {
        message(entry, &mut out);
    }
    if !view.present.is_empty() {
        out.push_str(&format!("\nALSO PRESENT ({})\n\n", view.present.len()));
        for who in &view.present {
            out.push_str(&format!("  {}\n", full(who)));
        }
    }
    out.push_str(&format!("\nBatch {}\n", view.batch));
    out.push_str("transcript.json holds the same, with every field as it was received.\n");
    out
}

fn message(entry: &Entry, out: &mut String) {
    let action = entry.action.map(|action| format!(" {action}")).unwrap_or_default();
    out.push_str(&format!("\n[{}] {}  {}{action}\n", entry.number, entry.at, full(&entry.who)));
    if let Some((relation, target)) = &entry.about {
        match target {
            Target::Here { number, who, excerpt } => {
                out.push_str(&format!("  - {relation} [{number}] {}: {}\n", short(who), isolated(excerpt)));
            }
            Target::Quoted { name, who, text } => {
                out.push_str(&format!("  - {relation} {}, {}:\n", full(who), isolated(name)));
                lines(text, "    > ", out);
            }
            Target::Named(name) => out.push_str(&format!("  - {relation} {}\n", isolated(name))),
        }
    }
    if let Some(text) = &entry.text {
        lines(text, "    ", out);
    }
    if let Some(html) = &entry.html {
        out.push_str("  - as HTML:\n");
        lines(html, "    ", out);
    }
    for file in &entry.files {
        out.push_str(&format!("  - file {}: {}\n", isolated(&file.name), isolated(&file.facts)));
    }
    for (action, number, at) in &entry.later {
        out.push_str(&format!("  - {action} by [{number}] at {at}\n"));
    }
    out.push_str(&format!("  - id {}\n", isolated(&entry.id)));
}

fn lines(text: &str, indent: &str, out: &mut String) {
    for line in text.split('\n') {
        out.push_str(format!("{indent}{line}").trim_end());
        out.push('\n');
    }
}

fn full(who: &Who) -> String {
    let kind = who.kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
    match &who.name {
        Some(name) => format!("{} <{}>{kind}", isolated(name), isolated(&who.address)),
        None => format!("<{}>{kind}", isolated(&who.address)),
    }
}

fn short(who: &Who) -> String {
    isolated(who.name.as_ref().unwrap_or(&who.address))
}

/// `typed` between isolates (UAX #9, 2.4) when it is not ASCII, so that it does not reorder what stands around it.
fn isolated(typed: &str) -> String {
    if typed.is_ascii() { typed.to_owned() } else { format!("\u{2068}{typed}\u{2069}") }
}
