//! The command line.

pub mod ca;
pub mod env;
pub mod explain;
pub mod rules;
