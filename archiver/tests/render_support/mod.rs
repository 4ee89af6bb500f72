//! What the tests of rendering share: batches made of JSON, and two parsers that know nothing of the renderer.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use archiver::{
    batch::Sealed,
    message::{Message, Recorded},
    render::{Form, Transcript, mail, transcript},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use imarchive_crds::{Address, FromHeader};
use mail_parser::{HeaderValue, MessageParser, MessagePart, MimeHeaders};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The header, whatever was typed.
#[rustfmt::skip]
pub const EXPECTED: [&str; 16] = [
    "date", "from", "sender", "to", "subject", "message-id", "auto-submitted", "x-imarchive-endpoint",
    "x-imarchive-batch", "x-imarchive-sequence", "x-imarchive-messages", "x-imarchive-conversation",
    "x-imarchive-digest", "x-imarchive-previous-digest", "mime-version", "content-type",
];

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What ingest makes of `document`: each attachment's content (here not in base64) is taken out and measured.
pub fn recorded(mut document: Value) -> Recorded {
    let mut contents = Vec::new();
    for attachment in document.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
        let content = attachment.as_object_mut().and_then(|attachment| attachment.remove("content"));
        let content: Option<Vec<u8>> = content.map(|content| match content {
            Value::String(text) => text.into_bytes(),
            bytes => serde_json::from_value(bytes).expect("bytes"),
        });
        if let Some(content) = &content {
            attachment["size"] = json!(content.len());
            attachment["sha256"] = json!(sha256(content));
        }
        contents.push(content);
    }
    let message: Message = serde_json::from_value(document.clone()).expect("a message");
    let received_at = message.sent_at + std::time::Duration::from_millis(1250);
    Recorded { seq: 0, received_at, message, document, contents }
}

pub fn sealed(documents: Vec<Value>) -> (Sealed, Transcript) {
    let messages: Vec<_> = documents.into_iter().map(recorded).collect();
    let last = messages.last().expect("a message").clone();
    let source = last.message.source.clone();
    let conversation = last.message.conversation.clone();
    let transcript = transcript("journal", &source, &conversation, &messages);
    let sealed = Sealed {
        endpoint: "journal".to_owned(),
        sequence: 17,
        digest: transcript.digest.clone(),
        previous_digest: Some("0".repeat(64)),
        message_id: "5b6c7d8e9fa0b1c2d3e4f5@acme.example".to_owned(),
        sealed_at: last.received_at,
        source,
        conversation,
        messages,
    };
    (sealed, transcript)
}

pub fn service() -> Address {
    address("archive@acme.example")
}

pub fn ours(address: &Address) -> bool {
    address.domain() == "acme.example"
}

/// The mail of `sealed` for an ordinary endpoint.
pub fn rendered(sealed: &Sealed, transcript: &Transcript) -> Vec<u8> {
    let (from, earlier) = (service(), BTreeMap::new());
    let form = Form {
        from: &from,
        from_header: FromHeader::Participant,
        message_type: None,
        belongs: &ours,
        replaces: None,
        earlier: &earlier,
    };
    mail(sealed, transcript, &form)
}

/// RFC 5322 2.1.1 and 2.3: what a server may refuse or alter when it has no extension.
pub fn assert_plain(mail: &[u8]) {
    assert!(mail.is_ascii(), "8-bit");
    assert!(!mail.contains(&0), "NUL");
    assert!(mail.ends_with(b"\r\n"), "the last line has no end");
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a bare line feed");
        assert!(!line.contains(&b'\r'), "a bare carriage return");
        assert!(line.len() <= 998, "{} bytes", line.len());
    }
}

/// A mail as a parser sees it.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Parsed {
    /// The names of all header fields, in lower case and in order.
    pub headers: Vec<String>,
    /// The fields whose names begin with X-.
    pub marks: BTreeMap<String, String>,
    pub from: Vec<(String, String)>,
    pub sender: Vec<(String, String)>,
    pub to: Vec<(String, String)>,
    pub subject: String,
    pub date: i64,
    pub message_id: String,
    pub parts: Vec<Part>,
    pub text: String,
    pub html: String,
    pub json: String,
    /// What the parser found wrong.
    pub defects: Vec<String>,
}

/// A part that has no parts.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    pub media_type: String,
    pub disposition: String,
    pub name: String,
    pub sha256: String,
}

/// Python's `email` with its default policy, in a process of its own.
pub struct Python {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render_support/parse.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, input, output }
    }

    pub fn parse(&mut self, mail: &[u8]) -> Parsed {
        let mut line = String::new();
        writeln!(self.input, "{}", mail.len()).and_then(|()| self.input.write_all(mail)).expect("python3 reads");
        self.input.flush().expect("python3 reads");
        self.output.read_line(&mut line).expect("python3 answers");
        serde_json::from_str(&line).expect("python3 could not parse the mail: see its traceback")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// mail-parser.
pub fn mail_parser(mail: &[u8]) -> Parsed {
    let message = MessageParser::default().parse(mail).expect("a mail");
    let mailboxes = |address: Option<&mail_parser::Address<'_>>| {
        let list = address.and_then(|address| address.as_list()).expect("a list").iter();
        list.map(|one| (one.name().unwrap_or_default().to_owned(), one.address().unwrap_or_default().to_owned()))
            .collect()
    };
    let text = |value: &HeaderValue<'_>| value.as_text().unwrap_or_default().to_owned();
    let leaves: Vec<_> = message.parts.iter().filter(|part| !part.is_multipart()).collect();
    Parsed {
        headers: message.headers().iter().map(|header| header.name().to_lowercase()).collect(),
        marks: message
            .headers()
            .iter()
            .filter(|header| header.name().to_lowercase().starts_with("x-"))
            .map(|header| (header.name().to_lowercase(), text(header.value())))
            .collect(),
        from: mailboxes(message.from()),
        sender: mailboxes(message.sender()),
        to: mailboxes(message.to()),
        subject: message.subject().unwrap_or_default().to_owned(),
        date: message.date().expect("a date").to_timestamp(),
        message_id: format!("<{}>", message.message_id().unwrap_or_default()),
        parts: leaves.iter().map(|leaf| part(leaf, mail)).collect(),
        text: leaves[0].text_contents().unwrap_or_default().replace("\r\n", "\n"),
        html: leaves[1].text_contents().unwrap_or_default().replace("\r\n", "\n"),
        json: String::from_utf8(leaves[2].contents().to_vec()).expect("UTF-8"),
        defects: leaves.iter().filter(|leaf| leaf.is_encoding_problem).map(|leaf| format!("{leaf:?}")).collect(),
    }
}

fn part(leaf: &MessagePart<'_>, mail: &[u8]) -> Part {
    let media_type = leaf.content_type().expect("a type");
    let subtype = media_type.subtype().unwrap_or_default();
    // A text is decoded by its charset, which loses bytes that do not fit: take a file's from the mail itself.
    let content = match leaf.is_text() && leaf.content_disposition().is_some() {
        true => {
            let raw = &mail[leaf.raw_body_offset() as usize..leaf.raw_end_offset() as usize];
            let digits: Vec<u8> = raw.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(digits).expect("base64")
        }
        false => leaf.contents().to_vec(),
    };
    Part {
        media_type: format!("{}/{}", media_type.ctype(), subtype).to_lowercase(),
        disposition: leaf.content_disposition().map(|value| value.ctype().to_owned()).unwrap_or_default(),
        name: leaf.attachment_name().unwrap_or_default().to_owned(),
        sha256: sha256(&content),
    }
}

const DIFFERENT: &str = "mail-parser (left) and Python (right) see different mails";

/// What both parsers see in `mail`, once they agree.
pub fn agreed(mail: &[u8], python: &mut Python) -> Parsed {
    let (mut ours, mut theirs) = (mail_parser(mail), python.parse(mail));
    for parsed in [&mut ours, &mut theirs] {
        // Python 3.11 keeps the white space between two encoded words of one name. Only addresses that are no mailbox
        // are written whole whatever their length: what else is a name fits into one word.
        let long = |name: &str| name.contains('@') && (name.len() > 42 || !name.is_ascii());
        for (name, _) in parsed.from.iter_mut().chain(&mut parsed.to).filter(|(name, _)| long(name)) {
            name.retain(|c| !c.is_whitespace());
        }
    }
    assert_eq!(theirs.defects, Vec::<String>::new());
    // Field by field first: the difference is then to be found.
    assert_eq!(ours.headers, theirs.headers, "{DIFFERENT}");
    assert_eq!(ours.marks, theirs.marks, "{DIFFERENT}");
    assert_eq!((&ours.from, &ours.to), (&theirs.from, &theirs.to), "{DIFFERENT}");
    assert_eq!((&ours.subject, &ours.date), (&theirs.subject, &theirs.date), "{DIFFERENT}");
    assert_eq!(ours.parts, theirs.parts, "{DIFFERENT}");
    assert!(ours == theirs, "{DIFFERENT}");
    ours
}
