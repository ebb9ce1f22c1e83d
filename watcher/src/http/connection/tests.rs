//! Seats, and how connections are begun and ended.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::*;

#[tokio::test]
async fn an_accept_that_keeps_failing_does_not_spin() {
    let (stop, stopped) = watch::channel(false);
    let failures = Cell::new(0);
    let listener = |_: &mut Context<'_>| {
        failures.set(failures.get() + 1);
        stop.send_replace(failures.get() >= 3);
        Poll::Ready(Err::<(), _>(io::Error::other("too many open files")))
    };
    let began = Instant::now();
    accept(listener, |()| None, |(), _| async {}, &Limits::USUAL, stopped).await;
    assert!(began.elapsed() >= 3 * BACK_OFF, "three failures, a pause after each");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_broken_off() {
    let (stop, stopped) = watch::channel(false);
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let alive = Cell::new(Some(alive));
    let listener = |_: &mut Context<'_>| match alive.take() {
        Some(alive) => Poll::Ready(Ok(alive)),
        None => Poll::Pending,
    };
    let serve = |alive, _| {
        stop.send_replace(true);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
        }
    };
    let limits = Limits { grace: Duration::from_millis(20), ..Limits::USUAL };
    accept(listener, |_| None, serve, &limits, stopped).await;
    assert!(ended.await.is_err(), "its task is gone");
}

/// Connections of these addresses, oldest first; a `+` before one that is kept. Which makes room?
async fn who_goes(open: &str) -> Option<usize> {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let open: Vec<_> = open
        .split_whitespace()
        .map(|text| {
            let seat = Seat::default();
            let address = text.strip_prefix('+').inspect(|_| seat.keep()).unwrap_or(text);
            let share = Some(Share::of(address.parse().unwrap()));
            Open { share, seat, task: tasks.spawn(std::future::pending()) }
        })
        .collect();
    dispensable(&open)
}

#[tokio::test]
async fn the_oldest_of_who_has_most_makes_room_and_who_proved_itself_never() {
    for (open, wanted) in [
        ("", None),
        ("10.0.0.1", Some(0)),
        ("10.0.0.1 10.0.0.2", Some(0)),
        ("10.0.0.1 10.0.0.2 10.0.0.2", Some(1)),
        ("10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.2", Some(0)),
        ("10.0.0.1 +10.0.0.2 10.0.0.2", Some(0)),
        ("+10.0.0.1 +10.0.0.1 10.0.0.2", Some(2)),
        ("+10.0.0.1 +10.0.0.2", None),
        ("10.0.0.1 2001:db8::1 2001:db8::2", Some(1)),
    ] {
        assert_eq!(who_goes(open).await, wanted, "{open}");
    }
}
