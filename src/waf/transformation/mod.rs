//! transformation
