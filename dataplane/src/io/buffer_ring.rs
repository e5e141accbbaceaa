//! The ring through which the kernel is given receive buffers (`IORING_REGISTER_PBUF_RING`, Linux 5.19).
//!
//! Owns the shared ring's memory and how many buffers lie in it. Knows nothing of who reads the data.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, Submitter};

use super::pool::{BUFFER_LEN, Lease, Pages, Pool};

/// The group that multishot receives name.
pub(super) const GROUP: u16 = 0;

/// Buffers a worker has, and slots of the ring.
const BUFFERS: u16 = 512;

/// Buffers that lie in the ring at first. Few, so that the same ones come round while they are in the cache;
/// doubled when many sockets want one at once.
const PROVIDED_MIN: u16 = 64;

/// Receives that must go without a buffer at once for there to be too few.
const STARVED_MIN: u16 = 4;

/// Buffers and the ring that hands them to the kernel.
pub(super) struct BufferRing {
    entries: Pages,
    pool: Pool,
    /// Where the next buffer goes, wrapping; the slot is `tail % BUFFERS`.
    tail: u16,
    /// Buffers that lie in the ring. `provided <= provided_max <= BUFFERS`.
    provided: u16,
    provided_max: u16,
    /// Receives that found no buffer since buffers were provided last.
    starved: u16,
}

const _: () = assert!(BUFFERS.is_power_of_two(), "the kernel masks slots");

impl BufferRing {
    /// Registers a full ring with `ring`.
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        let entries = Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>());
        let address = entries.start().as_ptr() as u64;
        // SAFETY: `entries` is page-aligned and as long as BUFFERS entries; it is freed only after `unregister`,
        // which `Uring::drop` calls before this struct is dropped, or after the registration has failed.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }?;
        let pool = Pool::new(BUFFERS);
        let mut this = Self { entries, pool, tail: 0, provided: 0, provided_max: PROVIDED_MIN, starved: 0 };
        this.provide();
        Ok(this)
    }

    /// Takes the ring away from the kernel: no buffer is written to after this.
    pub(super) fn unregister(submitter: &Submitter<'_>) {
        // It can only fail if nothing was registered.
        let _ = submitter.unregister_buf_ring(GROUP);
    }

    /// Puts free buffers into the ring, up to as many as it should hold.
    pub(super) fn provide(&mut self) {
        self.starved = 0;
        let before = self.tail;
        while self.provided < self.provided_max {
            let Some((index, address)) = self.pool.take() else { break };
            let slot = usize::from(self.tail % BUFFERS);
            // SAFETY: `slot < BUFFERS`, the length of `entries` as allocated in `register`.
            let entry = unsafe { self.entries.start().cast::<BufRingEntry>().add(slot) };
            // SAFETY: the entry lies in `entries`, was zeroed at allocation (all-zero is a valid entry), and the
            // kernel does not read it before the tail below passes it.
            let entry = unsafe { &mut *entry.as_ptr() };
            entry.set_addr(address.as_ptr() as u64);
            entry.set_len(u32::try_from(BUFFER_LEN).expect("a buffer is far below 4 GiB"));
            entry.set_bid(index);
            self.tail = self.tail.wrapping_add(1);
            self.provided += 1;
        }
        if self.tail != before {
            self.publish_tail();
        }
    }

    /// The buffer that a completion names, filled with `len` bytes.
    pub(super) fn lease(&mut self, index: u16, len: usize) -> Lease {
        self.provided -= 1;
        self.pool.lease(index, len)
    }

    /// The kernel found no buffer for a receive: if that happens to several at once, more of them lie in the ring from now on.
    /// One or two that fill them all have their own gear for that, and what one turn can bring of them, unasked, stays small.
    pub(super) fn on_exhausted(&mut self) {
        self.starved += 1;
        if self.starved < STARVED_MIN {
            return;
        }
        self.starved = 0;
        self.provided_max = self.provided_max.saturating_mul(2).min(BUFFERS);
    }

    fn publish_tail(&self) {
        // SAFETY: `entries` starts with the first entry of the ring, as `tail` demands; it was zeroed.
        let tail = unsafe { BufRingEntry::tail(self.entries.start().cast::<BufRingEntry>().as_ptr()) };
        // SAFETY: the tail is two aligned bytes inside `entries` (the first entry's `resv`), which live as long
        // as `self`; the kernel only reads them, and we write them only through this atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
