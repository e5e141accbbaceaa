//! On tokio: epoll, both directions in one task.

use std::io;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{BUFFER, Route};

pub(super) fn run(routes: Vec<Route>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut listening = JoinSet::new();
        for route in routes {
            listening.spawn(listen(route));
        }
        // None ends but by an error.
        listening.join_next().await.transpose()?.transpose().map(Option::unwrap_or_default)
    })
}

async fn listen(route: Route) -> io::Result<()> {
    let listener = TcpListener::bind(route.from).await?;
    loop {
        let (client, _) = listener.accept().await?;
        // A connection that fails ends; who waits for it sees that.
        drop(tokio::spawn(relay(client, route)));
    }
}

async fn relay(mut client: TcpStream, route: Route) -> io::Result<()> {
    let mut server = TcpStream::connect(route.to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.map(drop)
}
