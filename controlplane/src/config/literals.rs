//! Values that stand in the file.
//!
//! Owns what is said about them: that others can read a secret, and that a variable is not one. Never shows one.

use std::path::Path;

use super::Place;
use super::section::{Field, Reader};

/// Literal secrets of a file, for one warning about all of them.
#[derive(Default)]
pub(super) struct LiteralSecrets {
    first: Option<(Place, String)>,
    count: usize,
}

impl LiteralSecrets {
    /// Warns if others than the file's owner may read them.
    pub(super) fn warn_if_shared(self, reader: &mut Reader<'_>, path: &Path, is_shared: bool) {
        if let (true, Some((place, key))) = (is_shared, self.first) {
            let message = match self.count {
                1 => "the file holds this secret and is readable by group or others".to_owned(),
                count => format!(
                    "the file holds {count} secrets, this the first, and is readable by group or others"
                ),
            };
            let help =
                format!("run `chmod 600 {}`, or take secrets from elsewhere: `from: file`", path.display());
            reader.warn(place, &key, message, help);
        }
    }

    /// Notes that `field` is one.
    pub(super) fn note(&mut self, field: &Field<'_>) {
        self.count += 1;
        // Services are read by name, so the first in the file may come late.
        let is_first = self.first.as_ref().is_none_or(|(place, _)| field.place < *place);
        if is_first {
            self.first = Some((field.place, field.path.clone()));
        }
    }
}

/// What is said of `${…}` where it means nothing.
pub(super) const VARIABLE_IS_TEXT: &str =
    "`${…}` is taken as it is written: variables are read where services are a list";

/// Whether a value looks as if a variable were to stand in it.
pub(super) fn names_variable(value: &[u8]) -> bool {
    let mut starts = value.windows(3).enumerate().filter(|(_, found)| found.starts_with(b"${"));
    starts.any(|(at, found)| {
        (found[2].is_ascii_alphabetic() || found[2] == b'_') && value[at..].contains(&b'}')
    })
}
