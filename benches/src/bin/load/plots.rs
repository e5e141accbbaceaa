//! Plots: one SVG for each scenario, with a panel of bars for each of its main figures.
//!
//! A bar is a median, the line across its end the range over the rounds. Written by hand: a plot of bars is a few
//! rectangles, and a library for it would be the largest dependency of this package.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ::tests::failure::{Doing, Result};

use crate::columns::{self, Column};
use crate::proxies::Kind;
use crate::rows::{Outcome, Row};
use crate::statistics::Spread;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 170.0;
const FIGURES: f64 = 90.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;
const TITLE: f64 = 70.0;
const PANEL_TITLE: f64 = 30.0;

const LEGEND: &str = "Bar: the median of the rounds; line: their range. Blue: the broker; orange: its peers; grey: no proxy; \
                      pale: reference relays.";

/// Draws every scenario into `directory`.
pub(crate) fn write(directory: &Path, outcomes: &[Outcome]) -> Result<()> {
    fs::create_dir_all(directory).doing(format_args!("create {}", directory.display()))?;
    for outcome in outcomes {
        let path = directory.join(format!("{}.svg", outcome.scenario.slug()));
        fs::write(&path, svg(outcome)).doing(format_args!("write {}", path.display()))?;
    }
    Ok(())
}

fn svg(outcome: &Outcome) -> String {
    let mut body = String::new();
    text(&mut body, 10.0, 22.0, "title", &outcome.scenario.to_string());
    text(&mut body, 10.0, 40.0, "legend", LEGEND);
    text(&mut body, 10.0, 56.0, "legend", "Of \"per second\" more is better, of everything else less.");
    let mut top = TITLE;
    for column in columns::of(outcome.scenario.work).into_iter().filter(|column| column.is_plotted) {
        top = panel(&mut body, top, column, &outcome.rows);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>.title {{ font-size: 16px; font-weight: bold }} .panel {{ font-weight: bold }} \
         .label {{ text-anchor: end }} .legend {{ font-size: 11px; fill: #555 }}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
        height = top + 10.0
    )
}

/// Draws one figure of every row that has it below `top`; gives where the next panel begins.
fn panel(body: &mut String, top: f64, column: Column, rows: &[Row]) -> f64 {
    let bars: Vec<(&Row, Spread)> =
        rows.iter().filter_map(|row| Some((row, row.spread(column.of)?))).collect();
    let largest = bars.iter().map(|(_, spread)| spread.max).fold(0.0, f64::max);
    if largest <= 0.0 {
        return top;
    }
    let at = |figure: f64| LABELS + figure / largest * (WIDTH - LABELS - FIGURES);
    text(body, 10.0, top + 20.0, "panel", column.title);
    let mut y = top + PANEL_TITLE;
    for (row, spread) in bars {
        let middle = y + BAR / 2.0;
        text(body, LABELS - 8.0, middle + 4.0, "label", row.through.name());
        let (colour, width) = (colour(row.through.kind()), at(spread.median) - LABELS);
        line(
            body,
            format_args!(
                "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            ),
        );
        let (from, to) = (at(spread.min), at(spread.max));
        line(
            body,
            format_args!("<path d=\"M{from:.1} {middle}H{to:.1}\" stroke=\"black\" stroke-width=\"2\"/>"),
        );
        let digits = column.digits;
        text(body, to + 6.0, middle + 4.0, "figure", &format!("{:.digits$}", spread.median));
        y += STEP;
    }
    y
}

/// Ours stand out; references stay in the background.
fn colour(kind: Option<Kind>) -> &'static str {
    match kind {
        None => "#9e9e9e",
        Some(Kind::Broker) => "#1e7fc2",
        Some(Kind::Peer) => "#e0a33a",
        Some(Kind::Reference) => "#d8d2c4",
    }
}

fn text(body: &mut String, x: f64, y: f64, class: &str, words: &str) {
    line(body, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escaped(words)));
}

fn line(body: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(body, "{element}");
}

/// Text as XML wants it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Through;
    use crate::sample::Sample;
    use crate::scenarios;

    #[test]
    fn escapes_what_xml_must() {
        assert_eq!(escaped("a < b & \"c\" > d"), "a &lt; b &amp; &quot;c&quot; &gt; d");
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure() {
        let row = |rate| Row {
            through: Through::Nothing,
            samples: vec![Some(Sample { rate: Some(rate), ..Sample::default() })],
        };
        let scenario = scenarios::all().swap_remove(0);
        let svg = svg(&Outcome { scenario, rows: vec![row(500.0), row(250.0)] });
        // 760 wide, less 170 for labels and 90 for figures.
        assert!(svg.contains("width=\"500.0\" height=\"18\""), "{svg}");
        assert!(svg.contains("width=\"250.0\" height=\"18\""), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3, "the background and two bars: {svg}");
    }

    #[test]
    fn a_figure_that_nobody_has_is_not_drawn() {
        let scenario = scenarios::all().swap_remove(0);
        let svg = svg(&Outcome { scenario, rows: Vec::new() });
        assert!(!svg.contains("class=\"panel\">"), "{svg}");
    }
}
