//! How many instructions the hot paths of the protocol crate take: `cargo bench --bench instructions`.
//!
//! A count does not depend on what else the machine does, so one run is enough to compare two builds. valgrind counts
//! a run of this program that does a thing many times and one that does it twice as often; the difference is the
//! thing itself, whatever starting up has cost. Without valgrind it says so, and that is all.

use std::env;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use benches::commands::Commands;
use benches::handshake::Handshakes;
use protocol::Secret;
use protocol::work::Product;

/// A hot path: its name, and how it is taken once.
type Path = (&'static str, fn(&Ground));

/// What the paths are taken on.
struct Ground {
    handshakes: Handshakes,
    keys: Arc<Product>,
    commands: Commands,
}

const PATHS: [Path; 7] = [
    ("startup", |ground| ground.handshakes.start_up()),
    ("farewell", |ground| ground.handshakes.refuse()),
    ("trust", |ground| ground.handshakes.trust()),
    ("scram cached", |ground| ground.handshakes.scram(|_| Arc::clone(&ground.keys))),
    ("mysql query", |ground| ground.commands.query()),
    ("mysql file, 64 KiB", |ground| ground.commands.file()),
    ("mysql long, 64 KiB", |ground| ground.commands.long()),
];

/// Enough that what differs between two runs of the same count no longer shows.
const TIMES: u64 = 1000;

/// The argument by which this program asks itself to take a path, behind which come its name and how often.
const TAKE: &str = "--take";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [TAKE, name, times] => {
            take(name, times.parse().unwrap_or_default());
            ExitCode::SUCCESS
        }
        // So do tests start a bench; only `cargo bench` says `--bench`.
        ref others if !others.contains(&"--bench") => ExitCode::SUCCESS,
        _ => report(),
    }
}

fn take(name: &str, times: u64) {
    let handshakes = Handshakes::new();
    let keys = Arc::new(Product::Scram(handshakes.derivation().derive(Secret::copied_to_heap)));
    let ground = Ground { handshakes, keys, commands: Commands::new() };
    if let Some((_, path)) = PATHS.iter().find(|(known, _)| *known == name) {
        for _ in 0..times {
            path(&ground);
        }
    }
}

fn report() -> ExitCode {
    let mut out = io::stdout().lock();
    for (name, _) in PATHS {
        let words = match (count(name, TIMES), count(name, 2 * TIMES)) {
            (Ok(once), Ok(twice)) => format!("{name:<20}{:>9} instructions", (twice - once) / TIMES),
            (Err(reason), _) | (_, Err(reason)) => {
                // Nobody can be told that standard output is closed.
                let _ = writeln!(out, "No instructions were counted: {reason}.");
                return ExitCode::SUCCESS;
            }
        };
        let _ = writeln!(out, "{words}");
    }
    ExitCode::SUCCESS
}

/// How many instructions it takes to start up and to take a path so often.
fn count(name: &str, times: u64) -> Result<u64, String> {
    let ours = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(ours)
        .args([TAKE, name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start ({error}); on Debian, apt-get install valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    collected(&said).ok_or_else(|| format!("valgrind failed ({}): {said}", output.status))
}

/// callgrind's last words: "==4711== Collected : 123456".
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}
