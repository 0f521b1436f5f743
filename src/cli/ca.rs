//! `portward ca`.
