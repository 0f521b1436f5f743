//! `portward explain`.
