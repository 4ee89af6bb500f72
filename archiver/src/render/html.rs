//! The HTML transcript: one column that reads well on a phone, on a screen and in print.
//!
//! Styles stand in the elements, since mail programs drop style sheets. Nothing is loaded from anywhere, and what
//! people typed is only ever text: escaped, in an element of its own that takes its direction from it.

use super::view::{Entry, Target, View, Who};

const BODY: &str =
    "margin:0;background:#fff;color:#202124;font:16px/1.5 system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif";
const COLUMN: &str = "max-width:44em;margin:0 auto;padding:24px 16px;overflow-wrap:anywhere";
const TITLE: &str = "font-size:22px;line-height:1.3;font-weight:600;margin:0 0 4px";
const HEADING: &str = "font-size:16px;font-weight:600;margin:28px 0 8px";
const QUIET: &str = "font-size:13px;color:#5f6368";
const NOTE: &str = "font-size:13px;color:#5f6368;margin:4px 0";
const ROW: &str = "border-top:1px solid #e4e6e9;padding:6px 0";
const ENTRY: &str = "border-top:1px solid #e4e6e9;padding:12px 0;break-inside:avoid";
const SAID: &str = "white-space:pre-wrap;unicode-bidi:plaintext;margin:4px 0";
const SOURCE: &str =
    "white-space:pre-wrap;margin:4px 0;padding:8px;background:#f6f7f8;font:13px/1.45 ui-monospace,Consolas,monospace";
const QUOTE: &str = "white-space:pre-wrap;margin:4px 0;padding-left:10px;border-left:3px solid #dadce0;color:#5f6368";
const MARK: &str = "font-size:13px;color:#8a3b00;margin:4px 0";
const LINK: &str = "color:#1a56b0;text-decoration:none";

/// `view` as HTML.
pub fn html(view: &View) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n</head>\n\
         <body style=\"{BODY}\">\n<div style=\"{COLUMN}\">\n<h1 dir=\"auto\" style=\"{TITLE}\">{}</h1>\n\
         <div style=\"{QUIET}\">{}<br>\n{}<br>\n{}</div>\n",
        escaped(&view.title),
        escaped(&view.title),
        isolated(&view.place),
        view.span,
        view.counts,
    );
    out.push_str(&format!("<h2 style=\"{HEADING}\">Participants</h2>\n"));
    for (who, deeds) in &view.participants {
        out.push_str(&format!(
            "<div style=\"{ROW}\">{}<br>\n<span style=\"{QUIET}\">{}</span></div>\n",
            full(who),
            deeds.join(" &middot; ")
        ));
    }
    if let Some(note) = &view.left_out {
        out.push_str(&format!("<div style=\"{MARK}\">{note}</div>\n"));
    }
    out.push_str(&format!("<h2 style=\"{HEADING}\">Messages</h2>\n"));
    for entry in &view.entries {
        message(entry, view.sequence, &mut out);
    }
    if !view.present.is_empty() {
        out.push_str(&format!("<h2 style=\"{HEADING}\">Also present ({})</h2>\n", view.present.len()));
        for who in &view.present {
            out.push_str(&format!("<div>{}</div>\n", full(who)));
        }
    }
    out.push_str(&format!(
        "<div style=\"{ROW};{QUIET};margin-top:28px\">Batch {}<br>\ntranscript.json holds the same, with every field as \
         it was received.</div>\n</div>\n</body>\n</html>\n",
        isolated(&view.batch)
    ));
    out
}

fn message(entry: &Entry, sequence: i64, out: &mut String) {
    let action = entry.action.map(|action| format!(" {action}")).unwrap_or_default();
    out.push_str(&format!(
        "<div id=\"{}\" style=\"{ENTRY}\">\n<div>{}{action}</div>\n<div style=\"{QUIET}\">{}. {} UTC &middot; {}</div>\n",
        anchor(sequence, entry.number),
        full(&entry.who),
        entry.number,
        entry.at,
        isolated(&entry.id),
    ));
    if let Some((relation, target)) = &entry.about {
        match target {
            Target::Here { number, who, excerpt } => out.push_str(&format!(
                "<div style=\"{NOTE}\">{relation} {} {}: {}</div>\n",
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
    for (action, number, at) in &entry.later {
        out.push_str(&format!("<div style=\"{MARK}\">{action} by {} at {at}</div>\n", link(sequence, *number)));
    }
    out.push_str("</div>\n");
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
