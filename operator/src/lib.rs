//! The control plane of imarchive: tests endpoints, elects the default, resolves assignments, runs the archivers.
//!
//! Of all replicas one leads, by [`leader`]; only that one watches and, behind its [`fence`], writes.
//!
//! The way of a change: [`scope`] watches every kind once and keeps it in stores; each change asks, by [`queue`], for
//! the reconciles that it may matter to; [`controller`] runs them, one at a time for an object, with backoff and metrics.
//! A reconcile ([`archiver`], [`endpoint`], [`assignment`]) observes the stores, decides by pure functions of what it saw
//! and of `now`, acts through [`api`], and publishes through [`status`], which writes only what differs. What the
//! administrators are to be told of it, [`notify`] mails them.

pub mod api;
pub mod archiver;
pub mod assignment;
pub mod backoff;
pub mod check;
pub mod context;
pub mod controller;
pub mod crds;
pub mod endpoint;
pub mod error;
pub mod fence;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod notify;
pub mod pods;
pub mod progress;
pub mod queue;
pub mod run;
pub mod scope;
pub mod settings;
pub mod slots;
pub mod status;
pub mod stores;
pub mod tables;
pub mod undecodable;

/// Who the operator is to the API server: its field manager, and the reporter of its events.
pub const MANAGER: &str = "imarchive-operator";
