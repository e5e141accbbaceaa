//! The binary `secretless-broker`.

fn main() {}
