//! Audit records.
pub mod record;
