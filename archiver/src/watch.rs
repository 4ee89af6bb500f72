//! The watch: mirrors an organization's objects from the API server into the folder that [`directory`](crate::directory)
//! reads.
//!
//! A file is written whole or not at all. What the API server says while it restarts, or not at all, changes no file.

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
    let mut seen = BTreeSet::new();
    while let Some(event) = events.next().await {
        let done = match event {
            Ok(Event::Init) => {
                seen.clear();
                Ok(())
            }
            Ok(Event::InitApply(object)) => {
                seen.insert(object.name_any());
                keep(folder, &kind, object)
            }
            Ok(Event::InitDone) => {
                let swept = sweep(folder, &kind, &seen);
                // Nobody listens only while the process ends.
                let _ = listed.send(kind.clone()).await;
                swept
            }
            Ok(Event::Apply(object)) => keep(folder, &kind, object),
            Ok(Event::Delete(object)) => remove(&file(folder, &kind, &object.name_any())),
            Err(error) => {
                warn!(kind, %error, "the API server cannot be watched; the resources stay as they are");
                Ok(())
            }
        };
        if let Err(error) = done {
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
