//! Conformance: the engine held against public test data of ModSecurity and of the OWASP Core Rule
//! Set, which are never part of this repository. One module per kind of data; what they share is in
//! `support`.

/// The real binary, as the other tests start it.
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod binary;
mod crs;
mod data;
mod engine;
mod import;
mod injection;
mod patterns;
mod prefilter;
mod support;
mod vectors;
