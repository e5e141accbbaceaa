//! Why values did not come.
//!
//! Owns the causes, by what follows from each, and their names for machines.

use std::fmt;

/// Why values did not come, by cause. The words name ids and the world's answers, never a value: they are shown in
/// logs and by `/ready?full=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The store does not have it.
    NotFound(String),
    /// The store has it, and it has no bytes: somebody may be about to write it.
    Empty(String),
    /// The store has it, and it cannot be a value: a directory, something too large.
    Unusable(String),
    /// The store has it and does not give it to us.
    Denied(String),
    /// The store says for certain that it is not to be had any more: what it was must not be used.
    Gone(String),
    /// The store cannot give it now, and may give others.
    Failing(String),
    /// The store could not be asked, or did not answer in time.
    Unavailable(String),
    /// It has not been asked: it was not its turn, or something was missing.
    Unasked(String),
    /// There is no such store in this broker.
    Unsupported(String),
}

impl FetchError {
    /// Whether the same question may have another answer soon.
    pub fn is_for_now(&self) -> bool {
        matches!(self, Self::Failing(_) | Self::Unavailable(_) | Self::Unasked(_))
    }

    /// The cause as one bounded word: a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Empty(_) => "empty",
            Self::Unusable(_) => "unusable",
            Self::Denied(_) => "denied",
            Self::Gone(_) => "gone",
            Self::Failing(_) => "failing",
            Self::Unavailable(_) => "unavailable",
            Self::Unasked(_) => "unasked",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(words)
            | Self::Empty(words)
            | Self::Unusable(words)
            | Self::Denied(words)
            | Self::Gone(words)
            | Self::Failing(words)
            | Self::Unavailable(words)
            | Self::Unasked(words)
            | Self::Unsupported(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for FetchError {}
