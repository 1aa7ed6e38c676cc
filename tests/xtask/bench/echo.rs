//! The reference of the socket's figures: a line comes back as it was, by a program of its own on
//! the same kind of runtime and socket.
//!
//! Decides nothing and checks nothing: it is the least that answering a line over a Unix socket
//! costs here.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Serves until it is killed. Says a line on stdout once it listens.
pub(crate) fn serve(socket: &Path) -> std::io::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = UnixListener::bind(socket)?;
        println!("{}", socket.display());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        writer.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}
