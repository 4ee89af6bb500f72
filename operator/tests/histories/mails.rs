//! The administrators of an endpoint, and the relay that they are mailed by.

use imarchive_crds::ArchivingEndpointStatus;
use jiff::Timestamp;
use operator::{
    endpoint::observe::Observed,
    notify::{self, Letter, Notices},
};

/// What is to be told, and what was.
pub struct Mails {
    letter: Option<Letter>,
    notices: Notices,
}

impl Default for Mails {
    fn default() -> Self {
        Self { letter: None, notices: Notices { relay: true, ..Notices::default() } }
    }
}

impl Mails {
    /// What a reconcile sees.
    pub fn notices(&self) -> Notices {
        self.notices.clone()
    }

    /// A reconcile published `status`.
    pub fn published(&mut self, observed: &Observed, status: &ArchivingEndpointStatus) {
        self.letter = notify::due(observed, status);
        let told = |letter: &Letter| letter.news().iter().any(|news| self.notices.told.contains_key(news));
        assert!(!self.letter.as_ref().is_some_and(told), "it was told, and is due again");
    }

    /// The relay takes the letter that is due, or does not.
    pub fn mailed(&mut self, taken: bool, now: Timestamp) {
        match (taken, self.letter.take()) {
            (_, None) => {}
            (true, Some(letter)) => {
                self.notices.told.extend(letter.news().into_iter().map(|news| (news, now)));
                self.notices.trouble = None;
            }
            (false, letter) => {
                self.notices.trouble = Some("The administrators could not be mailed. Connect: refused.".to_owned());
                self.letter = letter;
            }
        }
    }
}
