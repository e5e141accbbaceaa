//! Targets that do what no real server would, or only once in a while.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::wait::GENEROUS;

/// A listener on loopback that hands each connection to a function of the test, in a thread of its own.
pub struct Pretender {
    /// Where it listens.
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl Pretender {
    /// Starts one. It lives as long as the process.
    ///
    /// # Panics
    /// If the system has no port left.
    pub fn new(handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let handle = Arc::new(handle);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let handle = Arc::clone(&handle);
                // What it does to its connection is what is tested; that it may fail at it is part of that.
                thread::spawn(move || drop(handle(stream)));
            }
        });
        Self { port, connections }
    }

    /// How many connections have come so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// One that waits for `expected` bytes, says `answer`, waits for the next, and so on; then it closes.
    pub fn scripted(script: Vec<(usize, Vec<u8>)>) -> Self {
        Self::new(move |mut stream| {
            for (expected, answer) in &script {
                stream.read_exact(&mut vec![0; *expected])?;
                stream.write_all(answer)?;
            }
            // Until the other side has read it all and goes.
            stream.shutdown(Shutdown::Write)?;
            io::copy(&mut stream, &mut io::sink()).map(drop)
        })
    }

    /// One that reads and never says a word.
    pub fn silent() -> Self {
        Self::new(|mut stream| io::copy(&mut stream, &mut io::sink()).map(drop))
    }

    /// A wire to `target` that breaks once `bytes` have come back from it.
    pub fn breaking(target: SocketAddr, bytes: usize) -> Self {
        Self::new(move |client| {
            let server = TcpStream::connect(target)?;
            server.set_read_timeout(Some(GENEROUS))?;
            let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || io::copy(&mut from_client, &mut to_server));
            let copied = io::copy(&mut (&server).take(bytes as u64), &mut &client);
            // Both ways, so that it is gone for either side.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            copied.map(drop)
        })
    }
}

/// A port that takes no connection and refuses none: its queue is full. Lives as long as the returned sockets.
///
/// # Panics
/// If the system has no port left.
pub fn unanswering() -> (u16, Vec<TcpStream>, TcpListener) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    listen(&socket, 0).expect("a bound socket listens");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut queued = Vec::new();
    // The queue is full once a connect hangs; loopback answers at once until then.
    while let Ok(stream) = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)) {
        queued.push(stream);
    }
    (port, queued, listener)
}
