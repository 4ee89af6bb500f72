//! The watch: mirrors an organization's objects from the API server into the folder that [`directory`](crate::directory)
//! reads.
//!
//! A file is written whole or not at all. What the API server says while it restarts, or not at all, changes no file: an
//! object is gone when the API server said that it was deleted, or a list without it was complete. The folder is made
//! durable each time, since mail follows from it: after a power cut neither may a deleted endpoint be back, nor the marker be
//! there without the objects that were listed before it.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use futures::{StreamExt, pin_mut};
use imarchive_crds::{Archiver, ArchivingEndpoint, UserAssignment};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::directory::COMPLETE;

/// Mirrors the objects of `namespace` into `folder`, for ever. Sets the folder's marker once all three kinds were listed.
pub async fn mirror(cluster: Client, namespace: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (listed, mut lists) = mpsc::channel(3);
    let marker = folder.join(COMPLETE);
    let complete = async {
        let mut kinds = BTreeSet::new();
        while let Some(kind) = lists.recv().await {
            kinds.insert(kind);
            if kinds.len() == 3 && !marker.exists() {
                File::create(&marker).and_then(|file| file.sync_all())?;
            }
        }
        Ok(())
    };
    let mirrors = async {
        tokio::join!(
            follow::<Archiver>(cluster.clone(), namespace, folder, listed.clone()),
            follow::<ArchivingEndpoint>(cluster.clone(), namespace, folder, listed.clone()),
            follow::<UserAssignment>(cluster, namespace, folder, listed),
        );
    };
    let ((), marked) = tokio::join!(mirrors, complete);
    marked
}

async fn follow<K>(cluster: Client, namespace: &str, folder: &Path, listed: mpsc::Sender<String>)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + 'static,
{
    let kind = K::kind(&()).to_lowercase();
    // The guard keeps one object that cannot be understood from stopping the watch of all the others.
    let api: Api<DeserializeGuard<K>> = Api::namespaced(cluster, namespace);
    let events = watcher::watcher(api, watcher::Config::default().page_size(500)).default_backoff();
    pin_mut!(events);
    let (mut seen, mut whole) = (BTreeSet::new(), true);
    while let Some(event) = events.next().await {
        let done = match event {
            Ok(Event::Init) => {
                (seen, whole) = (BTreeSet::new(), true);
                Ok(())
            }
            Ok(Event::InitApply(object)) => {
                seen.insert(object.name_any());
                keep(folder, &kind, object)
            }
            Ok(Event::InitDone) => {
                let swept = sweep(folder, &kind, &seen).and_then(|()| sync(folder));
                if whole {
                    // Nobody listens only while the process ends.
                    let _ = listed.send(kind.clone()).await;
                }
                swept
            }
            Ok(Event::Apply(object)) => keep(folder, &kind, object).and_then(|()| sync(folder)),
            Ok(Event::Delete(object)) => remove(&file(folder, &kind, &object.name_any())).and_then(|()| sync(folder)),
            Err(error) => {
                warn!(kind, %error, "the API server cannot be watched; the resources stay as they are");
                Ok(())
            }
        };
        if let Err(error) = done {
            whole = false;
            error!(kind, %error, "a resource cannot be mirrored; its last form stays in force");
        }
    }
}

fn file(folder: &Path, kind: &str, name: &str) -> PathBuf {
    folder.join(format!("{kind}-{name}.yaml"))
}

fn keep<K: Resource<DynamicType = ()> + Serialize>(
    folder: &Path,
    kind: &str,
    object: DeserializeGuard<K>,
) -> io::Result<()> {
    let name = object.name_any();
    let path = file(folder, kind, &name);
    match object.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            replace(&path, &serde_yaml_ng::to_string(&object).map_err(io::Error::other)?)
        }
        // What cannot be read keeps its last readable form; without one, it must at least be known to be there.
        Err(error) => {
            warn!(kind, name, %error, "a resource cannot be understood by this version");
            if path.exists() {
                Ok(())
            } else {
                replace(&path, &format!("# not understood by this version\nkind: [{kind}]\n"))
            }
        }
    }
}

/// Writes a file whole or not at all; the same content leaves it as it is.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    // Before the rename: after a power cut the new name must not stand for an empty file.
    file.sync_all()?;
    fs::rename(draft, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes durable which files there are.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes the files of objects that a complete list no longer has.
fn sweep(folder: &Path, kind: &str, seen: &BTreeSet<String>) -> io::Result<()> {
    for found in fs::read_dir(folder)? {
        let name = found?.file_name().to_string_lossy().into_owned();
        let object =
            name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.strip_suffix(".yaml"));
        if object.is_some_and(|object| !seen.contains(object)) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> BTreeSet<String> {
        let name = |file: io::Result<fs::DirEntry>| file.expect("a file").file_name().to_string_lossy().into_owned();
        fs::read_dir(folder).expect("a folder").map(name).collect()
    }

    #[test]
    fn only_what_a_complete_list_of_its_kind_lacks_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        for (kind, name) in [("archivingendpoint", "journal"), ("archivingendpoint", "vault"), ("archiver", "archiver")]
        {
            replace(&file(folder.path(), kind, name), "kind: it\n").expect("written");
        }
        File::create(folder.path().join(COMPLETE)).expect("written");
        sweep(folder.path(), "archivingendpoint", &["vault".to_owned()].into()).expect("swept");
        let left = [COMPLETE, "archiver-archiver.yaml", "archivingendpoint-vault.yaml"].map(str::to_owned);
        assert_eq!(names(folder.path()), left.into());
        sweep(folder.path(), "archivingendpoint", &["vault".to_owned()].into()).expect("swept again, after a crash");
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn an_object_that_cannot_be_understood_keeps_its_last_form_and_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let broken = |name: &str| -> DeserializeGuard<ArchivingEndpoint> {
            let object = serde_json::json!({
                "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
                "metadata": {"name": name}, "spec": {"type": "CarrierPigeon"},
            });
            serde_json::from_value(object).expect("the guard takes it")
        };
        let known = file(folder.path(), "archivingendpoint", "journal");
        replace(&known, "the last form\n").expect("written");
        keep(folder.path(), "archivingendpoint", broken("journal")).expect("kept");
        assert_eq!(fs::read_to_string(known).expect("there"), "the last form\n");
        keep(folder.path(), "archivingendpoint", broken("vault")).expect("kept");
        assert!(names(folder.path()).contains("archivingendpoint-vault.yaml"));
    }
}
