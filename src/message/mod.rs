//! HTTP rules.

pub mod reason;
pub mod reply;
