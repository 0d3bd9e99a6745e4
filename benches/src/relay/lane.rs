//! What waits for one socket: frames already encoded, bounded by count and bytes. Empty, it holds
//! no buffer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Frames that wait, at most.
const FRAMES_MAX: usize = 64;
/// Bytes that wait, at most.
const BYTES_MAX: usize = 256 * 1024;

/// A bounded queue that one socket polls and any thread fills.
#[derive(Debug, Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Arc<[u8]>>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Lane {
    /// Adds a frame; `false` if there is no room, and the frame is dropped.
    pub(super) fn push(&self, frame: Arc<[u8]>) -> bool {
        let mut state = self.lock();
        if state.frames.len() >= FRAMES_MAX || state.bytes + frame.len() > BYTES_MAX {
            return false;
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The next frame; without one, the task is woken when there is.
    pub(super) fn pop(&self, cx: &Context<'_>) -> Option<Arc<[u8]>> {
        let mut state = self.lock();
        match state.frames.pop_front() {
            Some(frame) => {
                state.bytes -= frame.len();
                if state.frames.is_empty() {
                    state.frames = VecDeque::new();
                }
                Some(frame)
            }
            None => {
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.waker = Some(cx.waker().clone());
                }
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Arc<[u8]> {
        vec![0; len].into()
    }

    #[test]
    fn it_is_bounded_by_count_and_by_bytes() {
        let lane = Lane::default();
        assert!((0..FRAMES_MAX).all(|_| lane.push(frame(1))));
        assert!(!lane.push(frame(1)));
        let lane = Lane::default();
        assert!(lane.push(frame(BYTES_MAX)));
        assert!(!lane.push(frame(1)));
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_makes_room() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        assert!(lane.pop(&cx).is_none());
        for len in [3, BYTES_MAX - 3] {
            assert!(lane.push(frame(len)));
        }
        assert_eq!(lane.pop(&cx).map(|frame| frame.len()), Some(3));
        assert!(lane.push(frame(3)));
        assert_eq!(lane.pop(&cx).map(|frame| frame.len()), Some(BYTES_MAX - 3));
    }
}
