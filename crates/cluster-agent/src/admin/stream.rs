//! `GET /events`: server-sent events, a snapshot first, then every event with its number, and texts of members, which have
//! none. A reader that is too slow is told what it
//! missed, and slows nobody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use super::answers::Refused;
use crate::events;

/// How often a quiet stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Who may read at once: half of the places.
pub(super) const READERS: usize = 32;

pub(super) async fn events(
    State(shared): State<Shared>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let Ok(place) = Arc::clone(&shared.readers).try_acquire_owned() else {
        let words = format!("{READERS} read the events already: more would leave no place for questions");
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, words));
    };
    let (subscription, texts) = (shared.cluster.subscribe(), shared.texts.subscribe());
    let stream = stream::unfold((subscription, texts, place), |(mut subscription, mut texts, place)| async move {
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
                Err(RecvError::Lagged(missed)) => Event::default().event("lagged").data(events::streamed_lag("messages", missed)),
                Err(RecvError::Closed) => return None,
            },
        };
        Some((Ok(event), (subscription, texts, place)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
