//! The worker's receive buffers and who has them.
//!
//! Owns their memory. A buffer is *free*, *provided* (the kernel may write into it at any moment) or *leased*
//! (it was received into and somebody reads it). A [`Lease`] gives its buffer back when it is dropped.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

use zeroize::Zeroize;

/// Bytes of one buffer: enough for a bulk transfer to be worth a system call, and as large as a TLS record.
pub(crate) const BUFFER_LEN: usize = 16 * 1024;

const PAGE: usize = 4096;

/// Memory that lies at a multiple of the page size, zeroed, for the kernel to share.
pub(super) struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    /// At least `len` bytes; `len` is not zero.
    pub(super) fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1).next_multiple_of(PAGE), PAGE)
            .expect("a pool is far below isize::MAX");
        // SAFETY: the layout's size is at least one page: `len.max(1)` is rounded up.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed(self.layout)` in `new`, and only this drop frees it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// The buffers of one worker.
pub(crate) struct Pool {
    shared: Rc<Shared>,
}

struct Shared {
    memory: Pages,
    count: u16,
    /// Buffers that nobody has. The one that came back last goes out first: it is still in the cache.
    free: RefCell<Vec<u16>>,
}

impl Pool {
    pub(crate) fn new(count: u16) -> Self {
        let memory = Pages::new(usize::from(count) * BUFFER_LEN);
        Self { shared: Rc::new(Shared { memory, count, free: RefCell::new((0..count).rev().collect()) }) }
    }

    /// Takes a free buffer, for the kernel to write into: its number and its first byte.
    pub(super) fn take(&self) -> Option<(u16, NonNull<u8>)> {
        let index = self.shared.free.borrow_mut().pop()?;
        Some((index, self.shared.address(index)))
    }

    /// How many buffers nobody has.
    pub(crate) fn free(&self) -> usize {
        self.shared.free.borrow().len()
    }

    /// Lets `read` write into a free buffer, and gives what it says to have written; `None` if no buffer is free.
    pub(crate) fn fill<E>(
        &self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<Lease, E>> {
        let (index, start) = self.take()?;
        // Whatever `read` does, the buffer comes back.
        let mut lease = self.lease(index, BUFFER_LEN);
        // SAFETY: buffer `index` left the free list in `take` above and comes back only when `lease` is dropped, which
        // nobody has seen yet; it is BUFFER_LEN bytes long and was zeroed when it was allocated.
        let buffer = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), BUFFER_LEN) };
        Some(read(buffer).map(|len| {
            lease.len = len.min(BUFFER_LEN);
            lease
        }))
    }

    /// The first `len` bytes of buffer `index`, which the kernel has filled and will not touch again until the
    /// lease is dropped and the buffer was taken anew.
    ///
    /// # Panics
    /// If the kernel names a buffer or a length that it was not given.
    pub(super) fn lease(&self, index: u16, len: usize) -> Lease {
        assert!(
            index < self.shared.count && len <= BUFFER_LEN,
            "the kernel answered with a buffer that it was not given"
        );
        Lease { shared: Rc::clone(&self.shared), index, len }
    }
}

impl Shared {
    fn address(&self, index: u16) -> NonNull<u8> {
        debug_assert!(index < self.count, "buffers are counted from 0");
        // SAFETY: `index < count`, and `memory` was allocated for `count` buffers of BUFFER_LEN bytes in `Pool::new`.
        unsafe { self.memory.start().add(usize::from(index) * BUFFER_LEN) }
    }
}

/// A buffer that something was received into. Reads as its bytes; goes back to the pool when it is dropped.
pub(crate) struct Lease {
    shared: Rc<Shared>,
    index: u16,
    len: usize,
}

impl Lease {
    /// Whether the buffer is full, so that more is likely to lie behind.
    pub(crate) fn is_full(&self) -> bool {
        self.len == BUFFER_LEN
    }

    /// Overwrites what was received, which may be a password, and gives the buffer back.
    pub(crate) fn wipe(self) {
        let start = self.shared.address(self.index);
        // SAFETY: as in `deref` below nobody else writes to the buffer while it is leased, and `self` is taken by value, so
        // no slice that was borrowed from it is left.
        let received = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len) };
        received.zeroize();
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.shared.address(self.index);
        // SAFETY: buffer `index` has left the free list in `Pool::take` and comes back only in `drop` below, so
        // between the kernel's completion (the only caller of `Pool::lease`) and that drop nobody writes to it;
        // `len <= BUFFER_LEN` was checked there, and the memory was zeroed when it was allocated.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn a_dropped_lease_is_the_next_buffer_taken() {
        let pool = Pool::new(2);
        let (first, _) = pool.take().expect("two are free");
        let (second, _) = pool.take().expect("one is free");
        assert!(pool.take().is_none());
        drop(pool.lease(first, 1));
        assert_eq!(pool.take().map(|(index, _)| index), Some(first));
        drop(pool.lease(second, 0));
        assert_eq!(pool.take().map(|(index, _)| index), Some(second));
    }

    #[test]
    #[should_panic(expected = "not given")]
    fn a_buffer_that_does_not_exist_is_no_lease() {
        drop(Pool::new(2).lease(2, 1));
    }
}
