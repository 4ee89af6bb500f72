//! When mounted credentials changed: the operator tests an endpoint again then.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::directory::Endpoint;

/// When mounted credentials last changed, as far as this process has seen. A mount's own times tell of its pod's start.
pub(super) struct Seen {
    folder: PathBuf,
    secrets: BTreeMap<String, (Content, Option<Timestamp>)>,
}

/// Of the user name and the password, for comparison only: neither is kept.
type Content = [Option<[u8; 32]>; 2];

impl Seen {
    /// Of none of `folder`'s yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, secrets: BTreeMap::new() }
    }

    /// When the credentials of `endpoint` last changed.
    pub(super) fn changed_at(&mut self, endpoint: &Endpoint, now: Timestamp) -> Option<Timestamp> {
        endpoint.secrets.iter().filter_map(|secret| self.look(secret, now)).max()
    }

    fn look(&mut self, secret: &str, now: Timestamp) -> Option<Timestamp> {
        let digest =
            |key| std::fs::read(self.folder.join(secret).join(key)).ok().map(|text| Sha256::digest(text).into());
        let content = ["username", "password"].map(digest);
        let (before, changed_at) = self.secrets.entry(secret.to_owned()).or_insert((content, None));
        if *before != content {
            (*before, *changed_at) = (content, Some(now));
        }
        *changed_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_change_with_their_content_and_not_with_a_new_mount() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |second| Timestamp::from_second(second).expect("in range");
        let write = |password: &str| {
            std::fs::create_dir_all(home.path().join("journal")).expect("a folder");
            std::fs::write(home.path().join("journal/password"), password).expect("written");
        };
        let mut seen = Seen::new(home.path().to_owned());
        assert_eq!(seen.look("journal", at(1)), None);
        write("one");
        assert_eq!(seen.look("journal", at(2)), Some(at(2)), "it appeared");
        write("one");
        assert_eq!(seen.look("journal", at(3)), Some(at(2)));
        write("two");
        assert_eq!(seen.look("journal", at(4)), Some(at(4)));
        let mut restarted = Seen::new(home.path().to_owned());
        assert_eq!(restarted.look("journal", at(5)), None);
    }
}
