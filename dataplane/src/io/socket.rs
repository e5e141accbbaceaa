//! Socket options and calls that a worker makes itself: none of them can block.
//!
//! Owns what the system call wrappers lack. Everything else comes from `rustix`.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use protocol::Transport;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, connect, ipproto, recv, send, sendmsg, shutdown, socket_with,
};

use super::{Connect, Socket};
use crate::snapshot::Address;

/// Idle time before the first keepalive probe, time between probes, and how many may go unanswered.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

impl Socket for OwnedFd {
    fn tune(&self) -> Transport {
        // A Unix socket refuses the first of these, and needs none of them.
        if sockopt::set_tcp_nodelay(self, true).is_err() {
            return Transport::Unix;
        }
        let _ = sockopt::set_socket_keepalive(self, true);
        let _ = sockopt::set_tcp_keepidle(self, KEEPALIVE_IDLE);
        let _ = sockopt::set_tcp_keepintvl(self, KEEPALIVE_INTERVAL);
        let _ = sockopt::set_tcp_keepcnt(self, KEEPALIVE_PROBES);
        Transport::Tcp
    }

    fn connect_result(&self) -> Result<(), Errno> {
        sockopt::socket_error(self)?
    }

    fn finish_writing(&self) {
        let _ = shutdown(self, Shutdown::Write);
    }

    fn left(&self) -> usize {
        // One that its peer has reset counts what it will never send for ever.
        if !matches!(sockopt::socket_error(self), Ok(Ok(()))) {
            return 0;
        }
        let mut left: libc::c_int = 0;
        // SAFETY: SIOCOUTQ (tcp(7)) writes one `int` through its argument, to `left`, which lives on this stack frame
        // until the call returns.
        let result = unsafe { libc::ioctl(self.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
        // A connection that is gone takes nothing more.
        if result == 0 { usize::try_from(left).unwrap_or(0) } else { 0 }
    }

    fn reset_on_close(&self) {
        let _ = sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }

    fn receive_at_once(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let (received, _) = recv(self, into, RecvFlags::DONTWAIT)?;
        Ok(received)
    }

    fn send_at_once(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
        match pieces {
            [piece] => send(self, piece, FLAGS),
            several => sendmsg(self, several, &mut SendAncillaryBuffer::default(), FLAGS),
        }
    }
}

/// See [`Io::connect`](super::Io::connect).
pub(super) fn begin_connect(address: &Address) -> Result<Connect<OwnedFd>, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, connected) = match address {
        Address::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
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

/// See [`Io::has_room`](super::Io::has_room).
pub(super) fn has_room_for_a_file() -> bool {
    eventfd(0, EventfdFlags::CLOEXEC).is_ok()
}

/// See [`Io::accept_queued`](super::Io::accept_queued).
pub(super) fn accept_queued(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
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
