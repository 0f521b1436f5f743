//! From a permit to a connected origin.
