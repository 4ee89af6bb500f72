//! From a body to entries that may be stored: every message parsed, checked and routed, or a problem that names each fault.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use imarchive_crds::hex;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    FieldError, Kind, Problem,
    body::Form,
    json::{self, Element, Malformed},
};
use crate::{
    canonical,
    message::{self, ConversationKind, Message},
    route::Table,
    spool::append::{Entry, Group},
};

/// The most text and HTML of one message, together.
const TEXT: usize = 1 << 20;
/// The most messages of one request.
const MESSAGES: usize = 100_000;
/// The most that is said of one fault: it may repeat what was sent.
const DETAIL: usize = 300;
/// The most participants of one message.
const PEOPLE: usize = 10_000;
/// The most attachments of one message.
const ATTACHMENTS: usize = 100;
/// The longest id or name.
const NAME: usize = 1024;
/// The longest name of a source: it is a client's name as well.
const SOURCE: usize = 63;

/// The entries of a body, whose caller may send `sources`.
pub fn entries(bytes: &[u8], form: Form, table: &Table, sources: &BTreeSet<String>) -> Result<Vec<Entry>, Problem> {
    let elements = json::elements(bytes, form.lines, MESSAGES + 1).map_err(|error| malformed(None, error))?;
    if elements.is_empty() {
        return Err(Problem::new(Kind::InvalidMessage, "the request holds no message"));
    }
    if elements.len() > MESSAGES {
        return Err(Problem::new(Kind::TooLarge, format!("a request has at most {MESSAGES} messages")));
    }
    let mut entries = Vec::with_capacity(elements.len());
    let mut errors = Vec::new();
    let mut forbidden = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let value = json::parse(element).map_err(|error| malformed(Some(index), error))?;
        match entry(value, table) {
            Ok(entry) if !sources.contains(&entry.source) => {
                forbidden.push(Fault::new("/source", foreign(&entry.source)).at(index, element));
            }
            Ok(entry) => entries.push(entry),
            Err(faults) => errors.extend(faults.into_iter().map(|fault| fault.at(index, element))),
        }
    }
    if errors.is_empty() && forbidden.is_empty() {
        return Ok(entries);
    }
    if errors.is_empty() {
        let detail = "a message of the request is of a source that is not the caller's; nothing of it was kept";
        return Err(Problem::new(Kind::SourceForbidden, detail).with_errors(forbidden));
    }
    let detail = format!("{} of the request's messages are not valid; nothing of it was kept", errors.len());
    Err(Problem::new(Kind::InvalidMessage, detail).with_errors(errors))
}

/// What is said of a source that is not the caller's.
pub fn foreign(source: &str) -> String {
    format!("this caller may not speak for the source {source:?}")
}

fn malformed(index: Option<usize>, mut error: Malformed) -> Problem {
    shorten(&mut error.detail);
    let detail = format!("line {}: {}", error.line, error.detail);
    let place = FieldError { index, line: Some(error.line), pointer: String::new(), detail: error.detail };
    Problem::new(Kind::MalformedJson, detail).with_errors([place])
}

/// What is wrong with one field.
#[derive(Debug)]
struct Fault {
    pointer: String,
    detail: String,
}

impl Fault {
    fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (mut pointer, mut detail) = (pointer.into(), detail.into());
        shorten(&mut pointer);
        shorten(&mut detail);
        Self { pointer, detail }
    }

    fn at(self, index: usize, element: Element<'_>) -> FieldError {
        FieldError { index: Some(index), line: Some(element.line), pointer: self.pointer, detail: self.detail }
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(DETAIL) {
        text.truncate(end);
        text.push('…');
    }
}

fn entry(mut value: Value, table: &Table) -> Result<Entry, Vec<Fault>> {
    let broken = |error: serde_json::Error| vec![Fault::new("", error.to_string())];
    let written = serde_json::to_vec(&value).map_err(broken)?;
    let digest = canonical::digest(&value, &written).map_err(broken)?;
    // Without attachments nothing is taken out or put in; with them the text is large, and not needed any more.
    let whole = value.get("attachments").is_none().then_some(written);
    let contents = take_contents(&mut value)?;
    let document = whole.map_or_else(|| serde_json::to_vec(&value).map_err(broken), Ok)?;
    let message = Message::deserialize(value).map_err(|error| vec![unreadable(&document, &error)])?;
    let faults = faults(&message);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Entry {
        group: Group::of(&message),
        route: table.route(&message),
        source: message.source,
        id: message.id,
        digest,
        document,
        contents,
    })
}

/// Where the fault is, is found only now that there is one. `a.b[2]` of serde becomes `/a/b/2`.
fn unreadable(document: &[u8], error: &serde_json::Error) -> Fault {
    let again =
        serde_json::from_slice(document).map(|value: Value| serde_path_to_error::deserialize::<_, Message>(&value));
    let Ok(Err(error)) = again else { return Fault::new("", error.to_string()) };
    let mut pointer = String::new();
    for segment in error.path() {
        use serde_path_to_error::Segment;
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    Fault::new(pointer, error.inner().to_string())
}

/// Takes the attachments' content out of the document, and puts in what is known of it.
fn take_contents(value: &mut Value) -> Result<Vec<Option<Vec<u8>>>, Vec<Fault>> {
    let Some(Value::Array(attachments)) = value.get_mut("attachments") else { return Ok(Vec::new()) };
    let mut contents = Vec::with_capacity(attachments.len());
    let mut faults = Vec::new();
    for (index, attachment) in attachments.iter_mut().enumerate() {
        let field = |name: &str| format!("/attachments/{index}/{name}");
        let Some(attachment) = attachment.as_object_mut() else {
            faults.push(Fault::new(format!("/attachments/{index}"), "an attachment is an object"));
            continue;
        };
        let content = match attachment.remove("content") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match BASE64_STANDARD.decode(text) {
                Ok(content) => Some(content),
                Err(error) => {
                    faults.push(Fault::new(field("content"), format!("the content is not base64: {error}")));
                    None
                }
            },
            Some(_) => {
                faults.push(Fault::new(field("content"), "the content is a string of base64"));
                None
            }
        };
        if let Some(content) = &content {
            let sha256 = hex(&Sha256::digest(content));
            let size = content.len();
            if attachment.get("size").is_some_and(|given| !given.is_null() && given.as_u64() != Some(size as u64)) {
                faults.push(Fault::new(field("size"), format!("the content has {size} bytes")));
            }
            let given = attachment.get("sha256").filter(|given| !given.is_null());
            if given.is_some_and(|given| !given.as_str().is_some_and(|given| given.eq_ignore_ascii_case(&sha256))) {
                faults.push(Fault::new(field("sha256"), "the content has another SHA-256"));
            }
            attachment.insert("size".to_owned(), size.into());
            attachment.insert("sha256".to_owned(), sha256.into());
        }
        contents.push(content);
    }
    if faults.is_empty() { Ok(contents) } else { Err(faults) }
}

fn faults(message: &Message) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut name = |pointer: &str, text: &str, longest: usize| {
        if text.is_empty() || text.len() > longest {
            faults.push(Fault::new(pointer, format!("has 1 to {longest} bytes")));
        } else if text.chars().any(char::is_control) {
            faults.push(Fault::new(pointer, "holds a control character"));
        }
    };
    name("/source", &message.source, SOURCE);
    name("/id", &message.id, NAME);
    name("/conversation/id", &message.conversation.id, NAME);
    if let Some(refers_to) = &message.refers_to {
        name("/refersTo", refers_to, NAME);
    }
    let people = || std::iter::once(&message.sender).chain(&message.recipients);
    if message.conversation.kind == ConversationKind::Direct {
        let mut addresses: Vec<_> = people().map(|person| &person.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.len() != 2 {
            faults.push(Fault::new("/recipients", "a direct chat has exactly two distinct addresses"));
        }
    }
    if message.recipients.len() >= PEOPLE {
        faults.push(Fault::new("/recipients", format!("a message has at most {PEOPLE} participants")));
    }
    if message.attachments.len() > ATTACHMENTS {
        faults.push(Fault::new("/attachments", format!("a message has at most {ATTACHMENTS} attachments")));
    }
    let text = message.text.as_ref().map_or(0, String::len) + message.html.as_ref().map_or(0, String::len);
    if text > TEXT {
        faults.push(Fault::new("/text", format!("text and html have at most {TEXT} bytes together")));
    }
    faults.extend(missing(message).map(|(pointer, detail)| Fault::new(pointer, detail)));
    faults
}

/// What a message of its kind must have.
fn missing(message: &Message) -> Option<(&'static str, &'static str)> {
    use message::Kind::{Delete, Edit, File, Join, Leave, Message as Said};
    let says = message.text.is_some() || message.html.is_some();
    match message.kind {
        Said if !says && message.attachments.is_empty() => Some(("/text", "a message has text, html or attachments")),
        Edit if message.refers_to.is_none() => Some(("/refersTo", "an edit names what it edits")),
        Edit if !says => Some(("/text", "an edit has text or html")),
        Delete if message.refers_to.is_none() => Some(("/refersTo", "a delete names what it deletes")),
        File if message.attachments.is_empty() => Some(("/attachments", "a file has attachments")),
        Said | Edit | Delete | Join | Leave | File => None,
    }
}

#[cfg(test)]
mod tests;
