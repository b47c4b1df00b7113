//! A stream that counts, remembers how the answer began, and ends where a peer says too much.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// How much of the beginning is kept: enough to tell TLS, HTTP and a greeting apart.
const BEGINNING: usize = 16;

/// The peer sent more than was allowed.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent more than {0} bytes")]
pub(super) struct TooMuch(pub(super) usize);

/// A stream of which at most `most` bytes are read.
pub(super) struct Metered {
    inner: Box<dyn Stream>,
    most: usize,
    /// Bytes that came so far.
    pub(super) received: usize,
    /// Bytes that went so far.
    pub(super) sent: usize,
    /// The first bytes that came.
    pub(super) beginning: Vec<u8>,
}

impl Metered {
    pub(super) fn new(inner: Box<dyn Stream>, most: usize) -> Self {
        Self { inner, most, received: 0, sent: 0, beginning: Vec::with_capacity(BEGINNING) }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received >= self.most {
            return Poll::Ready(Err(io::Error::other(TooMuch(self.most))));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        let room = BEGINNING - self.beginning.len();
        self.beginning.extend(&new[..new.len().min(room)]);
        self.received += new.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.sent += written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn it_ends_where_a_peer_says_too_much_and_remembers_the_beginning() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(&[7; 5000]).await.expect("written");
        let mut metered = Metered::new(Box::new(near), 1000);
        let mut all = Vec::new();
        let error = metered.read_to_end(&mut all).await.expect_err("too much");
        assert!(error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()), "{error}");
        assert!(all.len() < 5000, "{}", all.len());
        assert_eq!(metered.beginning, [7; BEGINNING]);
        assert_eq!(metered.received, all.len());
    }
}
