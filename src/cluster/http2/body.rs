//! A body that holds on to something until it is dropped: its place on a connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

pub(super) struct Held<B, T> {
    body: B,
    #[expect(dead_code, reason = "it is held, no more")]
    what: T,
}

impl<B, T> Held<B, T> {
    pub(super) fn new(body: B, what: T) -> Self {
        Self { body, what }
    }
}

impl<B: Body + Unpin, T: Unpin> Body for Held<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
