//! What went wrong while something was obtained or started, in words for whoever runs the tests.

use std::fmt;
use std::io;

/// One sentence that says what failed, and where it helps, what to do about it.
#[derive(Debug)]
pub struct Failure(String);

/// What obtaining and starting give.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that reads as `words`.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Puts what was being done in front of what the system said.
pub trait Doing<T> {
    /// `doing` continues "cannot …".
    fn doing(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("cannot {doing}: {error}")))
    }
}
