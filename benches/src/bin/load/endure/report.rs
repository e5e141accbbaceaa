//! The report of `cargo endure`, as Markdown and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::finding::Finding;
use crate::machine::Machine;
use crate::report::table;

/// Everything there is to tell.
pub(crate) struct Report<'a> {
    /// Where.
    pub(crate) machine: &'a Machine,
    /// Of which broker.
    pub(crate) version: &'a str,
    /// What came of it: part, driver, figure.
    pub(crate) findings: &'a [(&'static str, &'static str, Finding)],
}

impl Report<'_> {
    /// The report as JSON.
    pub(crate) fn json(&self) -> String {
        let machine = self.machine;
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|(part, driver, finding)| {
                json!({
                    "part": part,
                    "driver": driver,
                    "what": finding.what,
                    "figure": finding.figure,
                    "at_most": finding.at_most,
                    "reached": finding.is_reached(),
                })
            })
            .collect();
        let document = json!({
            "machine": {
                "kernel": machine.kernel,
                "processor": machine.processor,
                "cores": machine.cores,
                "load": machine.load,
            },
            "version": self.version,
            "findings": findings,
        });
        format!("{document:#}\n")
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}. {}.\n", self.machine, self.version)?;
        let head = ["part", "driver", "what", "figure", "goal", "verdict"];
        let rows = self.findings.iter().map(|(part, driver, finding)| {
            let Finding { what, figure, digits, at_most } = finding;
            let goal = at_most.map_or_else(String::new, |most| format!("at most {most:.digits$}"));
            let figure = format!("{figure:.digits$}");
            [*part, *driver, what, &figure, &goal, finding.verdict()].map(str::to_owned).to_vec()
        });
        let rows: Vec<Vec<String>> = [head.map(str::to_owned).to_vec()].into_iter().chain(rows).collect();
        table(f, &rows)
    }
}
