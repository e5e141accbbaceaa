//! Listening sockets, from the first call to the last.
//!
//! Owns how one is bound, opened, and closed without losing a connect. Knows no service and no worker: see
//! `listening` for which of them accept where.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with};
use tracing::info;

use crate::config::ListenOn;
use crate::os_words::words;
use crate::unix_socket::UnixSocket;

/// A socket that has its address to itself and takes no connections yet.
pub(crate) struct Bound {
    socket: OwnedFd,
    unix: Option<UnixSocket>,
    /// Whether a listener of ours is to lose its path to this one.
    replaces: bool,
}

/// A listening socket.
pub(crate) struct Listener {
    socket: Arc<OwnedFd>,
    unix: Option<UnixSocket>,
}

impl Bound {
    /// Takes the address. The words of an error are the Go broker's. `is_ours` says that a Unix socket that is in the
    /// way is one of our own, which this one replaces.
    pub(crate) fn new(listen_on: &ListenOn, is_ours: bool) -> Result<Self, String> {
        match listen_on {
            ListenOn::Tcp(address) => {
                let socket = bind_tcp(*address).map_err(|(call, error)| said(listen_on, call, &error))?;
                Ok(Self { socket, unix: None, replaces: false })
            }
            ListenOn::Unix { path, access } => {
                let (socket, unix) = UnixSocket::bind(path, access, is_ours)
                    .map_err(|error| said(listen_on, error.call, &error.error))?;
                Ok(Self { socket, unix: Some(unix), replaces: is_ours })
            }
        }
    }

    /// Whether a listener of ours is to lose its path to this one.
    pub(crate) fn replaces(&self) -> bool {
        self.replaces
    }

    /// Lets connections wait in the kernel's queue from now on. A Unix socket has no path yet by which it is found.
    pub(crate) fn listen(&self, listen_on: &ListenOn) -> Result<(), String> {
        listen(&self.socket, BACKLOG).map_err(|error| said(listen_on, "listen", &error.into()))?;
        if matches!(listen_on, ListenOn::Tcp(address) if address.port() == 0)
            && let Ok(address) = getsockname(&self.socket)
            && let Ok(address) = SocketAddr::try_from(address)
        {
            info!("{listen_on}: the kernel has chosen {address}");
        }
        Ok(())
    }

    /// Lets clients find a socket that listens.
    pub(crate) fn reveal(mut self, listen_on: &ListenOn) -> Result<Listener, String> {
        if let Some(unix) = &mut self.unix {
            unix.reveal().map_err(|error| said(listen_on, "rename", &error))?;
        }
        Ok(Listener { socket: Arc::new(self.socket), unix: self.unix })
    }

    /// Both at once.
    #[cfg(test)]
    pub(crate) fn open(self, listen_on: &ListenOn) -> Result<Listener, String> {
        self.listen(listen_on)?;
        self.reveal(listen_on)
    }
}

impl Listener {
    /// The socket, to be accepted on.
    pub(crate) fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Lets no new connection begin. Those in the queue stay good, and so do handshakes that are under way.
    pub(crate) fn refuse(&mut self) -> io::Result<()> {
        match self.unix.take() {
            Some(unix) => {
                drop(unix); // takes the path away
                Ok(())
            }
            None => dataplane::refuse_new_connections(self.socket.as_fd()),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<OwnedFd, (&'static str, io::Error)> {
    let failed = |call| move |error: rustix::io::Errno| (call, io::Error::from(error));
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(failed("socket"))?;
    // Connections of an earlier process in TIME_WAIT must not keep the address; a listener of another does.
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed("setsockopt"))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false).map_err(failed("setsockopt"))?;
    }
    bind(&socket, &address).map_err(failed("bind"))?;
    Ok(socket)
}

fn said(listen_on: &ListenOn, call: &str, error: &io::Error) -> String {
    format!("listen {}: {call}: {}", describe(listen_on), words(error))
}

/// `tcp 127.0.0.1:5432`, `unix /run/pg.sock`
pub(crate) fn describe(listen_on: &ListenOn) -> String {
    match listen_on {
        ListenOn::Tcp(address) => format!("tcp {address}"),
        ListenOn::Unix { path, .. } => format!("unix {}", path.display()),
    }
}

/// Bursts of connects wait here; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener, TcpStream};

    use super::*;

    fn local(listener: &Listener) -> SocketAddr {
        let address = getsockname(&listener.socket).expect("it is bound");
        SocketAddr::try_from(address).expect("it is TCP")
    }

    fn open(address: &str) -> Listener {
        let listen_on = ListenOn::Tcp(address.parse().expect("an address"));
        let bound = Bound::new(&listen_on, false).expect("a free port");
        bound.open(&listen_on).expect("it listens")
    }

    #[test]
    fn an_address_that_is_taken_is_refused_in_the_words_of_go() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it is bound");
        let error = Bound::new(&ListenOn::Tcp(address), false).err();
        let words = format!("listen tcp {address}: bind: address already in use");
        assert_eq!(error, Some(words));
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = Bound::new(&ListenOn::Tcp(([192, 0, 2, 1], 1).into()), false).err().unwrap_or_default();
        assert!(error.starts_with("listen tcp 192.0.2.1:1: bind: cannot assign"), "{error}");
    }

    #[test]
    fn any_ipv6_address_takes_ipv4_too() {
        if TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
            return; // a machine without IPv6 cannot show this
        }
        let listener = open("[::]:0");
        let port = local(&listener).port();
        TcpStream::connect(("127.0.0.1", port)).expect("connects over IPv4");
    }

    #[test]
    fn a_bound_socket_takes_connections_only_when_opened() {
        let listen_on = ListenOn::Tcp(([127, 0, 0, 1], 0).into());
        let bound = Bound::new(&listen_on, false).expect("a free port");
        let address = getsockname(&bound.socket).expect("it is bound");
        let address = SocketAddr::try_from(address).expect("it is TCP");
        assert!(TcpStream::connect(address).is_err());
        let _listener = bound.open(&listen_on).expect("it listens");
        assert!(TcpStream::connect(address).is_ok());
    }
}
