//! What the kernel tells of this process.
//!
//! Owns the names, which are those of every program that Prometheus watches, and the form of a count.

/// Memory and descriptors of this process, where the kernel tells.
pub(super) fn process_gauges() -> Vec<(&'static str, &'static str, f64)> {
    let mut gauges = Vec::new();
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    if let Some(pages) = pages {
        let bytes = pages * rustix::param::page_size() as u64;
        gauges.push(("process_resident_memory_bytes", "Memory that is in use", lossy(bytes)));
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        gauges.push(("process_open_fds", "Descriptors that are open", lossy(descriptors.count() as u64)));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit {
        gauges.push(("process_max_fds", "Descriptors that may be open", lossy(limit)));
    }
    gauges
}

/// A count as the form has it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no gauge of ours comes near 2^53")]
pub(super) fn lossy(count: u64) -> f64 {
    count as f64
}
