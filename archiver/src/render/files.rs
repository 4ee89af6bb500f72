//! Files: what the messages attached, with names and media types that a mail can carry.

use std::collections::HashMap;

use super::{clean, transcript::sha256};
use crate::message::{Attachment, Recorded};

/// The name of the part that every mail has; no attachment may pose as it.
pub const TRANSCRIPT: &str = "transcript.json";

/// An attachment.
pub struct File<'a> {
    /// The name as its sender typed it.
    pub typed: Option<&'a str>,
    /// Its name in the mail: one of a kind, if its content is there.
    pub name: String,
    /// Its media type in the mail.
    pub media_type: MediaType,
    /// Bytes, when known.
    pub size: Option<u64>,
    /// Lower-case hex SHA-256, when known.
    pub sha256: Option<String>,
    /// What is in it, unless the source handed none in.
    pub content: Option<&'a [u8]>,
}

/// A media type without parameters, but for a text's charset.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype`
    pub essence: String,
    /// Of a text, when stated.
    pub charset: Option<String>,
}

/// The files of each message.
pub fn files(messages: &[Recorded]) -> Vec<Vec<File<'_>>> {
    let mut taken = HashMap::from([(TRANSCRIPT.to_owned(), 2)]);
    messages
        .iter()
        .map(|recorded| {
            let contents = recorded.contents.iter().map(Option::as_deref).chain(std::iter::repeat(None));
            recorded
                .message
                .attachments
                .iter()
                .zip(contents)
                .map(|(stated, content)| file(stated, content, &mut taken))
                .collect()
        })
        .collect()
}

fn file<'a>(stated: &'a Attachment, content: Option<&'a [u8]>, taken: &mut HashMap<String, usize>) -> File<'a> {
    let name = file_name(stated.name.as_deref().unwrap_or_default());
    File {
        typed: stated.name.as_deref(),
        name: if content.is_some() { unique(&name, taken) } else { name },
        media_type: media_type(stated.media_type.as_deref().unwrap_or_default()),
        size: stated.size.or_else(|| content.map(|content| content.len() as u64)),
        sha256: stated.sha256.clone().or_else(|| content.map(sha256)),
        content,
    }
}

/// `typed` without what names a folder, a device or a pattern somewhere, its extension kept.
fn file_name(typed: &str) -> String {
    let name = clean::header(typed, usize::MAX);
    let name: String = name.chars().map(|c| if r#"/\:*?"<>|"#.contains(c) { '_' } else { c }).collect();
    // A name that begins with a dot is hidden on Unix; one that ends with a dot or a space is another on Windows.
    let name = name.trim_matches([' ', '.']);
    if name.is_empty() {
        return "file".to_owned();
    }
    let (stem, extension) = split(name);
    format!("{}{}", clean::line(stem, 120), extension)
}

/// `name` at its last dot, when what follows has the length of an extension.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 12 => name.split_at(dot),
        _ => (name, ""),
    }
}

fn unique(name: &str, taken: &mut HashMap<String, usize>) -> String {
    let (stem, extension) = split(name);
    let folded = name.to_lowercase();
    let mut unique = name.to_owned();
    let mut number = taken.get(&folded).copied().unwrap_or(2);
    while taken.contains_key(&unique.to_lowercase()) {
        unique = format!("{stem} ({number}){extension}");
        number += 1;
    }
    taken.insert(unique.to_lowercase(), 2);
    // Where to go on: a message may attach a great many files without a name.
    taken.insert(folded, number);
    unique
}

/// What the source states if it is well-formed; a container of parts or mails is bytes here, lest it is taken apart.
fn media_type(stated: &str) -> MediaType {
    let (essence, parameters) = stated.split_once(';').unwrap_or((stated, ""));
    let essence = essence.trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) && kind != "multipart" && kind != "message" => {
            MediaType { charset: (kind == "text").then(|| charset(parameters)).flatten(), essence }
        }
        _ => MediaType { essence: "application/octet-stream".to_owned(), charset: None },
    }
}

fn charset(parameters: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case("charset") && is_token(value)).then(|| value.to_ascii_lowercase())
    })
}

/// A restricted name of RFC 6838 4.2: what registered types and charsets are made of.
fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_harmless() {
        for (typed, name) in [
            ("a.pdf", "a.pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("C:\\x\r\nBcc: y.txt", "C__x Bcc_ y.txt"),
            ("=?utf-8?q?a?=.pdf", "= _utf-8_q_a_=.pdf"),
            ("gpj.\u{202e}exe", "gpj.exe"),
            ("\u{5d3}\u{5d5}\u{5d7}.pdf", "\u{5d3}\u{5d5}\u{5d7}.pdf"),
            (" .. ", "file"),
            ("", "file"),
        ] {
            assert_eq!(file_name(typed), name, "{typed:?}");
        }
        let long = file_name(&("x".repeat(5000) + ".docx"));
        assert!(long.ends_with(".docx") && long.chars().count() < 140, "{long}");
    }

    #[test]
    fn no_two_files_have_one_name_and_none_is_the_transcript() {
        let mut taken = HashMap::from([(TRANSCRIPT.to_owned(), 2)]);
        let names: Vec<_> =
            ["a.pdf", "A.pdf", "Transcript.json", "file", "file"].iter().map(|name| unique(name, &mut taken)).collect();
        assert_eq!(names, ["a.pdf", "A (2).pdf", "Transcript (2).json", "file", "file (2)"]);
    }

    #[test]
    fn media_types_are_plain_ones() {
        let plain = |essence: &str| MediaType { essence: essence.to_owned(), charset: None };
        for (stated, essence) in [
            ("application/pdf", "application/pdf"),
            ("Image/SVG+xml", "image/svg+xml"),
            ("application/json; charset=utf-8", "application/json"),
            ("multipart/mixed; boundary=x", "application/octet-stream"),
            ("message/rfc822", "application/octet-stream"),
            ("text/plain\r\nBcc: x", "application/octet-stream"),
            ("text", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(media_type(stated), plain(essence), "{stated:?}");
        }
        assert_eq!(media_type("text/csv; Charset=\"ISO-8859-1\"").charset.as_deref(), Some("iso-8859-1"));
        assert_eq!(media_type("text/csv; charset=\"a\r\nb\"").charset, None);
    }
}
