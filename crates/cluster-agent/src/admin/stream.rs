//! `GET /events`: server-sent events, a snapshot first, then every event with its number, and texts of members, which have
//! none. A reader that is too slow is told what it
//! missed, and slows nobody.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::events;

/// How often a quiet stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (subscription, texts) = (shared.cluster.subscribe(), shared.texts.subscribe());
    let stream = stream::unfold((subscription, texts), |(mut subscription, mut texts)| async move {
        let event = tokio::select! {
            biased;
            delivery = subscription.recv() => {
                let (name, seq, data) = events::streamed(&delivery?);
                let event = Event::default().event(name).data(data);
                match seq {
                    Some(seq) => event.id(seq.to_string()),
                    None => event,
                }
            }
            text = texts.recv() => match text {
                Ok(heard) => Event::default().event("message").data(events::streamed_text(&heard)),
                Err(RecvError::Lagged(missed)) => Event::default().event("lagged").data(events::streamed_lag(missed)),
                Err(RecvError::Closed) => return None,
            },
        };
        Some((Ok(event), (subscription, texts)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
