//! HTTP rules.

pub mod decode;
pub mod reply;
