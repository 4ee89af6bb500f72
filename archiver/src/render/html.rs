//! The HTML transcript: one column that reads well on a phone, on a screen and in print.
//!
//! Styles stand in the elements, since mail programs drop style sheets, and layout is made of tables, since some know
//! little else. The colours stand on the outermost table too: programs drop the body's. Nothing is loaded from
//! anywhere, and what people typed is only ever text: escaped, in an element that takes its direction from it.

use super::view::{Entry, Target, View, Who};

const PAGE: &str = "background:#ffffff;color:#1f2328;font:15px/1.45 'Segoe UI',system-ui,Roboto,Arial,sans-serif";
const COLUMN: &str = "max-width:860px;margin:0 auto;padding:20px 16px;word-wrap:break-word;overflow-wrap:anywhere";
const TITLE: &str = "font-size:22px;line-height:1.3;font-weight:600;color:#1f2328;margin:0 0 10px";
const HEADING: &str = "font-size:15px;font-weight:600;color:#1f2328;margin:22px 0 6px";
const TABLE: &str = "border-collapse:collapse;width:100%";
const LABEL: &str = "padding:2px 14px 2px 0;font-size:13px;font-weight:400;color:#57606a;white-space:nowrap";
const FACT: &str = "padding:2px 0;width:100%;font-size:14px;word-break:break-word";
const CELL: &str = "border-top:1px solid #d0d7de;padding:5px 12px 5px 0";
const ENTRY: &str = "border-top:1px solid #d0d7de;padding:8px 0 9px";
const QUIET: &str = "font-size:13px;color:#57606a";
const TIME: &str = "font-size:13px;color:#57606a;white-space:nowrap;font-variant-numeric:tabular-nums";
const NOTE: &str = "font-size:13px;color:#57606a;margin:3px 0 0";
const MARK: &str = "font-size:13px;font-weight:600;color:#953800;margin:3px 0 0";
const SAID: &str = "white-space:pre-wrap;unicode-bidi:plaintext;margin:3px 0 0";
const SOURCE: &str = "white-space:pre-wrap;margin:3px 0 0;padding:6px 8px;background:#f6f8fa;\
                      font:13px/1.45 Consolas,ui-monospace,Menlo,monospace";
const QUOTE: &str = "white-space:pre-wrap;unicode-bidi:plaintext;margin:3px 0 0;padding-left:10px;\
                     border-left:3px solid #d0d7de;color:#57606a";
const LINK: &str = "color:#0550ae;text-decoration:underline";

/// `view` as HTML.
pub fn html(view: &View) -> String {
    let title = escaped(&view.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light\">\n<title>{title}</title>\n</head>\n\
         <body style=\"margin:0;padding:0;background:#ffffff\">\n\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
         bgcolor=\"#ffffff\" style=\"{TABLE};{PAGE}\"><tr><td style=\"{PAGE}\">\n<div style=\"{COLUMN}\">\n\
         <h1 dir=\"auto\" style=\"{TITLE}\">{title}</h1>\n"
    );
    out.push_str(&format!("<table style=\"{TABLE}\">\n"));
    for (label, fact) in &view.facts {
        let label = format!("<th scope=\"row\" align=\"left\" valign=\"top\" style=\"{LABEL}\">{label}</th>");
        out.push_str(&format!("<tr>{label}<td valign=\"top\" style=\"{FACT}\">{}</td></tr>\n", isolated(fact)));
    }
    out.push_str("</table>\n");
    participants(view, &mut out);
    out.push_str(&format!("<h2 style=\"{HEADING}\">Messages</h2>\n<table role=\"presentation\" style=\"{TABLE}\">\n"));
    for entry in &view.entries {
        message(entry, view.sequence, &mut out);
    }
    out.push_str("</table>\n");
    if !view.present.is_empty() {
        let people: Vec<_> = view.present.iter().map(brief).collect();
        let heading = format!("Also present ({})", people.len());
        out.push_str(&format!("<h2 id=\"p{}\" style=\"{HEADING}\">{heading}</h2>\n", view.sequence));
        out.push_str(&format!("<div style=\"{CELL};{QUIET};color:#1f2328\">{}</div>\n", people.join(";\n")));
    }
    out.push_str(&format!(
        "<div style=\"{ENTRY};{QUIET}\">The attached transcript.json, whose SHA-256 stands above, holds the same, with \
         every field as it was received.</div>\n</div>\n</td></tr></table>\n</body>\n</html>\n"
    ));
    out
}

fn participants(view: &View, out: &mut String) {
    out.push_str(&format!("<h2 style=\"{HEADING}\">Participants</h2>\n<table style=\"{TABLE}\">\n"));
    for (who, deeds) in &view.participants {
        let who = format!(
            "<th scope=\"row\" align=\"left\" valign=\"top\" style=\"{CELL};font-weight:400\">{}</th>",
            full(who)
        );
        let deeds = deeds.join("<br>");
        out.push_str(&format!("<tr>{who}<td valign=\"top\" style=\"{CELL};{QUIET}\">{deeds}</td></tr>\n"));
    }
    out.push_str("</table>\n");
    if !view.present.is_empty() {
        let (number, link) =
            (view.present.len(), format!("<a href=\"#p{}\" style=\"{LINK}\">the end</a>", view.sequence));
        out.push_str(&format!("<div style=\"{CELL};{QUIET}\">{number} more were present: see {link}.</div>\n"));
    }
    if let Some(note) = &view.left_out {
        out.push_str(&format!("<div style=\"{MARK}\">{note}</div>\n"));
    }
}

fn message(entry: &Entry, sequence: i64, out: &mut String) {
    let action = entry.action.map(|action| format!(" <b>{action}</b>")).unwrap_or_default();
    out.push_str(&format!(
        "<tr><td id=\"{}\" style=\"{ENTRY}\">\n<div><span style=\"{TIME}\">{} &middot; {}</span> {}{action} \
         <span style=\"{QUIET}\">&middot; {}</span></div>\n",
        anchor(sequence, entry.number),
        entry.number,
        entry.at,
        full(&entry.who),
        isolated(&entry.id),
    ));
    if let Some((relation, target)) = &entry.about {
        match target {
            Target::Here { number, at, who, excerpt } => out.push_str(&format!(
                "<div style=\"{NOTE}\">{relation} {} of {at}, {}: {}</div>\n",
                link(sequence, *number),
                short(who),
                isolated(excerpt)
            )),
            Target::Quoted { name, who, text } => {
                out.push_str(&format!("<div style=\"{NOTE}\">{relation} {}, {}:</div>\n", full(who), isolated(name)));
                block(text, QUOTE, out);
            }
            Target::Named(name) => {
                out.push_str(&format!("<div style=\"{NOTE}\">{relation} {}</div>\n", isolated(name)));
            }
        }
    }
    for (action, number, at) in &entry.later {
        out.push_str(&format!("<div style=\"{MARK}\">{action} by {} at {at}</div>\n", link(sequence, *number)));
    }
    if let Some(text) = &entry.text {
        block(text, SAID, out);
    }
    if let Some(html) = &entry.html {
        out.push_str(&format!("<div style=\"{NOTE}\">as HTML:</div>\n"));
        block(html, SOURCE, out);
    }
    for file in &entry.files {
        out.push_str(&format!(
            "<div style=\"{NOTE}\">file <b>{}</b>: {}</div>\n",
            isolated(&file.name),
            isolated(&file.facts)
        ));
    }
    out.push_str("</td></tr>\n");
}

/// Paragraphs that people typed. A line break is an element because some programs know nothing of `pre-wrap`; each
/// starts a bidi paragraph of its own.
fn block(typed: &str, style: &str, out: &mut String) {
    out.push_str(&format!("<div dir=\"auto\" style=\"{style}\">"));
    out.push_str(&escaped(typed).replace('\n', "<br>"));
    out.push_str("</div>\n");
}

fn full(who: &Who) -> String {
    let kind = who.kind.map(|kind| format!(" <span style=\"{QUIET}\">({kind})</span>")).unwrap_or_default();
    let address = format!("<span style=\"{QUIET}\">{}</span>", isolated(&who.address));
    match &who.name {
        Some(name) => format!("<b>{}</b> {address}{kind}", isolated(name)),
        None => format!("<b>{}</b>{kind}", isolated(&who.address)),
    }
}

/// [`full`], for one of thousands.
fn brief(who: &Who) -> String {
    let name = who.name.as_ref().map(|name| format!("{} ", isolated(name))).unwrap_or_default();
    let kind = who.kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
    format!("{name}&lt;{}&gt;{kind}", isolated(&who.address))
}

fn short(who: &Who) -> String {
    isolated(who.name.as_ref().unwrap_or(&who.address))
}

fn link(sequence: i64, number: usize) -> String {
    format!("<a href=\"#{}\" style=\"{LINK}\">message {number}</a>", anchor(sequence, number))
}

/// One of a kind among all mails of an endpoint, for programs that show several on one page.
fn anchor(sequence: i64, number: usize) -> String {
    format!("m{sequence}-{number}")
}

/// A phrase that people typed, which does not reorder what stands around it.
fn isolated(typed: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(typed))
}

fn escaped(typed: &str) -> String {
    let mut escaped = String::with_capacity(typed.len());
    for c in typed.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
