//! How far something long is, and how long it will take: for whoever waits.

use std::time::{Duration, Instant};

/// The pace of something that has a known end.
pub(crate) struct Pace {
    began: Instant,
    all: u64,
}

impl Pace {
    /// It begins now.
    pub(crate) fn new(all: u64) -> Self {
        Self { began: Instant::now(), all }
    }

    /// How far it is, with `done` of all done.
    pub(crate) fn say(&mut self, done: f64) -> String {
        words(done, self.all as f64, self.began.elapsed())
    }
}

fn words(done: f64, all: f64, elapsed: Duration) -> String {
    let elapsed_s = elapsed.as_secs_f64();
    if done < 1.0 {
        return format!("0 of {all:.0}");
    }
    let left_s = elapsed_s / done * (all - done).max(0.0);
    format!("{done:.0} of {all:.0}, {:.0} a second, {left_s:.0} s left", done / elapsed_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_it_will_take() {
        let after = Duration::from_secs(10);
        assert_eq!(words(250.0, 1000.0, after), "250 of 1000, 25 a second, 30 s left");
        assert_eq!(words(0.0, 1000.0, after), "0 of 1000");
        assert_eq!(words(1000.0, 1000.0, after), "1000 of 1000, 100 a second, 0 s left");
    }
}
