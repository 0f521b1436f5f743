//! How much of what is an attack the core rules stop, and how much of what is harmless. The attacks are
//! written anew by each run, to the folder that PORTWARD_DETECTION_DATA names if it is set: `portward
//! rules eval` takes them from there.

mod attack;
mod bars;
mod benign;
#[path = "../conformance/data.rs"]
mod data;
