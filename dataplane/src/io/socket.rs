//! Socket options and calls that a worker makes itself: none of them can block.
//!
//! Owns what the system call wrappers lack. Everything else comes from `rustix`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect,
    ipproto, send, shutdown, socket_with,
};

use crate::snapshot::Address;

/// Idle time before the first keepalive probe, time between probes, and how many may go unanswered.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// Makes a TCP connection answer at once and notice a dead peer. Does nothing to a Unix socket, and a refusal is
/// no reason to lose a connection.
pub(crate) fn tune(socket: BorrowedFd<'_>) {
    if sockopt::set_tcp_nodelay(socket, true).is_ok() {
        let _ = sockopt::set_socket_keepalive(socket, true);
        let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE);
        let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL);
        let _ = sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES);
    }
}

/// How a connect began.
pub(crate) enum Connect {
    /// The connection is there.
    Done(OwnedFd),
    /// The kernel is at it: the socket becomes writable when it is decided.
    InProgress(OwnedFd),
    /// A Unix socket's queue is full: try again in a moment.
    Busy,
}

/// Begins to connect to `address`.
pub(crate) fn begin_connect(address: &Address) -> Result<Connect, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, connected) = match address {
        Address::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
            tune(borrow(&socket));
            let connected = connect(&socket, address);
            (socket, connected)
        }
        Address::Unix(path) => {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let connected = connect(&socket, &SocketAddrUnix::new(path)?);
            (socket, connected)
        }
    };
    match connected {
        Ok(()) => Ok(Connect::Done(socket)),
        Err(Errno::INPROGRESS) => Ok(Connect::InProgress(socket)),
        Err(Errno::AGAIN) => Ok(Connect::Busy),
        Err(error) => Err(error),
    }
}

/// What became of a connect whose socket has become writable.
pub(crate) fn connect_result(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::socket_error(socket)?
}

/// Says that we will send nothing more. A peer that has gone already has nothing to be told.
pub(crate) fn finish_writing(socket: BorrowedFd<'_>) {
    let _ = shutdown(socket, Shutdown::Write);
}

/// Sends as much of `bytes` as the socket takes without waiting. A peer that has gone hears nothing.
pub(crate) fn send_at_once(socket: BorrowedFd<'_>, bytes: &[u8]) {
    let _ = send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Whether the process and the system have room for one more open file.
pub(crate) fn has_room_for_a_file() -> bool {
    eventfd(0, EventfdFlags::CLOEXEC).is_ok()
}

/// Takes a connection that is already in the listener's queue, if there is one.
pub(crate) fn accept_queued(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Makes a listening TCP socket take no new connection, while handshakes already under way and connections in its
/// queue stay good: new SYNs are dropped, so that a client tries again where the port is served next.
pub fn refuse_new_connections(listener: BorrowedFd<'_>) -> io::Result<()> {
    // Classic BPF over the TCP header (the filter of a listening TCP socket sees it first): byte 13 holds the
    // flags; drop what has SYN and not ACK, pass the rest whole.
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let mut program = [
        libc::sock_filter { code: LOAD_BYTE, jt: 0, jf: 0, k: 13 },
        libc::sock_filter { code: AND, jt: 0, jf: 0, k: SYN | ACK },
        libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: SYN },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX },
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("five instructions"),
        filter: program.as_mut_ptr(),
    };
    let len = libc::socklen_t::try_from(size_of_val(&program)).expect("sixteen bytes");
    // SAFETY: `program` and the five instructions it points to live on this stack frame until the call returns;
    // the kernel copies them (SO_ATTACH_FILTER, socket(7)). `len` is the structure's own size.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn borrow(socket: &OwnedFd) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    socket.as_fd()
}
