//! The plain text transcript, for 80 columns.
//!
//! What people typed stands at least four columns in, and what the archive says of it before: no text can pose as the
//! next message.

use super::{
    view::{Entry, Target, View, Who},
    wrap::wrap,
};

/// Where the facts about the batch begin.
const FACTS: usize = 14;

/// `view` as plain text.
pub fn text(view: &View) -> String {
    let mut out = String::new();
    wrap("", "  ", &isolated(&view.title), &mut out);
    out.push('\n');
    for (label, fact) in &view.facts {
        wrap(&format!("{label:FACTS$}"), &" ".repeat(FACTS), &isolated(fact), &mut out);
    }
    out.push_str("\nPARTICIPANTS\n\n");
    for (who, deeds) in &view.participants {
        let (count, times) = deeds.split_first().map_or(("", &[][..]), |(count, times)| (count.as_str(), times));
        wrap("  ", "      ", &format!("{}: {count}", full(who)), &mut out);
        times.iter().for_each(|time| wrap("      ", "      ", time, &mut out));
    }
    if !view.present.is_empty() {
        out.push_str(&format!("  {} more were present: see the end.\n", view.present.len()));
    }
    if let Some(note) = &view.left_out {
        wrap("\n  ", "  ", note, &mut out);
    }
    out.push_str("\nMESSAGES\n");
    for entry in &view.entries {
        message(entry, &mut out);
    }
    if !view.present.is_empty() {
        out.push_str(&format!("\nALSO PRESENT ({})\n\n", view.present.len()));
        view.present.iter().for_each(|who| wrap("  ", "      ", &full(who), &mut out));
    }
    out.push_str("\nThe attached transcript.json, whose SHA-256 stands above, holds the same, with\n");
    out.push_str("every field as it was received.\n");
    out
}

fn message(entry: &Entry, out: &mut String) {
    let action = entry.action.map(|action| format!(" {action}")).unwrap_or_default();
    wrap(&format!("\n[{}] ", entry.number), "    ", &format!("{}  {}{action}", entry.at, full(&entry.who)), out);
    let say = |said: &str, out: &mut String| wrap("  - ", "    ", said, out);
    if let Some((relation, target)) = &entry.about {
        match target {
            Target::Here { number, at, who, excerpt } => {
                say(&format!("{relation} [{number}] of {at}, {}: {}", short(who), isolated(excerpt)), out);
            }
            Target::Quoted { name, who, text } => {
                say(&format!("{relation} {}, {}:", full(who), isolated(name)), out);
                lines(text, "    > ", out);
            }
            Target::Named(name) => say(&format!("{relation} {}", isolated(name)), out),
        }
    }
    for (action, number, at) in &entry.later {
        say(&format!("{action} by [{number}] at {at}"), out);
    }
    if let Some(text) = &entry.text {
        lines(text, "    ", out);
    }
    if let Some(html) = &entry.html {
        say("as HTML:", out);
        lines(html, "    ", out);
    }
    for file in &entry.files {
        say(&format!("file {}: {}", isolated(&file.name), isolated(&file.facts)), out);
    }
    say(&format!("id {}", isolated(&entry.id)), out);
}

fn lines(text: &str, indent: &str, out: &mut String) {
    text.split('\n').for_each(|line| wrap(indent, indent, line, out));
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
