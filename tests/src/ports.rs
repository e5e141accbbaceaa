//! Free loopback ports, below the range that the kernel gives to outgoing connections, each given out once.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel's own range begins at 32,768.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// A port on which nobody listens.
///
/// # Panics
/// If there is none.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Processes that run side by side start at different places.
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
        let Ok(port) = u16::try_from(FIRST + number % COUNT) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}
