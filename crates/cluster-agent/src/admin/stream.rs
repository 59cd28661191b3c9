//! `GET /events`: server-sent events, a snapshot first, then every event with its number. A reader that is too slow is told what it
//! missed, and slows nobody.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};

use super::Shared;
use crate::events;

/// How often a quiet stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let subscription = shared.cluster.subscribe();
    let stream = stream::unfold(subscription, |mut subscription| async move {
        let delivery = subscription.recv().await?;
        let (name, seq, data) = events::streamed(&delivery);
        let event = Event::default().event(name).data(data);
        let event = match seq {
            Some(seq) => event.id(seq.to_string()),
            None => event,
        };
        Some((Ok(event), subscription))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
