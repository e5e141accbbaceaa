//! Random lives: nobody who waits is forgotten.

use super::*;

/// Numbers that look random, for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn nobody_is_forgotten_whatever_happens() {
    for seed in 0..200 {
        let grace = Duration::from_secs(seed % 3);
        let (mut dice, mut scene) = (Dice(seed), Scene::with_grace(grace));
        scene.changed();
        let (mut asked, mut fetches) = (Vec::new(), 1);
        for session in 0..2_000 {
            scene.wait(dice.roll(700));
            let actions = match dice.roll(12) {
                0..=2 => {
                    asked.push(session);
                    scene.asks_as(scene.generation.saturating_sub(dice.roll(3)), session)
                }
                3 => scene.accepted(),
                4 | 5 => {
                    asked.push(session);
                    let generation = scene.generation.saturating_sub(dice.roll(3));
                    scene.refused_as(generation, session, dice.roll(2) == 0)
                }
                6 => {
                    let gone = asked.get(usize::try_from(dice.roll(9)).expect("nine")).copied().unwrap_or(0);
                    asked.retain(|session| *session != gone);
                    scene.abandoned(gone)
                }
                7 if fetches > 0 => {
                    fetches -= 1;
                    scene.fetched_new()
                }
                8 | 9 if fetches > 0 => {
                    fetches -= 1;
                    let is_same = scene.rotation.current.is_some() && dice.roll(2) == 0;
                    scene.fetched(match (is_same, dice.roll(5)) {
                        (true, _) => Outcome::Unchanged,
                        (false, 0) => Outcome::Gone,
                        (false, _) => Outcome::Failed,
                    })
                }
                10 if dice.roll(9) == 0 && scene.rotation.current.is_some() => {
                    // A new file: what was under way counts no more.
                    fetches = 0;
                    let rules = Rules { grace, ..Rules::default() };
                    scene.rotation.on_sources_replaced(false, rules, Replaced::Nothing);
                    scene.fetched(Outcome::Unchanged)
                }
                10 => scene.changed(),
                _ => scene.time(),
            };
            for action in actions {
                match action {
                    Fetch => fetches += 1,
                    Withdraw => {}
                    Action::Answer(answered, _) => {
                        let before = asked.len();
                        asked.retain(|session| *session != answered);
                        assert_eq!(asked.len() + 1, before, "seed {seed}: {answered} is answered once");
                    }
                }
            }
            let waiting: Vec<u32> = scene.rotation.waiting.iter().map(|waiting| waiting.session).collect();
            assert_eq!(waiting.len(), asked.len(), "seed {seed}: {waiting:?} wait, {asked:?} have asked");
            let will_be_looked_at = fetches > 0 || scene.rotation.next_deadline().is_some();
            assert!(waiting.is_empty() || will_be_looked_at, "seed {seed}: {waiting:?} wait for nothing");
        }
    }
}
