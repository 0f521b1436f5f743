//! Conformance: the engine held against public test data of ModSecurity and of the OWASP Core Rule
//! Set, which are never part of this repository. One module per kind of data; what they share is in
//! `support`.

mod engine;
mod import;
mod support;
mod vectors;
