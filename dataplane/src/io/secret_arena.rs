//! Where secrets lie: memory that holds nothing else.
//!
//! Owns the regions, who has which block of them, and what there is when the kernel grants no more. A block is wiped when its
//! owner lets go of it, and belongs to nobody before that is done. Knows nothing of what a secret is for.
//!
//! Whoever makes a secret takes a lock for a moment; whoever lets go of one, which workers do, does not: its block waits in a
//! queue for the next one who takes the lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_queue::SegQueue;
use protocol::{Secret, SecretMemory};
use rustix::io::Errno;
use zeroize::{Zeroize, Zeroizing};

use super::blocks::{Block, Blocks, size_for};
use super::region::{Protection, Region, Unprotected};

/// The first region: some two thousand passwords.
const FIRST_LEN: usize = 64 * 1024;

/// A region doubles what there is, up to here.
const REGION_MAX: usize = 4 * 1024 * 1024;

/// All regions. Far more than what five thousand services with ten values each need; a value has at most a MiB.
const ARENA_MAX: usize = 128 * 1024 * 1024;

/// Memory for secrets, usable from any thread. A clone is the same memory.
#[derive(Clone)]
pub struct SecretArena(Arc<Shared>);

struct Shared {
    /// All regions together have no more than that.
    len_max: usize,
    grown: Mutex<Grown>,
    /// Blocks that are wiped, on their way back.
    returned: SegQueue<(Arc<Region>, Block)>,
    /// Bytes of the blocks that somebody has, by protection.
    used: [AtomicUsize; Protection::ALL.len()],
}

struct Grown {
    regions: Vec<(Arc<Region>, Blocks)>,
    /// What is asked for next: what was refused for want of the thing itself is not asked for again.
    best: Protection,
    /// Each refusal once.
    refused: Vec<Unprotected>,
}

impl SecretArena {
    /// The one of this process. Its first region is mapped when somebody first asks for it.
    pub fn of_process() -> &'static Self {
        static ARENA: OnceLock<SecretArena> = OnceLock::new();
        ARENA.get_or_init(|| Self::new(Protection::Secret, ARENA_MAX))
    }

    fn new(best: Protection, len_max: usize) -> Self {
        let mut grown = Grown { regions: Vec::new(), best, refused: Vec::new() };
        grown.grow(FIRST_LEN, len_max);
        let used = std::array::from_fn(|_| AtomicUsize::new(0));
        Self(Arc::new(Shared { len_max, grown: Mutex::new(grown), returned: SegQueue::new(), used }))
    }

    /// `len` bytes that are zero.
    pub fn zeroed(&self, len: usize) -> SecretBytes {
        let taken = self.0.grown.lock().unwrap_or_else(PoisonError::into_inner).take(len, &self.0);
        let home = Arc::clone(&self.0);
        let memory = match taken {
            Some((region, block)) => Memory::Block { region, block, home },
            None => Memory::Heap { bytes: Zeroizing::new(vec![0; len]), counted_by: Some(home) },
        };
        let bytes = SecretBytes { memory, len };
        self.0.used[bytes.protection() as usize].fetch_add(bytes.size(), Ordering::Relaxed);
        bytes
    }

    /// A copy of `bytes`.
    pub fn copy(&self, bytes: &[u8]) -> SecretBytes {
        let mut copy = self.zeroed(bytes.len());
        copy.bytes_mut().copy_from_slice(bytes);
        copy
    }

    /// A secret that is a copy of `bytes`.
    pub fn secret(&self, bytes: &[u8]) -> Secret {
        Secret::new(self.copy(bytes))
    }

    /// How well the worst protected region is protected, which is the heap if that is all that there is.
    pub fn protection(&self) -> Protection {
        let grown = self.0.grown.lock().unwrap_or_else(PoisonError::into_inner);
        grown.regions.iter().map(|(region, _)| region.protection()).max().unwrap_or(Protection::Heap)
    }

    /// What the kernel has not granted so far, each thing once.
    pub fn refused(&self) -> Vec<Unprotected> {
        self.0.grown.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// Bytes that secrets take, by what protects them.
    pub fn used(&self) -> [(Protection, usize); Protection::ALL.len()] {
        Protection::ALL
            .map(|protection| (protection, self.0.used[protection as usize].load(Ordering::Relaxed)))
    }
}

impl Grown {
    /// The block that `len` bytes fit into. `None`: they have to lie elsewhere.
    fn take(&mut self, len: usize, shared: &Shared) -> Option<(Arc<Region>, Block)> {
        while let Some((region, block)) = shared.returned.pop() {
            let home = self.regions.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &region));
            if let Some((_, blocks)) = home {
                blocks.give_back(block);
            }
        }
        if let Some(taken) = self.take_here(len) {
            return Some(taken);
        }
        self.grow(size_for(len), shared.len_max).then(|| self.take_here(len)).flatten()
    }

    fn take_here(&mut self, len: usize) -> Option<(Arc<Region>, Block)> {
        self.regions.iter_mut().find_map(|(region, blocks)| Some((Arc::clone(region), blocks.take(len)?)))
    }

    /// One more region, with room for a block of `size`, which is a power of two. Whether there is one.
    fn grow(&mut self, size: usize, len_max: usize) -> bool {
        let there: usize = self.regions.iter().map(|(region, _)| region.len()).sum();
        let least = size.max(FIRST_LEN);
        if there.saturating_add(least) > len_max {
            self.note(&[Unprotected { wanted: Protection::Undumped, error: Errno::NOBUFS }]);
            return false;
        }
        let doubled = there.next_power_of_two().clamp(FIRST_LEN, REGION_MAX).min(len_max - there);
        let len = if doubled.is_power_of_two() { least.max(doubled) } else { least };
        let mut refused = Vec::new();
        let mut made = Region::new(len, self.best, &mut refused);
        if len > least && !refused.is_empty() {
            // Where the limit of locked memory is met, a small region may still fit.
            let small = Region::new(least, self.best, &mut Vec::new());
            let protection =
                |made: &Result<Region, Errno>| made.as_ref().map_or(Protection::Heap, Region::protection);
            if protection(&small) < protection(&made) {
                made = small;
            }
        }
        self.note(&refused);
        match made {
            Ok(region) => {
                let blocks = Blocks::new(region.len());
                self.regions.push((Arc::new(region), blocks));
                true
            }
            Err(error) => {
                self.note(&[Unprotected { wanted: Protection::Undumped, error }]);
                false
            }
        }
    }

    fn note(&mut self, refused: &[Unprotected]) {
        for refusal in refused {
            if !self.refused.iter().any(|known| known.wanted == refusal.wanted) {
                self.refused.push(*refusal);
            }
            // A limit may leave room another time; a call that is not there will not be.
            if refusal.wanted == Protection::Secret && !matches!(refusal.error, Errno::AGAIN | Errno::NOMEM) {
                self.best = self.best.max(Protection::Locked);
            }
        }
    }
}

/// Memory of an arena that belongs to whoever has this, wiped when it is dropped.
pub struct SecretBytes {
    memory: Memory,
    /// At most what the memory holds.
    len: usize,
}

enum Memory {
    /// `block` left the region's `Blocks` in `Grown::take` and comes back by `SecretBytes::drop`: until then no other
    /// `SecretBytes` has a byte of it.
    Block {
        region: Arc<Region>,
        block: Block,
        home: Arc<Shared>,
    },
    Heap {
        bytes: Zeroizing<Vec<u8>>,
        counted_by: Option<Arc<Shared>>,
    },
}

impl SecretBytes {
    /// `len` bytes that are zero, of the general heap: for what is no secret, and may be long.
    pub fn on_heap(len: usize) -> Self {
        Self { memory: Memory::Heap { bytes: Zeroizing::new(vec![0; len]), counted_by: None }, len }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.whole()[..len]
    }

    /// Drops and wipes what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.bytes_mut().get_mut(len..) {
            rest.zeroize();
            self.len = len;
        }
    }

    /// What keeps them from others.
    pub fn protection(&self) -> Protection {
        match &self.memory {
            Memory::Block { region, .. } => region.protection(),
            Memory::Heap { .. } => Protection::Heap,
        }
    }

    /// How many bytes of memory they take.
    fn size(&self) -> usize {
        match &self.memory {
            Memory::Block { block, .. } => block.size(),
            Memory::Heap { bytes, .. } => bytes.len(),
        }
    }

    /// All of the memory, as it is.
    fn whole(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Block { region, block, .. } => {
                // SAFETY: `Blocks::take` gave out `block` within the region's length, which `Blocks::new` was told in
                // `Grown::grow`.
                let start = unsafe { region.start().add(block.offset) };
                // SAFETY: `region` keeps the mapping, whose bytes began as zeroes; until `drop` gives `block` back nobody else
                // has it, and `&mut self` is held for as long as the slice.
                unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), block.size()) }
            }
            Memory::Heap { bytes, .. } => bytes,
        }
    }
}

impl SecretMemory for SecretBytes {
    fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Block { region, block, .. } => {
                // SAFETY: as in `whole`: `block` lies within the region.
                let start = unsafe { region.start().add(block.offset) };
                // SAFETY: `region` keeps the mapping; `len` is at most the size of `block`, which nobody else has, and which is
                // written through `&mut self` alone, for which this borrow of `self` leaves no room.
                unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) }
            }
            Memory::Heap { bytes, .. } => &bytes[..self.len],
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // All of it: the next owner counts on zeroes.
        self.whole().zeroize();
        let (protection, size) = (self.protection(), self.size());
        let home = match &self.memory {
            Memory::Block { home, .. } => Some(home),
            Memory::Heap { counted_by, .. } => counted_by.as_ref(),
        };
        if let Some(home) = home {
            home.used[protection as usize].fetch_sub(size, Ordering::Relaxed);
        }
        if let Memory::Block { region, block, home } = &self.memory {
            home.returned.push((Arc::clone(region), *block));
        }
    }
}

#[cfg(test)]
mod tests;
