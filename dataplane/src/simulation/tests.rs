//! Seeds: two hundred at every run of the tests, as many as `SIMULATION_SEEDS` says, or the one of `SIMULATION_SEED`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::run;

/// Seeds without being told.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("SIMULATION_SEED and SIMULATION_SEEDS are numbers"))
}

#[test]
fn nothing_is_lost_or_left_behind_whatever_happens() {
    if let Some(seed) = number("SIMULATION_SEED") {
        run(seed);
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        // What does not hold has been printed by then.
        let held = catch_unwind(AssertUnwindSafe(|| run(seed))).is_ok();
        assert!(held, "seed {seed} fails; SIMULATION_SEED={seed} replays it");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
