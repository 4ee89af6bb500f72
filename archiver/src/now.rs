//! The wall clock, as an argument: only `main` reads the real one.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time of day.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
