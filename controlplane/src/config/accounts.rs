//! The system's users and groups, by name.
//!
//! Owns the reading of passwd(5) and group(5). Directory services beyond these files are not asked: ids can
//! always be written as numbers.

use std::fs;

/// The user id that `text` names or is.
pub(super) fn user_id(text: &str) -> Option<u32> {
    id_in("/etc/passwd", text)
}

/// The group id that `text` names or is.
pub(super) fn group_id(text: &str) -> Option<u32> {
    id_in("/etc/group", text)
}

fn id_in(path: &str, text: &str) -> Option<u32> {
    // All ones means "leave as it is" to chown(2).
    if let Ok(id) = text.parse::<u32>() {
        return (id != u32::MAX).then_some(id);
    }
    id_of(&fs::read_to_string(path).ok()?, text)
}

/// Both files have the name first and the id third.
fn id_of(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut columns = line.split(':');
        if columns.next()? != name {
            return None;
        }
        columns.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_id_of_a_name() {
        let table = "root:x:0:0:root:/root:/bin/sh\n# note\nbroken\napp:x:1001:1001::/:\n";
        assert_eq!(id_of(table, "app"), Some(1001));
        assert_eq!(id_of(table, "root"), Some(0));
        assert_eq!(id_of(table, "ap"), None);
        assert_eq!(id_of(table, "broken"), None);
    }

    #[test]
    fn takes_numbers_as_they_are() {
        assert_eq!(user_id("777"), Some(777));
        assert_eq!(group_id("0"), Some(0));
        assert_eq!(user_id("4294967295"), None);
        assert_eq!(user_id("-1"), None);
        assert_eq!(user_id("root"), Some(0));
    }
}
