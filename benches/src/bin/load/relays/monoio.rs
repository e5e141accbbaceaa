//! On monoio: its io_uring driver, a task for each direction, which owns its buffer while the kernel has it.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{BUFFER, Route};

pub(super) fn run(routes: Vec<Route>) -> io::Result<()> {
    RuntimeBuilder::<IoUringDriver>::new().build()?.block_on(async {
        let listening: Vec<_> = routes.into_iter().map(|route| monoio::spawn(listen(route))).collect();
        // None ends but by an error.
        for ended in listening {
            ended.await?;
        }
        Ok(())
    })
}

async fn listen(route: Route) -> io::Result<()> {
    let listener = TcpListener::bind(route.from)?;
    loop {
        let (client, _) = listener.accept().await?;
        // A connection that fails ends; who waits for it sees that.
        drop(monoio::spawn(relay(client, route)));
    }
}

async fn relay(client: TcpStream, route: Route) -> io::Result<()> {
    let server = TcpStream::connect_addr(route.to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upward = monoio::spawn(copy(from_client, to_server));
    let downward = copy(from_server, to_client).await;
    upward.await.and(downward)
}

async fn copy(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        // Reading sets the buffer's length to what has come.
        let (count, filled) = from.read(buffer).await;
        if count? == 0 {
            return to.shutdown().await;
        }
        let (sent, emptied) = to.write_all(filled).await;
        sent?;
        buffer = emptied;
    }
}
