//! Frames on a stream: a length, then one encoding.
//!
//! Decides how much is read and how long it may take. Refuses a length above the limit before
//! anything is allocated for it, and allocates as bytes come, not as they are promised.

use std::time::Duration;

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::p2p::LENGTH_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// How long a frame may take from its first byte on: a page of the log over a slow relay, at 30 KiB
/// a second.
pub(super) const FRAME_WAIT: Duration = Duration::from_secs(30);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The stream ended or broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("it took too long")]
    TooSlow,
    /// It announces more than it may have.
    #[error("a message is too long")]
    TooLong,
    /// It is not what the protocol has.
    #[error("a message is malformed")]
    Malformed,
}

/// Reads one frame of at most `max` bytes.
pub(super) async fn read<T>(stream: &mut (impl AsyncRead + Unpin), max: usize) -> Result<T, FrameError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    read_when_it_comes(stream, max, Some(FRAME_WAIT)).await
}

/// The same, but its first byte may take so long, or as long as it likes.
pub(super) async fn read_when_it_comes<T>(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
    first: Option<Duration>,
) -> Result<T, FrameError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut one = [0; 1];
    let come = stream.read_exact(&mut one);
    match first {
        Some(first) => tokio::time::timeout(first, come).await.map_err(|_| FrameError::TooSlow)??,
        None => come.await?,
    };
    let frame = async {
        let mut length = [0; LENGTH_BYTES];
        let (first, rest) = length.split_at_mut(1);
        first.copy_from_slice(&one);
        stream.read_exact(rest).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| FrameError::TooLong)?;
        if length > max {
            return Err(FrameError::TooLong);
        }
        // Secrets of attempts pass through here.
        let mut bytes = Zeroizing::new(Vec::new());
        let read = stream.take(length as u64).read_to_end(&mut bytes).await?;
        if read < length {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        codec::decode(&bytes, max).map_err(|_| FrameError::Malformed)
    };
    tokio::time::timeout(FRAME_WAIT, frame).await.map_err(|_| FrameError::TooSlow)?
}

/// Writes one frame.
pub(super) async fn write<T: Encode<()>>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> Result<(), FrameError> {
    let bytes = Zeroizing::new(codec::encode(value));
    let length = u32::try_from(bytes.len()).map_err(|_| FrameError::TooLong)?;
    let frame = async {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    tokio::time::timeout(FRAME_WAIT, frame).await.map_err(|_| FrameError::TooSlow)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parsec_protocol::p2p::{ANSWER_MAX_BYTES, Answer};

    use super::*;

    async fn given(bytes: &[u8], max: usize) -> Result<Answer, FrameError> {
        read(&mut &*bytes, max).await
    }

    #[tokio::test]
    async fn frames_come_back_and_bad_ones_are_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Answer::Done {}).await.unwrap();
        assert_eq!(given(&bytes, ANSWER_MAX_BYTES).await.unwrap(), Answer::Done {});
        for cut in 0..bytes.len() {
            assert!(matches!(given(&bytes[..cut], ANSWER_MAX_BYTES).await, Err(FrameError::Io(_))), "{cut}");
        }
        for promised in [ANSWER_MAX_BYTES as u32 + 1, u32::MAX, 1 << 31] {
            let long = [&promised.to_be_bytes()[..], &bytes[4..]].concat();
            assert!(matches!(given(&long, ANSWER_MAX_BYTES).await, Err(FrameError::TooLong)));
        }
        let junk = [&3_u32.to_be_bytes()[..], b"abc"].concat();
        assert!(matches!(given(&junk, ANSWER_MAX_BYTES).await, Err(FrameError::Malformed)));
    }

    #[tokio::test]
    async fn a_frame_that_does_not_come_is_given_up() {
        let (_held, mut end) = tokio::io::duplex(16);
        let read = read_when_it_comes::<Answer>(&mut end, 16, Some(Duration::from_millis(1)));
        assert!(matches!(read.await, Err(FrameError::TooSlow)));
    }
}
