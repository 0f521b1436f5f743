//! What an import promises, end to end.
