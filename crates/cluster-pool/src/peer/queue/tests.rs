//! The queue: its bounds, its order, and what it lets go of.

use super::super::message::{Channel, Ticket};
use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::after_origin(Duration::from_millis(ms))
}

fn message(priority: Priority, number: u16, len: usize) -> Message {
    Message::new(Channel(number), vec![0; len]).with_priority(priority)
}

fn queue(len_max: usize, bytes_max: usize) -> SendQueue {
    SendQueue::new(Bounds { len_max, bytes_max, age_max: Duration::from_secs(60) })
}

fn push(queue: &mut SendQueue, message: Message, now: Instant) {
    queue.push(message, Ticket::new().0, now);
}

fn numbers(waiting: &[Waiting]) -> Vec<u16> {
    waiting.iter().map(|w| w.message.channel.0).collect()
}

#[test]
fn the_oldest_of_the_lowest_priority_makes_room_and_nothing_above_the_new_one_does() {
    let mut queue = queue(3, 10_000);
    for (priority, number) in [(Priority::Low, 1), (Priority::Normal, 2), (Priority::Low, 3)] {
        push(&mut queue, message(priority, number, 1), at(0));
    }
    let room = |queue: &mut SendQueue, priority| {
        let new = message(priority, 9, 1);
        queue.make_room_for(&new).map(|dropped| numbers(&dropped))
    };
    assert_eq!(room(&mut queue, Priority::High), Some(vec![1]));
    push(&mut queue, message(Priority::High, 9, 1), at(0));
    assert_eq!(room(&mut queue, Priority::Normal), Some(vec![3]));
    push(&mut queue, message(Priority::Normal, 10, 1), at(0));
    assert_eq!(room(&mut queue, Priority::Low), None, "all that wait are above it");
    assert_eq!(queue.len(), 3);
}

#[test]
fn a_large_message_takes_the_room_of_several_or_of_none() {
    let mut queue = queue(100, 4 * (100 + ENTRY));
    for number in 0..4 {
        push(&mut queue, message(Priority::Normal, number, 100), at(0));
    }
    let too_large = message(Priority::Normal, 9, 4 * (100 + ENTRY) + 1);
    assert!(queue.make_room_for(&too_large).is_none());
    assert_eq!(queue.len(), 4, "nothing was dropped in vain");
    assert_eq!(numbers(&queue.drain()), [0, 1, 2, 3], "and their order is as it was");
}

#[test]
fn while_all_wait_six_of_ten_are_high_three_normal_and_one_low() {
    let mut queue = queue(1_000, 1_000_000);
    for number in 0..300 {
        for priority in Priority::ALL {
            push(&mut queue, message(priority, number, 1), at(0));
        }
    }
    let mut counts = [0; 3];
    for _ in 0..100 {
        counts[queue.pop(|_, _| true).unwrap().message.priority.index()] += 1;
    }
    assert_eq!(counts, [60, 30, 10]);
    // Whoever is not ready is passed over, and keeps its order.
    let normal = queue.pop(|priority, _| priority == Priority::Normal).unwrap();
    assert_eq!((normal.message.priority, normal.message.channel), (Priority::Normal, Channel(30)));
    assert!(queue.pop(|_, _| false).is_none());
}

#[test]
fn each_expires_at_its_own_time_wherever_it_stands() {
    let mut queue = queue(10, 10_000);
    push(&mut queue, message(Priority::Normal, 1, 1), at(0));
    push(&mut queue, message(Priority::Normal, 2, 1).with_time_to_live(Duration::from_millis(50)), at(0));
    push(&mut queue, message(Priority::High, 3, 1).with_time_to_live(Duration::from_secs(1_000)), at(10));
    assert_eq!(queue.next_expiry(), Some(at(50)));
    assert!(queue.expire(at(49)).is_empty());
    assert_eq!(numbers(&queue.expire(at(50))), [2]);
    assert_eq!(queue.oldest(at(60)), Some(Duration::from_millis(60)));
    assert_eq!(numbers(&queue.expire(at(60_010))), [3, 1], "none is kept for longer than the queue keeps anything");
    assert_eq!((queue.len(), queue.bytes(), queue.next_expiry()), (0, 0, None));
}

#[derive(Debug, Clone)]
enum Op {
    Push(Priority, usize, u64),
    MakeRoom(Priority, usize),
    Pop,
    PutBack,
    Expire(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let priority = prop::sample::select(Priority::ALL.to_vec());
    prop_oneof![
        4 => (priority.clone(), 0usize..300, 1u64..500).prop_map(|(p, len, ttl)| Op::Push(p, len, ttl)),
        1 => (priority, 0usize..300).prop_map(|(p, len)| Op::MakeRoom(p, len)),
        2 => Just(Op::Pop),
        1 => Just(Op::PutBack),
        1 => (0u64..100).prop_map(Op::Expire),
    ]
}

proptest! {
    /// Whatever is done to it: bounds hold, bytes are right, order within a priority is the order of sending.
    #[test]
    fn any_use_keeps_bounds_and_order(ops in prop::collection::vec(op(), 1..200)) {
        let mut queue = queue(8, 2_000);
        let (mut now, mut next, mut last_popped) = (0, 0u16, [None::<u16>; 3]);
        for op in ops {
            match op {
                Op::Push(priority, len, ttl) => {
                    let message = message(priority, next, len).with_time_to_live(Duration::from_millis(ttl));
                    if queue.has_room_for(&message) {
                        push(&mut queue, message, at(now));
                        next += 1;
                    }
                }
                Op::MakeRoom(priority, len) => {
                    let message = message(priority, next, len);
                    let before = queue.len();
                    match queue.make_room_for(&message) {
                        Some(dropped) => {
                            prop_assert!(queue.has_room_for(&message));
                            prop_assert!(dropped.iter().all(|d| d.message.priority <= priority));
                        }
                        None => prop_assert_eq!(queue.len(), before),
                    }
                }
                Op::Pop | Op::PutBack => if let Some(popped) = queue.pop(|_, _| true) {
                    let last = &mut last_popped[popped.message.priority.index()];
                    prop_assert!(last.is_none_or(|last| last < popped.message.channel.0));
                    if matches!(op, Op::PutBack) {
                        queue.push_front(popped);
                    } else {
                        *last = Some(popped.message.channel.0);
                    }
                },
                Op::Expire(after) => {
                    now += after;
                    prop_assert!(queue.expire(at(now)).iter().all(|gone| gone.expires_at <= at(now)));
                    prop_assert!(queue.next_expiry().is_none_or(|next| next > at(now)));
                }
            }
            prop_assert!(queue.len() <= 8 && queue.bytes() <= 2_000);
            prop_assert_eq!(queue.bytes() == 0, queue.is_empty());
        }
        let rest: usize = queue.drain().iter().map(Waiting::weight).sum();
        prop_assert!(rest <= 2_000 && queue.is_empty());
    }
}
