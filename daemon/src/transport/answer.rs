//! What an answer is before it is read: the server's own, or that of something else that stands in
//! its place.
//!
//! Decides by the header that every answer of a metadata server has, and, where a proxy hands on no
//! header that it doesn't know, by the type, which no page for people has. What has neither (a
//! log-in page, a proxy's refusal, another web server) proves nothing about a server, and is told
//! by status, type and where it points, never by its words.

use parsec_protocol::relay::{HEADER_SERVER, SERVER_GENERATION};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode};

use super::tls::plain;

/// The types of a metadata server's answers (docs/protocol.md, *Calls*).
const OWN_TYPES: [&str; 3] = ["application/cbor", "application/octet-stream", "text/event-stream"];
/// Characters shown of a media type: the longest registered one has 73.
const TYPE_MAX_CHARS: usize = 80;
/// Bytes of a redirect that are looked at: its host stands at the beginning.
const LOCATION_MAX_BYTES: usize = 2_048;

/// Something that is not a metadata server answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what answers there is no Parsec server: status {status}, {}{}{}",
    media.as_deref().map_or_else(|| "without a type".to_owned(), |media| format!("type {media}")),
    points_to.as_deref().map(|host| format!(", pointing to {host}")).unwrap_or_default(),
    guess(*status))]
pub struct Foreign {
    /// Status of the HTTP answer.
    pub status: u16,
    /// The media type, if it has a readable one.
    pub media: Option<String>,
    /// The host that a redirect leads to.
    pub points_to: Option<String>,
}

/// What it most likely is, for a person.
const fn guess(status: u16) -> &'static str {
    match status {
        407 => " (a proxy that wants to know who you are)",
        403 | 451 => " (perhaps a proxy that forbids it)",
        511 => " (a network that wants you to log in)",
        404 | 405 => " (perhaps another web server: is the address right?)",
        200..=399 => " (perhaps a network's log-in page)",
        _ => "",
    }
}

/// Why an answer is not the server's; none if it is.
///
/// A proxy before the server says in its own words that there is no server behind it: that is the
/// server's absence, and passes.
pub(super) fn foreign(answer: &Response) -> Option<Foreign> {
    let headers = answer.headers();
    let status = answer.status();
    let marked = headers.get(HEADER_SERVER).is_some_and(|value| value == SERVER_GENERATION);
    let absent = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(media);
    let typed = media.as_deref().is_some_and(|media| OWN_TYPES.contains(&media));
    if marked || typed || absent.contains(&status) {
        return None;
    }
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let points_to = location
        .filter(|location| status.is_redirection() && location.len() <= LOCATION_MAX_BYTES)
        .and_then(|location| answer.url().join(location).ok())
        .and_then(|url| url.host_str().map(plain));
    Some(Foreign { status: status.as_u16(), media, points_to })
}

/// A media type without its parameters.
fn media(value: &str) -> String {
    let bare = value.split(';').next().unwrap_or_default().trim();
    plain(bare).chars().take(TYPE_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::TransportError;
    use crate::transport::http::{Call, Client, Server};

    /// What a call makes of this answer.
    async fn said(answer: &str) -> Result<Vec<u8>, TransportError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(Client::new(None).unwrap(), &address).unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let call = server.call(Call::new(reqwest::Method::GET, "/v1/health".into()));
        tokio::join!(call, answering).0
    }

    #[tokio::test]
    async fn what_stands_in_a_servers_place_is_told_by_status_type_and_host() {
        for (answer, wanted) in [
            (
                "302 Found\r\nlocation: https://login.wifi.example/?who=you",
                "status 302, without a type, pointing to login.wifi.example (perhaps a network's log-in page)",
            ),
            (
                "302 Found\r\nlocation: /login\r\ncontent-type: text/html",
                "type text/html, pointing to 127.0.0.1",
            ),
            (
                "403 No\r\ncontent-type: text/html; charset=utf-8",
                "status 403, type text/html (perhaps a proxy",
            ),
            ("407 Who", "status 407, without a type (a proxy that wants to know who you are)"),
            ("404 No", "is the address right?"),
            ("500 Oops", "status 500, without a type"),
            (
                "200 OK\r\ncontent-type: text/html",
                "status 200, type text/html (perhaps a network's log-in page)",
            ),
            ("200 OK\r\nparsec-server: 9", "no Parsec server"),
        ] {
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            let error = said(&answer).await.unwrap_err();
            assert!(matches!(error, TransportError::NotServer(_)) && error.passes(), "{answer}: {error}");
            assert!(error.to_string().contains(wanted), "{answer}: {error}");
        }
    }

    #[tokio::test]
    async fn the_servers_own_answers_and_its_absence_stay_what_they_are() {
        let own = "HTTP/1.1 204 x\r\nparsec-server: 1\r\n\r\n";
        assert_eq!(said(own).await, Ok(Vec::new()));
        let wrong = "HTTP/1.1 404 x\r\nparsec-server: 1\r\ncontent-length: 0\r\n\r\n";
        assert!(matches!(said(wrong).await, Err(TransportError::Misbehaved(_))));
        let absent = "HTTP/1.1 502 x\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n";
        assert!(matches!(said(absent).await, Err(TransportError::Refused { .. })));
    }
}
