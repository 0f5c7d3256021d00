//! A connection that waits for nobody for ever: neither for a peer that does not read its answer, nor for one that does not
//! stop sending after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::limits::Limits;

/// One read of what is thrown away.
const SCRAPS: usize = 4 << 10;

/// A TCP connection with deadlines.
pub(super) struct Socket {
    stream: TcpStream,
    write_time: Duration,
    linger: Duration,
    /// Runs while the peer does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs once all is written and this end is closed.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: &Limits) -> Self {
        Self { stream, write_time: limits.write_time, linger: limits.linger, stalled: None, lingers: None }
    }

    /// What a write came to, or that it waited for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let time = self.write_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.in_time(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes this end and throws away what still comes: a close with bytes unread would reset the connection, and the peer might
    /// never see why it was refused.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.lingers = Some(Box::pin(sleep(self.linger)));
        }
        let Self { stream, lingers, .. } = &mut *self;
        if lingers.as_mut().is_some_and(|time| time.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Ok(()));
        }
        let mut scraps = [0; SCRAPS];
        let mut scraps = ReadBuf::new(&mut scraps);
        match Pin::new(stream).poll_read(context, &mut scraps) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !scraps.filled().is_empty() => {
                // One read a turn: a peer that sends without a break must not keep others from theirs.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            // The end, or a peer that is gone.
            Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }
}
