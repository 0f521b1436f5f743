//! Measuring rules: a value is dressed up by an encoding, put in its place in a request by a
//! placement, run through the engine as live traffic is, and counted. What is read from where,
//! and how the figures are shown, is the caller's.

pub mod encoding;
pub mod placement;
pub mod request;
pub mod tally;

pub use encoding::Encoding;
pub use placement::Placement;
pub use request::Request;
pub use tally::{Cell, Label, Place, Tally};
