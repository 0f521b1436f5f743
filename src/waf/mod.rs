//! The rule engine: pure, no I/O, no clock.

pub mod body;
pub mod bytes;
pub mod input;
pub mod operator;
pub mod report;
pub mod transformation;
