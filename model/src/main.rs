//! Checks the worlds: `make model`.

use std::time::Instant;

use hushwire_model::letters;
use hushwire_model::rules::{Delivery, RULES};
use stateright::{Checker as _, Model as _};

fn main() {
    for config in letters::general() {
        let name = config.name;
        let begun = Instant::now();
        let checker = Delivery::new(config).checker().threads(2).spawn_bfs().join();
        println!(
            "{name}: {} states, depth {}, {:.1} s",
            checker.unique_state_count(),
            checker.max_depth(),
            begun.elapsed().as_secs_f64()
        );
        for (what, path) in checker.discoveries() {
            if RULES.contains(&what) {
                println!("  BROKEN {what}: {:?}", path.into_actions());
            } else {
                println!("  reached {what}");
            }
        }
    }
}
