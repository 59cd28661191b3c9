//! What streams must do.

use std::io;
use std::time::Duration;

use cluster_pool::transport::{BiStream, stream_code};
use cluster_pool::{CloseCode, LinkClass};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Pair, quiet};

/// More than any transport holds for a reader.
const MUCH: usize = 4 * 1024 * 1024;

/// A stream's two ends, with a first byte on it.
async fn stream(pair: &Pair) -> (BiStream, BiStream, Keep) {
    let (near, far) = pair.connect(LinkClass::Data).await;
    let mut opened = near.open_bi().await.expect("there is room for one");
    opened.0.write_all(b"!").await.expect("it is open");
    let mut accepted = far.accept_bi().await.expect("it is open");
    assert_eq!(accepted.1.read_u8().await.expect("it is open"), b'!');
    (opened, accepted, Keep { ends: (near, far) })
}

/// A connection lives while somebody holds it.
struct Keep {
    ends: (std::sync::Arc<dyn cluster_pool::Connection>, std::sync::Arc<dyn cluster_pool::Connection>),
}

pub(super) async fn both_ways(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Data).await;
    let silent = near.open_bi().await.expect("there is room");
    quiet("a stream with nothing on it was seen", far.accept_bi()).await;
    drop(silent);
    let (mut send, mut recv) = near.open_bi().await.expect("there is room");
    send.write_all(b"question").await.expect("it is open");
    send.finish();
    let (mut answer, mut asked) = far.accept_bi().await.expect("it is open");
    let mut heard = Vec::new();
    // One that was dropped with nothing on it may be seen, as a stream that was reset.
    if asked.read_to_end(&mut heard).await.is_err() {
        (answer, asked) = far.accept_bi().await.expect("it is open");
        heard.clear();
        asked.read_to_end(&mut heard).await.expect("it is whole");
    }
    assert_eq!(heard, b"question");
    answer.write_all(b"answer").await.expect("it is open");
    answer.finish();
    heard.clear();
    recv.read_to_end(&mut heard).await.expect("it is whole");
    assert_eq!(heard, b"answer");
    assert_eq!(std::future::poll_fn(|cx| send.poll_stopped(cx)).await, None, "the other side has it all");
}

pub(super) async fn one_way(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Data).await;
    let mut send = near.open_uni().await.expect("there is room");
    send.write_all(b"news").await.expect("it is open");
    send.finish();
    let mut recv = far.accept_uni().await.expect("it is open");
    let mut heard = Vec::new();
    recv.read_to_end(&mut heard).await.expect("it is whole");
    assert_eq!(heard, b"news");
}

fn code_of<T: std::fmt::Debug>(read: io::Result<T>) -> Option<CloseCode> {
    stream_code(&read.expect_err("the stream was given up"))
}

pub(super) async fn dropped(pair: Pair) {
    let ((mut send, recv), (_answer, mut asked), _keep) = stream(&pair).await;
    send.write_all(b"half of it").await.expect("it is open");
    drop((send, recv));
    let mut heard = Vec::new();
    assert_eq!(code_of(asked.read_to_end(&mut heard).await), Some(CloseCode::CANCELLED));
}

pub(super) async fn codes(pair: Pair) {
    let ((mut send, mut recv), (mut answer, mut asked), _keep) = stream(&pair).await;
    send.reset(CloseCode::DEADLINE);
    assert_eq!(code_of(asked.read_u8().await), Some(CloseCode::DEADLINE));
    recv.stop(CloseCode::TOO_LARGE);
    assert_eq!(std::future::poll_fn(|cx| answer.poll_stopped(cx)).await, Some(CloseCode::TOO_LARGE));
    assert_eq!(code_of(answer.write_all(&[0; 100]).await), Some(CloseCode::TOO_LARGE));
}

pub(super) async fn backpressure(pair: Pair) {
    let ((mut send, _recv), (_answer, mut asked), _keep) = stream(&pair).await;
    let data = vec![7; MUCH];
    let mut writing = Box::pin(async {
        send.write_all(&data).await.expect("it is open");
        send.finish();
        std::future::poll_fn(|cx| send.poll_stopped(cx)).await
    });
    quiet("much was written that nobody reads", &mut writing).await;
    let mut heard = Vec::new();
    let reading = asked.read_to_end(&mut heard);
    let (end, read) = tokio::join!(writing, reading);
    assert_eq!((end, read.expect("it is whole")), (None, MUCH));
    assert!(heard.iter().all(|byte| *byte == 7));
}

pub(super) async fn limits(pair: Pair) {
    let (near, far) = pair.connect(LinkClass::Control).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = near.open_bi().await.expect("there is room for four");
        stream.0.write_all(b"!").await.expect("it is open");
        open.push(stream);
    }
    quiet("a fifth was opened", near.open_bi()).await;
    far.set_stream_limit(6);
    let fifth = tokio::time::timeout(Duration::from_secs(5), near.open_bi()).await;
    let mut fifth = fifth.expect("the limit was raised").expect("it is open");
    fifth.0.write_all(b"!").await.expect("it is open");
    far.set_stream_limit(5);
    // One that is over makes room for another.
    drop(far.accept_bi().await.expect("it is open"));
    drop(open.remove(0));
    let next = tokio::time::timeout(Duration::from_secs(5), near.open_bi()).await;
    assert!(next.is_ok(), "one is over");
}

pub(super) async fn ended(pair: Pair) {
    let ((mut send, mut recv), (mut answer, mut asked), keep) = stream(&pair).await;
    keep.ends.0.close(CloseCode::DONE);
    let ends = [
        recv.read_u8().await.map(drop),
        asked.read_u8().await.map(drop),
        send.write_all(b"x").await,
        answer.write_all(b"x").await,
    ];
    for end in ends {
        let error = end.expect_err("the connection is over");
        assert_eq!((error.kind(), stream_code(&error)), (io::ErrorKind::NotConnected, None), "{error}");
    }
    assert_eq!(std::future::poll_fn(|cx| answer.poll_stopped(cx)).await, None);
}
