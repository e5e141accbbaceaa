//! Which driver the workers run on, and why.
//!
//! Owns the choice and the words for it. Knows no system call.

use std::fmt;
use std::io;

/// Which driver is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// io_uring, or epoll where the kernel refuses a ring.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// What moves bytes between sockets and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A ring for each worker.
    Uring,
    /// An epoll set for each worker.
    Epoll,
}

/// The driver of all workers, and why it is this one.
#[derive(Debug)]
pub struct IoInUse {
    /// The driver.
    pub driver: Driver,
    /// Why it is this one.
    pub reason: IoReason,
}

/// Why a driver is in use.
#[derive(Debug)]
pub enum IoReason {
    /// It was asked for.
    Configured,
    /// It is the better one, and the kernel has it.
    Available,
    /// The kernel refuses the better one.
    Refused(RingError),
}

/// A ring that the kernel refused.
#[derive(Debug)]
pub struct RingError {
    /// What the kernel said.
    pub error: io::Error,
    /// What that means.
    pub refusal: RingRefusal,
}

/// The likely cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingRefusal {
    /// The sysctl `kernel.io_uring_disabled` is 1: it is left to a group.
    DisabledForMost,
    /// The sysctl `kernel.io_uring_disabled` is 2.
    Disabled,
    /// A seccomp profile answers EPERM.
    Forbidden,
    /// The kernel has no io_uring, or a seccomp profile answers as if it had none.
    Absent,
    /// The kernel lacks something that the driver needs.
    KernelTooOld,
    /// `RLIMIT_MEMLOCK` leaves no room.
    Memlock,
    /// No descriptor is left.
    Descriptors,
    /// None that we know of.
    Unknown,
}

impl Driver {
    /// The word that the configuration and the metrics have for it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

impl IoReason {
    /// Metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Available => "available",
            Self::Refused(refused) => refused.refusal.label(),
        }
    }
}

impl RingRefusal {
    /// Metric label.
    fn label(self) -> &'static str {
        match self {
            Self::DisabledForMost | Self::Disabled => "disabled",
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
            Self::KernelTooOld => "kernel_too_old",
            Self::Memlock => "memlock",
            Self::Descriptors => "descriptors",
            Self::Unknown => "refused",
        }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring is not available ({}): {}", self.error, self.refusal)
    }
}

impl fmt::Display for RingRefusal {
    /// The cause and its remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DisabledForMost => {
                "sysctl kernel.io_uring_disabled is 1: set it to 0, or join the group in kernel.io_uring_group"
            }
            Self::Disabled => "sysctl kernel.io_uring_disabled is 2: set it to 0",
            Self::Forbidden => {
                "a seccomp profile forbids it, as Docker's and containerd's default does: allow io_uring_setup, \
                 io_uring_enter and io_uring_register"
            }
            Self::Absent => {
                "the kernel has none, or a seccomp profile hides it, as podman's default does: Linux 6.1 or newer is \
                 needed, with io_uring_setup, io_uring_enter and io_uring_register allowed"
            }
            Self::KernelTooOld => "the kernel is too old: Linux 6.1 or newer is needed",
            Self::Memlock => {
                "RLIMIT_MEMLOCK is too low even for a small ring: raise it (LimitMEMLOCK= in systemd, ulimits in \
                 containers)"
            }
            Self::Descriptors => "no descriptor is left: raise RLIMIT_NOFILE",
            Self::Unknown => "the kernel refuses a ring",
        })
    }
}
