//! The parts of a mail: readable transcripts, `transcript.json`, files.
//!
//! Three things are not left to mail-builder. Its boundaries hold the time and a random number, so they are given: each
//! holds the digest, which nobody can have typed into what it is the digest of. It writes a file of a text type as it
//! is when that looks like lines, bare carriage returns and NULs included, so files are handed to it in base64. And
//! `transcript.json` goes the same way, because its digest is over its very bytes.

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_builder::{
    MessageBuilder,
    headers::content_type::ContentType,
    mime::{BodyPart, MimePart},
};

use super::{
    Transcript,
    files::{File, MediaType, TRANSCRIPT},
};

/// The body of the mail.
pub fn body(transcript: &Transcript, text: String, html: String, files: &[Vec<File<'_>>]) -> MimePart<'static> {
    let readable = vec![MimePart::new("text/plain", text), MimePart::new("text/html", html)];
    let json = MediaType { essence: "application/json".to_owned(), charset: None };
    let mut parts = vec![
        MimePart::new(multipart("multipart/alternative", "alternative", transcript), readable),
        attachment(&json, TRANSCRIPT, &transcript.json),
    ];
    for file in files.iter().flatten() {
        if let Some(content) = file.content {
            parts.push(attachment(&file.media_type, &file.name, content));
        }
    }
    MimePart::new(multipart("multipart/mixed", "mixed", transcript), parts)
}

/// The bytes of the mail.
pub fn serialize(headers: MessageBuilder<'_>, body: MimePart<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    headers.body(body).serialize(&mut bytes);
    bytes
}

/// RFC 2045 6.7 and 6.8: neither quoted-printable nor base64 can hold `=_`.
fn multipart(essence: &'static str, name: &str, transcript: &Transcript) -> ContentType<'static> {
    let digest: String = transcript.digest.chars().take(32).collect();
    ContentType::new(essence).attribute("boundary", format!("=_{name}_{digest}"))
}

fn attachment(media_type: &MediaType, name: &str, content: &[u8]) -> MimePart<'static> {
    let mut content_type = ContentType::new(media_type.essence.clone());
    if let Some(charset) = &media_type.charset {
        content_type = content_type.attribute("charset", charset.clone());
    }
    MimePart::new(content_type, BodyPart::Binary(base64(content).into()))
        .attachment(name.to_owned())
        .transfer_encoding("base64")
}

/// RFC 2045 6.8: lines of 76 characters, which are 57 bytes each.
fn base64(content: &[u8]) -> Vec<u8> {
    let mut lines = String::with_capacity(content.len() / 57 * 78 + 78);
    for line in content.chunks(57) {
        STANDARD.encode_string(line, &mut lines);
        lines.push_str("\r\n");
    }
    lines.into_bytes()
}
