//! What lies in the memory of a process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::{obtain, process};

/// What a search has found.
#[derive(Debug)]
pub struct Search {
    /// The names of the forms that stand in memory which is there for secrets, where the kernel shows that to root at all: as often as
    /// they do.
    pub kept: Vec<String>,
    /// The same elsewhere, with the place.
    pub elsewhere: Vec<String>,
    /// Whether the kernel shows the memory for secrets to nobody.
    pub is_hidden: bool,
}

/// Looks for `forms`, by their names, in all of the memory of process `pid`; `None` if we may not look.
///
/// Nothing is left out but what the kernel itself lets nobody read: the pages of memfd_secret, and those that it lends to every process for
/// the time of day.
pub fn search(pid: i32, forms: &BTreeMap<String, Vec<u8>>) -> Result<Option<Search>> {
    if File::open(format!("/proc/{pid}/mem")).is_err() {
        return Ok(None);
    }
    let mut input = String::new();
    for (name, form) in forms {
        let digits = form.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let _ = writeln!(input, "{name} {digits}");
    }
    let mut command = Command::new(obtain::python()?);
    command.arg(obtain::drivers().join("python/search_memory.py")).arg(pid.to_string());
    let finished = process::run_with_input(&mut command, input.as_bytes())?;
    let surroundings = finished.stderr.clone();
    let lines = finished.succeeded()?;
    let mut search = Search { kept: Vec::new(), elsewhere: Vec::new(), is_hidden: false };
    let mut looked_at = 0;
    for line in lines.lines() {
        match line.split_once(' ') {
            Some(("found", rest)) => {
                let mut words = rest.splitn(3, ' ');
                let name = words.next().unwrap_or_default().to_owned();
                let mapping = words.nth(1).unwrap_or_default();
                if mapping == FALLBACK {
                    search.kept.push(name);
                } else {
                    let around =
                        surroundings.lines().find(|line| line.starts_with(&name)).unwrap_or_default();
                    search.elsewhere.push(format!("{rest}: {around}"));
                }
            }
            Some(("unreadable", mapping)) if mapping.starts_with(SECRET) => search.is_hidden = true,
            Some(("unreadable", mapping)) if KERNELS_OWN.contains(&mapping) => {}
            Some(("read", bytes)) => looked_at = bytes.parse().unwrap_or(0),
            _ => return Err(Failure::new(format!("the search said {line:?}"))),
        }
    }
    if looked_at < 1 << 20 {
        return Err(Failure::new(format!("looked at {looked_at} bytes of its memory")));
    }
    Ok(Some(search))
}

/// As `/proc/PID/maps` calls the pages of memfd_secret.
const SECRET: &str = "/secretmem";

/// As the search calls those that the broker has for secrets where there is no memfd_secret: memory that neither children nor dumps have.
const FALLBACK: &str = "[apart]";

const KERNELS_OWN: [&str; 3] = ["[vvar]", "[vvar_vclock]", "[vsyscall]"];
