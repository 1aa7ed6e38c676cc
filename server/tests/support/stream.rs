//! An event stream, as a client of a few lines reads it.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parsec_protocol::codec;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use super::{Bench, Headers, head};

pub struct Stream(Lines<BufReader<TcpStream>>);

impl Stream {
    pub async fn open(bench: &Bench, target: &str, headers: &Headers) -> Self {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        stream.write_all(&head("GET", target, headers, 0)).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The next event's value; `None` at the end.
    pub async fn next<T>(&mut self) -> Option<T>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        while let Some(line) = self.0.next_line().await.unwrap_or_default() {
            if let Some(data) = line.strip_prefix("data: ") {
                let bytes = Base64UrlUnpadded::decode_vec(data).unwrap();
                return Some(codec::decode(&bytes, 10_000).unwrap());
            }
        }
        None
    }

    /// Whether it ends without another event. One that goes on says so with a comment, sooner or later.
    pub async fn ends(&mut self) -> bool {
        while let Some(line) = self.0.next_line().await.unwrap_or_default() {
            if line.starts_with(':') || line.starts_with("data: ") {
                return false;
            }
        }
        true
    }
}
