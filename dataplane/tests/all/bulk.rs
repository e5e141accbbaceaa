//! The two gears between real sockets of every kind: whatever is sent arrives as it was, and nobody takes what others need.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use dataplane::{Address, IoChoice};

use crate::support::{Bed, Options, moves_out};

/// Long enough that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(60);

on_both_drivers! {
    bursts_both_ways_arrive_as_they_were_sent_from_tcp_to_tcp,
    bursts_both_ways_arrive_as_they_were_sent_from_unix_to_tcp,
    bursts_both_ways_arrive_as_they_were_sent_from_tcp_to_unix,
    bursts_both_ways_arrive_as_they_were_sent_from_unix_to_unix,
    a_thousand_readers_that_stopped_take_neither_memory_nor_conduits_nor_time_from_others,
    a_byte_of_urgent_data_does_not_stop_a_stream_that_is_spliced,
}

/// Either kind of socket.
trait Stream: Read + Write + Send {
    fn handle(&self) -> Box<dyn Stream>;
    fn finish(&self);
    fn set_nonblocking(&self, on: bool);
}

impl Stream for TcpStream {
    fn handle(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
    fn set_nonblocking(&self, on: bool) {
        self.set_nonblocking(on).unwrap();
    }
}

impl Stream for UnixStream {
    fn handle(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
    fn set_nonblocking(&self, on: bool) {
        self.set_nonblocking(on).unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Tcp,
    Unix,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A broker between a client and a target of the given kinds.
struct Between {
    bed: Bed,
    client: Kind,
    target: Listener,
    dir: PathBuf,
}

impl Between {
    fn new(io: IoChoice, client: Kind, target: Kind, name: &str) -> Self {
        let dir = std::env::temp_dir()
            .join(format!("bulk-{}-{io:?}-{name}-{client:?}-{target:?}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (listener, address) = match target {
            Kind::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = Address::Tcp(listener.local_addr().unwrap());
                (Listener::Tcp(listener), address)
            }
            Kind::Unix => {
                let path = dir.join("target");
                (Listener::Unix(UnixListener::bind(&path).unwrap()), Address::Unix(path))
            }
        };
        let bed = Bed::to(address, Options { sessions_max: 2000, ..Options::on(io) });
        bed.listen_on(&dir.join("broker"));
        Self { bed, client, target: listener, dir }
    }

    /// A session: the client's end and the target's.
    fn open(&self) -> (Box<dyn Stream>, Box<dyn Stream>) {
        let mut client: Box<dyn Stream> = match self.client {
            Kind::Tcp => {
                let stream = TcpStream::connect(self.bed.address).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                Box::new(stream)
            }
            Kind::Unix => {
                let stream = UnixStream::connect(self.dir.join("broker")).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                Box::new(stream)
            }
        };
        client.write_all(b"x").unwrap();
        let target: Box<dyn Stream> = match &self.target {
            Listener::Tcp(listener) => {
                let stream = listener.accept().unwrap().0;
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                // A thousand of these, all full, must not use up what the kernel gives to all TCP sockets together.
                rustix::net::sockopt::set_socket_send_buffer_size(&stream, 64 * 1024).unwrap();
                Box::new(stream)
            }
            Listener::Unix(listener) => {
                let stream = listener.accept().unwrap().0;
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                Box::new(stream)
            }
        };
        (client, target)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A stream of bytes that tells every byte from every other, and sizes of pieces: the same from the same seed.
struct Pattern(u64);

impl Pattern {
    /// splitmix64, by Sebastiano Vigna (public domain).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next());
        words.flat_map(u64::to_le_bytes).take(len).collect()
    }
}

/// Sends bursts of many sizes, the small ones each with an answer from the other end, so that both gears come by turns.
fn talk(mut out: Box<dyn Stream>, seed: u64, rounds: usize) {
    let (mut content, mut sizes) = (Pattern(seed), Pattern(!seed));
    for _ in 0..rounds {
        let len = match sizes.next() % 3 {
            0 => sizes.next() % 200,
            1 => sizes.next() % 60_000,
            _ => sizes.next() % 4_000_000,
        };
        let len = usize::try_from(len).unwrap() + 1;
        out.write_all(&u32::try_from(len).unwrap().to_le_bytes()).unwrap();
        out.write_all(&content.bytes(len)).unwrap();
        if sizes.next() % 2 == 0 {
            continue;
        }
        // A few small messages, one at a time: the direction goes quiet.
        for _ in 0..6 {
            out.write_all(&1u32.to_le_bytes()).unwrap();
            out.write_all(&content.bytes(1)).unwrap();
            thread::yield_now();
        }
    }
    out.finish();
}

/// Reads what [`talk`] sends and checks each byte.
fn listen(mut input: Box<dyn Stream>, seed: u64) -> usize {
    let mut content = Pattern(seed);
    let mut bursts = 0;
    loop {
        let mut len = [0; 4];
        if let Err(error) = input.read_exact(&mut len) {
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "the stream broke");
            return bursts;
        }
        let mut burst = vec![0; u32::from_le_bytes(len) as usize];
        input.read_exact(&mut burst).unwrap();
        assert!(burst == content.bytes(burst.len()), "burst {bursts} differs from what was sent");
        bursts += 1;
    }
}

/// Both directions at once, each with its own bursts.
fn exchange(io: IoChoice, client: Kind, target: Kind) {
    let between = Between::new(io, client, target, "exchange");
    let (client, target) = between.open();
    let listeners = [(target.handle(), 1), (client.handle(), 2)]
        .map(|(stream, seed)| thread::spawn(move || listen(stream, seed)));
    let talkers =
        [(client, 1), (target, 2)].map(|(stream, seed)| thread::spawn(move || talk(stream, seed, 60)));
    for talker in talkers {
        talker.join().unwrap();
    }
    for listener in listeners {
        assert!(listener.join().unwrap() >= 60);
    }
}

fn bursts_both_ways_arrive_as_they_were_sent_from_tcp_to_tcp(io: IoChoice) {
    exchange(io, Kind::Tcp, Kind::Tcp);
}

fn bursts_both_ways_arrive_as_they_were_sent_from_unix_to_tcp(io: IoChoice) {
    exchange(io, Kind::Unix, Kind::Tcp);
}

fn bursts_both_ways_arrive_as_they_were_sent_from_tcp_to_unix(io: IoChoice) {
    exchange(io, Kind::Tcp, Kind::Unix);
}

fn bursts_both_ways_arrive_as_they_were_sent_from_unix_to_unix(io: IoChoice) {
    exchange(io, Kind::Unix, Kind::Unix);
}

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn a_thousand_readers_that_stopped_take_neither_memory_nor_conduits_nor_time_from_others(io: IoChoice) {
    if moves_out() {
        return;
    }
    const STOPPED: usize = 1000;
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(20_000), maximum: Some(20_000) },
    );
    let between = Between::new(io, Kind::Unix, Kind::Tcp, "stopped");
    let mut stopped: Vec<_> = (0..STOPPED).map(|_| between.open()).collect();
    let (mut client, mut target) = between.open();
    let before = resident();
    for (_, flooder) in &stopped {
        flooder.set_nonblocking(true);
    }
    let block = vec![7u8; 64 * 1024];
    let mut sent = vec![0usize; STOPPED];
    let mut quiet = 0;
    // Until nobody's socket has taken anything for as long as a few round trips of another session take.
    while quiet < 20 {
        quiet += 1;
        for (i, (_, flooder)) in stopped.iter_mut().enumerate() {
            while let Ok(n) = flooder.write(&block) {
                sent[i] += n;
                quiet = 0;
            }
        }
        client.write_all(b"ping").unwrap();
        let mut ping = [0; 4];
        target.read_exact(&mut ping).unwrap();
    }
    let grown = resident().saturating_sub(before);
    // What each leaves is what was taken in when its reader stopped: 64 KiB, and what the allocator adds.
    assert!(grown < STOPPED * 96 * 1024, "{grown} bytes are held for {STOPPED} readers that stopped");
    // One who reads has all that he needs.
    const LEN: usize = 64 << 20;
    let sender = thread::spawn(move || {
        target.write_all(&Pattern(7).bytes(LEN)).unwrap();
        target
    });
    let mut received = vec![0; LEN];
    client.read_exact(&mut received).unwrap();
    assert!(received == Pattern(7).bytes(LEN), "bytes were lost, doubled or reordered");
    drop(sender.join().unwrap());
    // And those who stopped find everything when they go on.
    for ((mut client, target), sent) in stopped.into_iter().zip(sent) {
        target.finish();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), sent);
    }
}

fn a_byte_of_urgent_data_does_not_stop_a_stream_that_is_spliced(io: IoChoice) {
    const LEN: usize = 8 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bed = Bed::new(address, Options::on(io));
    let mut client = TcpStream::connect(bed.address).unwrap();
    client.set_write_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"x").unwrap();
    let mut target = listener.accept().unwrap().0;
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    let sender = thread::spawn(move || {
        let content = Pattern(3).bytes(LEN);
        let (before, behind) = content.split_at(LEN / 2);
        client.write_all(before).unwrap();
        // Out of band: it is not part of the stream (tcp(7)), and nobody relays it. A second one would make this one part of it.
        rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).unwrap();
        client.write_all(behind).unwrap();
        client.finish();
    });
    let mut received = Vec::new();
    target.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == Pattern(3).bytes(LEN), "{} bytes arrived, not as they were sent", received.len());
}
