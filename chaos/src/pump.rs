//! One direction of one connection of the proxy.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::dice::Dice;
use crate::proxy::{Control, PIECE};

/// Whether a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It does.
    Open,
    /// It stands still until then.
    Hold(Instant),
    /// It has ended.
    Shut,
}

/// Carries until one side ends or the gate is shut; then the other side sees the end.
pub(crate) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut gate: watch::Receiver<Gate>,
    control: watch::Receiver<Control>,
    mut dice: Dice,
) {
    let mut piece = vec![0; PIECE];
    while is_open(&mut gate).await {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            _ = gate.changed() => continue,
        };
        let Ok(length @ 1..) = read else { break };
        let weather = control.borrow().weather;
        if weather.delay_ms > 0 {
            sleep(Duration::from_millis(dice.between(0, u64::from(weather.delay_ms)))).await;
        }
        if !is_open(&mut gate).await {
            break;
        }
        let most = if weather.slice == 0 { PIECE } else { usize::from(weather.slice) };
        for part in piece[..length].chunks(most) {
            if to.write_all(part).await.is_err() {
                return;
            }
            if weather.slice > 0 {
                // A packet of its own, most likely.
                tokio::task::yield_now().await;
            }
        }
    }
    let _ = to.shutdown().await;
}

/// Waits while the direction stands still; `false` if it has ended.
async fn is_open(gate: &mut watch::Receiver<Gate>) -> bool {
    loop {
        let now = *gate.borrow_and_update();
        match now {
            Gate::Open => return true,
            Gate::Hold(until) if until <= Instant::now() => return true,
            Gate::Shut => return false,
            Gate::Hold(until) => tokio::select! {
                () = sleep_until(until) => {}
                changed = gate.changed() => if changed.is_err() { return false },
            },
        }
    }
}
