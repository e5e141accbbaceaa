//! Whether the kernel lets us have a ring, and if not, why.
//!
//! Owns the attempts at start, from the largest ring to the smallest useful one, and the words for a refusal.

use std::fmt;
use std::fs;
use std::io;

use io_uring::register::Restriction;
use io_uring::{IoUring, opcode, squeue};

/// The smallest ring worth having.
const SUBMISSIONS_MIN: u32 = 64;

/// Why there is no ring.
#[derive(Debug)]
pub(crate) struct UringError {
    /// What the kernel said.
    pub(crate) error: io::Error,
    /// The likely cause and the remedy, in one line.
    pub(crate) cause: String,
}

impl UringError {
    /// The ring is there, but not its receive buffers.
    pub(super) fn buffers(error: io::Error) -> Self {
        let cause = match error.raw_os_error() {
            Some(libc::EINVAL) => {
                "the kernel has no provided buffer rings: Linux 5.19 or newer is needed".into()
            }
            Some(libc::ENOMEM) => memlock(),
            _ => "its receive buffers were refused".into(),
        };
        Self { error, cause }
    }
}

impl fmt::Display for UringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause, self.error)
    }
}

/// A ring of at most `submissions`, for this thread alone; completions are run only when it asks for them.
pub(super) fn ring(submissions: u32) -> Result<IoUring, UringError> {
    let mut entries = submissions;
    loop {
        let built = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(entries.saturating_mul(4))
            .setup_r_disabled()
            .build(entries);
        match built {
            Ok(ring) => return Ok(ring),
            // Ring memory counts towards RLIMIT_MEMLOCK since Linux 6.14: a smaller one may fit.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && entries > SUBMISSIONS_MIN => {
                entries /= 2;
            }
            Err(error) => return Err(UringError { cause: cause(&error), error }),
        }
    }
}

/// Lets the ring do what this driver does and nothing else, and starts it: whoever takes over the process by a bug of ours
/// finds no way to open files or to connect through it.
pub(super) fn enable(ring: &IoUring) -> Result<(), UringError> {
    const OPERATIONS: [u8; 7] = [
        opcode::Accept::CODE,
        opcode::RecvMulti::CODE,
        opcode::Send::CODE,
        opcode::SendMsg::CODE,
        opcode::PollAdd::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Timeout::CODE,
    ];
    /// `IORING_UNREGISTER_PBUF_RING`, for the end.
    const UNREGISTER_BUFFERS: u8 = 23;
    let flags = squeue::Flags::SKIP_SUCCESS | squeue::Flags::BUFFER_SELECT;
    let mut rules: Vec<Restriction> = OPERATIONS.into_iter().map(Restriction::sqe_op).collect();
    rules.push(Restriction::sqe_flags_allowed(flags.bits()));
    rules.push(Restriction::register_op(UNREGISTER_BUFFERS));
    let submitter = ring.submitter();
    submitter
        .register_restrictions(&mut rules)
        .and_then(|()| submitter.register_enable_rings())
        .map_err(|error| UringError { cause: cause(&error), error })
}

fn cause(error: &io::Error) -> String {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    match error.raw_os_error() {
        Some(libc::EPERM) => match disabled.as_deref().map(str::trim) {
            Ok("2") => "sysctl kernel.io_uring_disabled is 2: set it to 0".into(),
            Ok("1") => "sysctl kernel.io_uring_disabled is 1: set it to 0, or join the group in kernel.io_uring_group".into(),
            _ => "a seccomp profile forbids it, as Docker's and containerd's default does: allow io_uring_setup, \
                  io_uring_enter and io_uring_register"
                .into(),
        },
        Some(libc::ENOSYS) => {
            "the kernel has none, or a seccomp profile hides it, as podman's default does: Linux 6.1 or newer is needed, \
             with io_uring_setup, io_uring_enter and io_uring_register allowed"
                .into()
        }
        Some(libc::EINVAL) => "the kernel is too old: Linux 6.1 or newer is needed".into(),
        Some(libc::ENOMEM) => memlock(),
        Some(libc::EMFILE | libc::ENFILE) => "no descriptor is left: raise RLIMIT_NOFILE".into(),
        _ => "the kernel refuses a ring".into(),
    }
}

fn memlock() -> String {
    "RLIMIT_MEMLOCK is too low even for a small ring: raise it (LimitMEMLOCK= in systemd, ulimits in containers)".into()
}
