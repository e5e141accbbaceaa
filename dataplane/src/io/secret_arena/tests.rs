//! Memory that is wiped, counted, bounded, shared by threads, and out of a debugger's reach.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;

use protocol::SecretMemory;

use super::{ARENA_MAX, FIRST_LEN, Protection, SecretArena, SecretBytes};

fn arena(best: Protection) -> SecretArena {
    SecretArena::new(best, ARENA_MAX)
}

fn used(arena: &SecretArena) -> usize {
    arena.used().iter().map(|(_, used)| used).sum()
}

fn address(bytes: &SecretBytes) -> usize {
    bytes.bytes().as_ptr().addr()
}

#[test]
fn bytes_are_what_was_put_in_and_the_next_owner_finds_zeroes() {
    for best in Protection::ALL {
        let arena = arena(best);
        let mut secret = arena.copy(b"a secret of more than thirty-two bytes");
        assert_eq!(secret.bytes(), b"a secret of more than thirty-two bytes");
        secret.truncate(8);
        assert_eq!(secret.bytes(), b"a secret");
        secret.truncate(9);
        assert_eq!(secret.bytes(), b"a secret", "there is nothing behind it any more");
        let place = address(&secret);
        drop(secret);
        let next = arena.zeroed(64);
        assert_eq!((address(&next), next.bytes()), (place, &[0; 64][..]), "{best:?}");
    }
}

#[test]
fn what_is_used_is_counted_to_the_byte() {
    let arena = arena(Protection::Secret);
    let secrets: Vec<SecretBytes> = [0, 1, 32, 33, 4096, 70_000].map(|len| arena.zeroed(len)).into();
    assert_eq!(used(&arena), 32 + 32 + 32 + 64 + 4096 + 131_072);
    drop(secrets);
    assert_eq!(used(&arena), 0);
    // All of the first region is one block again.
    let first = arena.0.grown.lock().unwrap().regions[0].0.start().addr().get();
    assert_eq!(address(&arena.zeroed(FIRST_LEN)), first);
}

#[test]
fn an_arena_that_may_not_grow_gives_wiped_heap_memory_and_says_so() {
    let arena = SecretArena::new(Protection::Secret, FIRST_LEN);
    let first = arena.zeroed(FIRST_LEN);
    assert!(arena.0.grown.lock().unwrap().regions.len() == 1 && first.protection() < Protection::Heap);
    let second = arena.copy(b"elsewhere");
    assert_eq!((second.bytes(), second.protection()), (&b"elsewhere"[..], Protection::Heap));
    assert!(arena.used().contains(&(Protection::Heap, 9)));
    let said: Vec<String> = arena.refused().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("general heap")), "{said:?}");
    drop((first, second));
    assert!(arena.zeroed(1).protection() < Protection::Heap, "there is room again");
}

#[test]
fn regions_double_up_to_a_limit() {
    let arena = arena(Protection::Undumped);
    let _secrets: Vec<SecretBytes> = (0..64).map(|_| arena.zeroed(FIRST_LEN)).collect();
    let grown = arena.0.grown.lock().unwrap();
    let kib: Vec<usize> = grown.regions.iter().map(|(region, _)| region.len() / 1024).collect();
    assert_eq!(kib, [64, 64, 128, 256, 512, 1024, 2048]);
}

#[test]
fn threads_share_it() {
    let arena = arena(Protection::Secret);
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let arena = &arena;
            scope.spawn(move || {
                let mut kept = Vec::new();
                for round in 0..500_usize {
                    kept.push(arena.copy(&vec![number; round % 300]));
                    if kept.len() > 20 {
                        let old = kept.swap_remove(round % 20);
                        assert!(old.bytes().iter().all(|byte| *byte == number));
                    }
                    assert!(arena.zeroed(100).bytes().iter().all(|byte| *byte == 0));
                }
            });
        }
    });
    assert_eq!(used(&arena), 0);
}

#[test]
fn secret_memory_cannot_be_read_as_a_debugger_would() {
    let arena = arena(Protection::Secret);
    if arena.protection() > Protection::Secret {
        return; // This kernel has none, which `refused` has said.
    }
    let secret = arena.copy(b"nobody else may see this");
    let memory = File::open("/proc/self/mem").expect("it is our own");
    let mut seen = [0; 24];
    let read = memory.read_at(&mut seen, address(&secret) as u64);
    assert!(read.is_err() && seen == [0; 24], "{read:?}");
}
