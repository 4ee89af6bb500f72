//! A letter as a mail: headers that programs understand, plain text and HTML.

use std::time::{Duration, SystemTime};

use imarchive_crds::Address;
use jiff::Timestamp;
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{letter::Letter, page, words::words};

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// The mail to `to`, sent at `now`. An error is a sentence's end.
pub fn message(letter: &Letter, from: &Address, to: &[lettre::Address], now: Timestamp) -> Result<Message, String> {
    let words = words(letter);
    let id = |name: String| format!("<{name}@{}>", from.domain());
    let sender = mailbox(from).ok_or_else(|| "notify.from is no mailbox".to_owned())?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_second().unsigned_abs());
    let mut builder = Message::builder()
        .from(Mailbox::new(Some("imarchive".to_owned()), sender))
        .date(date)
        .message_id(Some(id(letter.id())))
        .references(id(letter.thread()))
        // Nobody's absence is to answer it.
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .subject(words.subject.clone());
    for address in to {
        builder = builder.to(Mailbox::new(None, address.clone()));
    }
    let body = MultiPart::alternative_plain_html(page::plain(&words), page::html(&words));
    builder.multipart(body).map_err(|error| format!("the mail cannot be made: {error}"))
}

/// The address as a mail program knows it, unless it is none for those.
pub(super) fn mailbox(address: &Address) -> Option<lettre::Address> {
    lettre::Address::new(address.local(), address.domain()).ok().filter(|_| address.is_mailbox())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::letter::tests::{letter_of, outage};

    fn text() -> String {
        let mut retry = outage(false);
        retry["log"][2]["message"] = "550 Größe\r\nBcc: eve@example.org".into();
        let letter = letter_of(retry).expect("a letter");
        let from = Address::parse("imarchive@ops.example").expect("an address");
        let to: Vec<_> = letter.administrators.iter().filter_map(mailbox).collect();
        let message = message(&letter, &from, &to, Timestamp::from_second(1_790_000_000).expect("in range"));
        String::from_utf8(message.expect("a mail").formatted()).expect("ASCII")
    }

    #[test]
    fn a_mail_is_plain_ascii_in_short_lines_and_says_that_a_program_wrote_it() {
        let text = text();
        assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        for line in [
            "From: imarchive <imarchive@ops.example>\r\n",
            "To: compliance@acme.example\r\n",
            "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "MIME-Version: 1.0\r\n",
        ] {
            assert!(text.contains(line), "{line} is missing: {text}");
        }
        assert!(text.contains("Content-Type: multipart/alternative;"), "{text}");
    }

    #[test]
    fn a_servers_words_reach_no_header() {
        let text = text();
        let (headers, _) = text.split_once("\r\n\r\n").expect("headers");
        assert!(!headers.contains("eve") && !headers.contains("550"), "{headers}");
        assert_eq!(headers.matches("Message-ID: <").count(), 1);
    }
}
