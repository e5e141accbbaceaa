//! Every figure of every round, for programs.

use std::fmt::Write;

use crate::pgbench::Sample;
use crate::report::Report;

/// The report as JSON.
pub(crate) fn text(report: &Report<'_>) -> String {
    let (machine, options) = (report.machine, report.options);
    let rows = report.rows.iter().map(|measured| {
        let rounds = measured.samples.iter().map(sample);
        object([("name", string(&measured.row.to_string())), ("rounds", array(rounds))])
    });
    let ratios = report.ratios().into_iter().map(|ratio| {
        object([
            ("compared", string(ratio.pair.name)),
            ("cpu", number(ratio.cpu.median)),
            ("rate", number(ratio.rate.median)),
            ("goal", ratio.pair.goal.map_or_else(null, number)),
            ("reached", ratio.is_reached().map_or_else(null, |reached| reached.to_string())),
        ])
    });
    let machine = object([
        ("kernel", string(&machine.kernel)),
        ("processor", string(&machine.processor)),
        ("cores", machine.cores.to_string()),
        ("load", number(machine.load)),
        ("versions", string(report.versions)),
    ]);
    let settings = object([
        ("clients", options.clients.to_string()),
        ("protocol", string(&options.protocol.to_string())),
        ("rounds", options.rounds().to_string()),
        ("seconds", options.seconds().to_string()),
    ]);
    object([
        ("machine", machine),
        ("settings", settings),
        ("rows", array(rows)),
        ("ratios", array(ratios.into_iter())),
    ]) + "\n"
}

fn sample(sample: &Sample) -> String {
    let latency = sample.latency.map_or_else(null, |latency| {
        object([
            ("mean_ms", number(latency.mean_ms)),
            ("p50_ms", number(latency.p50_ms)),
            ("p95_ms", number(latency.p95_ms)),
            ("p99_ms", number(latency.p99_ms)),
        ])
    });
    let proxy = sample.proxy.map_or_else(null, |proxy| {
        object([("cpu_us", number(proxy.cpu_us)), ("resident_kib", proxy.resident_kib.to_string())])
    });
    object([("rate", number(sample.rate)), ("latency", latency), ("proxy", proxy)])
}

fn object<const N: usize>(members: [(&str, String); N]) -> String {
    let members = members.map(|(name, value)| format!("{}:{value}", string(name)));
    format!("{{{}}}", members.join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// JSON has no infinity, and three digits are more than any figure here deserves.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { null() }
}

fn null() -> String {
    "null".to_owned()
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_json_must() {
        assert_eq!(string("a \"b\" \\ \n"), r#""a \"b\" \\ \u000a""#);
    }

    #[test]
    fn writes_no_infinity() {
        assert_eq!((number(0.5), number(1.0 / 0.0)), ("0.500".to_owned(), "null".to_owned()));
    }
}
