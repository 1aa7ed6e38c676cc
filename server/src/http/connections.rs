//! How many connections are open at once.
//!
//! Decides that a slot is held from before the TLS handshake until the connection is closed; whose
//! it is, `connection_limits` decides. Refuses, by closing at once, whoever gets none, and ends a
//! connection whose slot went to another.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody as _};
use axum_server::accept::Accept;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::connection_limits::{ConnectionLimits, InFlight, Permit};

/// An acceptor that gives each connection one of a fixed number of slots.
#[derive(Debug, Clone)]
pub(crate) struct Limited<A> {
    inner: A,
    limits: Arc<ConnectionLimits>,
}

impl<A> Limited<A> {
    pub(crate) const fn new(inner: A, limits: Arc<ConnectionLimits>) -> Self {
        Self { inner, limits }
    }
}

type Accepting<S, V> = Pin<Box<dyn Future<Output = io::Result<(Held<S>, V)>> + Send>>;

impl<A, S> Accept<TcpStream, S> for Limited<A>
where
    A: Accept<TcpStream, S> + Clone + Send + Sync + 'static,
    A::Future: Send,
    A::Stream: Send,
    A::Service: Send,
    S: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = A::Service;
    type Future = Accepting<A::Stream, A::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (inner, limits) = (self.inner.clone(), Arc::clone(&self.limits));
        Box::pin(async move {
            // Nobody waits here: whoever has no slot is closed at once, which a client takes as
            // "try again".
            let permit = limits.enter(stream.peer_addr()?).ok_or_else(no_slot)?;
            let cut = permit.slot.cut.clone();
            let (stream, service) = tokio::select! {
                accepted = inner.accept(stream, service) => accepted?,
                () = cut.cancelled() => return Err(no_slot()),
            };
            Ok((Held { stream, cut: Box::pin(cut.cancelled_owned()), _place: permit }, service))
        })
    }
}

fn no_slot() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "all connections are in use")
}

/// A connection and its slot.
#[derive(Debug)]
pub(crate) struct Held<S> {
    stream: S,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Permit,
}

impl<S> Held<S> {
    /// Fails once the slot is another's; wakes whoever waits here when it becomes so.
    fn still_held(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(no_slot()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.still_held(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.still_held(context)?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.still_held(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Notes what a connection does until the body has passed: whoever drops the body drops the note.
pub(crate) fn lasting(body: Body, in_flight: Option<InFlight>) -> Body {
    match in_flight {
        Some(in_flight) if !body.is_end_stream() => Body::new(body.map_err(move |error| {
            let _held = &in_flight;
            error
        })),
        Some(_) | None => body,
    }
}
