//! What a value is called: `PLACE[#PART]`.
//!
//! Owns the syntax. What a place is, a whole address or a path, its store knows.

/// A value's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id<'a> {
    /// What is asked for. All values of one place come in one answer.
    pub(super) place: &'a str,
    pub(super) part: Part<'a>,
}

/// What of an answer is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// All of it.
    Whole,
    /// A member of the object at the top.
    Member(&'a str),
    /// What a pointer of RFC 6901 leads to. Its escapes are right.
    Pointer(&'a str),
}

impl<'a> Id<'a> {
    /// Takes `text` apart. The words of a refusal go to whoever wrote the file, and quote nothing.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let (place, part) = match text.split_once('#') {
            None => (text, Part::Whole),
            Some((place, part)) => (place, Part::parse(part)?),
        };
        Ok(Self { place, part })
    }
}

impl<'a> Part<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("there is nothing behind '#': name a member, or leave '#' out for the whole answer");
        }
        if text.chars().any(char::is_control) {
            return Err("has a character that cannot be seen behind '#': remove it");
        }
        if !text.starts_with('/') {
            return Ok(Self::Member(text));
        }
        // RFC 6901, section 3: "escaped = \"~\" ( \"0\" / \"1\" )".
        let is_right = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
        let words = "a '~' of a JSON pointer (RFC 6901) is followed by 0 or 1: write '~0' for '~', and '~1' for '/' in a name";
        if is_right { Ok(Self::Pointer(text)) } else { Err(words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_first_hash_is_the_part() {
        for (text, place, part) in [
            ("http://h/a", "http://h/a", Part::Whole),
            ("http://h/a#password", "http://h/a", Part::Member("password")),
            ("http://h/a?b=c#/d~1e/0", "http://h/a?b=c", Part::Pointer("/d~1e/0")),
            ("a#b#c", "a", Part::Member("b#c")),
            ("a#~2", "a", Part::Member("~2")),
            ("a#/", "a", Part::Pointer("/")),
            ("#/a", "", Part::Pointer("/a")),
        ] {
            assert_eq!(Id::parse(text), Ok(Id { place, part }), "{text}");
        }
    }

    #[test]
    fn every_refusal_names_the_remedy() {
        for (text, remedy) in [
            ("a#", "leave '#' out for the whole answer"),
            ("a#b\n", "remove it"),
            ("a#/b~", "write '~0' for '~'"),
            ("a#/~2", "write '~0' for '~'"),
            ("a#/~0/~~1", "write '~0' for '~'"),
        ] {
            let words = Id::parse(text).expect_err(text);
            assert!(words.contains(remedy), "{text}: {words}");
        }
    }
}
