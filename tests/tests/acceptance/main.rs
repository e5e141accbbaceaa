//! Black-box tests: real clients and real servers on loopback, with the broker between them.

#[cfg(test)]
mod servers;
