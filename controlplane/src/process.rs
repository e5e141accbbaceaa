//! What is set for the whole process before anything else happens.
//!
//! Owns the limits and the protection of memory. Nothing in here can fail a start: what the kernel refuses is said.

use dataplane::{Protection, SecretArena};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

/// What came of it, for the log.
pub(crate) struct Hardening {
    /// How many descriptors we might have had, and how many we may have now: the soft limit and, unless the kernel refused, the
    /// hard one.
    pub(crate) descriptors: (Option<u64>, Option<u64>),
    /// What secrets lie in.
    pub(crate) secrets: Protection,
    /// What the kernel refused, one sentence each.
    pub(crate) refused: Vec<String>,
}

/// No core dump, no tracing by the same user, memory for secrets, and as many descriptors as we may have.
pub(crate) fn harden() -> Hardening {
    let mut refused = Vec::new();
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, no_core) {
        refused.push(format!("core dumps could not be switched off: {error}"));
    }
    // Also keeps our memory and descriptors from other processes of the same user: ptrace(2), proc(5).
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        refused.push(format!("the process could not be made undumpable: {error}"));
    }
    // The heap is small and grows by pieces of a session's size; with huge pages it would grow by 2 MiB at a time.
    if let Err(error) = disable_transparent_huge_pages(true) {
        refused.push(format!("huge pages could not be switched off: {error}"));
    }
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        refused.push(format!("the descriptor limit could not be raised: {error}"));
    }
    let descriptors = (limit.current, getrlimit(Resource::Nofile).current);
    // The pages of secrets count towards this one.
    let limit = getrlimit(Resource::Memlock);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Memlock, raised) {
        refused.push(format!("the limit of locked memory could not be raised: {error}"));
    }
    let arena = SecretArena::of_process();
    refused.extend(arena.refused().iter().map(ToString::to_string));
    Hardening { descriptors, secrets: arena.protection(), refused }
}

/// How many descriptors we may have; `None` is no limit.
pub(crate) fn descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, set_dumpable_behavior};
    use rustix::thread::transparent_huge_pages_are_disabled;

    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_core_and_has_all_descriptors() {
        let before = dumpable_behavior().expect("the kernel knows");
        let hardening = harden();
        assert!(hardening.refused.is_empty(), "{:?}", hardening.refused);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(hardening.descriptors.1, limit.maximum);
        let limit = getrlimit(Resource::Memlock);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(transparent_huge_pages_are_disabled(), Ok(true));
        disable_transparent_huge_pages(false).expect("what was set can be set again");
        set_dumpable_behavior(before).expect("what was set can be set again");
    }
}
