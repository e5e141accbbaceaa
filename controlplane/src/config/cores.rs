//! How many cores this process may use.

use std::thread;

/// The cores that the affinity mask and the cgroup's CPU quota leave, at least one.
pub(super) fn available() -> usize {
    // The standard library reads both: sched_getaffinity(2), and cpu.max or cpu.cfs_quota_us up the tree.
    thread::available_parallelism().map_or(1, usize::from)
}
