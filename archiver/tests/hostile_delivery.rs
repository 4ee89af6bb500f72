//! A great many hostile messages, delivered: what comes out of the connection is the mails that were meant, and no more.
//!
//! 100,000 messages, which a random number chooses; a million with `IMARCHIVE_FAULTS=full`. A failure names the number of
//! its batch, by which it is made again.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
mod render_support;
#[path = "support/scripted.rs"]
mod scripted;

use archive::{HOST, PORT, envelope, open};
use certificates::Authority;
use imarchive_crds::Address;
use render_support::{EXPECTED, Python, agreed, assert_plain, mail_parser, rendered, sealed, sha256};
use scripted::{Host, Listener};
use serde_json::{Map, Value, json};

/// Messages in a mail, at most.
const BATCH: u64 = 50;
/// Mails in a session.
const SESSION: u64 = 40;
/// One mail of so many is read by Python too, which takes longer.
const SAMPLE: u64 = 10;

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "\r\nBcc: evil@x.example\r\n\r\n<b>body</b>", "\r", "\n", "\0", "\r\n.\r\n", "\n.\n", "\r\n.\r\nMAIL FROM:<x@x.example>\r\n",
    "\nFrom x\n", "From nobody Mon Nov 23 09:15:02 2026\n", ".", "..", "\r.\r", "\n.\r\n", "\r\n\r\n", "\n\n", "\x0b", "\x0c", "\x08", "\x1b[31m",
    "\x07", "\x7f", "\u{80}", "\u{85}", "\u{9f}", "\u{a0}", "\u{ad}", "=?utf-8?q?=0D=0ABcc:_evil=40x.example?=",
    "=?utf-8?b?DQpCY2M6IHg=?=", "=?", "?=", "=?utf-8?q?a", "=?us-ascii*en?q?a?=", "=0D=0A", "=\r\n", "=", "==", "AAAA=AAA", "aGVsbG8",
    "aGVs\r\nbG8=", "--=_mixed_", "--=_alternative_0\r\n", "Content-Type: text/html\r\n\r\n", "\u{202e}", "\u{202d}", "\u{2066}",
    "\u{2069}", "\u{200e}", "\u{200f}", "\u{061c}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}",
    "\u{fffe}", "\u{ffff}", "\u{fffd}", "\u{fff9}", "\u{e000}", "\u{10ffff}", "\u{e0041}", "\u{0301}\u{0302}\u{0303}", "\t", "  ", "\"", "\\", "\\\"",
    ",", ";", ":", "<", ">", "(", "@", "[", "<script>alert(1)</script>", "<!--", "</div></table>", "&lt;", "&#13;&#10;", "שלום", "مرحبا",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦", "日本語のとても長い名前です", "🏴\u{e0067}\u{e0062}\u{e007f}",
];
const LOCALS: &[&str] =
    &["alice", "bob", "o'neill", "a..b", r"\9", "[x]", "a,b", "zoë", "=?utf-8?q?x?=", "x\"y", "<bcc>", "用户"];
const NAMES: &[&str] = &[
    "a.pdf",
    "../../etc/passwd",
    "C:\\x\r\nBcc: y.txt",
    "=?utf-8?q?a?=.pdf",
    "gpj.\u{202e}exe",
    "transcript.json",
    "",
    " .. ",
    "CON",
    "a\0b.\u{200b}txt",
];
const TYPES: &[&str] = &[
    "text/plain",
    "text/plain; charset=utf-16",
    "text/html; charset=\"x\r\ny\"",
    "multipart/mixed; boundary=x",
    "message/rfc822",
    "application/pdf",
    "text/plain\r\nBcc: x@x.example",
    "*/*",
    "image/svg+xml; name=\"a\\\"b\"",
    "application/x-\u{e9}",
];

/// SplitMix64: enough to choose by, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }

    /// What people and programs type to see what happens.
    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.roll(7) {
            match self.roll(12) {
                0 => (0..self.roll(12)).for_each(|_| text.extend(char::from_u32(self.roll(0x11_0000) as u32))),
                1 => (0..self.roll(24)).for_each(|_| text.push(char::from(self.roll(128) as u8))),
                2 if self.roll(8) == 0 => {
                    text.push_str(&self.one(&["x", "é", "日", ".", "="]).repeat(self.roll(3000) as usize))
                }
                3 => text.push_str("plain words, as most are"),
                _ => text.push_str(self.one(PIECES)),
            }
        }
        text
    }

    fn maybe(&mut self) -> Value {
        if self.roll(3) == 0 { Value::Null } else { self.text().into() }
    }

    fn person(&mut self) -> Value {
        loop {
            let local = if self.roll(4) == 0 { self.text() } else { self.one(LOCALS).to_owned() };
            let domain = self.one(&["acme.example", "bücher.example", "x-1.example"]);
            if let Ok(address) = Address::parse(&format!("{local}@{domain}")) {
                let kind = self.one(&["user", "guest", "bot", "system"]);
                return json!({"address": address, "name": self.maybe(), "type": kind});
            }
        }
    }

    /// A field that nobody knows, of some depth.
    fn unknown(&mut self, depth: u64) -> Value {
        match self.roll(5) {
            _ if depth == 0 => self.maybe(),
            0 => self.roll(1 << 50).into(),
            1 => (0..self.roll(3)).map(|_| self.unknown(depth - 1)).collect(),
            2 => {
                Value::Object((0..self.roll(3)).map(|_| (self.text(), self.unknown(depth - 1))).collect::<Map<_, _>>())
            }
            3 if self.roll(20) == 0 => (0..90).fold(json!("deep"), |inner, _| json!([inner])),
            _ => self.text().into(),
        }
    }

    fn attachment(&mut self) -> Value {
        let name = if self.roll(2) == 0 { self.maybe() } else { self.one(NAMES).into() };
        let media_type = if self.roll(3) == 0 { self.maybe() } else { self.one(TYPES).into() };
        match self.roll(4) {
            0 => json!({"name": name, "mediaType": media_type}),
            1 => json!({"name": name, "mediaType": media_type, "content": self.text()}),
            _ => {
                let bytes: Vec<_> = (0..self.roll(200)).map(|_| self.roll(256)).collect();
                json!({"name": name, "mediaType": media_type, "content": bytes})
            }
        }
    }

    fn message(&mut self, number: u64) -> Value {
        let at = self.roll(160_000_000_000_000) as i64 - 80_000_000_000_000;
        let refers_to = (self.roll(2) == 0).then(|| self.roll(number + 2).to_string());
        json!({
            "id": if self.roll(4) == 0 { self.text() } else { number.to_string() },
            "kind": self.one(&["message", "edit", "delete", "join", "leave", "file"]),
            "sender": self.person(), "recipients": (0..self.roll(3)).map(|_| self.person()).collect::<Vec<_>>(),
            "text": self.maybe(), "html": if self.roll(4) == 0 { self.maybe() } else { Value::Null },
            "refersTo": refers_to, "x-other": self.unknown(3),
            "attachments": (0..self.roll(8) / 6).map(|_| self.attachment()).collect::<Vec<_>>(),
            "sentAt": jiff::Timestamp::from_millisecond(at).expect("in range").to_string(),
        })
    }

    /// A batch of one conversation.
    fn batch(&mut self) -> Vec<Value> {
        let source = self.text();
        let kind = self.one(&["room", "direct"]);
        let conversation = json!({"type": kind, "id": self.text(), "name": self.maybe()});
        let mut messages: Vec<_> = (0..BATCH).map(|number| self.message(number)).collect();
        for message in &mut messages {
            message["source"] = json!(source);
            message["conversation"] = conversation.clone();
        }
        messages
    }
}

/// Delivers these batches, and checks what came out of the connection. Answers how many messages that were.
async fn deliver(batches: std::ops::Range<u64>, listener: Listener, authority: &Authority, python: &mut Python) -> u64 {
    let host = Host::new(PORT, listener);
    let made: Vec<_> = batches.clone().map(|number| sealed(Dice(number).batch())).collect();
    let mut session = open(&host, authority).await.expect("opened");
    for (sealed, transcript) in &made {
        session.send(&envelope(), &rendered(sealed, transcript)).await.expect("taken");
    }
    session.quit().await.expect("goodbye");

    // Whatever ends a mail before its end makes commands of the rest.
    let expected = 4 + made.len() * 3 + 1;
    let mut commands = host.commands();
    commands.retain(|command| !is_piece(command));
    assert_eq!(commands.len(), expected, "{commands:?}");
    assert!(
        commands[4..expected - 1].chunks(3).all(|three| three[0].starts_with("MAIL FROM:<archive@acme.example>")
            && three[1] == "RCPT TO:<acme@journal.archive.example>"
            && is_content(&three[2])),
        "{commands:?}"
    );

    let mails = host.mails();
    assert_eq!(mails.len(), made.len());
    for ((number, (sealed, transcript)), mail) in batches.zip(&made).zip(&mails) {
        println!("batch {number}");
        assert_plain(mail);
        assert!(*mail == rendered(sealed, transcript), "it came out as it went in");
        let parsed = if number % SAMPLE == 0 { agreed(mail, python) } else { mail_parser(mail) };
        assert_eq!(parsed.headers, EXPECTED);
        assert_eq!(parsed.marks["x-imarchive-digest"], sha256(parsed.json.as_bytes()));
        assert_eq!(parsed.marks["x-imarchive-digest"], transcript.digest);
        let facts: Value = serde_json::from_str(&parsed.json).expect("JSON");
        let shown = facts["messages"].as_array().expect("messages");
        assert_eq!(shown.len(), sealed.messages.len());
        for (shown, recorded) in shown.iter().zip(&sealed.messages) {
            let shown = shown.as_object().expect("an object").iter().filter(|(key, _)| *key != "receivedAt");
            assert!(shown.eq(recorded.document.as_object().expect("an object")), "a fact was lost");
        }
        let contents = sealed.messages.iter().flat_map(|recorded| &recorded.contents).flatten();
        let digests: Vec<_> = contents.map(|content| sha256(content)).collect();
        assert!(parsed.parts[3..].iter().map(|part| &part.sha256).eq(&digests), "a file was altered");
    }
    made.iter().map(|(sealed, _)| sealed.messages.len() as u64).sum()
}

/// Of a mail that is sent in several, all but the last.
fn is_piece(command: &str) -> bool {
    command.starts_with("BDAT ") && !command.ends_with(" LAST")
}

fn is_content(command: &str) -> bool {
    command == "DATA" || command.starts_with("BDAT ") && command.ends_with(" LAST")
}

#[tokio::test]
async fn nothing_that_was_typed_reaches_the_conversation_with_the_server() {
    let messages = if std::env::var("IMARCHIVE_FAULTS").is_ok_and(|size| size == "full") { 1_000_000 } else { 100_000 };
    let authority = Authority::new("test CA");
    let mut python = Python::start();
    let mut delivered = 0;
    for first in (0..messages / BATCH).step_by(SESSION as usize) {
        // By turns line by line, with dots before dots, and by length.
        let extensions = if (first / SESSION).is_multiple_of(2) { "" } else { "250-PIPELINING\r\n250-CHUNKING\r\n" };
        let listener = Listener::start_tls(&authority.issue(HOST)).offering(extensions);
        delivered += deliver(first..first + SESSION, listener, &authority, &mut python).await;
    }
    assert_eq!(delivered, messages);
}
