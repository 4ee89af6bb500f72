//! A message is edited after its mail went out: the mail of the edit quotes it.

use mail_parser::MessageParser;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_edit_of_what_was_delivered_before_quotes_it_and_names_its_batch() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(9 * HOUR).await;
    let mut edit = message(1);
    (edit["kind"], edit["refersTo"], edit["text"]) = ("edit".into(), "0".into(), "what was meant".into());
    core.post(&edit).await;
    pass(9 * HOUR).await;

    let mails = world.host.mails();
    let parsed: Vec<_> = mails.iter().map(|mail| MessageParser::new().parse(mail).expect("a mail")).collect();
    let digest = parsed[0].header("X-IMArchive-Digest").and_then(|value| value.as_text()).expect("a digest");
    let text = parsed[1].body_text(0).expect("a text");
    for expected in ["    > message 0", "in batch journal-1", digest, "    what was meant"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
