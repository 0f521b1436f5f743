//! How much of what is an attack the core rules stop, and how much of what is harmless.

mod attack;
mod benign;

#[test]
fn write() {
    attack::write(std::path::Path::new(&std::env::var("PORTWARD_DETECTION_DATA").unwrap()));
}
