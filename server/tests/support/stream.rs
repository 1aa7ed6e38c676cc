//! An event stream, as a client of a few lines reads it.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parsec_protocol::codec;
use parsec_protocol::ids::Token;
use parsec_protocol::relay::{EVENT_LOG, EVENT_STEP, Follow, LogLength, path};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use super::{Bench, Headers, Member, drawn, head};

pub struct Stream(Lines<BufReader<TcpStream>>);

impl Stream {
    pub async fn open(bench: &Bench, target: &str, headers: &Headers) -> Self {
        Self::ask(bench, "GET", target, headers, &[]).await
    }

    async fn ask(bench: &Bench, method: &str, target: &str, headers: &Headers, body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        stream.write_all(&head(method, target, headers, body.len())).await.unwrap();
        stream.write_all(body).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// A device's stream, about these invitations. It has told how long the log is.
    pub async fn follow(bench: &Bench, member: &Member, tokens: &[Token]) -> Self {
        let target = path::device_events(&member.organisation);
        let body = codec::encode(&Follow { tokens: tokens.to_vec() });
        let headers = member.sign("POST", &target, &body, bench.now(), Token::from_bytes(drawn()));
        let mut stream = Self::ask(bench, "POST", &target, &headers, &body).await;
        stream.next_of::<LogLength>(EVENT_LOG).await.unwrap();
        stream
    }

    /// The next event of this name, passing over others; `None` at the end.
    pub async fn next_of<T>(&mut self, name: &str) -> Option<T>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let (line, mut named) = (format!("event: {name}"), false);
        while let Some(next) = self.0.next_line().await.unwrap_or_default() {
            named |= next == line;
            if let Some(data) = next.strip_prefix("data: ")
                && std::mem::take(&mut named)
            {
                let bytes = Base64UrlUnpadded::decode_vec(data).unwrap();
                return Some(codec::decode(&bytes, 10_000).unwrap());
            }
        }
        None
    }

    /// The next event's value, of whatever name but that of a told step; `None` at the end.
    pub async fn next<T>(&mut self) -> Option<T>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let (step, mut passed_over) = (format!("event: {EVENT_STEP}"), false);
        while let Some(line) = self.0.next_line().await.unwrap_or_default() {
            passed_over |= line == step;
            if let Some(data) = line.strip_prefix("data: ") {
                if std::mem::take(&mut passed_over) {
                    continue;
                }
                let bytes = Base64UrlUnpadded::decode_vec(data).unwrap();
                return Some(codec::decode(&bytes, 10_000).unwrap());
            }
        }
        None
    }

    /// The names of the next events, so many.
    pub async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < count {
            let line = self.0.next_line().await.unwrap().unwrap();
            names.extend(line.strip_prefix("event: ").map(str::to_owned));
        }
        names
    }

    /// Whether it ends without another event. One that goes on says so with a comment, sooner or
    /// later.
    pub async fn ends(&mut self) -> bool {
        while let Some(line) = self.0.next_line().await.unwrap_or_default() {
            if line.starts_with(':') || line.starts_with("data: ") {
                return false;
            }
        }
        true
    }
}
