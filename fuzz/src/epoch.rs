//! Epoch 0 as Bob's device is offered it, header and wrap changed as the script says: only what
//! Alice made is used.

use hushwire_e2ee::open;

use crate::fixture::world;
use crate::script::Script;

pub(crate) fn run(bytes: &[u8]) -> bool {
    let world = world();
    let mut script = Script::new(bytes);
    let (mut header, mut wrap) = (world.created.header.clone(), world.wrap().to_vec());
    // Bitwise or: both are asked, whatever the first says.
    let damaged = script.damage(&mut header) | script.damage(&mut wrap);
    match open(&world.offered(&header, &wrap)) {
        Ok(accepted) => {
            assert!(!damaged, "an epoch that nobody made was accepted");
            assert_eq!(accepted.state, world.bob_state);
        }
        Err(_) => assert!(damaged, "the epoch that Alice made was refused"),
    }
    !damaged
}
