//! What an administrator sets: arguments, each also an environment variable.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use imarchive_crds::Address;

use crate::notify::{Relay, RelayTls};

/// Annotations of an object together have at most 256 KiB, and the roots share them with the endpoint's YAML.
const LARGEST_ROOTS: usize = 200 * 1024;

/// The arguments of `operator run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// The namespaces to watch, separated by commas; all when unset.
    #[arg(long, env = "IMARCHIVE_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// The image of archivers and probes, which holds /archiver.
    #[arg(long, env = "IMARCHIVE_IMAGE")]
    pub image: String,
    /// When nodes pull the image.
    #[arg(long, env = "IMARCHIVE_IMAGE_PULL_POLICY", value_enum, default_value_t = PullPolicy::IfNotPresent)]
    pub image_pull_policy: PullPolicy,
    /// Names of Secrets, in the organizations' namespaces, that the image is pulled with; separated by commas.
    #[arg(long, env = "IMARCHIVE_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// A PEM file of CAs that archives may be vouched for by, besides the public ones.
    #[arg(long, env = "IMARCHIVE_EXTRA_ROOTS")]
    pub extra_roots: Option<PathBuf>,
    /// The name of this replica, which no other has; in a pod, the pod's.
    #[arg(long, env = "POD_NAME", default_value_t = format!("operator-{}", std::process::id()))]
    pub identity: String,
    /// The namespace of the Lease that replicas take turns by; when unset, the one that this replica runs in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Where /metrics, /livez and /readyz are served.
    #[arg(long, env = "IMARCHIVE_METRICS", default_value = "0.0.0.0:8080")]
    pub metrics: SocketAddr,
    /// How administrators are mailed.
    #[command(flatten)]
    pub notify: Notify,
}

/// The relay that administrators are mailed by.
#[derive(Args, Clone, Debug)]
pub struct Notify {
    /// The server that takes the mails to administrators; nobody is mailed when unset.
    #[arg(long, env = "IMARCHIVE_NOTIFY_HOST", requires = "notify_from")]
    pub notify_host: Option<String>,
    /// Its port; 587 for StartTLS and 465 for Implicit when unset.
    #[arg(long, env = "IMARCHIVE_NOTIFY_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub notify_port: Option<u16>,
    /// How it speaks TLS; its certificate is verified in either case.
    #[arg(long, env = "IMARCHIVE_NOTIFY_TLS", value_enum, default_value_t = RelayTls::StartTls)]
    pub notify_tls: RelayTls,
    /// The sender of the mails.
    #[arg(long, env = "IMARCHIVE_NOTIFY_FROM")]
    pub notify_from: Option<String>,
    /// A folder with the files username and password, read at each mail; nothing is authenticated when unset.
    #[arg(long, env = "IMARCHIVE_NOTIFY_CREDENTIALS")]
    pub notify_credentials: Option<PathBuf>,
}

impl Notify {
    /// The relay, if there is one, whose certificate the public CAs or `extra_roots` vouch for.
    pub fn relay(&self, extra_roots: Option<String>) -> anyhow::Result<Option<Relay>> {
        let Some(host) = self.notify_host.clone().filter(|host| !host.is_empty()) else { return Ok(None) };
        let from = self.notify_from.as_deref().unwrap_or_default();
        let from = Address::parse(from).with_context(|| format!("--notify-from: {from:?} cannot be used"))?;
        if !from.is_mailbox() {
            bail!("--notify-from: {from} is no mailbox that every server can be told");
        }
        let usual = if self.notify_tls == RelayTls::Implicit { 465 } else { 587 };
        Ok(Some(Relay {
            host,
            port: self.notify_port.unwrap_or(usual),
            tls: self.notify_tls,
            from,
            credentials: self.notify_credentials.clone(),
            extra_roots,
        }))
    }
}

/// The arguments of `operator check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The namespace that the examples are tried in, by a dry run.
    #[arg(long, env = "IMARCHIVE_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// The namespace of the operator's Lease; when unset, the one that this runs in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// An ArchivingEndpoint to test.
    #[arg(long, env = "IMARCHIVE_ENDPOINT")]
    pub endpoint: Option<String>,
    /// The namespace of that ArchivingEndpoint; --namespace when unset.
    #[arg(long, env = "IMARCHIVE_ENDPOINT_NAMESPACE")]
    pub endpoint_namespace: Option<String>,
}

/// When nodes pull an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    /// At every start.
    #[value(name = "Always")]
    Always,
    /// When it is not there.
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    /// Never: it is there.
    #[value(name = "Never")]
    Never,
}

impl PullPolicy {
    /// As a container has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What pods are built with.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The image.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: PullPolicy,
    /// With which Secrets it is pulled.
    pub pull_secrets: Vec<String>,
    /// Further trusted CAs, as PEM.
    pub extra_roots: Option<String>,
}

impl Run {
    /// Reads the files that the arguments name.
    pub fn workload(&self) -> anyhow::Result<Workload> {
        let extra_roots = match &self.extra_roots {
            None => None,
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("--extra-roots: {} cannot be read", file.display()))?;
                if text.len() > LARGEST_ROOTS {
                    bail!(
                        "--extra-roots: {} has {} bytes, and a pod can be given {LARGEST_ROOTS}; leave out roots that no \
                         archive needs",
                        file.display(),
                        text.len()
                    );
                }
                Some(text).filter(|text| !text.trim().is_empty())
            }
        };
        Ok(Workload {
            image: self.image.clone(),
            pull_policy: self.image_pull_policy,
            pull_secrets: self.image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
            extra_roots,
        })
    }

    /// The namespaces to watch: `None` is all of them.
    pub fn scopes(&self) -> Vec<Option<String>> {
        let mut named: Vec<_> = self.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
        named.sort();
        named.dedup();
        if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() }
    }
}
