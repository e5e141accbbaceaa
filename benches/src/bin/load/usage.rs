//! What a process has used: its CPU and its memory, from `/proc`.

use std::fs;
use std::path::PathBuf;

use ::tests::failure::{Doing, Failure, Result};

/// A process's CPU time up to now, user and system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Exact, but without threads that have ended.
    threads_ns: u64,
    /// With them, but in ticks.
    process_ns: u64,
}

/// A tick of `/proc/PID/stat`: the kernel gives all of user space hundredths of a second.
const TICK_NS: u64 = 10_000_000;

impl Cpu {
    /// What the process has used.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let mut threads_ns = 0;
        let tasks = proc(pid, "task");
        for task in fs::read_dir(&tasks).doing(format_args!("list {}", tasks.display()))?.flatten() {
            // A thread may have ended since it was listed.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            threads_ns += on_cpu(&text).ok_or_else(|| unreadable("schedstat", &text))?;
        }
        let text = read(pid, "stat")?;
        let ticks = ticks(&text).ok_or_else(|| unreadable("stat", &text))?;
        Ok(Self { threads_ns, process_ns: ticks * TICK_NS })
    }

    /// What it has used since `earlier`, in nanoseconds.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        let exact = self.threads_ns.saturating_sub(earlier.threads_ns);
        // A tick at either end may be counted or not; what exceeds that was used by threads that are gone.
        let coarse = self.process_ns.saturating_sub(earlier.process_ns).saturating_sub(2 * TICK_NS);
        exact.max(coarse)
    }
}

/// The process's resident memory, in KiB.
pub(crate) fn resident_kib(pid: i32) -> Result<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| unreadable("status", &text))
}

/// Nanoseconds on a CPU: the first number of `/proc/PID/task/TID/schedstat`.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// utime + stime: fields 14 and 15 of `/proc/PID/stat`, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn read(pid: i32, file: &str) -> Result<String> {
    let path = proc(pid, file);
    fs::read_to_string(&path).doing(format_args!("read {}", path.display()))
}

fn proc(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn unreadable(file: &str, text: &str) -> Failure {
    Failure::new(format!("cannot understand /proc/PID/{file}: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_words() {
        let stat = "4807 (a b) c) S 1 4807 4807 0 -1 4194560 8 0 0 0 120 34 5 6 20 0 1 0 99 1 2";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(on_cpu("123456789 42 7\n"), Some(123_456_789));
    }

    #[test]
    fn counts_threads_that_are_gone() {
        let earlier = Cpu { threads_ns: 5_000_000, process_ns: 0 };
        let later = Cpu { threads_ns: 9_000_000, process_ns: 100_000_000 };
        assert_eq!(later.since(earlier), 80_000_000);
        let later = Cpu { threads_ns: 99_000_000, process_ns: 100_000_000 };
        assert_eq!(later.since(earlier), 94_000_000);
    }
}
