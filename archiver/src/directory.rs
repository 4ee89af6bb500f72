//! The folder of resources: what the archiver knows of the world.
//!
//! The folder is read whoever wrote it: in a cluster the [`watch`](crate::watch) mirrors the organization's objects into
//! it, beside the spool, so that a restart needs neither API server nor operator; without a cluster a person writes it.
//! An object without `metadata.uid` is a person's: its block counts as accepted, and the default is elected here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use imarchive_crds::{
    Archiver, ArchiverSpec, ArchivingEndpoint, UserAssignment,
    elect::{Candidate, elect},
    resolve::{Assignments, Claim},
};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::route::Table;

mod endpoint;

use endpoint::parse;
pub use endpoint::{AcceptedServer, Endpoint, attempts};

/// In a mirrored folder: every object was listed once. Until then nobody knows who is archived, and nothing is taken.
pub const COMPLETE: &str = ".complete";

/// How often the folder is looked at.
const POLL: Duration = Duration::from_millis(500);

/// What the folder says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// The organization's archiver. Without it nothing is taken.
    pub archiver: Option<ArchiverSpec>,
    /// Where the organization's mail goes, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Who goes where.
    pub table: Table,
    /// Since when messages could not be made durable, as the archiver said before.
    pub not_durable_since: Option<Timestamp>,
    /// Whether every object was listed once.
    pub complete: bool,
}

impl Resources {
    /// Whether there surely is no such endpoint: what is not known completely may have it all the same.
    pub fn lacks(&self, endpoint: &str) -> bool {
        let known = self.complete && self.archiver.is_some() && !self.table.incomplete;
        known && !self.endpoints.contains_key(endpoint)
    }
}

/// One object of the folder.
#[derive(Clone, Debug)]
enum Object {
    Archiver(Box<Archiver>),
    Endpoint(Box<ArchivingEndpoint>),
    Assignment(Box<UserAssignment>),
}

/// A file of the folder: its objects in their last readable form.
#[derive(Clone, Debug, Default)]
struct Entry {
    stamp: Option<(SystemTime, u64)>,
    objects: Vec<Object>,
    /// Whether the file could not be read, and never could.
    unreadable: bool,
}

/// The folder, and what was last read of it.
pub struct Directory {
    folder: PathBuf,
    /// A person's folder is complete as it is; a mirrored one once its marker is there.
    mirrored: bool,
    entries: BTreeMap<PathBuf, Entry>,
}

impl Directory {
    /// The folder at `folder`, not read yet.
    pub fn new(folder: &Path, mirrored: bool) -> Self {
        Self { folder: folder.to_owned(), mirrored, entries: BTreeMap::new() }
    }

    /// Reads what changed since the last time. `None`: nothing did.
    pub fn read(&mut self) -> io::Result<Option<Resources>> {
        let mut changed = self.entries.is_empty();
        let mut seen = BTreeMap::new();
        let mut complete = !self.mirrored;
        for path in self.list()? {
            if path.file_name().is_some_and(|name| name == COMPLETE) {
                complete = true;
                changed |= !self.entries.contains_key(&path);
                seen.insert(path, Entry::default());
                continue;
            }
            if !path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                continue;
            }
            let data = fs::metadata(&path)?;
            let stamp = Some((data.modified()?, data.len()));
            let entry = match self.entries.get(&path) {
                Some(entry) if entry.stamp == stamp => entry.clone(),
                before => {
                    changed = true;
                    read_entry(&path, stamp, before)
                }
            };
            seen.insert(path, entry);
        }
        changed |= seen.len() != self.entries.len();
        self.entries = seen;
        Ok(changed.then(|| self.resources(complete)))
    }

    /// The files of the folder. A listing may miss a file that is replaced meanwhile; gone is only what is not there.
    fn list(&self) -> io::Result<BTreeSet<PathBuf>> {
        let listed = fs::read_dir(&self.folder)?.map(|file| file.map(|file| file.path()));
        let mut files = listed.collect::<io::Result<BTreeSet<_>>>()?;
        files.extend(self.entries.keys().filter(|path| path.exists()).cloned());
        Ok(files)
    }

    fn resources(&self, complete: bool) -> Resources {
        let objects: Vec<&Object> = self.entries.values().flat_map(|entry| &entry.objects).collect();
        let archivers = objects.iter().filter_map(|object| match object {
            Object::Archiver(archiver) => Some(archiver.as_ref()),
            _ => None,
        });
        let archiver = archivers.min_by_key(|archiver| archiver.name_any());
        let endpoints: Vec<&ArchivingEndpoint> = objects
            .iter()
            .filter_map(|object| match object {
                Object::Endpoint(endpoint) => Some(endpoint.as_ref()),
                _ => None,
            })
            .collect();
        let claims = objects.iter().filter_map(|object| match object {
            Object::Assignment(assignment) => Some(assignment),
            _ => None,
        });
        let names: Vec<(String, &UserAssignment)> = claims.map(|claim| (claim.name_any(), claim.as_ref())).collect();
        let assignments = Assignments::resolve(names.iter().map(|(name, assignment)| Claim {
            name,
            created_at: created_at(&assignment.metadata),
            endpoint: &assignment.spec.endpoint_ref.name,
            users: &assignment.spec.users,
        }));
        let endpoints_by_name: BTreeMap<_, _> =
            endpoints.iter().map(|endpoint| (endpoint.name_any(), parse(endpoint))).collect();
        let table = Table {
            domains: archiver.iter().flat_map(|archiver| archiver.spec.organization.domains.iter().cloned()).collect(),
            assignments,
            endpoints: endpoints_by_name.keys().cloned().collect(),
            default: archiver.and_then(|archiver| default(archiver, &endpoints)),
            incomplete: self.entries.values().any(|entry| entry.unreadable),
        };
        Resources {
            archiver: archiver.map(|archiver| archiver.spec.clone()),
            endpoints: endpoints_by_name,
            table,
            not_durable_since: archiver
                .and_then(|archiver| archiver.status.as_ref()?.not_durable_since.as_ref())
                .map(|time| time.0),
            complete,
        }
    }
}

/// Looks at the folder again and again, and tells what changed. Ends when nobody listens.
pub async fn follow(mut directory: Directory, resources: watch::Sender<Arc<Resources>>) {
    loop {
        tokio::select! {
            () = resources.closed() => return,
            () = tokio::time::sleep(POLL) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let read = directory.read();
            (directory, read)
        });
        let Ok((back, read)) = looked.await else { return };
        directory = back;
        match read {
            Ok(None) => {}
            Ok(Some(changed)) => {
                // A status that others write changes files, but nothing that matters here.
                let replaced = resources.send_if_modified(|before| {
                    let differs = **before != changed;
                    if differs {
                        *before = Arc::new(changed);
                    }
                    differs
                });
                if replaced {
                    info!("the resources changed");
                }
            }
            Err(error) => warn!(folder = %directory.folder.display(), %error, "the folder of resources cannot be read"),
        }
    }
}

fn read_entry(path: &Path, stamp: Option<(SystemTime, u64)>, before: Option<&Entry>) -> Entry {
    match read_objects(path) {
        Ok(objects) => Entry { stamp, objects, unreadable: false },
        Err(error) => {
            warn!(file = %path.display(), error, "a resource cannot be read; its last readable form stays in force");
            let kept = before.filter(|before| !before.objects.is_empty());
            let objects = kept.map(|before| before.objects.clone()).unwrap_or_default();
            Entry { stamp, unreadable: kept.is_none(), objects }
        }
    }
}

fn read_objects(path: &Path) -> Result<Vec<Object>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let value = serde_json::Value::deserialize(document).map_err(|error| error.to_string())?;
        let kind = value.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
        let read = match kind.as_str() {
            "Archiver" => serde_json::from_value(value).map(|object| Some(Object::Archiver(object))),
            "ArchivingEndpoint" => serde_json::from_value(value).map(|object| Some(Object::Endpoint(object))),
            "UserAssignment" => serde_json::from_value(value).map(|object| Some(Object::Assignment(object))),
            _ => Ok(None),
        };
        objects.extend(read.map_err(|error| format!("{kind}: {error}"))?);
    }
    Ok(objects)
}

fn created_at(metadata: &kube::api::ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// The operator's word; of a person's archiver, the election that the operator would hold.
fn default(archiver: &Archiver, endpoints: &[&ArchivingEndpoint]) -> Option<String> {
    if archiver.metadata.uid.is_some() {
        return archiver.status.as_ref().and_then(|status| status.default_endpoint.clone());
    }
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name_any()).collect();
    let candidates: Vec<Candidate<'_>> = endpoints
        .iter()
        .zip(&names)
        .map(|(endpoint, name)| Candidate {
            name,
            created_at: created_at(&endpoint.metadata),
            accepted: true,
            deleting: false,
            wants: endpoint.spec.default,
            requested_at: (endpoint.spec.default == Some(true)).then_some(Timestamp::UNIX_EPOCH),
        })
        .collect();
    elect(&candidates, None).map(str::to_owned)
}

#[cfg(test)]
mod tests;
