//! The header of a mail: who, when, what, and the numbers by which an archive's content can be proved complete.
//!
//! mail-builder folds and encodes. It is trusted with names only after [`clean::header`], and with addresses only when
//! they are mailboxes; a header that it would otherwise make up (Date, Message-ID) is always given to it.

use imarchive_crds::{Address, FromHeader};
use mail_builder::{
    MessageBuilder,
    headers::{
        Header,
        address::{Address as Mailbox, EmailAddress},
        date::Date,
        message_id::MessageId,
        raw::Raw,
        text::Text,
    },
};

use super::{Form, Transcript, clean, roster::Participant};
use crate::{batch::Sealed, message::ConversationKind};

/// The most that the To header takes. Servers bound the header as a whole, some at 64 KiB and few below.
const TO_BYTES: usize = 64 * 1024;
/// The most that is written of a name.
const NAME: usize = 64;
/// RFC 5322 3.3: a year is 1900 or later.
const FIRST_DATE: i64 = -2_208_988_800;

/// The To header.
pub struct To {
    mailboxes: Vec<Mailbox<'static>>,
    /// How many participants had no room in it.
    pub left_out: usize,
}

/// As many of `roster` as have room, this endpoint's users first.
pub fn to(roster: &[Participant<'_>], form: &Form<'_>) -> To {
    let (ours, others): (Vec<_>, Vec<_>) = roster.iter().partition(|participant| (form.belongs)(participant.address));
    let everyone: Vec<_> =
        ours.into_iter().chain(others).map(|participant| Mailbox::Address(mailbox(participant, form.from))).collect();
    // How many bytes one takes depends on where the lines fold, so whole lists are measured.
    let (mut fit, mut too_many) = (0, everyone.len() + 1);
    while too_many - fit > 1 {
        let middle = fit.midpoint(too_many);
        if written(&everyone[..middle]) <= TO_BYTES { fit = middle } else { too_many = middle }
    }
    To { left_out: everyone.len() - fit, mailboxes: everyone.into_iter().take(fit).collect() }
}

/// The bytes of a To header with `mailboxes`.
fn written(mailboxes: &[Mailbox<'_>]) -> usize {
    let mut header = b"To: ".to_vec();
    let column = header.len();
    Mailbox::List(mailboxes.to_vec()).write_header(&mut header, column);
    header.len()
}

/// The header of the mail.
pub fn headers<'a>(
    sealed: &'a Sealed,
    transcript: &'a Transcript,
    roster: &[Participant<'_>],
    to: To,
    form: &Form<'a>,
) -> MessageBuilder<'a> {
    let service = EmailAddress { name: None, email: form.from.as_str().into() };
    let from = match (form.from_header, roster.first()) {
        (FromHeader::Participant, Some(first)) => mailbox(first, form.from),
        (FromHeader::Service, _) | (_, None) => service.clone(),
    };
    let mut headers = MessageBuilder::new()
        .date(Date::new(date(sealed)))
        .from(Mailbox::Address(from))
        .sender(Mailbox::Address(service))
        .to(Mailbox::List(to.mailboxes))
        .subject(clean::header(&subject(sealed, roster), 200))
        .message_id(MessageId::new(sealed.message_id.as_str()))
        // RFC 3834 5: nobody answers by himself what nobody wrote by himself.
        .header("Auto-Submitted", Raw::new("auto-generated"));
    if let Some(message_type) = form.message_type {
        headers = headers.header("X-GlobalRelay-MsgType", Text::new(clean::header(message_type, NAME)));
    }
    headers = headers
        .header("X-IMArchive-Endpoint", Raw::new(clean::token(&sealed.endpoint, 256)))
        .header("X-IMArchive-Batch", Raw::new(clean::token(&sealed.name(), 256)))
        .header("X-IMArchive-Sequence", Raw::new(sealed.sequence.to_string()))
        .header("X-IMArchive-Messages", Raw::new(sealed.messages.len().to_string()))
        .header("X-IMArchive-Conversation", Raw::new(conversation(sealed)))
        .header("X-IMArchive-Digest", Raw::new(transcript.digest.as_str()));
    if let Some(previous) = &sealed.previous_digest {
        headers = headers.header("X-IMArchive-Previous-Digest", Raw::new(previous.as_str()));
    }
    if let Some(replaces) = form.replaces {
        headers =
            headers.header("X-IMArchive-Replaces", Raw::new(format!("{} {}", replaces.sequence, replaces.digest)));
    }
    headers.header("MIME-Version", Raw::new("1.0"))
}

/// When the last message was said.
fn date(sealed: &Sealed) -> i64 {
    let said = sealed.messages.iter().map(|recorded| recorded.message.sent_at.as_second()).max();
    let taken = sealed.messages.iter().map(|recorded| recorded.received_at.as_second()).max();
    let stated = said.filter(|said| *said >= FIRST_DATE);
    stated.or(taken).unwrap_or(sealed.sealed_at.as_second()).max(FIRST_DATE)
}

/// `SOURCE/TYPE/ID`
fn conversation(sealed: &Sealed) -> String {
    let kind = match sealed.conversation.kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Room => "room",
    };
    format!("{}/{kind}/{}", clean::token(&sealed.source, 256), clean::token(&sealed.conversation.id, 512))
}

/// `Alice, Bob, Carol and 2 others in Trading floor: 12 messages`
fn subject(sealed: &Sealed, roster: &[Participant<'_>]) -> String {
    const NAMED: usize = 3;
    let (wrote, silent): (Vec<_>, Vec<_>) = roster.iter().partition(|participant| participant.messages > 0);
    let everyone = wrote.into_iter().chain(silent);
    let mut names: Vec<_> = everyone.take(NAMED).map(|participant| clean::line(&label(participant), 32)).collect();
    match roster.len().saturating_sub(NAMED) {
        0 => {}
        1 => names.push("1 other".to_owned()),
        others => names.push(format!("{others} others")),
    }
    let people = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    };
    let room = match sealed.conversation.kind {
        ConversationKind::Direct => String::new(),
        ConversationKind::Room => {
            let name =
                sealed.conversation.name.as_deref().map(|name| clean::line(name, 60)).filter(|name| !name.is_empty());
            format!(" in {}", name.unwrap_or_else(|| clean::line(&sealed.conversation.id, 60)))
        }
    };
    let count = sealed.messages.len();
    format!("{people}{room}: {count} message{}", if count == 1 { "" } else { "s" })
}

/// `participant` as a mailbox: where the address is none, it becomes the name of the service's.
fn mailbox(participant: &Participant<'_>, service: &Address) -> EmailAddress<'static> {
    let address = participant.address;
    // RFC 2047 5 forbids encoded words in addresses; parsers decode what looks like one there all the same.
    if address.is_mailbox() && !address.as_str().contains("=?") {
        let name = participant.names.last().map(|name| phrase(name)).filter(|name| !name.is_empty());
        EmailAddress { name: name.map(Into::into), email: address.as_str().to_owned().into() }
    } else {
        // Whole: it is the only place in the header that tells who this is.
        let name = clean::header(address.as_str(), usize::MAX);
        EmailAddress { name: Some(name.into()), email: service.as_str().to_owned().into() }
    }
}

/// As much of `name` as can be written as one quoted string or one encoded word.
///
/// Of a name in several words some programs make several words: Python's email keeps the line ends between them as
/// spaces, against RFC 2047 6.2.
fn phrase(name: &str) -> String {
    let fits = |phrase: &String| {
        let mut header = b"From: ".to_vec();
        let column = header.len();
        EmailAddress { name: Some(phrase.as_str().into()), email: "".into() }.write_header(&mut header, column);
        header.windows(2).filter(|bytes| bytes == b"=?").count() <= 1
    };
    (1..=NAME).rev().map(|max| clean::header(name, max)).find(fits).unwrap_or_default()
}

/// What people call `participant`.
fn label(participant: &Participant<'_>) -> String {
    let name = participant.names.last().map(|name| clean::line(name, NAME)).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| participant.address.to_string())
}
