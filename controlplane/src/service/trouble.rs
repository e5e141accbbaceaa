//! Why a service's values do not come.
//!
//! Owns the reason that people are shown, and that each is said once while there are none, however often and in whatever order
//! they come.

use std::collections::BTreeSet;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Trouble {
    reason: Option<String>,
    said: BTreeSet<String>,
}

impl Trouble {
    /// The values have not come. `is_word` says that this is what a store said, and not that nobody has asked it. Whether people
    /// have to be told.
    pub(super) fn on_failure(&mut self, reason: &str, is_word: bool) -> bool {
        if !is_word && self.reason.is_some() {
            return false;
        }
        // Whoever makes up another reason each time is not listened to for ever.
        let is_news = self.said.len() < REASONS_MAX && self.said.insert(reason.to_owned());
        self.reason = Some(reason.to_owned());
        is_news
    }

    /// They have come. Whether there was trouble before.
    pub(super) fn end(&mut self) -> bool {
        self.said.clear();
        self.reason.take().is_some()
    }

    /// The last reason.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

const REASONS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_until_all_is_well() {
        let mut trouble = Trouble::default();
        let refused = "connection refused";
        let said = |trouble: &mut Trouble| {
            [(refused, true), ("left alone", false), ("slow", true), (refused, true)]
                .map(|(reason, is_word)| trouble.on_failure(reason, is_word))
        };
        assert_eq!(said(&mut trouble), [true, false, true, false]);
        assert_eq!(trouble.reason(), Some("connection refused"));
        assert!(trouble.end() && !trouble.end());
        assert_eq!(said(&mut trouble), [true, false, true, false]);
    }

    #[test]
    fn one_that_nobody_has_asked_is_said_where_there_is_no_other_word() {
        let mut trouble = Trouble::default();
        assert!(trouble.on_failure("left alone", false));
        assert!(trouble.on_failure("slow", true));
        assert_eq!(trouble.reason(), Some("slow"));
    }

    #[test]
    fn a_store_that_says_something_else_each_time_is_not_repeated_for_ever() {
        let mut trouble = Trouble::default();
        let said = (0..100).filter(|number| trouble.on_failure(&number.to_string(), true)).count();
        assert_eq!((said, trouble.reason()), (REASONS_MAX, Some("99")));
    }
}
