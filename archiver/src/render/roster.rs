//! The roster: everyone in a batch, with what is known of them.

use std::collections::HashMap;

use imarchive_crds::Address;
use jiff::Timestamp;

use crate::message::{Kind, Person, PersonKind, Recorded};

/// Someone who sent or could see a message of the batch.
pub struct Participant<'a> {
    /// Who.
    pub address: &'a Address,
    /// Every name that the messages give, in the order of their appearance.
    pub names: Vec<&'a str>,
    /// What kind of participant: what a message says of them other than the default, if one does.
    pub kind: PersonKind,
    /// How many of the batch's messages they sent, joins and leaves included, so that the counts add up.
    pub messages: usize,
    /// When they came.
    pub joined: Vec<Timestamp>,
    /// When they went.
    pub left: Vec<Timestamp>,
}

/// Everyone in `messages`, in the order of their appearance: the first is the sender of the first message.
pub fn roster(messages: &[Recorded]) -> Vec<Participant<'_>> {
    let mut roster = Roster::default();
    for message in messages.iter().map(|recorded| &recorded.message) {
        let sender = roster.meet(&message.sender);
        sender.messages += 1;
        match message.kind {
            Kind::Join => sender.joined.push(message.sent_at),
            Kind::Leave => sender.left.push(message.sent_at),
            Kind::Message | Kind::Edit | Kind::Delete | Kind::File => {}
        }
        for person in &message.recipients {
            roster.meet(person);
        }
    }
    roster.participants
}

#[derive(Default)]
struct Roster<'a> {
    participants: Vec<Participant<'a>>,
    places: HashMap<&'a Address, usize>,
}

impl<'a> Roster<'a> {
    fn meet(&mut self, person: &'a Person) -> &mut Participant<'a> {
        let place = *self.places.entry(&person.address).or_insert_with(|| {
            self.participants.push(Participant {
                address: &person.address,
                names: Vec::new(),
                kind: PersonKind::User,
                messages: 0,
                joined: Vec::new(),
                left: Vec::new(),
            });
            self.participants.len() - 1
        });
        let participant = &mut self.participants[place];
        // A list of those present often leaves the type out, which makes it the default; the sender's own says more.
        if person.kind != PersonKind::User {
            participant.kind = person.kind;
        }
        if let Some(name) = person.name.as_deref()
            && !participant.names.contains(&name)
        {
            participant.names.push(name);
        }
        participant
    }
}
