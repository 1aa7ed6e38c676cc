//! `/install/`: what the administrator offers to newcomers, for browsers and for `wget`.
//!
//! Decides how a file goes out: as a download in pieces, under its own tag, never as a page or a
//! script of this server. Refuses everything but reading.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use futures_util::stream;
use rustix::io::Errno;

use super::App;
use crate::errors::Refusal;
use crate::install::{FileName, Folder, Opened, Programs};
use crate::welcome;

/// Answers with the list, or with one file.
pub(super) async fn answer(app: &App, name: Option<FileName>, parts: &Parts) -> Result<Response, Refusal> {
    let place = app.install.get();
    let Programs::Folder(folder) = &*place else { return Ok(welcome::no_such_file()) };
    let Some(name) = name else {
        return Ok(welcome::files(&folder.list().await.map_err(|error| unreadable(&error))?));
    };
    let opened = match folder.look(&name).await {
        Ok(opened) => opened,
        Err(error) if is_no_file(&error) => return Ok(welcome::no_such_file()),
        Err(error) => return Err(unreadable(&error)),
    };
    let unchanged =
        parts.headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == opened.tag().as_bytes());
    let mut response = if unchanged {
        Response::new(Body::empty())
    } else if parts.method == Method::HEAD {
        sized(Body::empty(), opened)
    } else {
        sized(Body::from_stream(pieces(folder.clone(), name.clone(), opened)), opened)
    };
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    label(response.headers_mut(), &name, opened);
    Ok(response)
}

fn sized(body: Body, opened: Opened) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(opened.bytes));
    response
}

fn label(headers: &mut HeaderMap, name: &FileName, opened: Opened) {
    for (header, value) in [
        (CONTENT_TYPE, name.media_type()),
        // A new package may come under the same name: asked for each time, sent where it changed.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_DISPOSITION, "attachment"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (ACCEPT_RANGES, "none"),
    ] {
        headers.insert(header, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::try_from(opened.tag()) {
        headers.insert(ETAG, tag);
    }
}

/// The file, a piece at a time. What can't be read, or has changed, ends it short of its length.
fn pieces(
    folder: Folder,
    name: FileName,
    opened: Opened,
) -> impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((folder, name, 0_u64), move |(folder, name, offset)| async move {
        if offset >= opened.bytes {
            return Ok(None);
        }
        let piece = folder.piece(&name, opened, offset).await?;
        let read = u64::try_from(piece.len()).map_err(io::Error::other)?;
        Ok(Some((Bytes::from(piece), (folder, name, offset.saturating_add(read)))))
    })
}

/// Whether there is nothing under this name that is offered: a link, a folder, a pipe and a socket
/// are not.
fn is_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    let of_kind = [Errno::LOOP, Errno::NXIO].map(Errno::raw_os_error);
    matches!(error.kind(), NotFound | PermissionDenied)
        || error.raw_os_error().is_some_and(|error| of_kind.contains(&error))
}

fn unreadable(error: &io::Error) -> Refusal {
    tracing::warn!(%error, "the install folder could not be read");
    Refusal::UNAVAILABLE
}
