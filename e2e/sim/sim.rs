//! Ninety days in seconds.

fn main() {}
