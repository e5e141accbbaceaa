//! Findings about a configuration: what is wrong, where, and what helps.
//!
//! Owns their text form, one for every caller (`check`, start, reload). Knows nothing of configurations, and
//! never sees a value of a credential: whoever makes a finding leaves it out.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::Place;

/// All findings of one file, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    left_out: usize,
}

/// One finding. Its [`fmt::Display`] form is `file:line:column: error: key: message`, then an indented help line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The file, if the finding is about one.
    pub file: Option<PathBuf>,
    /// Where in the file.
    pub place: Option<Place>,
    /// The key it is about, from the root: `services.pg.listenOn`. Empty if it is about no key.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
    /// The remedy.
    pub help: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken as it is.
    Warning,
    /// Nothing is wrong, and somebody may run into it.
    Note,
}

/// What the text form may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Nothing but text.
    Plain,
    /// Colours, for a terminal.
    Colour,
}

impl Report {
    /// A report of one error about `file` as a whole.
    pub fn of_error(file: Option<&Path>, message: impl Into<String>, help: impl Into<String>) -> Self {
        let mut report = Self::default();
        report.push(Finding {
            severity: Severity::Error,
            file: file.map(Path::to_owned),
            place: None,
            key: String::new(),
            message: message.into(),
            help: help.into(),
        });
        report
    }

    /// Adds a finding. Beyond `FINDINGS_MAX` it is only counted.
    pub fn push(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else if finding.severity == Severity::Error && !self.has_errors() {
            // A thousand warnings must not hide that the file is refused.
            self.findings.pop();
            self.findings.push(finding);
            self.left_out += 1;
        } else {
            self.left_out += 1;
        }
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether the file is refused.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Brings the findings into the order of the file; those about no place come first.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| finding.place);
    }

    /// All findings as text, one or two lines each.
    pub fn render(&self, style: Style) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            finding.write(&mut text, style).expect("a String takes all text");
            text.push('\n');
        }
        if self.left_out > 0 {
            writeln!(text, "… and {} more findings", self.left_out).expect("a String takes all text");
        }
        text
    }
}

impl Finding {
    fn write(&self, f: &mut impl Write, style: Style) -> fmt::Result {
        let (bold, colour, reset) = match (style, self.severity) {
            (Style::Plain, _) => ("", "", ""),
            (Style::Colour, Severity::Error) => ("\x1b[1m", "\x1b[1;31m", "\x1b[0m"),
            (Style::Colour, Severity::Warning) => ("\x1b[1m", "\x1b[1;33m", "\x1b[0m"),
            (Style::Colour, Severity::Note) => ("\x1b[1m", "\x1b[1;36m", "\x1b[0m"),
        };
        if let Some(file) = &self.file {
            write!(f, "{bold}{}:", printable(&file.to_string_lossy()))?;
            if let Some(place) = self.place {
                write!(f, "{place}:")?;
            }
            write!(f, "{reset} ")?;
        }
        write!(f, "{colour}{}:{reset} ", self.severity)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        f.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n  {bold}help:{reset} {}", self.help)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Style::Plain)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Report {}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// `text` in quotes, cut short, without control characters: a file must not be able to drive a terminal.
pub fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", printable(&short))
}

/// `text` with control characters escaped.
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides reorder what a terminal shows.
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Nobody reads more; a generated file may be wrong in every line.
const FINDINGS_MAX: usize = 1000;

/// Longer than every word the configuration knows.
const QUOTED_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, line: usize) -> Finding {
        Finding {
            severity,
            file: Some(PathBuf::from("secretless.yml")),
            place: Some(Place { line, column: 5 }),
            key: "services.pg.listenOn".to_owned(),
            message: "expected this, found that".to_owned(),
            help: "do so".to_owned(),
        }
    }

    #[test]
    fn names_file_place_key_and_remedy() {
        assert_eq!(
            finding(Severity::Error, 12).to_string(),
            "secretless.yml:12:5: error: services.pg.listenOn: expected this, found that\n  help: do so"
        );
    }

    #[test]
    fn colours_only_when_told_to() {
        let mut report = Report::default();
        report.push(finding(Severity::Warning, 3));
        assert!(!report.render(Style::Plain).contains('\x1b'));
        assert_eq!(
            report.render(Style::Colour),
            "\x1b[1msecretless.yml:3:5:\x1b[0m \x1b[1;33mwarning:\x1b[0m services.pg.listenOn: expected this, found that\n  \x1b[1mhelp:\x1b[0m do so\n"
        );
    }

    #[test]
    fn sorts_by_place() {
        let mut report = Report::default();
        report.push(finding(Severity::Error, 9));
        report.push(finding(Severity::Warning, 2));
        report.sort();
        assert_eq!(report.findings()[0].place, Some(Place { line: 2, column: 5 }));
    }

    #[test]
    fn a_flood_of_warnings_does_not_hide_an_error() {
        let mut report = Report::default();
        for line in 0..FINDINGS_MAX + 5 {
            report.push(finding(Severity::Warning, line));
        }
        report.push(finding(Severity::Error, 1));
        assert!(report.has_errors());
        assert_eq!(report.findings().len(), FINDINGS_MAX);
        assert!(report.to_string().ends_with("… and 6 more findings\n"));
    }

    #[test]
    fn escapes_what_could_drive_a_terminal() {
        assert_eq!(quoted("a\x1b[2Jb\u{202e}"), "`a\\u{1b}[2Jb\\u{202e}`");
        assert_eq!(quoted(&"x".repeat(200)).chars().count(), QUOTED_CHARS_MAX + 3);
    }
}
