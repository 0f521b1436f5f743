//! `portward env`.
