//! nostale
fn main(){}
