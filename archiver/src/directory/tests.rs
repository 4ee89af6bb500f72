use super::*;

const ARCHIVER: &str = "
apiVersion: imarchive.dev/v1alpha1
kind: Archiver
metadata: {name: archiver}
spec: {organization: {name: Acme, domains: [acme.example]}}
";
const JOURNAL: &str = "
apiVersion: imarchive.dev/v1alpha1
kind: ArchivingEndpoint
metadata: {name: journal}
spec: {type: SecureSMTP, smtp: {host: journal.archive.example, from: a@acme.example, recipients: [b@archive.example]}}
";

struct Folder(tempfile::TempDir);

impl Folder {
    /// With the archiver and the journal in a file each.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("archiver.yaml", ARCHIVER);
        folder.write("journal.yaml", JOURNAL);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("written");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect("removed");
    }

    fn directory(&self, mirrored: bool) -> Directory {
        Directory::new(self.0.path(), mirrored)
    }
}

fn read(directory: &mut Directory) -> Resources {
    directory.read().expect("readable").expect("changed")
}

#[test]
fn an_endpoint_whose_file_is_removed_is_lacking() {
    let folder = Folder::new();
    let mut directory = folder.directory(false);
    assert!(!read(&mut directory).lacks("journal"));
    folder.remove("journal.yaml");
    assert!(read(&mut directory).lacks("journal"));
    folder.write("journal.yaml", JOURNAL);
    assert!(!read(&mut directory).lacks("journal"));
}

#[test]
fn an_endpoint_whose_file_cannot_be_read_any_more_is_not_lacking() {
    let folder = Folder::new();
    let mut directory = folder.directory(false);
    read(&mut directory);
    folder.write("journal.yaml", "kind: [half");
    assert!(!read(&mut directory).lacks("journal"));
    let restarted = read(&mut folder.directory(false));
    assert!(!restarted.endpoints.contains_key("journal"), "its last form is forgotten");
    assert!(!restarted.lacks("journal"), "the file that cannot be read may be the journal's");
}

#[test]
fn in_a_mirrored_folder_nothing_is_lacking_before_everything_was_listed() {
    let folder = Folder::new();
    let mut directory = folder.directory(true);
    assert!(!read(&mut directory).lacks("vault"));
    folder.write(COMPLETE, "");
    let resources = read(&mut directory);
    assert!(resources.lacks("vault") && !resources.lacks("journal"));
}

#[test]
fn a_folder_without_an_archiver_lacks_nothing() {
    let folder = Folder::new();
    folder.remove("archiver.yaml");
    folder.remove("journal.yaml");
    assert!(!read(&mut folder.directory(false)).lacks("journal"), "it may not be mounted");
}
