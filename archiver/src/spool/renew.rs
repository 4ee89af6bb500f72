//! A new name for a spool that was restored from a backup. Since the backup was made the spool may have sent mails under
//! numbers that it gives again: with its old name those would have Message-IDs that the archive knows for other mails, and
//! drops.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::{error::OpenError, lock, schema};

/// Gives the spool in `folder` a new name, durably.
pub fn renew(folder: &Path) -> Result<Uuid, OpenError> {
    let database = |error| OpenError::Database(folder.to_owned(), error);
    let _lock = lock(folder)?;
    // Not made when it is not there: a new spool has a new name anyway.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(folder.join("spool.db"), flags).map_err(database)?;
    schema::prepare(&connection).map_err(database)?.map_err(|needs| OpenError::newer(folder, needs))?;
    let uuid = Uuid::new_v4();
    connection.execute("UPDATE format SET uuid = ?1", [uuid.to_string()]).map_err(database)?;
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    #[test]
    fn a_renewed_spool_has_another_name_for_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = Spool::open(folder.path()).expect("a spool").0.uuid();
        let renewed = renew(folder.path()).expect("renewed");
        assert_ne!(before, renewed);
        let (spool, _writer) = Spool::open(folder.path()).expect("a spool");
        assert_eq!(spool.uuid(), renewed);
        assert!(renew(folder.path()).is_err(), "an archiver has it open");
    }

    #[test]
    fn a_folder_without_a_spool_stays_without() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(renew(folder.path()).is_err());
        assert!(!folder.path().join("spool.db").exists());
    }
}
