//! Configuration.

pub mod core_rules;
