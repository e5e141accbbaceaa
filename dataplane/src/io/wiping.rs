//! The general allocator, with nothing left behind in what it takes back.
//!
//! Owns the wiping. Secrets live elsewhere, but pass through buffers of libraries that do not wipe: a text that is decoded, a vector
//! that has grown, a message that is encrypted. Where blocks come from is another allocator's.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use zeroize::optimization_barrier;

/// An allocator that wipes each block before it gives it back to the one underneath.
pub struct Wiping<A>(A);

impl<A> Wiping<A> {
    /// Over `allocator`.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }
}

// SAFETY: every block comes from `self.0` with the layout that was asked for, and goes back to it once, with the layout that it has;
// what else the contract asks for, `self.0` keeps.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are the ones that `self.0` wants.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the block back, so all `layout.size()` bytes of it are ours to write until the next line.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: `block` came from `self.0` with this layout, in `alloc`, `alloc_zeroed` or `realloc`.
        unsafe { self.0.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The allocator underneath would move a block without a word, and leave what was in it; and what a block that shrinks in its
        // place leaves behind its new end would never be wiped. So each is moved by us. A vector that doubles moves in any case.
        // SAFETY: the caller promises that `new_size` is not zero and, rounded up to the alignment, not above `isize::MAX`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: `new_layout` has a size that is not zero: see above.
        let moved = unsafe { self.0.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: `moved` is a new block, so it overlaps nothing, and both blocks have the smaller of the two sizes.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
            // SAFETY: the caller gives `block` up when what we return is not null.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// # Safety
/// `len` bytes from `block` on may be written, and nobody reads them any more.
unsafe fn wipe(block: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(block, 0, len) };
    // Who frees a block does not read it, and a compiler that knows that leaves the zeroes out.
    // SAFETY: the bytes were written on the line above, and are ours until the caller goes on.
    optimization_barrier(unsafe { std::slice::from_raw_parts(block, len) });
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::RefCell;

    use super::{GlobalAlloc, Layout, Wiping};

    thread_local! {
        /// What was in each block that was given back.
        static GIVEN_BACK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    /// Looks at what it takes back.
    struct Looking;

    // SAFETY: every call is passed on as it is.
    unsafe impl GlobalAlloc for Looking {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: `block` has the size of its layout, and the tests write all of it before they give it back.
            let seen = unsafe { std::slice::from_raw_parts(block, layout.size()) }.to_vec();
            GIVEN_BACK.with_borrow_mut(|given_back| given_back.push(seen));
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }

    static ALLOCATOR: Wiping<Looking> = Wiping::new(Looking);

    fn filled(layout: Layout) -> *mut u8 {
        // SAFETY: no layout of these tests is empty.
        let block = unsafe { ALLOCATOR.alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: the block has this size, and nobody else knows of it.
        unsafe { block.write_bytes(b'x', layout.size()) };
        block
    }

    #[test]
    fn a_block_is_empty_when_it_is_given_back() {
        let layout = Layout::from_size_align(100, 64).unwrap();
        let block = filled(layout);
        assert!(block.addr().is_multiple_of(64));
        // SAFETY: it was allocated above, with this layout.
        unsafe { ALLOCATOR.dealloc(block, layout) };
        assert_eq!(GIVEN_BACK.take(), [vec![0; 100]]);
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_content_and_leaves_none_behind() {
        for (from, to) in [(100, 200), (100, 99), (100, 100), (1, 1 << 20), (1 << 20, 1)] {
            let layout = Layout::from_size_align(from, 1).unwrap();
            let block = filled(layout);
            // SAFETY: it was allocated above, with this layout.
            let moved = unsafe { ALLOCATOR.realloc(block, layout, to) };
            // SAFETY: a block that has grown or shrunk has that many bytes, the first of which were written.
            let kept = unsafe { std::slice::from_raw_parts(moved, from.min(to)) };
            assert!(kept.iter().all(|byte| *byte == b'x'));
            assert_eq!(GIVEN_BACK.take(), [vec![0; from]], "{from} {to}");
            // SAFETY: all `to` bytes are the block's.
            unsafe { moved.write_bytes(b'y', to) };
            // SAFETY: it was allocated by `realloc`, with this size and the alignment of before.
            unsafe { ALLOCATOR.dealloc(moved, Layout::from_size_align(to, 1).unwrap()) };
            assert_eq!(GIVEN_BACK.take(), [vec![0; to]]);
        }
    }
}
