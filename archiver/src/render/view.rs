//! The view: what both readable transcripts show, already cleaned, and with each message linked to what it refers to.
//!
//! What a message refers to is numbered when it is in the same batch, quoted when it was sealed before and is still
//! retained, and otherwise named.

use std::collections::{BTreeMap, HashMap};

use imarchive_crds::Address;

use super::{Earlier, Form, clean, facts, files::File, roster::Participant};
use crate::{
    batch::Sealed,
    message::{ConversationKind, Kind, Message, Person, PersonKind, Recorded},
};

/// The most that is shown of a name in a body.
const NAME: usize = 200;
/// The most that is shown of a message where another one refers to it.
const EXCERPT: usize = 80;
/// The most that is quoted of a message of an earlier batch: fifty of a mebibyte each would not go through.
const QUOTED: usize = 4000;
/// Up to so many participants stand above the messages, whatever they did.
const LISTED: usize = 20;

/// A batch, ready to be laid out.
pub struct View {
    /// What people call the conversation.
    pub title: String,
    /// Where and when it was held, how much it is, and by what it is found: labels and facts.
    pub facts: Vec<(&'static str, String)>,
    /// The endpoint's sequence, which makes anchors one of a kind.
    pub sequence: i64,
    /// Those who did something, or everyone when they are few.
    pub participants: Vec<(Who, Vec<String>)>,
    /// Those who were only present, when they are many.
    pub present: Vec<Who>,
    /// What the To header leaves out.
    pub left_out: Option<String>,
    /// The messages.
    pub entries: Vec<Entry>,
}

/// Someone.
pub struct Who {
    /// What people call them.
    pub name: Option<String>,
    /// Their address.
    pub address: String,
    /// What they are, unless they are a user.
    pub kind: Option<&'static str>,
}

/// A message.
pub struct Entry {
    /// Its place in the batch, from 1.
    pub number: usize,
    /// When it was said.
    pub at: String,
    /// Who said it.
    pub who: Who,
    /// What they did, unless it was saying something.
    pub action: Option<&'static str>,
    /// Its name in its source.
    pub id: String,
    /// How it refers to another message.
    pub about: Option<(&'static str, Target)>,
    /// What was said.
    pub text: Option<String>,
    /// The same as HTML source.
    pub html: Option<String>,
    /// Files.
    pub files: Vec<Shown>,
    /// What later messages did to it: the action, the message's number, when.
    pub later: Vec<(&'static str, usize, String)>,
}

/// What a message refers to.
pub enum Target {
    /// A message of the same batch.
    Here {
        /// Its place.
        number: usize,
        /// When it was said.
        at: String,
        /// Who said it.
        who: Who,
        /// How it begins.
        excerpt: String,
    },
    /// A message of an earlier batch, retained.
    Quoted {
        /// What it is and where it went.
        name: String,
        /// Who said it.
        who: Who,
        /// What was said.
        text: String,
    },
    /// A message of which no more than this is known.
    Named(String),
}

/// A file.
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub facts: String,
}

/// The view of `sealed`.
pub fn view(
    sealed: &Sealed,
    roster: &[Participant<'_>],
    files: &[Vec<File<'_>>],
    left_out: usize,
    form: &Form<'_>,
) -> View {
    let few = roster.len() <= LISTED;
    let (active, present): (Vec<_>, Vec<_>) = roster.iter().partition(|participant| few || participant.messages > 0);
    View {
        title: title(sealed, roster),
        facts: facts::facts(sealed, roster, files, form.replaces),
        sequence: sealed.sequence,
        participants: active.into_iter().map(|participant| (who_is(participant), deeds(participant))).collect(),
        present: present.into_iter().map(who_is).collect(),
        left_out: (left_out > 0).then(|| format!("The To header has no room for {left_out} of these participants.")),
        entries: entries(&sealed.messages, files, form.earlier),
    }
}

fn entries(messages: &[Recorded], files: &[Vec<File<'_>>], earlier: &BTreeMap<String, Earlier>) -> Vec<Entry> {
    let places: HashMap<&str, usize> =
        messages.iter().enumerate().map(|(place, recorded)| (recorded.message.id.as_str(), place)).collect();
    let target_of = |place: usize, message: &Message| {
        message.refers_to.as_deref().and_then(|id| places.get(id)).copied().filter(|target| *target != place)
    };

    let mut later: Vec<Vec<_>> = messages.iter().map(|_| Vec::new()).collect();
    // Of each message that was edited: the edit before this one, which need not be in one batch with it.
    let mut edits: HashMap<&str, usize> = HashMap::new();
    for (place, Recorded { message, .. }) in messages.iter().enumerate() {
        let (Kind::Edit | Kind::Delete, Some(id)) = (message.kind, message.refers_to.as_deref()) else { continue };
        let (first, again) = match message.kind {
            Kind::Edit => ("edited", "edited again"),
            _ => ("deleted", "deleted"),
        };
        let at = facts::time(&message.sent_at);
        if let Some(target) = target_of(place, message) {
            later[target].push((first, place + 1, at.clone()));
        }
        if let Some(before) = edits.get(id) {
            later[*before].push((again, place + 1, at));
        }
        if message.kind == Kind::Edit {
            edits.insert(id, place);
        }
    }

    let rest = messages.iter().zip(files).zip(later).enumerate();
    rest.map(|(place, ((Recorded { message, .. }, files), later))| Entry {
        number: place + 1,
        at: facts::time(&message.sent_at),
        who: who(&message.sender),
        action: action(message.kind),
        id: clean::line(&message.id, NAME),
        about: message.refers_to.as_deref().map(|id| {
            let target = match target_of(place, message) {
                Some(target) => here(target, &messages[target].message),
                None => elsewhere(id, earlier.get(id)),
            };
            (relation(message.kind), target)
        }),
        text: message.text.as_deref().filter(|text| !text.is_empty()).map(clean::text),
        html: message.html.as_deref().filter(|html| !html.is_empty()).map(clean::text),
        files: files.iter().map(shown).collect(),
        later,
    })
    .collect()
}

fn here(place: usize, message: &Message) -> Target {
    Target::Here {
        number: place + 1,
        at: facts::time(&message.sent_at),
        who: who(&message.sender),
        excerpt: clean::line(&said(message), EXCERPT),
    }
}

fn elsewhere(id: &str, earlier: Option<&Earlier>) -> Target {
    let id = clean::line(id, NAME);
    let Some(earlier) = earlier else {
        return Target::Named(format!("message {id}, which is not in this batch"));
    };
    let batch = format!("batch {}, SHA-256 {}", clean::line(&earlier.batch, NAME), clean::line(&earlier.digest, NAME));
    match &earlier.message {
        Some(message) => Target::Quoted {
            name: format!("message {id} of {} in {batch}", facts::time(&message.sent_at)),
            who: who(&message.sender),
            text: quoted(&said(message)),
        },
        None => Target::Named(format!("message {id} in {batch}")),
    }
}

/// As much of `said` as is quoted, and how much that leaves out.
fn quoted(said: &str) -> String {
    match said.char_indices().nth(QUOTED) {
        Some((end, _)) => {
            let left = facts::count(said[end..].chars().count(), "more character");
            format!("{}\n[… {left} in that batch]", clean::text(&said[..end]))
        }
        None => clean::text(said),
    }
}

/// What stands for a message where it is referred to.
fn said(message: &Message) -> String {
    let text = message.text.as_ref().or(message.html.as_ref()).filter(|text| !text.is_empty());
    text.cloned().unwrap_or_else(|| {
        let names = message.attachments.iter().map(|file| file.name.as_deref().unwrap_or("a file without a name"));
        names.collect::<Vec<_>>().join(", ")
    })
}

fn shown(file: &File<'_>) -> Shown {
    let typed = file.typed.map(|name| clean::line(name, NAME)).filter(|name| !name.is_empty());
    let name = typed.unwrap_or_else(|| "without a name".to_owned());
    let mut facts = vec![file.media_type.essence.clone()];
    facts.push(file.size.map_or("size unknown".to_owned(), facts::bytes));
    facts.extend(file.sha256.as_ref().map(|sha256| format!("SHA-256 {}", clean::line(sha256, 64))));
    facts.push(match file.content {
        None => "content not handed in by the source".to_owned(),
        Some(_) if file.name == name => "attached".to_owned(),
        Some(_) => format!("attached as {}", file.name),
    });
    Shown { name, facts: facts.join(", ") }
}

fn title(sealed: &Sealed, roster: &[Participant<'_>]) -> String {
    let name = sealed.conversation.name.as_deref().map(|name| clean::line(name, NAME)).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| match sealed.conversation.kind {
        ConversationKind::Room => clean::line(&sealed.conversation.id, NAME),
        ConversationKind::Direct => {
            let names = roster.iter().take(2).map(who_is).map(|who| who.name.unwrap_or(who.address));
            names.collect::<Vec<_>>().join(" and ")
        }
    })
}

/// How much someone did, when they came and went.
fn deeds(participant: &Participant<'_>) -> Vec<String> {
    let joined = participant.joined.iter().map(|at| format!("joined {}", facts::time(at)));
    let left = participant.left.iter().map(|at| format!("left {}", facts::time(at)));
    [facts::count(participant.messages, "message")].into_iter().chain(joined).chain(left).collect()
}

fn who(person: &Person) -> Who {
    named(person.name.as_deref(), &person.address, person.kind)
}

fn who_is(participant: &Participant<'_>) -> Who {
    named(participant.names.last().copied(), participant.address, participant.kind)
}

fn named(name: Option<&str>, address: &Address, kind: PersonKind) -> Who {
    Who {
        name: name.map(|name| clean::line(name, NAME)).filter(|name| !name.is_empty()),
        address: clean::line(address.as_str(), usize::MAX),
        kind: match kind {
            PersonKind::User => None,
            PersonKind::Guest => Some("guest"),
            PersonKind::Bot => Some("bot"),
            PersonKind::System => Some("system"),
        },
    }
}

fn action(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Message => None,
        Kind::Edit => Some("edited a message"),
        Kind::Delete => Some("deleted a message"),
        Kind::Join => Some("joined"),
        Kind::Leave => Some("left"),
        Kind::File => Some("shared a file"),
    }
}

fn relation(kind: Kind) -> &'static str {
    match kind {
        Kind::Message | Kind::File => "in reply to",
        Kind::Edit => "new version of",
        Kind::Delete => "takes back",
        Kind::Join | Kind::Leave => "refers to",
    }
}
