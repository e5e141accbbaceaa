//! Which blocks of a region are free.
//!
//! Owns the bookkeeping: blocks are powers of two, a block that is too large is halved, and two halves that are free are
//! one block again, so that a region from which everything has come back is whole. Knows no memory, only offsets.

use std::collections::BTreeSet;

/// The smallest block: a password or a key of 32 bytes.
pub(super) const BLOCK_MIN: usize = 32;

/// A block that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it begins, from the region's start: a multiple of its size.
    pub(super) offset: usize,
    /// The size is `BLOCK_MIN << order`.
    order: u8,
}

impl Block {
    /// How many bytes it has.
    pub(super) fn size(self) -> usize {
        BLOCK_MIN << self.order
    }

    /// The other half of the block that this one is a half of.
    fn buddy(self) -> Self {
        Self { offset: self.offset ^ self.size(), order: self.order }
    }
}

/// The free blocks of one region.
pub(super) struct Blocks {
    /// Offsets, by order. The region itself is the only block of the last one.
    free: Vec<BTreeSet<usize>>,
}

impl Blocks {
    /// A region of `len` bytes, all free: a power of two, and not less than [`BLOCK_MIN`].
    pub(super) fn new(len: usize) -> Self {
        let mut free = vec![BTreeSet::new(); usize::from(order_for(len)) + 1];
        if let Some(whole) = free.last_mut() {
            whole.insert(0);
        }
        Self { free }
    }

    /// Takes the block that `len` bytes fit into, from the smallest one that is large enough.
    pub(super) fn take(&mut self, len: usize) -> Option<Block> {
        let wanted = order_for(len);
        let found = (wanted..).zip(self.free.get_mut(usize::from(wanted)..)?);
        let (order, offset) = found.into_iter().find_map(|(order, free)| Some((order, free.pop_first()?)))?;
        let mut block = Block { offset, order };
        while block.order > wanted {
            block.order -= 1;
            self.insert(block.buddy());
        }
        Some(block)
    }

    /// Takes a block back.
    ///
    /// # Panics
    /// If it is free already: two would have it one day.
    pub(super) fn give_back(&mut self, mut block: Block) {
        let last = self.free.len() - 1;
        while usize::from(block.order) < last && self.remove(block.buddy()) {
            block = Block { offset: block.offset & !block.size(), order: block.order + 1 };
        }
        self.insert(block);
    }

    fn insert(&mut self, block: Block) {
        let is_new = self.free[usize::from(block.order)].insert(block.offset);
        assert!(is_new, "a block was given back twice");
    }

    fn remove(&mut self, block: Block) -> bool {
        self.free[usize::from(block.order)].remove(&block.offset)
    }
}

/// The size of the block that `len` bytes need.
pub(super) fn size_for(len: usize) -> usize {
    len.max(BLOCK_MIN).next_power_of_two()
}

fn order_for(len: usize) -> u8 {
    let order = size_for(len).trailing_zeros() - BLOCK_MIN.trailing_zeros();
    u8::try_from(order).expect("a power of two has an exponent below 64")
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_MIN, Block, Blocks};

    const LEN: usize = 64 * 1024;

    fn overlap(one: Block, other: Block) -> bool {
        one.offset < other.offset + other.size() && other.offset < one.offset + one.size()
    }

    #[test]
    fn a_block_is_the_smallest_power_of_two_that_is_large_enough() {
        let mut blocks = Blocks::new(LEN);
        for (len, size) in
            [(0, 32), (1, 32), (32, 32), (33, 64), (64, 64), (65, 128), (4096, 4096), (LEN, LEN)]
        {
            let block = blocks.take(len).expect("the region is empty");
            assert_eq!(block.size(), size, "{len}");
            blocks.give_back(block);
        }
        assert_eq!(blocks.take(LEN + 1), None);
    }

    #[test]
    fn the_whole_region_can_be_had_in_the_smallest_blocks_and_again_in_one() {
        let mut blocks = Blocks::new(LEN);
        let taken: Vec<Block> = std::iter::from_fn(|| blocks.take(1)).collect();
        assert_eq!(taken.len(), LEN / BLOCK_MIN);
        // Every other one first, so that none has its other half.
        for block in taken.iter().step_by(2).chain(taken.iter().skip(1).step_by(2)) {
            assert_eq!(blocks.take(LEN), None);
            blocks.give_back(*block);
        }
        assert_eq!(blocks.take(LEN).map(Block::size), Some(LEN));
    }

    #[test]
    fn no_two_have_the_same_bytes_in_a_thousand_random_steps() {
        let mut blocks = Blocks::new(LEN);
        let mut taken: Vec<Block> = Vec::new();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..1000 {
            // Marsaglia's xorshift.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let number = usize::try_from(random >> 33).expect("31 bits");
            if number.is_multiple_of(3) && !taken.is_empty() {
                blocks.give_back(taken.swap_remove(number % taken.len()));
            } else if let Some(block) = blocks.take(number % 5000) {
                assert!(block.offset.is_multiple_of(block.size()) && block.offset + block.size() <= LEN);
                assert!(!taken.iter().any(|other| overlap(*other, block)), "{block:?} in {taken:?}");
                taken.push(block);
            }
        }
        taken.into_iter().for_each(|block| blocks.give_back(block));
        assert_eq!(blocks.take(LEN).map(Block::size), Some(LEN));
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn a_block_that_is_free_cannot_be_given_back() {
        let mut blocks = Blocks::new(LEN);
        let block = blocks.take(1).expect("the region is empty");
        let _other = blocks.take(1);
        blocks.give_back(block);
        blocks.give_back(block);
    }
}
