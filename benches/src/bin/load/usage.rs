//! What processes and the machine have used: CPU and memory, from `/proc`.

use std::fs;
use std::path::PathBuf;

use ::tests::failure::{Doing, Failure, Result};

/// The CPU time of a process and of its children, up to now.
#[derive(Clone, Debug)]
pub(crate) struct FamilyCpu(Vec<(i32, Cpu)>);

impl FamilyCpu {
    /// What the process `pid` and its children have used.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        family(pid).into_iter().map(|pid| Ok((pid, Cpu::of(pid)?))).collect::<Result<_>>().map(Self)
    }

    /// What they have used since `earlier`, in nanoseconds. One that was not there then has used all it has.
    pub(crate) fn since(&self, earlier: &Self) -> u64 {
        let used = self.0.iter().map(|(pid, now)| {
            let before = earlier.0.iter().find(|(known, _)| known == pid);
            now.since(before.map_or(Cpu::default(), |(_, cpu)| *cpu))
        });
        used.sum()
    }
}

/// The machine's CPU time up to now: whatever was not idle, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineCpu {
    busy_ticks: u64,
}

impl MachineCpu {
    /// Up to now.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").doing("read /proc/stat")?;
        let busy_ticks = busy_ticks(&text).ok_or_else(|| unreadable("stat", &text))?;
        Ok(Self { busy_ticks })
    }

    /// What was used since `earlier`, in nanoseconds.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        (self.busy_ticks - earlier.busy_ticks) * TICK_NS
    }
}

/// A process's CPU time up to now, user and system.
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    /// Exact, but without threads that have ended.
    threads_ns: u64,
    /// With them, but in ticks.
    process_ns: u64,
}

/// A tick of `/proc/PID/stat`: the kernel gives all of user space hundredths of a second.
const TICK_NS: u64 = 10_000_000;

impl Cpu {
    /// What the process has used.
    fn of(pid: i32) -> Result<Self> {
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
    fn since(self, earlier: Self) -> u64 {
        let exact = self.threads_ns.saturating_sub(earlier.threads_ns);
        // A tick at either end may be counted or not; what exceeds that was used by threads that are gone.
        let coarse = self.process_ns.saturating_sub(earlier.process_ns).saturating_sub(2 * TICK_NS);
        exact.max(coarse)
    }
}

/// The resident memory of a process and its children, in KiB. What they share is counted for each of them.
pub(crate) fn resident_kib(pid: i32) -> Result<u64> {
    family(pid).into_iter().map(resident_kib_of).sum()
}

fn resident_kib_of(pid: i32) -> Result<u64> {
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

/// Everything but idle and iowait of the line `cpu`, in ticks; guests are part of user. Time stolen by other machines
/// is not ours.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> = line.split_whitespace().map(|field| field.parse().ok()).collect();
    match fields?[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, ..] => Some(user + nice + system + irq + softirq),
        _ => None,
    }
}

/// A process and its children, and theirs.
fn family(pid: i32) -> Vec<i32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        next += 1;
        // Who has ended has no children.
        for task in fs::read_dir(proc(parent, "task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    family
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
    fn counts_as_busy_what_is_not_idle() {
        let stat = "cpu  10 20 30 4000 500 6 7 80 9 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(73));
        assert_eq!(busy_ticks("cpu0 1 1 1 1 1 1 1"), None);
    }

    #[test]
    fn counts_all_of_a_child_that_is_new() {
        let cpu = |threads_ns| Cpu { threads_ns, process_ns: 0 };
        let earlier = FamilyCpu(vec![(1, cpu(5)), (2, cpu(100))]);
        let later = FamilyCpu(vec![(1, cpu(7)), (3, cpu(40))]);
        assert_eq!(later.since(&earlier), 42);
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
