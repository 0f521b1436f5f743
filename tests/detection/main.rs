//! How much of what is an attack the core rules stop. The data is written anew by each run, to the
//! folder that PORTWARD_DETECTION_DATA names if it is set: `portward rules eval` takes it from there.

mod attack;
mod bars;
