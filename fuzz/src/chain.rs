//! A script of deliveries to one device: each genuine message opens once, in any order; anything
//! else is refused and changes nothing.

use hushwire_e2ee::state::SKIPPED_KEPT_MS;
use hushwire_e2ee::{EpochState, OpenError, Received};

use crate::fixture::{MESSAGES, NOW, world};
use crate::script::Script;

/// Acts of one script, at most.
const STEPS: usize = 64;

pub(crate) fn run(bytes: &[u8]) -> bool {
    let mut script = Script::new(bytes);
    let mut state = world().bob_state.clone();
    let (mut opened, mut next, mut now) = ([false; MESSAGES], 0, NOW);
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        let act = script.byte();
        match act {
            0xf0.. => {
                let again = EpochState::from_bytes(&state.to_bytes());
                assert_eq!(again.as_ref(), Ok(&state));
                now += SKIPPED_KEPT_MS * u64::from(act & 1);
                // What was passed and not opened by then never will be.
                let gone = state.expire(now);
                assert!(gone == 0 || act & 1 == 1);
                if act & 1 == 1 {
                    opened[..next].fill(true);
                }
            }
            _ => {
                let i = usize::from(act) % MESSAGES;
                let mut message = world().delivered[i].clone();
                let damaged = act & 0x80 != 0 && script.damage(&mut message);
                let before = state.clone();
                let result = state.open(&message, now);
                if damaged || opened[i] {
                    assert!(damaged || result == Err(OpenError::Replay));
                    assert!(result.is_err(), "a damaged or used message was opened");
                    assert_eq!(state, before, "a refused message changes nothing");
                } else {
                    let content = Received::Content(world().contents[i].clone());
                    assert_eq!(result.map(|opened| opened.content), Ok(content));
                    opened[i] = true;
                    next = next.max(i + 1);
                }
            }
        }
        assert_eq!(state.skipped(), opened[..next].iter().filter(|opened| !**opened).count());
    }
    next > 0
}
