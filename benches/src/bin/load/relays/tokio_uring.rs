//! On tokio-uring: a task for each direction, which owns its buffer while the kernel fills or sends it.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

use super::{BUFFER, Route};

pub(super) fn run(routes: Vec<Route>) -> io::Result<()> {
    tokio_uring::start(async {
        let listening: Vec<_> = routes.into_iter().map(|route| tokio_uring::spawn(listen(route))).collect();
        // None ends but by an error.
        for ended in listening {
            ended.await??;
        }
        Ok(())
    })
}

async fn listen(route: Route) -> io::Result<()> {
    let listener = TcpListener::bind(route.from)?;
    loop {
        let (client, _) = listener.accept().await?;
        // A connection that fails ends; who waits for it sees that.
        drop(tokio_uring::spawn(relay(client, route)));
    }
}

async fn relay(client: TcpStream, route: Route) -> io::Result<()> {
    let server = Rc::new(TcpStream::connect(route.to).await?);
    let client = Rc::new(client);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let upward = tokio_uring::spawn(copy(Rc::clone(&client), Rc::clone(&server)));
    let downward = copy(Rc::clone(&server), Rc::clone(&client)).await;
    // A direction that failed takes the other with it: its read ends.
    let _ = client.shutdown(Shutdown::Read);
    upward.await?.and(downward)
}

async fn copy(from: Rc<TcpStream>, to: Rc<TcpStream>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (count, filled) = from.read(buffer).await;
        let count = count?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let (sent, slice) = to.write_all(filled.slice(..count)).await;
        sent?;
        buffer = slice.into_inner();
    }
}
