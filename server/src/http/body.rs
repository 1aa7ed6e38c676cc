//! Reads bodies and headers of requests, and makes the answers.
//!
//! Decides how much of a body is read and for how long. Refuses before more than the call's bound
//! is in memory, and before anything is interpreted.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::relay::{ErrorCode, Least, MEDIA_TYPE, Reaches};

use crate::errors::Refusal;

/// How long a body may take to arrive: a step of 64 KiB over a line of 32 kbit/s needs 16 s.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// Refuses a body that says beforehand that it has more than `max` bytes.
pub(crate) fn check_length(body: &Body, max: usize) -> Result<(), Refusal> {
    let more = body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX);
    if more { Err(ErrorCode::TooLarge.into()) } else { Ok(()) }
}

/// Reads at most `max` bytes; none of a body that says beforehand that it has more.
pub(crate) async fn read(body: Body, max: usize) -> Result<Bytes, Refusal> {
    check_length(&body, max)?;
    let collecting = Limited::new(body, max).collect();
    match tokio::time::timeout(BODY_WAIT, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ErrorCode::TooLarge.into()),
        // The peer went away or sent half of what it promised; there is nobody left to be told
        // more.
        Ok(Err(_)) => Err(ErrorCode::BadRequest.into()),
        Err(_) => Err(Refusal::UNAVAILABLE),
    }
}

/// Reads the record a body is.
pub(crate) fn decode<T>(body: &[u8]) -> Result<T, Refusal>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    // The bytes were counted while they were read.
    codec::decode(body, body.len()).map_err(|_| ErrorCode::BadRequest.into())
}

/// A header that stands there once and reads as `T`.
pub(crate) fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.parse().ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

fn typed(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Answers are about one moment, and some are for one reader.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A record that only grows, for a reader who says how far it has seen it: one that falls short of
/// that is not given out, so that a database which lags is not taken for a rollback.
pub(crate) fn reaching<T: Reaches + Encode<()>>(least: Least, value: &T) -> Result<Response, Refusal> {
    if least.is_reached_by(value) { Ok(record(value)) } else { Err(Refusal::BEHIND) }
}

/// A record.
pub(crate) fn record<T: Encode<()>>(value: &T) -> Response {
    typed(StatusCode::OK, MEDIA_TYPE, codec::encode(value))
}

/// Several pieces, one behind the other, which are not copied together before.
pub(crate) fn pieces(pieces: Vec<Vec<u8>>) -> Response {
    let length: usize = pieces.iter().map(Vec::len).sum();
    let all = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let body = Body::from_stream(futures_util::stream::iter(all));
    let mut answer = typed(StatusCode::OK, "application/octet-stream", body);
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer
}

/// The bytes of a step, or of what else is no record.
pub(crate) fn octets(bytes: Vec<u8>) -> Response {
    typed(StatusCode::OK, "application/octet-stream", bytes)
}

/// An event stream.
pub(crate) fn events(body: Body) -> Response {
    let mut response = typed(StatusCode::OK, "text/event-stream", body);
    // nginx would otherwise hold events back until a buffer is full.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Done, nothing to say.
pub(crate) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A refusal's answer.
pub(crate) fn refusal(refusal: Refusal, server_time: parsec_protocol::ids::Timestamp) -> Response {
    use parsec_protocol::relay::ErrorBody;
    let body = ErrorBody { code: refusal.code, server_time, retry_after: refusal.retry_after };
    let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = typed(status, MEDIA_TYPE, codec::encode(&body));
    if refusal.retry_after > 0 {
        response.headers_mut().insert("retry-after", HeaderValue::from(refusal.retry_after));
    }
    response
}
