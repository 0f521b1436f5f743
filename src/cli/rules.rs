//! `portward rules`.
