//! The findings about one file while it is read.
//!
//! Owns their collecting, and what is said about merges. Knows no key of the configuration.

use std::path::PathBuf;

use super::Place;
use super::yaml::MergeFault;
use crate::diagnostics::{Finding, Report, Severity};

/// Findings about one file.
pub(super) struct Findings {
    file: PathBuf,
    report: Report,
}

impl Findings {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, report: Report::default() }
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        place: Option<Place>,
        path: &str,
        message: String,
        help: String,
    ) {
        self.report.push(Finding {
            severity,
            file: Some(self.file.clone()),
            place,
            key: path.to_owned(),
            message,
            help,
        });
    }

    /// All findings in the order of the file.
    pub(super) fn into_report(mut self) -> Report {
        self.report.sort();
        self.report
    }

    pub(super) fn add_merge_fault(&mut self, fault: MergeFault, path: &str) {
        let (place, message, help) = match fault {
            MergeFault::KeyNotText(place) => (
                place,
                "expected a key, found a list or a mapping",
                "keys are words; quote a word that starts with `[` or `{`",
            ),
            MergeFault::NotAMapping(place) => (
                place,
                "map merge requires map or sequence of maps as the value",
                "write `<<: *name`, where `&name` stands before a mapping",
            ),
            MergeFault::TooDeep(place) => (place, "merges nest too deeply", "merge the mappings directly"),
        };
        self.add(Severity::Error, Some(place), path, message.to_owned(), help.to_owned());
    }
}

/// `the …s are` and the words, or `the only … is` the word.
pub(super) fn list_of<'w>(what: &str, words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    let (first, rest) =
        what.split_once(' ').map_or((what, String::new()), |(noun, rest)| (noun, format!(" {rest}")));
    match words.as_slice() {
        [word] => format!("the only {first}{rest} is {word}"),
        words => format!("the {first}s{rest} are {}", words.join(", ")),
    }
}
