//! parsecd: placeholder until the rooms are in.

fn main() {}
