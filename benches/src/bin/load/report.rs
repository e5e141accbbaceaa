//! The report: what was measured, with the spread over the rounds, and how the broker compares. Its text is Markdown
//! that can be read as it is.

use std::fmt;

use crate::columns;
use crate::machine::Machine;
use crate::options::Options;
use crate::rows::{Comparison, Outcome, Row};
use crate::scenarios::{Against, Bound, Goal};

/// Everything there is to tell.
pub(crate) struct Report<'a> {
    /// Where.
    pub(crate) machine: &'a Machine,
    /// Of what.
    pub(crate) versions: &'a [String],
    /// What could not take part, and why.
    pub(crate) left_out: &'a [String],
    /// How.
    pub(crate) options: &'a Options,
    /// What came of it.
    pub(crate) outcomes: &'a [Outcome],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(f, "{}. {}.\n", self.machine, self.versions.join(", "))?;
        writeln!(
            f,
            "{} rounds, the rows taking turns; pgbench and sysbench for {} s, {} MB of bulk each time. Proxies on {}. Medians, and the \
             range over the rounds.",
            options.rounds(),
            options.seconds(),
            options.bulk_bytes() / 1_000_000,
            options.cores().map_or_else(|| "all cores".to_owned(), |cores| format!("core {cores}")),
        )?;
        if options.rounds() < 2 || options.seconds() < 2 {
            writeln!(f, "Too short a run to be quoted: it shows that everything works, and no more.")?;
        }
        for reason in self.left_out {
            writeln!(f, "Left out: {reason}.")?;
        }
        self.goals(f)?;
        for outcome in self.outcomes {
            writeln!(f, "\n### {}\n", capitalised(&outcome.scenario.to_string()))?;
            outcome_table(f, outcome)?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["scenario", "figure", "row", "beside", "ratio", "range", "goal", "verdict"];
        let mut cells = vec![head.map(str::to_owned).to_vec()];
        for outcome in self.outcomes {
            let comparisons = outcome.comparisons();
            cells.extend(comparisons.iter().map(|(goal, found)| comparison(outcome, *goal, found)));
        }
        if cells.len() == 1 {
            return Ok(());
        }
        writeln!(f, "\n### The broker's figure divided by the best peer's, round by round\n")?;
        table(f, &cells)
    }
}

fn comparison(outcome: &Outcome, goal: Goal, found: &Comparison) -> Vec<String> {
    // A ratio needs no more than two digits; a figure by itself is in microseconds.
    let digits = if goal.against == Against::Itself { 0 } else { 2 };
    let Comparison { ours, theirs, ratio, is_reached } = found;
    let verdict = match is_reached {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "",
    };
    vec![
        outcome.scenario.to_string(),
        goal.figure.to_string(),
        ours.clone(),
        theirs.clone().unwrap_or_else(none),
        format!("{:.digits$}", ratio.median),
        format!("{:.digits$}–{:.digits$}", ratio.min, ratio.max),
        goal.bound.map_or_else(String::new, |bound| match bound {
            Bound::AtMost(most) => format!("at most {most:.digits$}"),
            Bound::AtLeast(least) => format!("at least {least:.digits$}"),
        }),
        verdict.to_owned(),
    ]
}

fn outcome_table(f: &mut fmt::Formatter<'_>, outcome: &Outcome) -> fmt::Result {
    let columns = columns::of(outcome.scenario.work);
    let mut head = vec!["row".to_owned()];
    for column in &columns {
        head.push(column.title.to_owned());
        head.extend(column.has_range.then(|| "range".to_owned()));
    }
    let cells = |row: &Row| {
        let mut cells = vec![row.through.name().to_owned()];
        for column in &columns {
            let digits = column.digits;
            let spread = row.spread(column.of);
            cells.push(spread.map_or_else(none, |spread| format!("{:.digits$}", spread.median)));
            if column.has_range {
                let range = spread.map_or_else(none, |it| format!("{:.digits$}–{:.digits$}", it.min, it.max));
                cells.push(range);
            }
        }
        cells
    };
    let rows = outcome.rows.iter().map(cells);
    table(f, &[head].into_iter().chain(rows).collect::<Vec<_>>())
}

/// What is not there.
fn none() -> String {
    "–".to_owned()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A Markdown table. The first row is its head; the first column goes left, the others right.
pub(crate) fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(f, "| {cell:<width$} ")?,
                _ => write!(f, "| {cell:>width$} ")?,
            }
        }
        writeln!(f, "|")?;
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                match column {
                    0 => write!(f, "|{:-<1$}", "", width + 2)?,
                    _ => write!(f, "|{:-<1$}:", "", width + 1)?,
                }
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}
