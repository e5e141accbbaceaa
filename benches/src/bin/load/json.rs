//! Every figure of every round, for programs.

use serde_json::{Value, json};

use crate::report::Report;
use crate::rows::{Comparison, Outcome, Row};
use crate::sample::Sample;
use crate::scenarios::{Bound, Goal};

/// The report as JSON.
pub(crate) fn text(report: &Report<'_>) -> String {
    let (machine, options) = (report.machine, report.options);
    let document = json!({
        "machine": {
            "kernel": machine.kernel,
            "processor": machine.processor,
            "cores": machine.cores,
            "load": machine.load,
        },
        "versions": report.versions,
        "left_out": report.left_out,
        "settings": {
            "rounds": options.rounds(),
            "seconds": options.seconds(),
            "bulk_bytes": options.bulk_bytes(),
            "cores": options.cores(),
        },
        "units": {
            "rate": "transactions, connections or GB a second",
            "latency_ms": "milliseconds",
            "proxy_cpu_us": "microseconds of processor time of the proxy for each transaction, connection or GB",
            "machine_cpu_us": "microseconds of processor time of the whole machine for each of them",
            "resident_kib": "KiB of the proxy at the end",
            "session_kib": "KiB of the proxy for each idle session",
        },
        "scenarios": report.outcomes.iter().map(outcome).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn outcome(outcome: &Outcome) -> Value {
    let comparisons = outcome.comparisons();
    json!({
        "name": outcome.scenario.to_string(),
        "rows": outcome.rows.iter().map(row).collect::<Vec<_>>(),
        "comparisons": comparisons.iter().map(|(goal, found)| comparison(*goal, found)).collect::<Vec<_>>(),
    })
}

fn row(row: &Row) -> Value {
    let rounds: Vec<Value> =
        row.samples.iter().map(|round| round.as_ref().map_or(Value::Null, sample)).collect();
    json!({ "name": row.through.name(), "rounds": rounds })
}

/// CPU is in microseconds for each transaction, connection or GB, and `rate` is how many of them a second.
fn sample(sample: &Sample) -> Value {
    json!({
        "rate": sample.rate,
        "latency_ms": sample.latency.map(|latency| json!({
            "mean": latency.mean_ms,
            "p50": latency.p50_ms,
            "p95": latency.p95_ms,
            "p99": latency.p99_ms,
        })),
        "proxy_cpu_us": sample.proxy_us,
        "machine_cpu_us": sample.machine_us,
        "resident_kib": sample.resident_kib,
        "session_kib": sample.session_kib,
    })
}

fn comparison(goal: Goal, found: &Comparison) -> Value {
    let (at_most, at_least) = match goal.bound {
        Some(Bound::AtMost(most)) => (Some(most), None),
        Some(Bound::AtLeast(least)) => (None, Some(least)),
        None => (None, None),
    };
    json!({
        "figure": goal.figure.to_string(),
        "ours": found.ours,
        "theirs": found.theirs,
        "ratio": { "min": found.ratio.min, "median": found.ratio.median, "max": found.ratio.max },
        "at_most": at_most,
        "at_least": at_least,
        "reached": found.is_reached,
    })
}
