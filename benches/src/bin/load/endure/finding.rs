//! A figure of a part, and what it should be. Knows nothing of where it comes from.

use std::fmt;

/// A figure, and its goal if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// What it is, with its unit.
    pub(crate) what: String,
    /// It.
    pub(crate) figure: f64,
    /// How many digits behind the point it deserves.
    pub(crate) digits: usize,
    /// What it should not exceed.
    pub(crate) at_most: Option<f64>,
}

impl Finding {
    /// A figure that is only told.
    pub(crate) fn told(what: impl Into<String>, figure: f64, digits: usize) -> Self {
        Self { what: what.into(), figure, digits, at_most: None }
    }

    /// The same with a goal.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.at_most = Some(most);
        self
    }

    /// Whether the goal is reached; `None` without one.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.at_most.map(|most| self.figure <= most)
    }

    /// Whether it is reached, in a word.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.is_reached() {
            Some(true) => "reached",
            Some(false) => "missed",
            None => "",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, figure, digits, at_most } = self;
        write!(f, "{what}: {figure:.digits$}")?;
        match at_most {
            Some(most) => write!(f, ", at most {most:.digits$}: {}", self.verdict()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_up_to_its_bound() {
        let finding = Finding::told("KiB per session", 1.0, 2);
        assert_eq!((finding.is_reached(), finding.verdict()), (None, ""));
        assert_eq!(finding.clone().at_most(1.0).is_reached(), Some(true));
        let missed = finding.at_most(0.5);
        assert_eq!(missed.is_reached(), Some(false));
        assert_eq!(missed.to_string(), "KiB per session: 1.00, at most 0.50: missed");
    }
}
