//! nostale
fn main() {}
