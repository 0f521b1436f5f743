//! The rule engine: pure, no I/O, no clock. Rules are text in, an immutable [`Engine`] out; each
//! exchange is a [`Transaction`] that is shown heads and bodies as slices and answers with
//! decisions, and at the end with a report that explains itself.

mod act;
mod before;
mod bits;
pub mod body;
pub mod bytes;
mod chosen;
mod clean;
mod compile;
pub mod cost;
pub mod decode;
pub mod engine;
mod evaluate;
pub mod example;
mod exclusion;
mod expand;
mod explain;
mod gate;
mod grams;
pub mod input;
mod interest;
pub mod lang;
pub mod measure;
mod meter;
pub mod operator;
pub mod persistent;
mod pipeline;
mod prefilter;
pub mod report;
mod rule;
mod scan;
mod scratch;
mod settled;
mod sift;
pub mod template;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod transaction;
pub mod transformation;
mod tx;
pub mod variable;

pub use engine::{Choice, Engine, Mode, RuleInfo, Settings, Source, Sources};
pub use lang::LoadError;
pub use meter::Clock;
pub use transaction::{HeaderEdit, Transaction};
pub use variable::collect::Slices;
