//! A server's reply (RFC 5321 4.2), taken from whatever bytes a server sends.

use std::{collections::VecDeque, fmt};

/// The longest line that is read. RFC 5321 4.5.3.1.5 allows 512 bytes; talkative servers send more.
const LINE_LIMIT: usize = 4096;

/// The most lines of one reply. The longest honest reply is that to EHLO, some 20 lines.
const LINES_LIMIT: usize = 100;

/// What a server answered: a code and some words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    lines: Vec<String>,
}

/// An enhanced status code (RFC 3463), such as 5.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced {
    /// 2, 4 or 5, as the reply's first digit.
    pub class: u16,
    /// What it is about: 3 is the mail system, 7 is policy.
    pub subject: u16,
    /// What exactly.
    pub detail: u16,
}

impl Reply {
    /// A reply of one line. The client makes one where asking the server would be a waste.
    pub fn new(code: u16, enhanced: Option<Enhanced>, words: &str) -> Self {
        Self { code, enhanced, lines: vec![words.to_owned()] }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, when the server gave one that agrees with the code.
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// What the server wrote in each line after the codes.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// 2xx: done.
    pub fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3xx: go on.
    pub fn is_go_on(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4xx: not now.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: never.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// 4xx or 5xx: no.
    pub fn is_refusal(&self) -> bool {
        self.is_transient() || self.is_permanent()
    }

    /// 421: the server closes the connection, whatever it was asked (RFC 5321 3.8).
    pub fn is_goodbye(&self) -> bool {
        self.code == 421
    }

    /// Whether the server said in so many words that the mail is too big. 5.2.2 is a full mailbox, which is another thing.
    pub fn is_too_big(&self) -> bool {
        matches!(
            self.enhanced,
            Some(Enhanced { class: 5, subject: 3, detail: 4 } | Enhanced { class: 5, subject: 2, detail: 3 })
        )
    }

    /// Whether the server said in so many words that it is the envelope sender that it refuses (RFC 3463 X.1.7, X.1.8).
    pub fn is_about_the_sender(&self) -> bool {
        self.code >= 400 && matches!(self.enhanced, Some(Enhanced { subject: 1, detail: 7 | 8, .. }))
    }

    /// Takes `secret` out of the words: a broken server may repeat what it was told.
    pub(super) fn redact(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.lines.iter_mut().for_each(|line| *line = line.replace(secret, "***"));
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        self.lines.iter().filter(|line| !line.is_empty()).try_for_each(|line| write!(f, " {line}"))
    }
}

impl Enhanced {
    /// 5.3.4: the mail is larger than the server takes.
    pub const TOO_BIG: Self = Self { class: 5, subject: 3, detail: 4 };

    /// Parses the beginning of a reply's text; returns what follows too.
    fn parse(text: &str, class: u16) -> Option<(Self, &str)> {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = first.split('.').map(|digits| {
            let short = matches!(digits.len(), 1..=3) && digits.bytes().all(|digit| digit.is_ascii_digit());
            if short { digits.parse::<u16>().ok() } else { None }
        });
        let code = Self { class: numbers.next()??, subject: numbers.next()??, detail: numbers.next()?? };
        (numbers.next().is_none() && code.class == class).then_some((code, rest))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the server's answer does not begin with a reply code")]
    Code,
    #[error("the lines of the server's answer have different codes")]
    Codes,
    #[error("the server's answer has a line of more than {LINE_LIMIT} bytes")]
    LongLine,
    #[error("the server's answer has more than {LINES_LIMIT} lines")]
    ManyLines,
}

/// Makes replies of bytes as they come. Holds never more than the limits.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: VecDeque<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl Reader {
    /// Takes bytes from the server.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Whether nothing was received beyond the replies that were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lines.is_empty()
    }

    /// The next reply, when it is there as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, Malformed> {
        while let Some(line) = self.next_line()? {
            let (code, last, text) = split(&line)?;
            if *self.code.get_or_insert(code) != code {
                return Err(Malformed::Codes);
            }
            self.lines.push(text);
            if last {
                self.code = None;
                return Ok(Some(reply(code, std::mem::take(&mut self.lines))));
            }
            if self.lines.len() >= LINES_LIMIT {
                return Err(Malformed::ManyLines);
            }
        }
        Ok(None)
    }

    /// A line without its end. A bare LF ends it too: what comes from a server cannot be smuggled anywhere.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        match self.bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
            Some(end) => {
                let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                Ok(Some(line))
            }
            None if self.bytes.len() >= LINE_LIMIT => Err(Malformed::LongLine),
            None => Ok(None),
        }
    }
}

/// The code of a line, whether it is a reply's last, and its text.
fn split(line: &[u8]) -> Result<(u16, bool, String), Malformed> {
    let (digits, rest) = line.split_at_checked(3).ok_or(Malformed::Code)?;
    let code = digits.iter().try_fold(0, |code: u16, digit| {
        digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')).ok_or(Malformed::Code)
    })?;
    // RFC 5321 4.2.1: no reply begins with 1, and no digit but these has a meaning.
    if !(200..600).contains(&code) {
        return Err(Malformed::Code);
    }
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(Malformed::Code),
    };
    Ok((code, last, String::from_utf8_lossy(text).into_owned()))
}

/// Puts a reply together. The enhanced code, which stands in every line (RFC 2034 4), is kept once.
fn reply(code: u16, mut lines: Vec<String>) -> Reply {
    let class = code / 100;
    let enhanced = lines.first().and_then(|line| Enhanced::parse(line, class)).map(|(enhanced, _)| enhanced);
    if enhanced.is_some() {
        for line in &mut lines {
            if let Some((same, rest)) = Enhanced::parse(line, class)
                && Some(same) == enhanced
            {
                *line = rest.to_owned();
            }
        }
    }
    Reply { code, enhanced, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
        let mut reader = Reader::default();
        reader.push(bytes);
        reader.next()
    }

    fn reply_of(bytes: &[u8]) -> Reply {
        read(bytes).expect("well-formed").expect("complete")
    }

    #[test]
    fn a_reply_of_many_lines_is_one_reply() {
        let reply = reply_of(b"550-5.1.1 No such user\r\n550 5.1.1 here\r\n");
        assert_eq!(reply.code(), 550);
        assert_eq!(reply.enhanced(), Some(Enhanced { class: 5, subject: 1, detail: 1 }));
        assert_eq!(reply.to_string(), "550 5.1.1 No such user here");
    }

    #[test]
    fn a_code_without_words_is_a_reply() {
        assert_eq!(reply_of(b"250\r\n").to_string(), "250");
        assert_eq!(reply_of(b"250 \n").lines(), [""]);
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_just_words() {
        for words in ["2.1.5 ok", "5.1 ok", "5.1.1.1 ok", "5..1 ok", "5.1.1000 ok", "5.1.+1 ok", "5.1.1ok"] {
            let reply = reply_of(format!("450 {words}\r\n").as_bytes());
            assert_eq!((reply.enhanced(), reply.lines()[0].as_str()), (None, words));
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        for garbage in
            ["HTTP/1.1 400 Bad Request\r\n", "25\r\n", "\r\n", "250_x\r\n", "199 x\r\n", "600 x\r\n", "2 0 x\r\n"]
        {
            assert_eq!(read(garbage.as_bytes()), Err(Malformed::Code), "{garbage:?}");
        }
        assert_eq!(read(b"250-a\r\n251 b\r\n"), Err(Malformed::Codes));
    }

    #[test]
    fn lines_that_do_not_end_are_malformed_as_soon_as_they_are_too_long() {
        assert_eq!(read(&[b'2'; LINE_LIMIT - 1]), Ok(None));
        assert_eq!(read(&[b'2'; LINE_LIMIT]), Err(Malformed::LongLine));
        assert_eq!(read(&b"250-x\r\n".repeat(LINES_LIMIT - 1)), Ok(None));
        let mut reader = Reader::default();
        reader.push(&b"250-x\r\n".repeat(2 * LINES_LIMIT));
        assert_eq!(reader.next(), Err(Malformed::ManyLines));
        assert_eq!(reader.next(), Err(Malformed::ManyLines), "asked again it does not go on");
    }

    #[test]
    fn words_that_are_no_utf_8_keep_their_code() {
        assert_eq!(reply_of(b"550 Empf\xe4nger unbekannt\r\n").to_string(), "550 Empf\u{fffd}nger unbekannt");
    }

    #[test]
    fn too_big_is_said_by_the_enhanced_code() {
        assert!(reply_of(b"552 5.3.4 too big\r\n").is_too_big());
        assert!(reply_of(b"554 5.2.3 too big\r\n").is_too_big());
        assert!(!reply_of(b"552 5.2.2 mailbox full\r\n").is_too_big());
        assert!(!reply_of(b"552 too big\r\n").is_too_big());
    }

    #[test]
    fn a_refused_sender_is_told_by_the_enhanced_code() {
        assert!(reply_of(b"550 5.1.8 no such domain\r\n").is_about_the_sender());
        assert!(reply_of(b"450 4.1.7 not an address\r\n").is_about_the_sender());
        assert!(!reply_of(b"550 5.1.1 no such user\r\n").is_about_the_sender());
        assert!(!reply_of(b"550 5.7.1 not you\r\n").is_about_the_sender());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut reader = Reader::default();
            reader.push(head);
            let early = reader.next();
            reader.push(tail);
            let pieces = match early {
                Ok(None) => reader.next(),
                early => early,
            };
            prop_assert_eq!(pieces, read(&bytes));
        }
    }
}
