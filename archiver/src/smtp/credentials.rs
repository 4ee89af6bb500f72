//! The user name and password that an archive wants.

use std::{fmt, fs, io, path::Path};

use imarchive_crds::{Reason, Stage};
use zeroize::{Zeroize, Zeroizing};

use super::Failure;

/// A user name and a password. Neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: Zeroizing<String>,
}

/// Credentials that are there, but cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCredentials {
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(&'static str, io::Error),
    /// The file is not text, or holds NUL, which no SASL mechanism can say (RFC 4616 2).
    #[error("{0} is not text")]
    NotText(&'static str),
}

impl Credentials {
    /// The credentials `username` and `password`.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: Zeroizing::new(password.to_owned()) }
    }

    /// Reads the files `username` and `password` of a mounted Secret. One that lacks or is empty is as good as none.
    pub fn read(directory: &Path) -> Result<Option<Self>, InvalidCredentials> {
        // The kubelet swaps a whole generation of files by one link. Following it once keeps a new user name from being
        // paired with an old password, which might lock the account.
        let generation = directory.join("..data").canonicalize();
        let directory = generation.as_deref().unwrap_or(directory);
        let (Some(username), Some(password)) = (text(directory, "username")?, text(directory, "password")?) else {
            return Ok(None);
        };
        Ok(Some(Self { username: username.to_string(), password }))
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl From<InvalidCredentials> for Failure {
    fn from(error: InvalidCredentials) -> Self {
        Self::new(Stage::Auth, Reason::SecretMissing, error)
    }
}

/// A file's text without the line end that editors leave behind.
fn text(directory: &Path, name: &'static str) -> Result<Option<Zeroizing<String>>, InvalidCredentials> {
    let bytes = match fs::read(directory.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InvalidCredentials::Unreadable(name, error)),
    };
    let mut text = String::from_utf8(bytes).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        InvalidCredentials::NotText(name)
    })?;
    if text.contains('\0') {
        return Err(InvalidCredentials::NotText(name));
    }
    let end = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(end);
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(username: Option<&[u8]>, password: Option<&[u8]>) -> Result<Option<Credentials>, InvalidCredentials> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in [("username", username), ("password", password)] {
            if let Some(content) = content {
                fs::write(directory.path().join(name), content).expect("written");
            }
        }
        Credentials::read(directory.path())
    }

    #[test]
    fn a_secret_that_lacks_a_key_is_no_secret() {
        assert!(read(None, None).expect("valid").is_none());
        assert!(read(Some(b"a"), None).expect("valid").is_none());
        assert!(read(None, Some(b"b")).expect("valid").is_none());
        assert!(read(Some(b"a"), Some(b"\n")).expect("valid").is_none());
    }

    #[test]
    fn only_the_last_line_end_is_taken_off() {
        let credentials = read(Some(b"a\r\n"), Some(b" b\n\n")).expect("valid").expect("there");
        assert_eq!((credentials.username(), credentials.password()), ("a", " b\n"));
    }

    #[test]
    fn what_is_no_text_is_named_by_its_file() {
        for content in [&b"\xff"[..], b"a\0b"] {
            let error = read(Some(b"a"), Some(content)).expect_err("invalid");
            assert_eq!(error.to_string(), "password is not text");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Credentials::new("journal", "hunter2")), "Credentials");
    }
}
