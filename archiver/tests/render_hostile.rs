//! Whatever people type, a mail stays the mail that the archiver meant, to two parsers that know nothing of each other.

mod render_support;

use std::sync::Mutex;

use proptest::prelude::*;
use render_support::{EXPECTED, Parsed, Python, agreed, assert_plain, rendered, sealed, service, sha256};
use serde_json::{Value, json};

/// What people and programs type to see what happens.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<String>(),
        4 => "[ -~]{0,20}",
        2 => "[a-z]{70,300}",
        8 => proptest::sample::select(vec![
            "\r\nBcc: evil@x.example\r\n\r\n<b>body</b>", "\r", "\n", "\0", "\r\n.\r\n", "\n.\n", "\nFrom x\n",
            "=?utf-8?q?=0D=0ABcc:_evil=40x.example?=", "=?utf-8?b?DQpCY2M6IHg=?=", "=?", "?=", "=?utf-8?q?a",
            "\u{202e}", "\u{2066}", "\u{2028}", "\u{85}", "\u{feff}", "\u{1b}[31m", "\t", "  ", "\"", "\\", "\\\"",
            ",", ";", ":", "<", ">", "(", ")", "@", "[", "]", "<script>alert(1)</script>", "</div>", "&lt;", "--=_mixed_",
            "שלום", "مرحبا", "👩\u{200d}🚀", "日本語のとても長い名前です", "é", "%0D%0A", "''", "*0*=", "/../", "🏴",
        ]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Local parts that an address may have; not all of them are mailboxes.
fn local() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~]{1,20}".prop_filter("has an @ or nothing", |text| !text.contains('@')),
        "[a-z.]{1,12}",
        "\\PC{1,10}",
        Just("=?utf-8?q?x?=".to_owned()),
        Just("a,b".to_owned()),
    ]
}

fn person() -> impl Strategy<Value = Value> {
    (local(), proptest::option::of(hostile()), "(user|guest|bot|system)").prop_filter_map(
        "no address",
        |(local, name, kind)| {
            let address = imarchive_crds::Address::parse(&format!("{local}@acme.example")).ok()?;
            Some(json!({"address": address, "name": name, "type": kind}))
        },
    )
}

fn attachment() -> impl Strategy<Value = Value> {
    let media_type = prop_oneof![
        hostile(),
        Just("text/plain".to_owned()),
        Just("text/plain; charset=utf-16".to_owned()),
        Just("text/html; charset=\"x\r\ny\"".to_owned()),
        Just("multipart/mixed; boundary=x".to_owned()),
        Just("message/rfc822".to_owned()),
        Just("application/pdf".to_owned()),
    ];
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        Just(b"lines\r\nbare \r and \n and \0 and\r\n.\r\n".to_vec()),
        Just(Vec::new()),
    ];
    (proptest::option::of(hostile()), proptest::option::of(media_type), proptest::option::weighted(0.8, content))
        .prop_map(|(name, media_type, content)| match content {
            Some(content) => json!({"name": name, "mediaType": media_type, "content": content}),
            None => json!({"name": name, "mediaType": media_type}),
        })
}

fn message() -> impl Strategy<Value = Value> {
    (
        "(message|edit|delete|join|leave|file)",
        person(),
        proptest::collection::vec(person(), 0..4),
        (hostile(), proptest::option::of(hostile()), proptest::option::of(hostile())),
        (hostile(), proptest::option::of("[0-3]")),
        proptest::collection::vec(attachment(), 0..3),
        -80_000_000_000_000_i64..80_000_000_000_000,
    )
        .prop_map(|(kind, sender, recipients, (id, text, html), (field, refers_to), attachments, at)| {
            json!({
                "kind": kind, "sender": sender, "recipients": recipients, "id": id, "text": text, "html": html,
                "x-other": field, "refersTo": refers_to, "attachments": attachments,
                "sentAt": jiff::Timestamp::from_millisecond(at).expect("in range").to_string(),
            })
        })
}

fn batch() -> impl Strategy<Value = Vec<Value>> {
    let room = (hostile(), hostile(), proptest::option::of(hostile()), "(room|direct)");
    (room, proptest::collection::vec(message(), 1..5)).prop_map(|((source, id, name, kind), mut messages)| {
        for (number, message) in messages.iter_mut().enumerate() {
            message["source"] = json!(source);
            message["conversation"] = json!({"type": kind, "id": id, "name": name});
            // Some refer to each other.
            message["id"] = match number % 2 {
                0 => json!(number.to_string()),
                _ => message["id"].clone(),
            };
        }
        messages
    })
}

/// Renders `documents`, and checks all that is true of every mail.
fn check(documents: Vec<Value>, python: &mut Python) -> Parsed {
    let (sealed, transcript) = sealed(documents);
    let mail = rendered(&sealed, &transcript);
    assert_eq!(mail, rendered(&sealed, &transcript), "not the same bytes twice");
    assert_plain(&mail);

    let parsed = agreed(&mail, python);
    assert_eq!(parsed.headers, EXPECTED);
    assert_eq!(parsed.marks["x-imarchive-digest"], sha256(parsed.json.as_bytes()));
    assert_eq!(parsed.marks["x-imarchive-messages"], sealed.messages.len().to_string());
    let conversation = &parsed.marks["x-imarchive-conversation"];
    assert!(
        conversation.split('/').count() == 3 && conversation.bytes().all(|byte| byte.is_ascii_graphic()),
        "{conversation}"
    );
    assert_eq!(parsed.sender, [(String::new(), service().to_string())]);
    let facts: Value = serde_json::from_str(&parsed.json).expect("JSON");
    for (shown, recorded) in facts["messages"].as_array().expect("messages").iter().zip(&sealed.messages) {
        let mut shown = shown.clone();
        shown.as_object_mut().expect("an object").remove("receivedAt");
        assert_eq!(shown, recorded.document, "a fact was lost");
    }

    let people = facts["participants"].as_array().expect("participants");
    assert_eq!(
        people.iter().map(|person| person["messages"].as_u64().unwrap_or(0)).sum::<u64>(),
        sealed.messages.len() as u64
    );
    let header = [parsed.from.as_slice(), &parsed.to].concat();
    for (name, address) in &header {
        let known = people.iter().any(|person| person["address"] == json!(address));
        assert!(known || *address == service().to_string(), "nobody has the address {address}");
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
    assert!(
        !parsed.subject.chars().any(char::is_control) && parsed.subject.chars().count() <= 200,
        "{:?}",
        parsed.subject
    );

    let contents = sealed.messages.iter().flat_map(|recorded| &recorded.contents).flatten();
    let files: Vec<_> = contents.map(|content| sha256(content)).collect();
    assert_eq!(
        parsed.parts[3..].iter().map(|part| part.sha256.clone()).collect::<Vec<_>>(),
        files,
        "a file was altered"
    );
    for part in &parsed.parts[3..] {
        assert!(part.disposition == "attachment" && !part.name.is_empty(), "{part:?}");
        assert!(!part.name.chars().any(|c| c.is_control() || c == '/' || c == '\\'), "{part:?}");
    }
    assert!(!parsed.text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{:?}", parsed.text);
    parsed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_typed_changes_what_the_mail_is(documents in batch()) {
        static PYTHON: Mutex<Option<Python>> = Mutex::new(None);
        // A failed case poisons the lock and may leave half an answer: the next one has a new process.
        let mut python = PYTHON.lock().map(|mut python| python.take()).ok().flatten().unwrap_or_else(Python::start);
        let parsed = check(documents, &mut python);
        for tag in tags(&parsed.html) {
            prop_assert!(TAGS.contains(&tag.as_str()), "{tag}");
        }
        if let Ok(mut place) = PYTHON.lock() {
            *place = Some(python);
        }
    }
}

const TAGS: [&str; 18] = [
    "!doctype", "html", "head", "meta", "title", "body", "div", "h1", "h2", "br", "bdi", "span", "b", "a", "table",
    "tr", "th", "td",
];

/// The names of the elements in `html`.
fn tags(html: &str) -> Vec<String> {
    let names = html.split('<').skip(1).map(|rest| rest.trim_start_matches('/'));
    names
        .map(|rest| rest.split(|c: char| c == '>' || c.is_whitespace()).next().unwrap_or_default().to_owned())
        .collect()
}

fn plain(id: usize, sender: &str, recipients: Vec<Value>, text: &str) -> Value {
    json!({
        "source": "acme-chat", "id": id.to_string(), "kind": "message", "sentAt": "2026-11-23T09:15:02.123Z",
        "conversation": {"type": "room", "id": "r-4", "name": "Trading floor"},
        "sender": {"address": sender}, "recipients": recipients, "text": text,
    })
}

#[test]
fn a_mebibyte_of_text() {
    let mut python = Python::start();
    for text in
        ["x".repeat(1 << 20), "\r".repeat(1 << 20), "<é".repeat(1 << 18), "\0".repeat(1 << 20), "a b ".repeat(1 << 18)]
    {
        let parsed = check(vec![plain(1, "alice@acme.example", vec![], &text)], &mut python);
        let facts: Value = serde_json::from_str(&parsed.json).expect("JSON");
        assert_eq!(facts["messages"][0]["text"], json!(text));
    }
}

#[test]
fn five_thousand_participants() {
    let people = |domain: &str| {
        let domain = domain.to_owned();
        (0..2500).map(move |number| {
            json!({"address": format!("user-{number}@{domain}"), "name": format!("Jürgen Müller-Lüdenscheidt {number}")})
        })
    };
    let everyone: Vec<_> = people("other.example").chain(people("acme.example")).collect();
    let documents = (0..50).map(|id| plain(id, "bob@other.example", everyone.clone(), "hi")).collect();
    let parsed = check(documents, &mut Python::start());

    let (first, rest): (Vec<_>, Vec<_>) = parsed.to.iter().partition(|(_, address)| address.ends_with("@acme.example"));
    assert!(first.len() > 500, "the header has room for more than {}", first.len());
    assert!(rest.is_empty(), "this endpoint's users come first");
    let facts: Value = serde_json::from_str(&parsed.json).expect("JSON");
    assert_eq!(facts["participants"].as_array().map(Vec::len), Some(5001));
    let left_out = 5001 - parsed.to.len();
    assert!(parsed.text.contains(&format!("no room for {left_out} of these participants")), "{left_out}");
    for address in ["user-0@other.example", "user-2499@acme.example"] {
        assert!(parsed.text.contains(address) && parsed.html.contains(address), "{address} is listed");
    }
}

#[test]
fn the_to_header_has_at_most_64_kib() {
    for name in ["é, \"x\"".repeat(40), "x".repeat(60), "日本語 ".repeat(20), String::new()] {
        let people =
            (0..3000).map(|number| json!({"address": format!("u{number}@acme.example"), "name": name})).collect();
        let (sealed, transcript) = sealed(vec![plain(1, "bob@acme.example", people, "hi")]);
        let mail = String::from_utf8(rendered(&sealed, &transcript)).expect("ASCII");
        let to = mail.find("\r\nTo: ").expect("To") + 2;
        let subject = mail.find("\r\nSubject: ").expect("Subject") + 2;
        assert!((60_000..=65_536).contains(&(subject - to)), "{} bytes", subject - to);
    }
}

#[test]
fn who_has_no_mailbox_is_still_named() {
    let mut python = Python::start();
    for typed in [r"\9", "[[mandrix]]", "a..b", "zoë", "=?utf-8?q?x?="] {
        let address = format!("{typed}@irc.example");
        let parsed = check(vec![plain(1, &address, vec![json!({"address": "bob@acme.example"})], "hi")], &mut python);
        let shown = address.replace("=?", "= ?");
        assert_eq!(parsed.from, [(shown.clone(), service().to_string())]);
        assert_eq!(parsed.to, [(String::new(), "bob@acme.example".to_owned()), (shown, service().to_string())]);
    }
}
