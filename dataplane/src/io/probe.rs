//! Whether the kernel lets us have a ring, and if not, why.
//!
//! Owns the attempts at start, from the largest ring to the smallest useful one, and what a refusal means.

use std::fs;
use std::io;

use io_uring::register::Restriction;
use io_uring::{IoUring, opcode, squeue};

use crate::driver::{RingError, RingRefusal};

/// The smallest ring worth having.
const SUBMISSIONS_MIN: u32 = 64;

/// The ring is there, but its receive buffers were refused.
pub(super) fn no_buffers(error: io::Error) -> RingError {
    // Provided buffer rings came with Linux 5.19.
    RingError { refusal: refusal(&error), error }
}

/// A ring of at most `submissions`, for this thread alone; completions are run only when it asks for them.
pub(super) fn ring(submissions: u32) -> Result<IoUring, RingError> {
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
            Err(error) => return Err(RingError { refusal: refusal(&error), error }),
        }
    }
}

/// Lets the ring do what this driver does and nothing else, and starts it: whoever takes over the process by a bug of ours
/// finds no way to open files or to connect through it.
pub(super) fn enable(ring: &IoUring) -> Result<(), RingError> {
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
        .map_err(|error| RingError { refusal: refusal(&error), error })
}

fn refusal(error: &io::Error) -> RingRefusal {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    match error.raw_os_error() {
        Some(libc::EPERM) => match disabled.as_deref().map(str::trim) {
            Ok("2") => RingRefusal::Disabled,
            Ok("1") => RingRefusal::DisabledForMost,
            _ => RingRefusal::Forbidden,
        },
        Some(libc::ENOSYS) => RingRefusal::Absent,
        Some(libc::EINVAL) => RingRefusal::KernelTooOld,
        Some(libc::ENOMEM) => RingRefusal::Memlock,
        Some(libc::EMFILE | libc::ENFILE) => RingRefusal::Descriptors,
        _ => RingRefusal::Unknown,
    }
}
