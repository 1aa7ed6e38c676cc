//! How a claimer's attempt is followed: by its event stream, opened again whenever it breaks before
//! it has told the end, and by asking where the stream is held back on the way.
//!
//! Decides which state is the last one. Refuses to ask for more after it: a stream that is opened
//! again for ever holds a place at the server.

use std::sync::atomic::{AtomicBool, Ordering};

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::relay::{EVENT_STATE, EVENT_STEP, EndReason, InvitationStatus, StepTold};

use super::super::events::Parser;
use super::super::http::{Call, Server};
use super::super::retry::Pauses;
use super::super::{TransportError, Trouble};
use super::held_back;

/// Why an attempt of an invitation with this status is over, if it is.
pub const fn ended(status: InvitationStatus) -> Option<EndReason> {
    match status {
        InvitationStatus::Pending | InvitationStatus::InUse => None,
        InvitationStatus::Completed => Some(EndReason::Completed),
        InvitationStatus::Cancelled | InvitationStatus::Expired | InvitationStatus::Exhausted => {
            Some(EndReason::InvitationEnded)
        }
    }
}

/// Keeps an event stream open and hands on each state, and each step that is told before it, until
/// the server refuses it for good. Once a state was the last one (`seen` says so), nothing is asked
/// any more, and this never returns: who follows has been told by then, and an error must not come
/// before that.
pub(super) async fn follow<T>(
    server: &Server,
    trouble: &Trouble,
    open: impl Fn() -> Result<Call, TransportError>,
    ask: impl Fn() -> Result<Call, TransportError>,
    step: impl Fn(StepTold),
    seen: impl FnMut(T) -> bool,
) -> TransportError
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    match to_the_end(server, trouble, open, ask, step, seen).await {
        Err(error) => error,
        Ok(()) => std::future::pending().await,
    }
}

/// Opens the stream again whenever it breaks; ends with the last state.
async fn to_the_end<T>(
    server: &Server,
    trouble: &Trouble,
    open: impl Fn() -> Result<Call, TransportError>,
    ask: impl Fn() -> Result<Call, TransportError>,
    step: impl Fn(StepTold),
    mut seen: impl FnMut(T) -> bool,
) -> Result<(), TransportError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut pauses = Pauses::default();
    loop {
        let error = match open() {
            Ok(call) => {
                let came = AtomicBool::new(false);
                let mut heard = |view| {
                    came.store(true, Ordering::Relaxed);
                    seen(view)
                };
                let stream = one_stream(server, trouble, call, &mut pauses, (&step, &mut heard));
                match held_back::in_time(stream, &came).await {
                    Some(Ok(Told::Last)) => return Ok(()),
                    Some(Ok(Told::Part)) => TransportError::Unreachable("the event stream ended".into()),
                    Some(Err(error)) => error,
                    None => {
                        match held_back::ask(server, Some(trouble), held_back::ASK_AGAIN, &ask, &mut seen)
                            .await
                        {
                            Ok(()) => return Ok(()),
                            Err(error) => error,
                        }
                    }
                }
            }
            Err(error) => error,
        };
        if !error.passes() {
            return Err(error);
        }
        // A stream that a restarting server closed is opened again at once; only then is there
        // trouble to tell.
        if pauses.failed_before() {
            trouble.send_replace(Some(format!("{error}; trying again")));
        }
        tokio::time::sleep(pauses.next_pause(&error)).await;
    }
}

/// What a stream has told by its end.
enum Told {
    /// The last state there is.
    Last,
    /// It broke before.
    Part,
}

fn record<T>(data: &[u8]) -> Result<T, TransportError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let wrong = |_| TransportError::Misbehaved("an event is not the record it should be");
    codec::decode(data, BODY_MAX_BYTES).map_err(wrong)
}

async fn one_stream<T>(
    server: &Server,
    trouble: &Trouble,
    call: Call,
    pauses: &mut Pauses,
    (step, seen): (&impl Fn(StepTold), &mut impl FnMut(T) -> bool),
) -> Result<Told, TransportError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut stream = server.open(call).await?;
    let mut parser = Parser::default();
    while let Some(bytes) = stream.next().await? {
        for event in parser.push(&bytes)? {
            match event.name.as_str() {
                EVENT_STEP => {
                    step(record(&event.data)?);
                    continue;
                }
                EVENT_STATE => {}
                _ => continue,
            }
            let view = record(&event.data)?;
            pauses.reset();
            trouble.send_if_modified(|now| now.take().is_some());
            if seen(view) {
                return Ok(Told::Last);
            }
        }
    }
    Ok(Told::Part)
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use parsec_protocol::ids::AttemptId;
    use parsec_protocol::relay::AttemptView;
    use reqwest::Method;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::transport::http::Client;

    fn view(ended: Option<EndReason>) -> AttemptView {
        AttemptView { attempt: AttemptId::from_bytes([7; 16]), steps: 1, greeter: None, ended }
    }

    /// One stream after the other, each with these states; whoever asks once more is told that
    /// there is no such call.
    async fn told(streams: &[&[AttemptView]]) -> (Result<(), TransportError>, Vec<AttemptView>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(Client::new(None).unwrap(), &address).unwrap();
        let serving = async {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4_096]).await.unwrap();
                let Some(states) = streams.get(number) else {
                    let no = "HTTP/1.1 404 x\r\nparsec-server: 1\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(no.as_bytes()).await.unwrap();
                    continue;
                };
                let head = "HTTP/1.1 200 x\r\nparsec-server: 1\r\ncontent-type: text/event-stream\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                for state in *states {
                    let data = Base64UrlUnpadded::encode_string(&codec::encode(state));
                    stream.write_all(format!("event: state\ndata: {data}\n\n").as_bytes()).await.unwrap();
                }
            }
        };
        let (mut seen, trouble) = (Vec::new(), Trouble::new(None));
        let open = || Ok(Call::new(Method::GET, "/v1/events".into()));
        let following = to_the_end(
            &server,
            &trouble,
            open,
            open,
            |_| {},
            |view: AttemptView| {
                let over = view.ended.is_some();
                seen.push(view);
                over
            },
        );
        let followed = tokio::select! {
            followed = following => followed,
            () = serving => unreachable!("it serves for ever"),
        };
        (followed, seen)
    }

    /// A stream that breaks is opened again, one that has told the end is not: it would hold a
    /// place at the server for ever.
    #[tokio::test]
    async fn an_attempt_that_has_ended_is_not_asked_for_again() {
        let (open, over) = (view(None), view(Some(EndReason::Completed)));
        let (followed, seen) = told(&[std::slice::from_ref(&open), &[open.clone(), over.clone()]]).await;
        assert_eq!((followed, seen), (Ok(()), vec![open.clone(), open.clone(), over]));
        let (followed, seen) = told(&[std::slice::from_ref(&open)]).await;
        assert!(matches!(followed, Err(TransportError::Misbehaved(_))), "{followed:?}");
        assert_eq!(seen, [open]);
    }
}
