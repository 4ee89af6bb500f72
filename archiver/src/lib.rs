//! The archiver: the data plane of an organization.
//!
//! The way of a message: [`ingest`] takes it, [`route`] decides where it goes, [`spool`] makes it durable, [`window`]
//! gathers its conversation, [`seal`] fixes the batch, [`render`] makes it a mail, [`deliver`] brings it to the archive by
//! [`smtp`], and [`classify`] says whose fault a failure is. [`directory`] is what the archiver knows of the world, and
//! [`deletion`] what becomes of mail whose endpoint is gone from it; [`watch`] and [`report`] are its two ties to a cluster,
//! and it runs without either. [`keep`] says how long things are kept, and by [`admin`]
//! a person decides about what is held.
//!
//! Time, randomness and connections are arguments: only `main` reads a clock or opens a socket.

pub mod admin;
pub mod batch;
pub mod canonical;
pub mod classify;
pub mod deletion;
pub mod deliver;
pub mod directory;
pub mod health;
pub mod ingest;
pub mod keep;
pub mod message;
pub mod metrics;
pub mod now;
mod offload;
pub mod parts;
pub mod probe;
pub mod render;
pub mod report;
pub mod route;
pub mod run;
pub mod seal;
pub mod smtp;
pub mod spool;
pub mod watch;
pub mod window;
