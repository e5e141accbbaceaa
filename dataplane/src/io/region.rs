//! Pages that nothing but secrets lie in.
//!
//! Owns one mapping and how well it is protected: the best that the kernel grants. Knows nothing of what lies where in it.

use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};

/// What keeps a secret's memory from others, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// `memfd_secret(2)`: the kernel itself cannot reach it, be it for `/proc/PID/mem`, for ptrace or for a core dump; never swapped out.
    Secret,
    /// Never swapped out, in no core dump.
    Locked,
    /// In no core dump.
    Undumped,
    /// The general heap: there was no other memory. Wiped all the same.
    Heap,
}

impl Protection {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Secret, Self::Locked, Self::Undumped, Self::Heap];

    /// As one word: a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Secret => "memfd_secret",
            Self::Locked => "locked",
            Self::Undumped => "undumped",
            Self::Heap => "heap",
        }
    }
}

/// What the kernel did not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// What was asked for.
    pub wanted: Protection,
    /// The answer.
    pub error: Errno,
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, error } = self;
        match wanted {
            Protection::Secret => write!(f, "secrets do not lie in memfd_secret ({error}): ")?,
            Protection::Locked => write!(f, "secrets may be swapped out ({error}): ")?,
            Protection::Undumped | Protection::Heap => {
                write!(f, "secrets lie in the general heap ({error}): ")?;
            }
        }
        let memlock = "raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd, ulimits in containers)";
        f.write_str(match (wanted, *error) {
            (Protection::Secret, Errno::NOSYS) => {
                "the kernel is older than 5.14 or has it switched off: boot it with secretmem.enable=1"
            }
            (Protection::Secret, Errno::PERM | Errno::ACCESS) => {
                "a seccomp profile forbids it: allow memfd_secret"
            }
            (Protection::Secret, Errno::FBIG) => "raise RLIMIT_FSIZE (LimitFSIZE= in systemd)",
            (Protection::Secret | Protection::Locked, Errno::AGAIN | Errno::NOMEM | Errno::PERM) => memlock,
            (Protection::Secret | Protection::Locked, _) => "root can read them, and nobody else",
            (Protection::Undumped | Protection::Heap, _) => {
                "the system has no memory left, or there are too many"
            }
        })
    }
}

/// One mapping.
pub(super) struct Region {
    start: NonNull<u8>,
    len: usize,
    protection: Protection,
}

// SAFETY: a region is an address and two numbers that never change; what lies at the address belongs to whoever has a block
// of it, see `SecretBytes` in `secret_arena.rs`.
unsafe impl Send for Region {}

// SAFETY: as above: nothing of a region can be changed through a shared reference to it.
unsafe impl Sync for Region {}

impl Region {
    /// At least `len` bytes, zeroed, of the best protection that is granted from `best` on. Notes in `refused` what was not.
    pub(super) fn new(len: usize, best: Protection, refused: &mut Vec<Unprotected>) -> Result<Self, Errno> {
        if best == Protection::Secret {
            match map_secret(len) {
                Ok(start) => return Ok(Self::protected(start, len, Protection::Secret)),
                Err(error) => refused.push(Unprotected { wanted: Protection::Secret, error }),
            }
        }
        let start = map_plain(len)?;
        // From here on it is unmapped whatever happens.
        let mut region = Self::protected(start, len, Protection::Undumped);
        if best > Protection::Locked {
            return Ok(region);
        }
        // SAFETY: `region` has mapped these bytes and unmaps them when it is dropped; locking changes none of them.
        match unsafe { mlock(region.start.as_ptr().cast(), len) } {
            Ok(()) => region.protection = Protection::Locked,
            Err(error) => refused.push(Unprotected { wanted: Protection::Locked, error }),
        }
        Ok(region)
    }

    /// Kept out of core dumps and of children, as far as the kernel knows how: both advices are as old as Linux 3.4.
    fn protected(start: NonNull<u8>, len: usize, protection: Protection) -> Self {
        let region = Self { start, len, protection };
        for advice in [Advice::LinuxDontDump, Advice::LinuxDontFork] {
            // SAFETY: `region` has mapped these bytes and nobody else knows of them yet; these advices change none of them.
            let advised = unsafe { madvise(region.start.as_ptr().cast(), len, advice) };
            debug_assert!(advised.is_ok(), "{advice:?}: {advised:?}");
        }
        region
    }

    /// The first byte.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What keeps it from others.
    pub(super) fn protection(&self) -> Protection {
        self.protection
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of the mapping that `new` made, and whoever has a block keeps the region alive
        // (`SecretBytes::region`), so nobody has one any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

fn map_secret(len: usize) -> Result<NonNull<u8>, Errno> {
    // To the kernel this is a file; one that is too large would end the process by a signal.
    let files_max = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if files_max.is_some_and(|max| max < len as u64) {
        return Err(Errno::FBIG);
    }
    // The manual speaks of FD_CLOEXEC; what the kernel takes is O_CLOEXEC (mm/secretmem.c).
    // SAFETY: takes a number and touches no memory.
    let made = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let Ok(raw) = i32::try_from(made) else { return Err(Errno::INVAL) };
    if raw < 0 {
        return Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::INVAL, Errno::from_raw_os_error));
    }
    // SAFETY: the kernel has just given us this descriptor: nobody else has it or closes it.
    let file = unsafe { OwnedFd::from_raw_fd(raw) };
    rustix::fs::ftruncate(&file, len as u64)?;
    // The mapping outlives the descriptor, which nobody can be tricked into passing on when it is gone.
    // SAFETY: the kernel chooses the place, so no memory of anybody's is replaced.
    let start = unsafe { mmap(ptr::null_mut(), len, READ_WRITE, MapFlags::SHARED, &file, 0) }?;
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}

fn map_plain(len: usize) -> Result<NonNull<u8>, Errno> {
    // SAFETY: the kernel chooses the place, so no memory of anybody's is replaced.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), len, READ_WRITE, MapFlags::PRIVATE) }?;
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Errno, Protection, Region, Unprotected};

    const LEN: usize = 64 * 1024;

    /// What proc(5) says of the mapping: `VmFlags`.
    fn flags(region: &Region) -> Vec<String> {
        let maps = fs::read_to_string("/proc/self/smaps").expect("proc is mounted");
        let start = format!("{:x}-", region.start().as_ptr().addr());
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).expect("it is mapped by itself");
        flags.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_region_is_in_no_dump_and_no_child_and_never_swapped_out() {
        for best in [Protection::Secret, Protection::Locked, Protection::Undumped] {
            let mut refused = Vec::new();
            let region = Region::new(LEN, best, &mut refused).expect("there is memory");
            assert_eq!((region.len(), region.protection() >= best), (LEN, true));
            // Root may lock what it likes, and some kernels have no memfd_secret: what was not granted was noted.
            assert_eq!(region.protection() == best, refused.is_empty(), "{refused:?}");
            let flags = flags(&region);
            // Do not copy, do not dump, locked.
            for (flag, is_expected) in
                [("dc", true), ("dd", true), ("lo", region.protection() < Protection::Undumped)]
            {
                assert_eq!(
                    flags.iter().any(|found| found == flag),
                    is_expected,
                    "{flag} in {flags:?}, {best:?}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        for (wanted, error, remedy) in [
            (Protection::Secret, Errno::NOSYS, "secretmem.enable=1"),
            (Protection::Secret, Errno::PERM, "allow memfd_secret"),
            (Protection::Secret, Errno::AGAIN, "RLIMIT_MEMLOCK"),
            (Protection::Secret, Errno::FBIG, "RLIMIT_FSIZE"),
            (Protection::Locked, Errno::NOMEM, "RLIMIT_MEMLOCK"),
            (Protection::Locked, Errno::PERM, "RLIMIT_MEMLOCK"),
        ] {
            let said = Unprotected { wanted, error }.to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
