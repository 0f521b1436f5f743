//! HTTP rules.

pub mod reply;
