//! The lines that answer: a refusal, an error, a result, each no longer than a line may be.
//!
//! Decides the words and numbers of what is refused before any method is called. Quotes nothing of
//! what was sent.

use jsonrpsee::types::{ErrorCode, ErrorObjectOwned, Id, Response, ResponsePayload, error};
use parsec_protocol::control::{LINE_MAX_BYTES, Problem, ProblemKind};
use zeroize::Zeroizing;

use super::frame::FrameError;

/// An answer no line can carry becomes an error: the other side would refuse the line, and
/// everything after it.
pub(super) fn within_limit(id: Id<'_>, answer: String) -> Zeroizing<String> {
    let answer = Zeroizing::new(answer);
    if answer.len() <= LINE_MAX_BYTES {
        return answer;
    }
    refusal(
        id,
        error::OVERSIZED_RESPONSE_CODE,
        ProblemKind::TooLarge,
        "the answer is larger than a line may be",
    )
}

pub(super) fn refuse_frame(error: &FrameError) -> Zeroizing<String> {
    let (code, kind) = match error {
        FrameError::TooSlow => (error::PARSE_ERROR_CODE, ProblemKind::InvalidRequest),
        FrameError::Misplaced => (error::INVALID_REQUEST_CODE, ProblemKind::InvalidRequest),
        FrameError::TooLong(_) => (error::OVERSIZED_REQUEST_CODE, ProblemKind::TooLarge),
        FrameError::Batch => (error::BATCHES_NOT_SUPPORTED_CODE, ProblemKind::InvalidRequest),
        FrameError::NotJson | FrameError::NotUtf8 | FrameError::Io(_) => {
            (error::PARSE_ERROR_CODE, ProblemKind::InvalidRequest)
        }
        // Plain words, for whoever sees them in a browser or in curl.
        FrameError::Http => return Zeroizing::new(error.to_string()),
    };
    refusal(Id::Null, code, kind, &error.to_string())
}

/// A refused connection's only line.
pub(super) fn busy() -> Zeroizing<String> {
    let text = "the daemon serves as many programs as it can";
    refusal(Id::Null, ErrorCode::ServerIsBusy.code(), ProblemKind::RateLimited, text)
}

/// A JSON-RPC error as every method of the daemon answers it, with the problem in `data`.
pub(super) fn refusal(id: Id<'_>, code: i32, kind: ProblemKind, message: &str) -> Zeroizing<String> {
    let problem = Problem::new(kind, message);
    error_line(id, &ErrorObjectOwned::owned(code, message, Some(problem)))
}

pub(super) fn error_line(id: Id<'_>, error: &ErrorObjectOwned) -> Zeroizing<String> {
    line(id, ResponsePayload::<()>::error(error.clone()))
}

pub(super) fn answer_line(id: Id<'_>, result: bool) -> Zeroizing<String> {
    line(id, ResponsePayload::success(result))
}

fn line<T: Clone + serde::Serialize>(id: Id<'_>, payload: ResponsePayload<'_, T>) -> Zeroizing<String> {
    let answer = Response::new(payload, id);
    // Texts and numbers always have a JSON form.
    Zeroizing::new(serde_json::to_string(&answer).unwrap_or_default())
}
