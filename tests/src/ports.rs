//! Free loopback ports, below the range that the kernel gives to outgoing connections, each given out once.
//!
//! Processes that run side by side must not choose the same port, for it is bound only later. So each takes ports
//! by the block, and holds the UDP port of the block's first number, which nobody else has a use for, as its claim.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The kernel's own range begins at 32,768.
const PORTS: Range<u16> = 15_000..32_000;
const BLOCK: u16 = 100;

/// What this process has claimed.
struct Claims {
    held: Vec<UdpSocket>,
    left: Range<u16>,
}

/// A port on which nobody listens.
///
/// # Panics
/// If there is none.
pub fn free() -> u16 {
    static CLAIMS: Mutex<Claims> = Mutex::new(Claims { held: Vec::new(), left: 0..0 });
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        for port in claims.left.by_ref() {
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
        claims.take_block();
    }
}

/// The first of two ports in a row on which nobody listens.
///
/// # Panics
/// If there are none.
pub fn free_pair() -> u16 {
    let mut first = free();
    loop {
        // Another thread may have taken the one in between.
        let second = free();
        if second == first + 1 {
            return first;
        }
        first = second;
    }
}

impl Claims {
    fn take_block(&mut self) {
        let claimed = PORTS.step_by(usize::from(BLOCK)).find_map(|first| {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).ok().map(|claim| (claim, first..first + BLOCK))
        });
        let Some((claim, block)) = claimed else { panic!("no free port in {PORTS:?}") };
        self.held.push(claim);
        self.left = block;
    }
}
